package run_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"haf/run"
)

func ExampleFolder() {
	dir, err := os.MkdirTemp("", "haf-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	folder, err := run.Create(filepath.Join(dir, "run"), run.Manifest[string]{Recipe: "mine"})
	if err != nil {
		panic(err)
	}
	err = errors.Join(
		folder.OpenMetrics(&run.State{}, false),
		folder.Record(run.TrainStep{Kind: run.KindStep, Step: 1, Loss: 0.83}),
		folder.Close(),
	)
	if err != nil {
		panic(err)
	}
	records, err := run.ReadRecords(folder.Path, run.VerbTrain)
	if err != nil {
		panic(err)
	}
	fmt.Println(records.Steps[0].Loss, run.Exists(folder.Path), run.Finished(folder.Path))
	// Output: 0.83 true false
}
