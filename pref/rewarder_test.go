package pref

import (
	"errors"
	"slices"
	"testing"
)

// TestSplitAt parts readings in which two groups could not be read: each part has its own positions
// and rewards.
func TestSplitAt(t *testing.T) {
	r := Readings{Groups: make([]Group, 3), Index: []int{0, 3, 5}, Names: []string{"score"},
		Rewards: map[string][][]float64{"score": {{1}, {2}, {3}}},
		Refused: map[int]error{1: errors.New("a"), 4: errors.New("b")}}
	first, rest := r.SplitAt(3)
	if !slices.Equal(first.Index, []int{0}) || !slices.Equal(rest.Index, []int{0, 2}) ||
		len(first.Groups) != 1 || len(rest.Groups) != 2 {
		t.Errorf("positions %v and %v", first.Index, rest.Index)
	}
	if first.Rewards["score"][0][0] != 1 || rest.Rewards["score"][0][0] != 2 ||
		rest.Rewards["score"][1][0] != 3 {
		t.Errorf("rewards %v and %v", first.Rewards, rest.Rewards)
	}
	if first.Refused[1] == nil || rest.Refused[1] == nil || len(first.Refused)+len(rest.Refused) != 2 {
		t.Errorf("refused %v and %v", first.Refused, rest.Refused)
	}
	if none, all := rest.SplitAt(0); len(none.Index) != 0 || !slices.Equal(all.Index, rest.Index) {
		t.Errorf("cut at 0: %v and %v", none.Index, all.Index)
	}
}

// TestKeep takes ties for comparisons and back.
func TestKeep(t *testing.T) {
	g := Group{Responses: []string{"a", "b", "c"}, Comparisons: []Comparison{{Chosen: 0, Rejected: 1},
		{Chosen: 0, Rejected: 2}}, Ties: [][2]int{{1, 2}}}
	if w := WithTiesCompared([]Group{g})[0]; len(w.Comparisons) != 3 || w.Ties != nil ||
		len(g.Comparisons) != 2 {
		t.Errorf("%+v", w)
	}
	kept := g.KeepBoth(
		Group{Ties: [][2]int{{1, 2}}, Comparisons: []Comparison{{Chosen: 0, Rejected: 2}}})
	if len(kept.Comparisons) != 1 || len(kept.Ties) != 1 || !kept.Compared() ||
		kept.Keep(nil).Compared() {
		t.Errorf("%+v", kept)
	}
}
