package main

import (
	"slices"
	"testing"

	"haf/pref"
)

// TestCut parts a reading in which two groups could not be read: each part has its own positions and rewards.
func TestCut(t *testing.T) {
	r := &reading{groups: make([]pref.Group, 3), index: []int{0, 3, 5}, names: []string{"score"}, rewards: map[string][][]float64{"score": {{1}, {2}, {3}}}}
	first, rest := r.cut(3)
	if !slices.Equal(first.index, []int{0}) || !slices.Equal(rest.index, []int{0, 2}) || len(first.groups) != 1 || len(rest.groups) != 2 {
		t.Errorf("positions %v and %v", first.index, rest.index)
	}
	if first.rewards["score"][0][0] != 1 || rest.rewards["score"][0][0] != 2 || rest.rewards["score"][1][0] != 3 {
		t.Errorf("rewards %v and %v", first.rewards, rest.rewards)
	}
	if none, all := rest.cut(0); len(none.index) != 0 || !slices.Equal(all.index, rest.index) {
		t.Errorf("cut at 0: %v and %v", none.index, all.index)
	}
}

// TestReduce has members that could read different groups: the ensemble has those of all, each with its own rewards.
func TestReduce(t *testing.T) {
	pair := pref.NewPair(nil, "a", "b", pref.Source{})
	one := &reading{groups: []pref.Group{pair, pair}, index: []int{0, 2}, rewards: map[string][][]float64{"score": {{1, 2}, {3, 4}}}}
	two := &reading{groups: []pref.Group{pair, pair}, index: []int{1, 2}, rewards: map[string][][]float64{"score": {{9, 9}, {1, 8}}}}
	out, err := (&ensemble{ensembleFlags: ensembleFlags{Ensemble: "min"}}).reduce([]*reading{one, two}, []string{"score"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out.index, []int{2}) || len(out.groups) != 1 || len(out.groups[0].Comparisons) != 1 || !slices.Equal(out.rewards["score"][0], []float64{1, 4}) {
		t.Errorf("%+v", out)
	}
	two.groups[1].Comparisons = nil
	if out, err = (&ensemble{ensembleFlags: ensembleFlags{Ensemble: "min"}}).reduce([]*reading{one, two}, []string{"score"}); err != nil || len(out.groups) != 0 {
		t.Errorf("a group without a comparison of both was kept: %+v, %v", out, err)
	}
}
