package rewarder_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"haf/pref"
	"haf/rewarder"
	"haf/rewarder/rewardertest"
)

// table is a Rewarder that has its readings at hand and looks only at the names asked for.
type table struct{ pref.Readings }

func (t table) Rewards() []string { return t.Names }
func (t table) Close() error      { return nil }
func (t table) Read(_ context.Context, _ []pref.Group, names []string) (pref.Readings, error) {
	if len(names) > 0 {
		t.Names = names
	}
	return t.Readings, nil
}

// byLength rewards long responses and dislikes prompts of a system.
type byLength struct{ factor float64 }

func (b byLength) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = b.factor * float64(len(s.Response)+100*len(s.Prompt))
	}
	return out, ctx.Err()
}

func (b byLength) Refuses(prompt []pref.Message) error {
	if prompt[0].Role == pref.System {
		return errors.New("encode: chat template: line 3: no  system role")
	}
	return nil
}

func ensemble(t *testing.T, rule rewarder.Rule, members ...pref.Rewarder) *rewarder.Ensemble {
	t.Helper()
	named := make([]rewarder.Member, len(members))
	for i, m := range members {
		named[i] = rewarder.Member{Name: string(rune('a' + i)), Rewarder: m}
	}
	e, err := rewarder.NewEnsemble(rule, named...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestConform has Rewarders made of others pass the suite.
func TestConform(t *testing.T) {
	one, two := rewarder.FromScorer("length", byLength{1}),
		rewarder.FromScorer("length", byLength{-0.5})
	var opened atomic.Int64
	demand := rewarder.OnDemand{Open: func(context.Context) (pref.Rewarder, error) {
		opened.Add(1)
		return two, nil
	}}
	for name, r := range map[string]pref.Rewarder{
		"scorer": one, "on demand": demand, "mean": ensemble(t, rewarder.Rule{Name: rewarder.Mean},
			one, two),
		"lcb on demand": ensemble(t, rewarder.Rule{Name: rewarder.LCB, Lambda: 2}, one, demand,
			two),
	} {
		t.Run(name, func(t *testing.T) { rewardertest.Test(t, r, rewardertest.Options{}) })
	}
	if opened.Load() == 0 {
		t.Error("nothing was opened on demand")
	}
}

// TestReduce has the rules by hand and refuses what is none.
func TestReduce(t *testing.T) {
	for rule, want := range map[rewarder.Rule]float64{
		{Name: rewarder.Mean}: 3, {Name: rewarder.Min}: 1,
		{Name: rewarder.LCB, Lambda: 0.5}: 3 - 0.5*math.Sqrt(8.0/3), {Name: rewarder.Sum}: 9,
	} {
		if got := rule.Reduce([]float64{1, 3, 5}); math.Abs(got-want) > 1e-12 {
			t.Errorf("%v: %v, want %v", rule, got, want)
		}
	}
	for _, bad := range []struct {
		rule    rewarder.Rule
		members int
		want    string
	}{
		{rewarder.Rule{Name: "max"}, 2, `ensemble "max" is not known: mean, min, lcb`},
		{rewarder.Rule{Name: rewarder.Sum}, 2, "is not known"},
		{rewarder.Rule{Name: rewarder.LCB, Lambda: -1}, 2, "lambda is -1"},
		{rewarder.Rule{Name: rewarder.Mean}, 1, "an ensemble of 1"},
	} {
		if _, err := rewarder.NewEnsemble(bad.rule,
			make([]rewarder.Member, bad.members)...); err == nil ||
			!strings.Contains(err.Error(), bad.want) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// counted is a Rewarder that counts how many are open.
type counted struct {
	pref.Rewarder
	open *int
}

func (c counted) Close() error {
	*c.open--
	return c.Rewarder.Close()
}

// TestOpenEnsemble has members open together, or one at a time, and none left by one that cannot be
// opened.
func TestOpenEnsemble(t *testing.T) {
	open, most := 0, 0
	opener := func(name string) (pref.Rewarder, error) {
		if name == "none" {
			return nil, errors.New("not there")
		}
		open++
		most = max(most, open)
		return counted{rewarder.FromScorer("length", byLength{1}), &open}, nil
	}
	rule := rewarder.Rule{Name: rewarder.Mean}
	for want, start := range map[int]func(
		rewarder.Rule, []string, func(string) (pref.Rewarder, error),
	) (*rewarder.Ensemble, error){2: rewarder.OpenEnsemble, 1: rewarder.OpenOnDemand} {
		open, most = 0, 0
		e, err := start(rule, []string{"a", "b"}, opener)
		if err != nil {
			t.Fatal(err)
		}
		read, err := e.Read(t.Context(), []pref.Group{{Responses: []string{"mice"}}}, nil)
		if err != nil || read.Rewards["length"][0][0] != 4 || most != want {
			t.Errorf("%v, %d open at once, want %d: %v", read.Rewards, most, want, err)
		}
		if err := e.Close(); err != nil || open != 0 {
			t.Errorf("%d are open: %v", open, err)
		}
	}
	if _, err := rewarder.OpenEnsemble(rule, []string{"a", "none"}, opener); err == nil || open != 0 {
		t.Errorf("a member that is not there: %v, %d are open", err, open)
	}
}

// TestEnsembleAlignment has members that could read different groups: the ensemble has those of
// all, each with its own rewards.
func TestEnsembleAlignment(t *testing.T) {
	pair := pref.NewPair(nil, "a", "b", pref.Location{})
	cut := [][]bool{{false, false}, {false, false}}
	one := table{pref.Readings{Names: []string{"score", "implicit"},
		Groups: []pref.Group{pair, pair}, Index: []int{0, 2}, Truncated: cut,
		Rewards: map[string][][]float64{"score": {{1, 2}, {3, 4}}, "implicit": {{0, 0}, {0, 0}}}}}
	two := table{pref.Readings{Names: []string{"score"}, Groups: []pref.Group{pair, pair},
		Index: []int{1, 2}, Truncated: [][]bool{{true, true}, {false, true}},
		Rewards: map[string][][]float64{"score": {{9, 9}, {1, 8}}},
		Refused: map[int]error{0: errors.New("no")}}}
	e := ensemble(t, rewarder.Rule{Name: rewarder.Min}, one, two)
	read := func() pref.Readings {
		t.Helper()
		out, err := e.Read(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := read()
	if !slices.Equal(out.Names, []string{"score"}) || !slices.Equal(out.Index, []int{2}) ||
		len(out.Groups[0].Comparisons) != 1 ||
		!slices.Equal(out.Rewards["score"][0], []float64{1, 4}) ||
		!slices.Equal(out.Truncated[0], []bool{false, true}) || out.Refused[0] == nil {
		t.Errorf("%+v", out)
	}
	two.Groups[1].Comparisons = nil
	if out := read(); len(out.Groups) != 0 {
		t.Errorf("a group without a comparison of both was kept: %+v", out)
	}
	one.Names = []string{"implicit"}
	if _, err := ensemble(t, rewarder.Rule{Name: rewarder.Min}, one, two).Read(t.Context(), nil,
		nil); !errors.Is(err, rewarder.ErrNoCommonReward) {
		t.Errorf("no reward in common: %v", err)
	}
}

// TestScorer counts what was cut and makes an error of what is refused.
func TestScorer(t *testing.T) {
	sample := pref.Sample{Prompt: []pref.Message{{Role: pref.User, Content: "p"}}, Response: "r"}
	read := table{pref.Readings{Names: []string{"score"}, Groups: make([]pref.Group, 2),
		Truncated: [][]bool{{false}, {true}}, Cut: "the prompt was cut",
		Rewards: map[string][][]float64{"score": {{1}, {2}}, "": {{1}, {2}}}, Index: []int{0, 1}}}
	s, err := rewarder.NewScorer(t.Context(), read, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if rewards, err := s.Score(t.Context(), []pref.Sample{sample, sample}); err != nil ||
			!slices.Equal(rewards, []float64{1, 2}) {
			t.Errorf("%v, %v", rewards, err)
		}
	}
	if got := s.Truncated().String(); s.Name() != "score" ||
		got != "of 2 of 4 samples (the first is number 2) the prompt was cut: the reward is of "+
			"what was left" {
		t.Errorf("%s: %s", s.Name(), got)
	}
	read.Readings.Refused = map[int]error{1: errors.New("no")}
	if s, err = rewarder.NewScorer(t.Context(), read, "score"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Score(t.Context(), []pref.Sample{sample, sample}); err == nil ||
		!strings.Contains(err.Error(), "sample 2: no") {
		t.Errorf("a refused sample: %v", err)
	}
}

func TestKeepAccepted(t *testing.T) {
	user, system := []pref.Message{{Role: pref.User}}, []pref.Message{{Role: pref.System}}
	same := func(p []pref.Message) []pref.Message { return p }
	e := ensemble(t, rewarder.Rule{Name: rewarder.Mean}, rewarder.FromScorer("s", byLength{1}),
		table{})
	kept, note, err := rewarder.KeepAccepted([][]pref.Message{user, system, user}, "prompts", same,
		nil, e)
	if want := "1 of 3 prompts dropped, which the chat template refuses (no system role: " +
		"1)"; err != nil || len(kept) != 2 || note != want {
		t.Errorf("%v, %q, %v", kept, note, err)
	}
	if _, note, err := rewarder.KeepAccepted([][]pref.Message{system}, "prompts", same,
		byLength{}); note != "" || err == nil || !strings.Contains(err.Error(), "nothing is left") {
		t.Errorf("%q, %v", note, err)
	}
	if kept, note, err := rewarder.KeepAccepted([][]pref.Message{system}, "prompts", same,
		table{}); err != nil || note != "" || len(kept) != 1 {
		t.Errorf("what refuses nothing: %v, %q, %v", kept, note, err)
	}
}
