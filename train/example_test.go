package train_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"haf/backend"
	"haf/recipe"
	"haf/reward"
	"haf/run"
	"haf/train"
)

// silent is a run.Progress.
type silent struct{}

func (silent) Logf(string, ...any)    {}
func (silent) StartPhase(string, int) {}
func (silent) Update(int, string)     {}
func (silent) EndPhase()              {}

func ExampleRun() {
	dir, err := os.MkdirTemp("", "haf-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	demo, err := recipe.WriteDemo(dir, 1) // a small model and preferences
	if err != nil {
		panic(err)
	}
	r, err := recipe.Load("", []string{
		"model.path=" + demo.Base, "data.train=" + demo.Train, "data.limit=16", "train.epochs=1",
	})
	if err != nil {
		panic(err)
	}
	device, err := backend.Open("go")
	if err != nil {
		panic(err)
	}
	model, err := reward.Open(device, r.Model.Path, r.ModelOptions())
	if err != nil {
		panic(err)
	}
	defer model.Close()
	trained, valid, _, err := r.Groups()
	if err != nil {
		panic(err)
	}
	data, _, err := recipe.Encode(model.Encoder, trained, valid)
	if err != nil {
		panic(err)
	}
	folder, err := run.Create(filepath.Join(dir, "run"), run.Manifest[*recipe.Recipe]{Recipe: r})
	if err != nil {
		panic(err)
	}
	result, err := train.Run(context.Background(), model, data, r.TrainOptions(), folder, silent{})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d step, first loss %.4f\n", result.Steps, result.FirstLoss) // (w + α) ln 2
	// Output: 1 step, first loss 0.8318
}
