package report_test

import (
	"fmt"

	"haf/report"
)

func ExamplePage_Markdown() {
	page := report.Page{Title: "Results", Sections: []report.Section{{Title: "Accuracy"}}}
	page.Sections[0].Add(
		report.Text("On 40 held-out pairs."),
		report.Table{Header: []string{"model", "accuracy"}, Rows: [][]string{{"HaF", "0.70"}}},
	)
	fmt.Print(page.Markdown())
	// Output:
	// # Results
	//
	// ## Accuracy
	//
	// On 40 held-out pairs.
	//
	// | model | accuracy |
	// |:---|---:|
	// | HaF | 0.70 |
}
