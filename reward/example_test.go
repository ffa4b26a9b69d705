package reward_test

import (
	"context"
	"fmt"
	"os"

	"haf/backend"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "haf-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	demo, err := recipe.WriteDemo(dir, 1) // in the place of a trained model's folder
	if err != nil {
		panic(err)
	}
	device, err := backend.Open("go")
	if err != nil {
		panic(err)
	}
	model, err := reward.Open(device, demo.Base, reward.Options{})
	if err != nil {
		panic(err)
	}
	reader := model.Reader(reward.ReaderOptions{})
	defer reader.Close()
	prompt := []pref.Message{{Role: pref.User, Content: "what does the fox eat"}}
	read, err := reader.Read(context.Background(), []pref.Group{
		pref.NewPair(prompt, "the fox eats mice", "the fox eats rain", pref.Location{}),
	}, []string{reward.ByScore})
	if err != nil {
		panic(err)
	}
	fmt.Println(read.Rewards[reward.ByScore]) // the head was never trained
	// Output: [[0 0]]
}
