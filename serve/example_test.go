package serve_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"haf/pref"
	"haf/rewarder"
	"haf/serve"
)

// byLength rewards long responses; a real model is opened with package reward and made ready with
// its Engine.
type byLength struct{}

func (byLength) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	rewards := make([]float64, len(samples))
	for i, s := range samples {
		rewards[i] = float64(len(s.Response))
	}
	return rewards, nil
}

func ExampleNewClient() {
	server, err := serve.New(serve.Config{Models: []serve.Model{{
		Name: "length",
		Load: func(context.Context, serve.Engine) (serve.Engine, error) {
			return serve.NewEngine(rewarder.FromScorer("score", byLength{})), nil
		},
	}}})
	if err != nil {
		panic(err)
	}
	if err := server.Start(context.Background()); err != nil {
		panic(err)
	}
	defer server.Close()
	web := httptest.NewServer(server.Handler())
	defer web.Close()

	client, err := serve.NewClient(web.URL, serve.ClientOptions{})
	if err != nil {
		panic(err)
	}
	var scorer pref.Scorer = client
	rewards, err := scorer.Score(context.Background(), []pref.Sample{
		{Prompt: []pref.Message{{Role: pref.User, Content: "What does the fox eat?"}}, Response: "Mice."},
		{Prompt: []pref.Message{{Role: pref.User, Content: "What does the fox eat?"}},
			Response: "Mice and berries."},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(rewards)
	// Output: [5 17]
}
