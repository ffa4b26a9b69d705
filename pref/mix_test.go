package pref

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestMix(t *testing.T) {
	set := func(name string, n int) []Group {
		var groups []Group
		for i := range n {
			groups = append(groups, NewPair(user(fmt.Sprint(name, i)), "good", "bad", Location{name, i + 1}))
		}
		return groups
	}
	a, b := set("a", 30), set("b", 100)
	count := func(groups []Group) (n [2]int) {
		for i, g := range groups {
			k := 0
			if g.Source.File == "b" {
				k = 1
			}
			n[k]++
			if i > 0 && groups[i-1].Source.File == g.Source.File &&
				groups[i-1].Source.Line >= g.Source.Line {
				t.Fatal("the order of a set was changed, or a group repeated")
			}
		}
		return n
	}
	for _, c := range []struct {
		weights []float64
		limit   int
		want    [2]int
	}{
		{[]float64{1, 1}, 0, [2]int{30, 30}},
		{[]float64{1, 3}, 0, [2]int{30, 90}},
		{[]float64{1, 9}, 0, [2]int{11, 100}}, // b is the smallest for its weight: 100/0.9 in all
		{[]float64{1, 1}, 20, [2]int{10, 10}},
	} {
		got, err := Mix([][]Group{a, b}, c.weights, c.limit, 1)
		if err != nil || count(got) != c.want {
			t.Errorf("%v, at most %d: %v, %v", c.weights, c.limit, count(got), err)
		}
	}
	one, _ := Mix([][]Group{a, b}, []float64{1, 1}, 20, 1)
	two, _ := Mix([][]Group{a, b}, []float64{1, 1}, 20, 1)
	other, _ := Mix([][]Group{a, b}, []float64{1, 1}, 20, 2)
	if !reflect.DeepEqual(one, two) || reflect.DeepEqual(one, other) {
		t.Error("a mix must depend on its seed alone")
	}
	for _, weights := range [][]float64{{1}, {1, 0}, {1, -1}} {
		if _, err := Mix([][]Group{a, b}, weights, 0, 1); err == nil {
			t.Errorf("weights %v: no error", weights)
		}
	}
}

func TestLoadMixes(t *testing.T) {
	a := file(t, "a.jsonl", []byte(strings.Join(pairRows(10), "\n")))
	b := file(t, "b.jsonl", []byte(strings.ReplaceAll(strings.Join(pairRows(40), "\n"), "prompt ",
		"other ")))
	groups, counts, err := Load([]string{a, b}, Options{Weights: []float64{1, 2}, Seed: 3})
	if err != nil || len(groups) != 30 || counts.Kept != 30 || counts.Dropped[DropMix] != 20 ||
		counts.Read != 50 {
		t.Errorf("%d groups, %v, %v", len(groups), counts, err)
	}
	if _, _, err := Load([]string{a, b}, Options{Weights: []float64{1}}); err == nil ||
		!strings.Contains(err.Error(), "1 weights for 2 files") {
		t.Errorf("%v", err)
	}
}

func TestNoise(t *testing.T) {
	path := file(t, "a.jsonl", []byte(strings.Join(pairRows(2000), "\n")))
	load := func(p float64, seed uint64) (flipped map[string]bool, counts *Counts) {
		groups, counts, err := Load([]string{path}, Options{LabelNoise: p, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		flipped = map[string]bool{}
		for _, g := range groups {
			flipped[g.Prompt[0].Content] = g.Responses[g.Comparisons[0].Chosen] == "bad"
		}
		return flipped, counts
	}
	for _, p := range []float64{0, 0.1, 0.5, 1} {
		_, counts := load(p, 1)
		// Four standard deviations of the binomial.
		if d := float64(counts.Flipped) - 2000*p; d*d > 16*2000*p*(1-p) {
			t.Errorf("noise %v turned %d of 2000", p, counts.Flipped)
		}
	}
	ten, _ := load(0.1, 1)
	same, _ := load(0.1, 1)
	other, _ := load(0.1, 2)
	if !reflect.DeepEqual(ten, same) || reflect.DeepEqual(ten, other) {
		t.Error("the noise must depend on its seed alone")
	}
	half, _ := load(0.5, 1)
	for prompt := range ten {
		if ten[prompt] && !half[prompt] {
			t.Fatal("more noise must turn what less noise turns")
		}
	}
	// The noise of a group does not depend on the others.
	groups, _, err := Load([]string{path}, Options{LabelNoise: 0.1, Seed: 1, Fraction: 0.3})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if ten[g.Prompt[0].Content] != (g.Responses[g.Comparisons[0].Chosen] == "bad") {
			t.Fatal("a part of the set has other noise")
		}
	}
}
