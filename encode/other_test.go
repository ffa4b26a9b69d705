package encode

import (
	"math"
	"slices"
	"strings"
	"testing"

	"haf/pref"
)

// labelledRow is a row {prompt, completion, label}.
func labelledRow(prompt, response string, label bool) pref.Group {
	return pref.Group{Prompt: user(prompt), Responses: []string{response}, Labels: []bool{label}}
}

// TestSingles keeps groups of one response that are labelled or graded, and counts them.
func TestSingles(t *testing.T) {
	e := newEncoder(t, plain, turns{bare: true}, Options{})
	graded := pref.Group{Prompt: user("p"), Responses: []string{"a"},
		Grades: map[string][]float64{"x": {3}}}
	got, report, err := e.Groups([]pref.Group{
		labelledRow("p.", "a b", true), labelledRow("p.", "c", false), graded,
		{Prompt: user("p"), Responses: []string{"alone"}},
	})
	if err != nil || len(got) != 3 {
		t.Fatalf("%d groups, %v", len(got), err)
	}
	if want := "4 groups read, 3 kept, 1 dropped (no comparison: 1), 2 labelled responses (1 " +
		"desirable), " +
		"1 groups with grades"; report.String() != want {
		t.Errorf("%s, want %s", report, want)
	}
	if !slices.Equal(got[1].Labels, []bool{false}) || got[2].Grades["x"][0] != 3 {
		t.Errorf("%+v", got)
	}
	graded.Grades["y"] = []float64{1, math.NaN()}
	if _, err := e.Group(graded); err == nil ||
		!strings.Contains(err.Error(), "2 grades of y for 1 responses") {
		t.Error(err)
	}
}

// TestAddOthers gives every labelled response one of the nearest other prompt before it, in a
// cycle, cut to the room there is.
func TestAddOthers(t *testing.T) {
	e := newEncoder(t, plain, turns{bare: true}, Options{})
	encoded := func(rows ...pref.Group) []Group {
		groups, _, err := e.Groups(rows)
		if err != nil {
			t.Fatal(err)
		}
		return groups
	}
	pair := pref.NewPair(user("p"), "a", "b", pref.Location{})
	groups := encoded(labelledRow("p.", "a b c", true), pair, labelledRow("p.", "d", false),
		labelledRow("q r.", "e f", true), labelledRow("s.", "g", false), labelledRow("p.", "h", true))
	const length = 5
	if err := AddOthers(groups, length); err != nil {
		t.Fatal(err)
	}
	// The first three have the prompt of the last, so theirs is that before it.
	wants := map[int]string{0: "g", 2: "g", 3: "d", 4: "e f", 5: "g"}
	for i, g := range groups {
		want, labelled := wants[i]
		if !labelled {
			if len(g.Responses) != 2 || g.Others != 0 {
				t.Errorf("a pair has %+v", g)
			}
			continue
		}
		if g.Own() != 1 || g.Others != 1 || len(g.Responses) != 2 {
			t.Fatalf("group %d has %+v", i, g)
		}
		other := g.Responses[1]
		text := ids(want)
		got := other.Tokens[other.Policy:]
		if n := min(len(got), len(text)); !slices.Equal(got[:n], text[:n]) || n == 0 {
			t.Errorf("group %d: %v, want %v", i, got, text)
		}
		if len(g.Prompt)+len(other.Tokens) > length {
			t.Errorf("group %d: %d tokens, want at most %d", i, len(g.Prompt)+len(other.Tokens), length)
		}
		if err := g.Check(); err != nil {
			t.Error(err)
		}
	}
	if err := AddOthers(encoded(labelledRow("p.", "a", true), labelledRow("p.", "b", false)),
		0); err == nil ||
		!strings.Contains(err.Error(), "all labelled responses have the same prompt") {
		t.Error(err)
	}
	if err := AddOthers(encoded(pair), 0); err != nil {
		t.Error(err)
	}
}
