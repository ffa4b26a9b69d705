package reward_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/internal/shared"
	"haf/pref"
	"haf/reward"
)

// TestStates wants the hidden states that are read to be those of the score head: its weights times
// the states are the rewards that transformers has.
func TestStates(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(shared.Foreign(t), func(dir string) bool {
		return filepath.Base(dir) == "qwen3"
	})
	dir := shared.Foreign(t)[at]
	m, err := reward.Open(device, dir, reward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var groups []pref.Group
	var want []float64
	for _, c := range foreignCases(t, dir) {
		if c.Refused == nil {
			s := c.sample()
			groups = append(groups, pref.Group{Prompt: s.Prompt, Responses: []string{s.Response, "another"},
				Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}}})
			want = append(want, c.Reward)
		}
	}
	states, err := m.States(t.Context(), groups)
	if err != nil {
		t.Fatal(err)
	}
	var head []float32
	for _, p := range m.Params() {
		if strings.HasSuffix(p.Name, "score.weight") {
			if head, err = p.Value.Floats(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(head) != m.Config.Hidden || len(states.Index) != len(groups) || len(want) < 3 {
		t.Fatalf("%d weights of the score head, %d of %d groups read", len(head), len(states.Index),
			len(groups))
	}
	probe := make(reward.Probe, len(head))
	for d, w := range head {
		probe[d] = float64(w)
	}
	for g, got := range probe.Rewards(states) {
		if math.Abs(got[0]-want[g]) > 1e-4 {
			t.Errorf("group %d: the head's weights times the states are %v, the reward is %v", g, got[0],
				want[g])
		}
	}
	first, rest := states.SplitAt(2)
	if len(first.Groups) != 2 || len(rest.Groups) != len(groups)-2 || rest.Index[0] != 0 ||
		rest.Values[5][0][0] != states.Values[5][2][0] {
		t.Errorf("split at 2: %d and %d groups, the rest begins at %d", len(first.Groups),
			len(rest.Groups), rest.Index[0])
	}
}

// TestProbe fits a probe to states of three dimensions, one of which has the truth in it, and wants
// its rewards to order new states by the truth.
func TestProbe(t *testing.T) {
	states := func(n, seed int) reward.States {
		s := reward.States{Values: make([][][]float64, 3)}
		for g := range n {
			truth := math.Sin(float64(3*g + seed))
			noise := math.Cos(float64(7*g + seed))
			s.Groups = append(s.Groups, pref.Group{
				Prompt:      []pref.Message{{Role: pref.User, Content: fmt.Sprint(g)}},
				Responses:   []string{"a", "b"},
				Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}}})
			if truth < 0 {
				s.Groups[g].Comparisons[0] = pref.Comparison{Chosen: 1, Rejected: 0}
			}
			s.Index = append(s.Index, g)
			for d, v := range [][]float64{{noise, 0.5}, {truth, 0}, {1, 1}} {
				s.Values[d] = append(s.Values[d], v)
			}
		}
		return s
	}
	probe, err := reward.FitProbe(states(200, 1))
	if err != nil {
		t.Fatal(err)
	}
	test := states(100, 2)
	right := 0
	for g, r := range probe.Rewards(test) {
		c := test.Groups[g].Comparisons[0]
		if r[c.Chosen] > r[c.Rejected] {
			right++
		}
	}
	if right < 97 {
		t.Errorf("the probe orders %d of 100 comparisons right: weights %v", right, probe)
	}
}
