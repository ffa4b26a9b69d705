package curate_test

import (
	"fmt"

	"haf/curate"
	"haf/pref"
)

func ExampleByRewards() {
	prompt := []pref.Message{{Role: pref.User, Content: "What does the fox eat?"}}
	groups := []pref.Group{
		pref.NewPair(prompt, "Mice.", "Rain.", pref.Location{}),
		pref.NewPair(prompt, "Stones.", "Berries.", pref.Location{}), // the data's label is wrong
	}
	rewards := [][]float64{{2, -1}, {-2, 1}} // of the responses of each group
	rows, counts, err := curate.ByRewards(groups, rewards, "my-model", 0.5)
	if err != nil {
		panic(err)
	}
	for _, row := range rows {
		fmt.Println(row.Chosen, *row.Margin, row.Provenance.How)
	}
	fmt.Println(counts.Agreed, counts.Flipped)
	// Output:
	// Mice. 3 agreed
	// Berries. 3 flipped
	// 1 1
}
