package scorertest

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"haf/pref"
)

// scorer is a pref.Scorer made of a function.
type scorer func(context.Context, []pref.Sample) ([]float64, error)

func (s scorer) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	return s(ctx, samples)
}

// reward counts bytes with unequal weights, so that it tells the default samples apart.
func reward(s pref.Sample) float64 {
	sum := 0.0
	for _, m := range s.Prompt {
		sum += 0.1 * float64(len(m.Content))
	}
	return sum - float64(len(s.Response))
}

func good(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	rewards := make([]float64, len(samples))
	for i, s := range samples {
		rewards[i] = reward(s)
	}
	return rewards, ctx.Err()
}

func TestGoodScorerPasses(t *testing.T) { Test(t, scorer(good), Options{}) }

func TestToleranceIsUsed(t *testing.T) {
	noisy := scorer(func(ctx context.Context, samples []pref.Sample) ([]float64, error) {
		rewards, err := good(ctx, samples)
		for i := range rewards {
			rewards[i] += 1e-4 * float64(len(samples))
		}
		return rewards, err
	})
	Test(t, noisy, Options{Tolerance: 1e-2})
	if err := alone(t.Context(), noisy, Options{Samples: Samples(), Tolerance: 1e-5}); err == nil {
		t.Error("a difference above the tolerance passed")
	}
}

// Each broken scorer must fail the check that is there for it.
func TestBrokenScorersFail(t *testing.T) {
	var calls atomic.Int64
	for name, c := range map[string]struct {
		check func(context.Context, pref.Scorer, Options) error
		score scorer
	}{
		"rewards sorted": {ordered, func(ctx context.Context, s []pref.Sample) ([]float64, error) {
			rewards, err := good(ctx, s)
			slices.Sort(rewards)
			return rewards, err
		}},
		"one constant": {ordered, func(_ context.Context, s []pref.Sample) ([]float64, error) {
			return make([]float64, len(s)), nil
		}},
		"depends on the batch": {alone, func(ctx context.Context, s []pref.Sample) ([]float64, error) {
			rewards, err := good(ctx, s)
			for i := range rewards {
				rewards[i] += 1e-3 * float64(len(s))
			}
			return rewards, err
		}},
		"error on nothing": {empty, func(ctx context.Context, s []pref.Sample) ([]float64, error) {
			if len(s) == 0 {
				return nil, errors.New("no samples")
			}
			return good(ctx, s)
		}},
		"duplicates merged": {duplicates, func(ctx context.Context, s []pref.Sample) ([]float64, error) {
			rewards, err := good(ctx, s)
			return slices.Compact(rewards), err
		}},
		"changes its input": {unchanged, func(ctx context.Context, s []pref.Sample) ([]float64, error) {
			rewards, err := good(ctx, s)
			for i := range s {
				s[i].Prompt[0].Content = ""
			}
			return rewards, err
		}},
		"changes from call to call": {repeats, func(ctx context.Context, s []pref.Sample) ([]float64, error) {
			rewards, err := good(ctx, s)
			for i := range rewards {
				rewards[i] += float64(calls.Add(1))
			}
			return rewards, err
		}},
		"mixes callers up": {concurrent, func(ctx context.Context, s []pref.Sample) ([]float64, error) {
			rewards, err := good(ctx, s)
			if len(s) < len(Samples()) {
				slices.Reverse(rewards)
			}
			return rewards, err
		}},
		"not a number": {repeats, func(_ context.Context, s []pref.Sample) ([]float64, error) {
			return slices.Repeat([]float64{math.NaN()}, len(s)), nil
		}},
		"deaf to its context": {cancelled, func(_ context.Context, s []pref.Sample) ([]float64, error) {
			return good(context.Background(), s)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.check(t.Context(), c.score, Options{Samples: Samples()}); err == nil {
				t.Error("passed, wanted an error")
			}
		})
	}
}
