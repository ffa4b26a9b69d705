package eval_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"haf/eval"
	"haf/pref"
)

// scorer is a pref.Scorer made of a function of one sample; it remembers how many samples each call
// had.
type scorer struct {
	reward func(pref.Sample) float64
	calls  []int
	short  bool  // leaves the last reward out
	fail   error // what every call returns
}

func (s *scorer) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	s.calls = append(s.calls, len(samples))
	rewards := make([]float64, len(samples))
	for i, sample := range samples {
		rewards[i] = s.reward(sample)
	}
	if s.short {
		rewards = rewards[1:]
	}
	return rewards, s.fail
}

func byLength(s pref.Sample) float64 { return float64(len(s.Response)) }

// mixed makes groups of two and three responses.
func mixed(n int) []pref.Group {
	groups := make([]pref.Group, n)
	for i := range groups {
		g := pref.NewPair(ask(fmt.Sprint(i)), "long response", "short",
			pref.Location{File: "m.jsonl", Line: i + 1})
		if i%3 == 0 {
			g.Responses = append(g.Responses, strings.Repeat("x", i%7+20))
			g.Comparisons = append(g.Comparisons, pref.Comparison{Chosen: 0, Rejected: 2})
		}
		groups[i] = g
	}
	return groups
}

func TestRun(t *testing.T) {
	groups := mixed(150)
	s := &scorer{reward: byLength}
	var seen [][2]int
	result, rewards, err := eval.Run(t.Context(), groups, s,
		func(done, total int) { seen = append(seen, [2]int{done, total}) })
	if err != nil {
		t.Fatal(err)
	}
	for g, group := range groups {
		for k, response := range group.Responses {
			if rewards[g][k] != float64(len(response)) {
				t.Fatalf("rewards[%d][%d] = %v, want %d", g, k, rewards[g][k], len(response))
			}
		}
	}
	if want := [][2]int{{64, 150}, {128, 150}, {150, 150}}; fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("progress %v, want %v", seen, want)
	}
	if len(s.calls) != 3 {
		t.Errorf("%d calls of %v samples, want 3", len(s.calls), s.calls)
	}
	again, err := eval.Comparisons(groups, rewards)
	if err != nil || again != result {
		t.Errorf("%v: %v, want %v", err, again, result)
	}
	near(t, "accuracy", result.Accuracy, 150./200, 1e-15)
}

func TestRunErrors(t *testing.T) {
	down := errors.New("server down")
	nan := func(s pref.Sample) float64 {
		if s.Prompt[0].Content == "70" && s.Response == "short" {
			return math.NaN()
		}
		return 1
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx    context.Context
		groups []pref.Group
		scorer *scorer
		want   string
		is     error
	}{
		{t.Context(), mixed(100), &scorer{reward: nan}, "eval: m.jsonl:71: response 1 has the reward NaN",
			nil},
		{t.Context(), mixed(3), &scorer{reward: byLength, short: true}, "eval: groups 1 to 3 of 3: the " +
			"scorer gave 6 rewards for 7 samples", nil},
		{t.Context(), mixed(3), &scorer{reward: byLength, fail: down}, "eval: groups 1 to 3 of 3: " +
			"server down", down},
		{over, mixed(3), &scorer{reward: byLength}, "eval: stopped after 0 of 3 groups",
			context.Canceled},
		{t.Context(), nil, &scorer{reward: byLength}, "eval: no comparison", eval.ErrNoComparisons},
	} {
		_, _, err := eval.Run(c.ctx, c.groups, c.scorer, nil)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) ||
			(c.is != nil && !errors.Is(err, c.is)) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	unnamed := mixed(100)
	for i := range unnamed {
		unnamed[i].Source = pref.Location{}
	}
	if _, _, err := eval.Run(t.Context(), unnamed, &scorer{reward: nan}, nil); err == nil ||
		!strings.Contains(err.Error(), "group 70:") {
		t.Errorf("error %v, want the group's number in the whole set", err)
	}
}

// A long run is cut into at most about fifty calls, and a cancellation between two of them ends it.
func TestRunStopsBetweenChunks(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &scorer{reward: byLength}
	_, _, err := eval.Run(ctx, mixed(5000), s, func(int, int) { cancel() })
	if !errors.Is(err, context.Canceled) || len(s.calls) != 1 || s.calls[0] < 2*eval.MinChunk {
		t.Errorf("error %v after calls %v", err, s.calls)
	}
}
