package recipe

import (
	"strings"
	"testing"

	"haf/encode"
	"haf/pref"
)

// TestOneKind warns where every label is the same, whichever that is.
func TestOneKind(t *testing.T) {
	labelled := func(labels ...bool) (groups []pref.Group) {
		for _, l := range labels {
			groups = append(groups, pref.Group{Responses: []string{"a"}, Labels: []bool{l}})
		}
		return groups
	}
	pair := pref.Group{Responses: []string{"a", "b"}, Comparisons: []pref.Comparison{{Rejected: 1}}}
	for want, groups := range map[string][]pref.Group{
		"all 2 labelled responses are desirable":   labelled(true, true),
		"all 3 labelled responses are undesirable": append(labelled(false, false, false), pair),
	} {
		if got := oneKind(groups); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, groups := range [][]pref.Group{labelled(true, false), {pair}} {
		if got := oneKind(groups); got != "" {
			t.Errorf("%+v: %q", groups, got)
		}
	}
}

// TestManyTruncated warns where more than a tenth of the groups is cut.
func TestManyTruncated(t *testing.T) {
	for cut, want := range map[int]bool{0: false, 2: false, 3: true} {
		groups := make([]encode.Group, 20)
		for i := range cut {
			groups[i].Truncated = true
		}
		if got := manyTruncated(groups, 64) != ""; got != want {
			t.Errorf("%d of 20 cut: %v", cut, got)
		}
	}
}
