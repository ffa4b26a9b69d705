package curate

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"haf/pref"
)

// margined are pairs of which the first and the third state a margin, the first of 0.
const margined = `{"id":"one","subset":"s","prompt":"p","chosen":"a","rejected":"b","margin":0}
{"id":"two","subset":"s","prompt":"q","chosen":"c","rejected":"d"}
{"id":"three","subset":"t","prompt":"r","chosen":"e","rejected":"f","margin":2.5}
{"id":"four","prompt":"s","chosen":"g","rejected":"h","margin":7}
{"id":"five","prompt":"t","responses":["i","j"],"scores":[4,1]}
`

// reread reads rows as training does.
func reread(t *testing.T, rows []Labelled) ([]pref.Group, string) {
	t.Helper()
	var b bytes.Buffer
	for _, row := range rows {
		if err := json.NewEncoder(&b).Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	groups, _, err := pref.Load([]string{jsonl(t, b.String())}, pref.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return groups, b.String()
}

func jsonl(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// laterJudge finds the later letter better.
type laterJudge struct{}

func (laterJudge) Judge(
	_ context.Context, trials []pref.Trial, done func(int, pref.Verdict) error,
) error {
	for i, t := range trials {
		ranks := []int{1, 2}
		if t.Responses[0] < t.Responses[1] {
			ranks = []int{2, 1}
		}
		if err := done(i, pref.Verdict{Ranks: ranks}); err != nil {
			return err
		}
	}
	return nil
}

// TestMargins keeps the data's margins of labels that are kept, has those of the labeller's
// rewards, and has none of a judge that only ranks; id and subset stay.
func TestMargins(t *testing.T) {
	data, _, err := pref.Load([]string{jsonl(t, margined)}, pref.Options{})
	if err != nil || len(data) != 5 {
		t.Fatalf("%+v, %v", data, err)
	}
	none := pref.Comparison{Chosen: 0, Rejected: 1}
	stated := func(margin float64) pref.Comparison {
		return pref.Comparison{Chosen: 0, Rejected: 1, Margin: margin, ZeroMargin: margin == 0}
	}
	picks := []Pick{{Group: 3, A: 0, B: 1, labelled: true}, {Group: 2, A: 0, B: 1, labelled: true}}
	for name, c := range map[string]struct {
		judge pref.Judge
		want  []pref.Comparison
		last  string // chosen of the row of group 3
	}{
		"rewards": {ByScorer{goldScorer{"g": 0.25, "h": 1}},
			[]pref.Comparison{stated(0), none, stated(2.5), stated(0.75), stated(3)}, "h"},
		"ranks": {laterJudge{},
			[]pref.Comparison{stated(0), none, none, none, stated(3)}, "h"},
	} {
		judged, _, err := Contest(t.Context(), c.judge, Trials(data, picks), 0, journal(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		rows, _, err := ByVerdicts(data, picks, judged, "gold")
		if err != nil || rows[3].Chosen != c.last {
			t.Fatalf("%s: %+v, %v", name, rows, err)
		}
		if name == "rewards" && !slices.Equal(rows[3].Provenance.Scores, []float64{1, 0.25}) {
			t.Errorf("%s: the rewards are %v", name, rows[3].Provenance.Scores)
		}
		read, text := reread(t, rows)
		for i, g := range read {
			if !slices.Equal(g.Comparisons, c.want[i:i+1]) {
				t.Errorf("%s: %s has %+v, want %+v, of\n%s", name, g.ID, g.Comparisons, c.want[i],
					text)
			}
			if g.ID != data[i].ID || g.Subset != data[i].Subset {
				t.Errorf("%s: row %d is %q of %q, want %q of %q", name, i, g.ID, g.Subset, data[i].ID,
					data[i].Subset)
			}
		}
	}
	rewards := [][]float64{{2, 1}, {0, 3}, {1, 5}, {2, 1}, {1, 0}}
	for name, label := range map[string]func([]pref.Group, [][]float64, string, float64) (
		[]Labelled, Counts, error){"pairs": ByRewards, "best-worst": BestWorst} {
		rows, _, err := label(data, rewards, "rm", 0)
		if err != nil || len(rows) != 5 || rows[2].ID != "three" || rows[2].Subset != "t" ||
			*rows[2].Margin != 4 {
			t.Errorf("%s: %+v, %v", name, rows, err)
		}
	}
}

// TestJournalledRewards has the rewards of verdicts that an earlier start left in the journal, in
// the order of the trial.
func TestJournalledRewards(t *testing.T) {
	j := journal(t)
	trials := []pref.Trial{{Prompt: prompt("p"), Responses: []string{"x", "longer"}}}
	for _, judge := range []pref.Judge{ByScorer{lengthScorer{}}, nil} {
		judged, _, err := Contest(t.Context(), judge, trials, 0, j, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range judged[0].Verdicts {
			if v.Rewards[0] >= v.Rewards[1] {
				t.Errorf("shown in the order %v: rewards %v of %q", v.Order, v.Rewards, trials[0].Responses)
			}
		}
	}
}
