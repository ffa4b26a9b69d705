package rewarder_test

import (
	"context"
	"fmt"

	"haf/pref"
	"haf/rewarder"
)

// times rewards the length of a response, times a factor.
type times float64

func (f times) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = float64(f) * float64(len(s.Response))
	}
	return out, nil
}

func ExampleNewEnsemble() {
	ensemble, err := rewarder.NewEnsemble(rewarder.Rule{Name: rewarder.Mean},
		rewarder.Member{Name: "one", Rewarder: rewarder.FromScorer("length", times(1))},
		rewarder.Member{Name: "three", Rewarder: rewarder.FromScorer("length", times(3))},
	)
	if err != nil {
		panic(err)
	}
	defer ensemble.Close()
	rows, err := rewarder.ScoreSamples(context.Background(), ensemble,
		[]pref.Sample{{Response: "mice"}}, rewarder.SampleOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Println(*rows[0].Reward)
	// Output: 8
}
