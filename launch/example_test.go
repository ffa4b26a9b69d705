package launch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"haf/backend"
	"haf/hub"
	"haf/launch"
	"haf/recipe"
	"haf/run"
)

func ExampleTrain() {
	dir, err := os.MkdirTemp("", "haf-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	demo, err := recipe.WriteDemo(dir, 1) // a small model and preferences
	if err != nil {
		panic(err)
	}
	device, err := backend.Open("go")
	if err != nil {
		panic(err)
	}
	quiet := &lines{} // a run.Progress
	env := launch.Env{
		Device: device, Hub: &hub.Client{Offline: true}, Cache: filepath.Join(dir, "cache"),
		Progress: quiet, Notef: quiet.Logf,
	}
	request := launch.Request{Out: filepath.Join(dir, "run"), Set: []string{
		"model.path=" + demo.Base, "data.train=" + demo.Train, "data.limit=16", "train.epochs=1",
	}}
	session, r, err := request.Session(run.VerbTrain)
	if err != nil {
		panic(err)
	}
	result, err := launch.Train(context.Background(), env, session, r)
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Steps, run.Finished(request.Out))
	// Output: 1 true
}
