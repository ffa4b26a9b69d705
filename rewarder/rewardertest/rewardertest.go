// Package rewardertest is the conformance suite of [pref.Rewarder]: every implementation — a local
// model, both heads combined, an ensemble, a remote server — passes it, so they are
// interchangeable.
package rewardertest

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
	"haf/rewarder"
)

// Options of a run of the suite.
type Options struct {
	Samples []pref.Sample // nil: [Samples]; they must not all have the same reward
	Names   []string      // the rewards that are tested; nil: all that the Rewarder names
	// Tolerance is the largest |difference| between two rewards of one sample; 0 asks for equality.
	Tolerance float64
}

// Samples are the default samples: short and long, of one turn and of several, with a shared
// prompt, a shared beginning of two responses, and text beyond ASCII.
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
		{Prompt: ask("Hello", "Hello! How can I help?", "Translate “good morning” to German."),
			Response: "Guten Morgen ☀"},
		{Prompt: append([]pref.Message{{Role: pref.System, Content: "Answer in one word."}},
			ask("The capital of France?")...), Response: "Paris"},
		{Prompt: ask("List some fruits."), Response: strings.Repeat("An apple, a pear, a plum. ",
			12)},
		{Prompt: ask("2 + 2 = ?"), Response: "4"},
	}
}

