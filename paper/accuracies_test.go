package paper_test

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/paper"
)

// TestAccuracies wants the accuracies of stored results to be the shares of margins above zero, as
// this test decodes them itself, training by training, with seeds of one kind together.
func TestAccuracies(t *testing.T) {
	dir := filepath.Join("..", "docs", "results", "world")
	journal, err := paper.ReadJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := journal.Accuracies()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	type cell struct {
		ID    string
		Sets  []string
		Seed  int
		Tests map[string]map[string]struct {
			Bits int
			Data string
		}
	}
	shares := map[string][]float64{} // by label, test set and reward
	cells := 0
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var of struct {
			Kind  string
			Value json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &of); err != nil {
			t.Fatal(err)
		}
		if of.Kind != "cell" {
			continue
		}
		cells++
		var c cell
		if err := json.Unmarshal(of.Value, &c); err != nil {
			t.Fatal(err)
		}
		score := c.Tests[c.Sets[0]]["score"]
		if score.Bits != 8 {
			continue
		}
		levels, err := base64.StdEncoding.DecodeString(score.Data)
		if err != nil {
			t.Fatal(err)
		}
		right, n := 0.0, 0.0
		for _, b := range levels {
			switch level := int8(b); {
			case level == math.MinInt8:
				continue
			case level > 0:
				right++
			case level == 0:
				right += 0.5
			}
			n++
		}
		key := c.ID[:strings.LastIndex(c.ID, "-seed")] + "|" + c.Sets[0]
		shares[key] = append(shares[key], right/n)
	}
	trainings, seen := 0, 0
	counted := map[string]bool{}
	for _, a := range got {
		if !counted[a.Label] {
			counted[a.Label], trainings = true, trainings+a.Seeds
		}
		if a.Low > a.Mean || a.High < a.Mean || a.Comparisons == 0 {
			t.Errorf("%s: %v in [%v, %v] of %d", a.Label, a.Mean, a.Low, a.High, a.Comparisons)
		}
		if a.Reward != "score" || a.Test != a.Train[0] {
			continue
		}
		want, ok := shares[a.Label+"|"+a.Test]
		if !ok {
			continue
		}
		seen++
		bySeed := slices.Clone(a.BySeed)
		slices.Sort(bySeed)
		slices.Sort(want)
		if !slices.EqualFunc(bySeed, want, func(x, y float64) bool { return math.Abs(x-y) < 1e-9 }) {
			t.Errorf("%s on %s: %v, want %v", a.Label, a.Test, bySeed, want)
		}
	}
	if trainings != cells || seen == 0 {
		t.Errorf("%d trainings of %d cells, %d compared", trainings, cells, seen)
	}
}
