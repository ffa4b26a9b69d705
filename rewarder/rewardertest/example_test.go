package rewardertest_test

import (
	"context"
	"fmt"
	"testing"

	"haf/pref"
	"haf/rewarder"
	"haf/rewarder/rewardertest"
)

// byLength is a new reward source.
type byLength struct{}

func (byLength) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = float64(len(s.Response))
	}
	return out, ctx.Err()
}

// A test of a reward source hands it to the suite.
func ExampleTest() {
	test := func(t *testing.T) {
		source := rewarder.FromScorer("length", byLength{})
		rewardertest.Test(t, source, rewardertest.Options{})
	}
	fmt.Println(testing.RunTests(func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "TestByLength", F: test}}))
	// Output: true
}