// Test runs every check of the suite as a subtest.
func Test(t *testing.T, r pref.Rewarder, opt Options) {
	t.Helper()
	if opt.Samples == nil {
		opt.Samples = Samples()
	}
	if opt.Names == nil {
		opt.Names = r.Rewards()
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if err := c.check(t.Context(), r, opt); err != nil {
				t.Error(err)
			}
		})
	}
	for _, name := range opt.Names {
		scorer, err := rewarder.NewScorer(t.Context(), r, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			for _, c := range scorerChecks {
				t.Run(c.name, func(t *testing.T) {
					if err := c.check(t.Context(), scorer, opt); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// checks are those of a Rewarder as a whole. They return what is wrong, so that the suite itself
// can be tested on Rewarders that are.
var checks = []struct {
	name  string
	check func(context.Context, pref.Rewarder, Options) error
}{
	{"names", names},
	{"default", standard},
	{"several at once", together},
	{"compared groups", compared},
	{"groups without comparisons", groupsAlone},
}

// read reads groups and checks what must hold of any answer.
func read(
	ctx context.Context, r pref.Rewarder, groups []pref.Group, names []string,
) (pref.Readings, error) {
	out, err := r.Read(ctx, groups, names)
	if err != nil {
		return out, fmt.Errorf("read %d groups: %w", len(groups), err)
	}
	if !slices.Equal(out.Names, names) {
		return out, fmt.Errorf("the rewards are %q, want %q", out.Names, names)
	}
	if len(out.Groups) != len(out.Index) || len(out.Truncated) != len(out.Index) {
		return out, fmt.Errorf("%d groups, %d of which have a truncation, at %d positions",
			len(out.Groups), len(out.Truncated), len(out.Index))
	}
	for i, index := range out.Index {
		g := out.Groups[i]
		switch {
		case index < 0 || index >= len(groups) || i > 0 && index <= out.Index[i-1]:
			return out, fmt.Errorf("positions %v of %d groups, want them to rise", out.Index,
				len(groups))
		case !slices.Equal(g.Responses, groups[index].Responses):
			return out, fmt.Errorf("group %d is read as %q, want %q", index, g.Responses,
				groups[index].Responses)
		case len(out.Truncated[i]) != len(g.Responses):
			return out, fmt.Errorf("group %d: %d truncations of %d responses", index,
				len(out.Truncated[i]), len(g.Responses))
		case g.Compared() != groups[index].Compared():
			return out, fmt.Errorf("group %d is kept without a comparison", index)
		}
		for _, c := range g.Comparisons {
			if !slices.Contains(groups[index].Comparisons, c) {
				return out, fmt.Errorf("group %d: comparison %v is none of those given", index, c)
			}
		}
		for _, name := range names {
			if len(out.Rewards[name]) != len(out.Groups) ||
				len(out.Rewards[name][i]) != len(g.Responses) {
				return out, fmt.Errorf("group %d: %s has not one reward for each response", index, name)
			}
			for k, x := range out.Rewards[name][i] {
				if x-x != 0 {
					return out,
						fmt.Errorf("group %d: %s of response %d is %v, want a finite number",
							index, name, k, x)
				}
			}
		}
	}
	return out, nil
}

func names(ctx context.Context, r pref.Rewarder, opt Options) error {
	all := r.Rewards()
	if len(all) == 0 {
		return errors.New("no reward is named")
	}
	for i, name := range all {
		if name == "" || slices.Contains(all[:i], name) {
			return fmt.Errorf("the rewards are %q, want names, each once", all)
		}
	}
	if out, err := r.Read(ctx, nil, nil); err != nil || !slices.Equal(out.Names, all) {
		return fmt.Errorf("read without names: %q, %v, want %q", out.Names, err, all)
	}
	if _, err := r.Read(ctx, nil, []string{all[0], "no such reward"}); err == nil {
		return errors.New("an unknown reward and no error, want an error even without groups")
	}
	return nil
}

func standard(ctx context.Context, r pref.Rewarder, opt Options) error {
	out, err := read(ctx, r, rewarder.Alone(opt.Samples), []string{"", r.Rewards()[0]})
	if err != nil {
		return err
	}
	return same(flat(out, ""), flat(out, r.Rewards()[0]), opt.Tolerance)
}

func together(ctx context.Context, r pref.Rewarder, opt Options) error {
	groups := rewarder.Alone(opt.Samples)
	all, err := read(ctx, r, groups, opt.Names)
	if err != nil {
		return err
	}
	for _, name := range opt.Names {
		one, err := read(ctx, r, groups, []string{name})
		if err != nil {
			return err
		}
		if err := same(flat(one, name), flat(all, name), opt.Tolerance); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// pairs are the samples of one prompt as groups of comparisons.
func pairs(samples []pref.Sample) []pref.Group {
	var groups []pref.Group
	for i, a := range samples {
		for _, b := range samples[i+1:] {
			if slices.Equal(a.Prompt, b.Prompt) {
				groups = append(groups, pref.NewPair(a.Prompt, a.Response, b.Response,
					pref.Location{}))
			}
		}
	}
	return groups
}

func compared(ctx context.Context, r pref.Rewarder, opt Options) error {
	groups := pairs(opt.Samples)
	tied := groups[0]
	tied.Comparisons, tied.Ties = nil, [][2]int{{0, 1}}
	return likeAlone(ctx, r, append(groups, tied), opt)
}

func groupsAlone(ctx context.Context, r pref.Rewarder, opt Options) error {
	groups := pairs(opt.Samples)
	for i := range groups {
		if i%2 == 0 { // both kinds in one call
			groups[i].Comparisons = nil
		}
	}
	return likeAlone(ctx, r, groups, opt)
}

// likeAlone wants every response of the groups that was not cut to have the reward that it has
// alone.
func likeAlone(ctx context.Context, r pref.Rewarder, groups []pref.Group, opt Options) error {
	out, err := read(ctx, r, groups, opt.Names)
	if err != nil {
		return err
	}
	if len(out.Groups) != len(groups) {
		return fmt.Errorf("%d of %d groups were read", len(out.Groups), len(groups))
	}
	for _, name := range opt.Names {
		for i, g := range out.Groups {
			if slices.Contains(out.Truncated[i], true) {
				continue
			}
			want, err := read(ctx, r, rewarder.Alone(g.Samples()), []string{name})
			if err != nil {
				return err
			}
			if err := same(out.Rewards[name][i], flat(want, name), opt.Tolerance); err != nil {
				return fmt.Errorf("%s of group %d: %w", name, i, err)
			}
		}
	}
	return nil
}

func flat(r pref.Readings, name string) []float64 { return slices.Concat(r.Rewards[name]...) }

// scorerChecks are those of each reward.
var scorerChecks = []struct {
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
			return nil, fmt.Errorf("sample %d: reward %v, want a finite number", i, r)
		}
	}
	return rewards, nil
}

// same compares rewards that must be those of the same samples.
func same(got, want []float64, tolerance float64) error {
	for i := range want {
		if d := math.Abs(got[i] - want[i]); d > tolerance {
			return fmt.Errorf("sample %d: reward %v, want %v: they differ by %.3g, tolerance "+
				"%.3g", i, got[i], want[i], d, tolerance)
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
		return fmt.Errorf("all rewards are %v within the tolerance, so that no order can be "+
			"seen: want samples that the scorer tells apart", want[0])
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
		if sample.Response != opt.Samples[i].Response ||
			!slices.Equal(sample.Prompt, opt.Samples[i].Prompt) {
			return fmt.Errorf("sample %d was changed by scoring it: %+v, want %+v", i, sample,
				opt.Samples[i])
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
		return fmt.Errorf("rewards %v and no error under a cancelled context, want an error", rewards)
	}
	if _, err := score(ctx, s, opt.Samples); err != nil {
		return fmt.Errorf("after a cancelled call: %w", err)
	}
	return nil
}
