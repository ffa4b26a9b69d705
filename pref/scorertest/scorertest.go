// Package scorertest is the conformance suite of [pref.Scorer]: whatever gives rewards — a local model, both
// heads combined, an ensemble, a remote server — passes it, and is interchangeable with the others.
package scorertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"haf/pref"
)

// Options of a run of the suite.
type Options struct {
	Samples   []pref.Sample // nil: [Samples]; they must not all have the same reward
	Tolerance float64       // the largest |difference| between two rewards of one sample; 0 asks for equality
}

// Samples are the default samples: short and long, of one turn and of several, with a shared prompt, a shared
// beginning of two responses, and text beyond ASCII.
func Samples() []pref.Sample {
	ask := func(turns ...string) []pref.Message {
		var m []pref.Message
		for i, t := range turns {
			m = append(m, pref.Message{Role: []string{pref.User, pref.Assistant}[i%2], Content: t})
		}
		return m
	}
	sky := ask("Why is the sky blue?")
	return []pref.Sample{
		{Prompt: sky, Response: "Because air scatters blue light more than red light."},
		{Prompt: sky, Response: "Because air is blue."},
		{Prompt: sky, Response: "No."},
		{Prompt: ask("Hello", "Hello! How can I help?", "Translate “good morning” to German."), Response: "Guten Morgen ☀"},
		{Prompt: append([]pref.Message{{Role: pref.System, Content: "Answer in one word."}}, ask("The capital of France?")...), Response: "Paris"},
		{Prompt: ask("List some fruits."), Response: strings.Repeat("An apple, a pear, a plum. ", 12)},
		{Prompt: ask("2 + 2 = ?"), Response: "4"},
	}
}

// Test runs every check of the suite as a subtest.
func Test(t *testing.T, scorer pref.Scorer, opt Options) {
	t.Helper()
	if opt.Samples == nil {
		opt.Samples = Samples()
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if err := c.check(t.Context(), scorer, opt); err != nil {
				t.Error(err)
			}
		})
	}
}

// checks return what is wrong, so that the suite itself can be tested on scorers that are.
var checks = []struct {
	name  string
	check func(context.Context, pref.Scorer, Options) error
}{
	{"rewards are finite and repeat", repeats},
	{"order is kept", ordered},
	{"alone equals in a batch", alone},
	{"empty input", empty},
	{"duplicate samples", duplicates},
	{"samples are left as they were", unchanged},
	{"concurrent use", concurrent},
	{"cancelled context", cancelled},
}

// score asks for rewards and checks what must hold of any answer.
func score(ctx context.Context, s pref.Scorer, samples []pref.Sample) ([]float64, error) {
	rewards, err := s.Score(ctx, samples)
	if err != nil {
		return nil, fmt.Errorf("score %d samples: %w", len(samples), err)
	}
	if len(rewards) != len(samples) {
		return nil, fmt.Errorf("%d rewards for %d samples", len(rewards), len(samples))
	}
	for i, r := range rewards {
		if math.IsNaN(r) || math.IsInf(r, 0) {
			return nil, fmt.Errorf("sample %d: reward %v, wanted a finite number", i, r)
		}
	}
	return rewards, nil
}

// same compares rewards that must be those of the same samples.
func same(got, want []float64, tolerance float64) error {
	for i := range want {
		if d := math.Abs(got[i] - want[i]); d > tolerance {
			return fmt.Errorf("sample %d: reward %v, wanted %v: they differ by %.3g, tolerance %.3g", i, got[i], want[i], d, tolerance)
		}
	}
	return nil
}

func repeats(ctx context.Context, s pref.Scorer, opt Options) error {
	want, err := score(ctx, s, opt.Samples)
	if err != nil {
		return err
	}
	got, err := score(ctx, s, opt.Samples)
	if err != nil {
		return err
	}
	return same(got, want, opt.Tolerance)
}

func ordered(ctx context.Context, s pref.Scorer, opt Options) error {
	want, err := score(ctx, s, opt.Samples)
	if err != nil {
		return err
	}
	if slices.Max(want)-slices.Min(want) <= 2*opt.Tolerance {
		return fmt.Errorf("all rewards are %v within the tolerance, so that no order can be seen: wanted samples that the scorer tells apart", want[0])
	}
	for shift := range opt.Samples {
		turned := slices.Concat(opt.Samples[shift:], opt.Samples[:shift])
		slices.Reverse(turned)
		got, err := score(ctx, s, turned)
		if err != nil {
			return err
		}
		slices.Reverse(got)
		if err := same(got, slices.Concat(want[shift:], want[:shift]), opt.Tolerance); err != nil {
			return fmt.Errorf("samples turned by %d and reversed, as counted before that: %w", shift, err)
		}
	}
	return nil
}

func alone(ctx context.Context, s pref.Scorer, opt Options) error {
	want, err := score(ctx, s, opt.Samples)
	if err != nil {
		return err
	}
	got := make([]float64, len(want))
	for i := range opt.Samples {
		one, err := score(ctx, s, opt.Samples[i:i+1])
		if err != nil {
			return err
		}
		got[i] = one[0]
	}
	return same(got, want, opt.Tolerance)
}

func empty(ctx context.Context, s pref.Scorer, _ Options) error {
	for _, samples := range [][]pref.Sample{nil, {}} {
		if _, err := score(ctx, s, samples); err != nil {
			return err
		}
	}
	return nil
}

func duplicates(ctx context.Context, s pref.Scorer, opt Options) error {
	want, err := score(ctx, s, opt.Samples)
	if err != nil {
		return err
	}
	// Next to each other and far apart.
	var doubled []pref.Sample
	var wanted []float64
	for i, sample := range opt.Samples {
		doubled = append(doubled, sample, sample)
		wanted = append(wanted, want[i], want[i])
	}
	got, err := score(ctx, s, slices.Concat(doubled, opt.Samples))
	if err != nil {
		return err
	}
	return same(got, slices.Concat(wanted, want), opt.Tolerance)
}

func unchanged(ctx context.Context, s pref.Scorer, opt Options) error {
	copied := slices.Clone(opt.Samples)
	for i := range copied {
		copied[i].Prompt = slices.Clone(copied[i].Prompt)
	}
	if _, err := score(ctx, s, copied); err != nil {
		return err
	}
	for i, sample := range copied {
		if sample.Response != opt.Samples[i].Response || !slices.Equal(sample.Prompt, opt.Samples[i].Prompt) {
			return fmt.Errorf("sample %d was changed by scoring it: %+v, wanted %+v", i, sample, opt.Samples[i])
		}
	}
	return nil
}

func concurrent(ctx context.Context, s pref.Scorer, opt Options) error {
	const callers = 6
	want, err := score(ctx, s, opt.Samples)
	if err != nil {
		return err
	}
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			// Different work for each, so that rewards of one call given to another are seen.
			from := c % len(opt.Samples)
			got, err := score(ctx, s, opt.Samples[from:])
			if err == nil {
				err = same(got, want[from:], opt.Tolerance)
			}
			if err != nil {
				errs[c] = fmt.Errorf("caller %d, samples from %d on: %w", c, from, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func cancelled(ctx context.Context, s pref.Scorer, opt Options) error {
	over, cancel := context.WithCancel(ctx)
	cancel()
	if rewards, err := s.Score(over, opt.Samples); err == nil {
		return fmt.Errorf("rewards %v and no error under a cancelled context, wanted an error", rewards)
	}
	if _, err := score(ctx, s, opt.Samples); err != nil {
		return fmt.Errorf("after a cancelled call: %w", err)
	}
	return nil
}
