package pref

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestUnpaired(t *testing.T) {
	path := file(t, "u.jsonl", []byte(`{"prompt":"q","completion":"good","label":true}
{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"bad"}],"label":0}
{"prompt":"q","completion":" ","label":false}
{"prompt":"q","chosen":"a","rejected":"b"}`))
	groups, counts, err := Load([]string{path}, Options{KeepUnpaired: true})
	if err != nil || len(groups) != 3 || counts.Dropped[DropEmpty] != 1 || counts.Comparisons != 1 {
		t.Fatalf("%v, %v, %v", groups, counts, err)
	}
	for i, want := range []Group{
		{Prompt: user("q"), Responses: []string{"good"}, Labels: []bool{true}, Source: Location{path, 1}},
		{Prompt: user("q"), Responses: []string{"bad"}, Labels: []bool{false}, Source: Location{path, 2}},
	} {
		if !reflect.DeepEqual(groups[i], want) {
			t.Errorf("%+v, want %+v", groups[i], want)
		}
	}
	groups, counts, err = Load([]string{path}, Options{})
	if err != nil || len(groups) != 1 || counts.Dropped[DropUnpaired] != 2 {
		t.Errorf("%v, %v, %v", groups, counts, err)
	}
}

func TestUnpairedErrors(t *testing.T) {
	for row, want := range map[string]string{
		`{"prompt":"q","completion":"a","label":"good"}`: `field "label": text, want true or false`,
		`{"prompt":"q","completion":"a","label":0.5}`:    `field "label": 0.5, want true or false, or 1 or 0`,
		`{"prompt":"q","completion":["a"],"label":true}`: `field "completion[0]": text, want a message`,
		`{"prompt":3,"completion":"a","label":true}`:     `field "prompt": a number, want text`,
	} {
		if _, _, err := decodeRow([]byte(row), Options{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwanted %s", row, err, want)
		}
	}
}

// The ratings of joined rows stand beside their responses, NaN where a row lacks one; a row without
// a neighbour is kept for them.
func TestGrades(t *testing.T) {
	path := file(t, "g.jsonl", []byte(`{"prompt":"p","response":"a","helpfulness":1,"verbosity":3}
{"prompt":"p","response":"b","helpfulness":1,"coherence":2}
{"prompt":"q","response":"c","helpfulness":4}`))
	groups, counts, err := Load([]string{path},
		Options{Attributes: []string{"helpfulness", "verbosity", "coherence"}})
	if err != nil || len(groups) != 2 || counts.Joined != 1 {
		t.Fatalf("%v, %v, %v", groups, counts, err)
	}
	nan := math.NaN()
	for name, want := range map[string][]float64{"helpfulness": {1, 1}, "verbosity": {3, nan},
		"coherence": {nan, 2}} {
		got := groups[0].Grades[name]
		for i := range want {
			if len(got) != 2 || got[i] != want[i] && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
				t.Fatalf("%s: %v, want %v", name, got, want)
			}
		}
	}
	if g := groups[1]; !reflect.DeepEqual(g.Grades, map[string][]float64{"helpfulness": {4}}) ||
		len(g.Responses) != 1 {
		t.Errorf("%+v", g)
	}
	if groups, _, err = Load([]string{path}, Options{KeepTies: true}); err != nil ||
		len(groups) != 1 || groups[0].Grades != nil {
		t.Errorf("%v, %v", groups, err)
	}
}

// An attribute that no row of one response states is an error, however the rows are read; another
// file may state it.
func TestUnstatedAttributes(t *testing.T) {
	graded := file(t, "g.jsonl", []byte(`{"prompt":"p","response":"a","helpfulness":1,"taste":null}
{"prompt":"q","response":"b","helpfulness":4}`))
	other := file(t, "o.jsonl", []byte(`{"prompt":"p","response":"a","helpfulness":1,"taste":1}`))
	pairs := file(t, "p.jsonl", []byte(`{"prompt":"p","chosen":"a","rejected":"b","taste":1}`))
	both := Options{Attributes: []string{"helpfulness", "taste"}}
	const states = `that was read states the attribute "taste"; the rows have the columns `
	for name, c := range map[string]struct {
		paths []string
		opt   Options
		want  string // "": no error
	}{
		"null":  {[]string{graded}, both, states + `"helpfulness", "prompt", "response":`},
		"alone": {[]string{graded}, Options{Attributes: both.Attributes[1:]}, states + `"helpfulness"`},
		"pairs": {[]string{graded, pairs}, both, states + `"chosen", "helpfulness"`},
		"limit": {[]string{graded, other}, Options{Attributes: both.Attributes, Limit: 1}, states},
		"mix": {[]string{pairs, graded},
			Options{Attributes: both.Attributes, Weights: []float64{1, 1}}, states},
		"another": {[]string{graded, pairs, other}, both, ""},
	} {
		groups, _, err := Load(c.paths, c.opt)
		if c.want == "" && (err != nil || len(groups) != 4) ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, %v", name, groups, err)
		}
	}
	for _, limit := range []int{0, 1} {
		var last error
		for _, err := range Read(graded, Options{Attributes: both.Attributes, Limit: limit}, nil) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), states) {
			t.Errorf("limit %d: %v", limit, last)
		}
	}
}
