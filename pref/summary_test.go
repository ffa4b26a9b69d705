package pref

import (
	"reflect"
	"testing"
	"unicode/utf8"
)

func TestSummarize(t *testing.T) {
	pair := func(prompt, chosen, rejected, subset string) Group {
		g := NewPair(user(prompt), chosen, rejected, Location{"f", 1})
		g.Subset = subset
		return g
	}
	groups := []Group{
		pair("äb", "xxx", "y", "s"), pair("äb", "y", "xxx", "s"), // a conflict
		pair("äb", "xxx", "y", "s"), // a duplicate of the first
		pair("abcd", "yy", "zz", ""),
		{Prompt: user("k"), Responses: []string{"a", "b", "cc"},
			Comparisons: []Comparison{{Chosen: 2, Rejected: 0}, {Chosen: 2, Rejected: 1}},
			Ties:        [][2]int{{0, 1}}, Source: Location{"g", 1}},
	}
	got := Summarize(groups, utf8.RuneCountInString)
	want := Summary{
		Groups: 5, Prompts: 3, Responses: 11, Comparisons: 6, Ties: 1, Duplicates: 1, Conflicts: 1,
		Prompt:       Lengths{Mean: 11. / 5, Median: 2, P95: 4, Max: 4},
		Response:     Lengths{Mean: 20. / 11, Median: 2, P95: 3, Max: 3},
		Chosen:       Lengths{Mean: 13. / 6, Median: 2, P95: 3, Max: 3},
		Rejected:     Lengths{Mean: 9. / 6, Median: 1, P95: 3, Max: 3},
		ChosenLonger: 4, ChosenShorter: 1, ChosenLongerRate: 0.8,
		ResponsesPer: map[int]int{2: 4, 3: 1}, RowsPerPrompt: map[int]int{3: 1, 1: 2},
		Subsets: map[string]int{"s": 3, "": 2}, Files: map[string]int{"f": 4, "g": 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwanted %+v", got, want)
	}
}

func TestOverlaps(t *testing.T) {
	one := func(prompt string) Group { return NewPair(user(prompt), "a", "b", Location{}) }
	a := []Group{one("What is it?"), one("???"), one("Other")}
	other := one("Other")
	other.Responses = []string{"c", "d"}
	b := []Group{one("what is  it"), one("What is it?"), other, one("!!!"), one("new")}
	if got, want := Overlaps(a, b), (Overlap{Exact: 2, Normalized: 2, Groups: 3,
		Pairs: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
