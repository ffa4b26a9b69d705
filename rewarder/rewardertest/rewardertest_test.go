package rewardertest

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

// byFunction is a Rewarder of two rewards made of a function of samples.
type byFunction struct{ scorer }

func (byFunction) Rewards() []string { return []string{"one", "half"} }
func (byFunction) Close() error      { return nil }
func (b byFunction) Read(
	ctx context.Context, groups []pref.Group, names []string,
) (pref.Readings, error) {
	if names == nil {
		names = b.Rewards()
	}
	out := pref.Readings{Names: names, Groups: groups, Rewards: map[string][][]float64{}}
	for i, g := range groups {
		out.Index, out.Truncated = append(out.Index, i),
			append(out.Truncated, make([]bool, len(g.Responses)))
	}
	var samples []pref.Sample
	for _, g := range groups {
		samples = append(samples, g.Samples()...)
	}
	for _, name := range names {
		if name != "" && !slices.Contains(b.Rewards(), name) {
			return out, errors.New("no such reward")
		}
		rewards, err := b.Score(ctx, samples)
		if err != nil {
			return out, err
		}
		for i := range rewards {
			if name == "half" {
				rewards[i] /= 2
			}
		}
		for _, g := range groups {
			n := len(g.Responses)
			out.Rewards[name], rewards = append(out.Rewards[name], rewards[:n:n]), rewards[n:]
		}
	}
	return out, nil
}

func TestGoodRewarderPasses(t *testing.T) { Test(t, byFunction{good}, Options{}) }

// broken is a Rewarder of which one thing is changed.
type broken struct {
	byFunction
	change func(r *pref.Readings)
	names  []string
}

func (b broken) Rewards() []string {
	if b.names != nil {
		return b.names
	}
	return b.byFunction.Rewards()
}

func (b broken) Read(
	ctx context.Context, groups []pref.Group, names []string,
) (pref.Readings, error) {
	r, err := b.byFunction.Read(ctx, groups, names)
	if b.change != nil {
		b.change(&r)
	}
	return r, err
}

// Each broken Rewarder must fail the check that is there for it.
func TestBrokenRewardersFail(t *testing.T) {
	for name, c := range map[string]struct {
		check func(context.Context, pref.Rewarder, Options) error
		r     broken
	}{
		"names twice": {names, broken{names: []string{"one", "one"}}},
		"no names":    {names, broken{names: []string{}}},
		"other names": {names, broken{names: []string{"half", "one"}}},
		"no default":  {standard, broken{names: []string{"half"}}},
		"groups left out": {compared, broken{change: func(r *pref.Readings) {
			r.Groups, r.Index, r.Truncated = r.Groups[:1], r.Index[:1], r.Truncated[:1]
			for name := range r.Rewards {
				r.Rewards[name] = r.Rewards[name][:1]
			}
		}}},
		"a group without its comparison": {compared, broken{change: func(r *pref.Readings) {
			r.Groups = slices.Clone(r.Groups)
			r.Groups[0].Comparisons = nil
		}}},
		"compared groups in another order": {compared, broken{change: func(r *pref.Readings) {
			slices.Reverse(r.Index)
		}}},
		"rewards of groups mixed up": {groupsAlone, broken{change: func(r *pref.Readings) {
			if len(r.Index) > 2 {
				slices.Reverse(r.Rewards["one"])
			}
		}}},
		"rewards mixed up": {together, broken{change: func(r *pref.Readings) {
			if len(r.Names) == 2 {
				r.Rewards["one"], r.Rewards["half"] = r.Rewards["half"], r.Rewards["one"]
			}
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.r.byFunction = byFunction{good}
			if err := c.check(t.Context(), c.r,
				Options{Samples: Samples(), Names: []string{"one", "half"}}); err == nil {
				t.Error("passed, want an error")
			}
		})
	}
}

func TestToleranceIsUsed(t *testing.T) {
	noisy := scorer(func(ctx context.Context, samples []pref.Sample) ([]float64, error) {
		rewards, err := good(ctx, samples)
		for i := range rewards {
			rewards[i] += 1e-4 * float64(len(samples))
		}
		return rewards, err
	})
	Test(t, byFunction{noisy}, Options{Tolerance: 1e-2})
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
		"depends on the batch": {alone, func(ctx context.Context, s []pref.Sample) ([]float64,
			error) {
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
		"duplicates merged": {duplicates, func(ctx context.Context, s []pref.Sample) ([]float64,
			error) {
			rewards, err := good(ctx, s)
			return slices.Compact(rewards), err
		}},
		"changes its input": {unchanged, func(ctx context.Context, s []pref.Sample) ([]float64,
			error) {
			rewards, err := good(ctx, s)
			for i := range s {
				s[i].Prompt[0].Content = ""
			}
			return rewards, err
		}},
		"changes from call to call": {repeats,
			func(ctx context.Context, s []pref.Sample) ([]float64, error) {
				rewards, err := good(ctx, s)
				for i := range rewards {
					rewards[i] += float64(calls.Add(1))
				}
				return rewards, err
			}},
		"mixes callers up": {concurrent, func(ctx context.Context, s []pref.Sample) ([]float64,
			error) {
			rewards, err := good(ctx, s)
			if len(s) < len(Samples()) {
				slices.Reverse(rewards)
			}
			return rewards, err
		}},
		"not a number": {repeats, func(_ context.Context, s []pref.Sample) ([]float64, error) {
			return slices.Repeat([]float64{math.NaN()}, len(s)), nil
		}},
		"deaf to its context": {cancelled, func(_ context.Context, s []pref.Sample) ([]float64,
			error) {
			return good(context.Background(), s)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.check(t.Context(), c.score, Options{Samples: Samples()}); err == nil {
				t.Error("passed, want an error")
			}
		})
	}
}
