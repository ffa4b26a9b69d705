package recipe

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"haf/hub"
)

// TestDraft makes recipes for the demo's world: the file says what the draft is, and labelled
// responses have losses that read them.
func TestDraft(t *testing.T) {
	demo, err := WriteDemo(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	pairsFile, labels := first40(t, demo.Train)
	client := &hub.Client{Offline: true, Cache: t.TempDir()}
	draft := func(data string, available int64) *Draft {
		t.Helper()
		d, err := NewDraft(t.Context(), client, []string{data}, demo.Base, available)
		if err != nil {
			t.Fatal(err)
		}
		read, err := Parse("draft.toml", d.TOML(), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, d.TOML())
		}
		read.origin = d.Recipe.origin
		if !reflect.DeepEqual(read, d.Recipe) {
			t.Errorf("the file says\n%+v\nthe draft is\n%+v", read, d.Recipe)
		}
		return d
	}
	pairs := draft(pairsFile, 0)
	if o := pairs.Recipe.Objective; o.Reward != "bradley-terry" || o.PolicyWeight != 0.2 ||
		!pairs.Estimate.Fits {
		t.Errorf("pairs have %+v", o)
	}
	none := draft(pairsFile, 1<<20)
	if none.Estimate.Fits || !strings.Contains(string(none.TOML()), "does not fit") {
		t.Errorf("a megabyte is enough: %s", none.TOML())
	}
	// a name that would end its string, were it not escaped
	odd := filepath.Join(filepath.Dir(pairsFile), "a\"]\nevil = 1.jsonl")
	if err := os.Link(pairsFile, odd); err != nil {
		t.Fatal(err)
	}
	draft(odd, 0)
	if o := draft(labels, 0).Recipe.Objective; o.Reward != "bce" || o.Policy != "kto" {
		t.Errorf("labels have %+v", o)
	}
	empty := filepath.Join(t.TempDir(), "empty.jsonl")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewDraft(t.Context(), client, []string{empty}, demo.Base, 0); err == nil {
		t.Error("an empty file has a recipe")
	}
}

// first40 writes the first 40 pairs of a file, and their responses as labelled ones.
func first40(t *testing.T, file string) (pairs, labels string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	lines := strings.SplitAfterN(string(data), "\n", 41)[:40]
	for _, line := range lines {
		var row struct{ Prompt, Chosen, Rejected json.RawMessage }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		const format = `{"prompt": %s, "completion": %s, "label": true}
{"prompt": %[1]s, "completion": %[3]s, "label": false}
`
		fmt.Fprintf(&rows, format, row.Prompt, row.Chosen, row.Rejected)
	}
	dir := t.TempDir()
	pairs, labels = filepath.Join(dir, "pairs.jsonl"), filepath.Join(dir, "labels.jsonl")
	for path, text := range map[string]string{pairs: strings.Join(lines, ""), labels: rows.String()} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return pairs, labels
}

// TestSmaller takes the first setting with which a run fits, else all of them, and changes nothing
// of a run that fits.
func TestSmaller(t *testing.T) {
	one, two := Saving{Sets: []string{"a=1"}}, Saving{Sets: []string{"b=1"}, Fits: true}
	all := Saving{Sets: []string{"a=1", "b=2"}}
	for name, c := range map[string]struct {
		estimate RunEstimate
		want     string
	}{
		"fits":     {RunEstimate{Fits: true, Savings: []Saving{two}}, ""},
		"one":      {RunEstimate{Savings: []Saving{one, two, all}}, "b=1"},
		"all":      {RunEstimate{Savings: []Saving{one, all}}, "a=1 b=2"},
		"no other": {RunEstimate{}, ""},
	} {
		if got := strings.Join(smaller(&c.estimate), " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
