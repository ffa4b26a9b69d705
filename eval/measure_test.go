package eval_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/eval"
	"haf/pref"
)

// growing are pairs whose chosen response grows by a character, against one of four.
func growing(n int) []pref.Group {
	prompt := []pref.Message{{Role: pref.User, Content: "p"}}
	groups := make([]pref.Group, n)
	for i := range groups {
		groups[i] = pref.NewPair(prompt, strings.Repeat("x", i+2), strings.Repeat("x", 4),
			pref.Location{File: "f", Line: i + 1})
	}
	return groups
}

// TestMeasure measures a model by its accuracy, details and calibration, and writes every
// comparison.
func TestMeasure(t *testing.T) {
	var told []string
	opt := eval.MeasureOptions{
		Model: "m", Out: filepath.Join(t.TempDir(), "examples.jsonl"),
		Heads: [2]string{"score", "policy"},
		Logf:  func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) },
	}
	data := eval.SuiteData{Named: []string{"f"}, Groups: growing(6), Read: "read 6 rows"}
	e, err := eval.Measure(t.Context(), lengthRewarder{}, data, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	name, first := e.First()
	// of the lengths 2 to 7, 3 are above 4, and that of 4 is half right
	if name != "score" || e.Rewards[name].Comparisons != 6 || math.Abs(first-3.5/6) > 1e-12 {
		t.Errorf("%s: %v, %+v", name, first, e.Rewards)
	}
	if e.Model != "m" || e.Read != data.Read || e.Details != nil || len(e.Data) != 1 {
		t.Errorf("%+v", e)
	}
	if lines, err := os.ReadFile(opt.Out); err != nil || strings.Count(string(lines), "\n") != 6 {
		t.Errorf("%s: %v", lines, err)
	}
	if _, err := eval.Measure(t.Context(), lengthRewarder{}, data, nil, opt); err == nil ||
		!strings.Contains(err.Error(), "exists") {
		t.Errorf("a file that exists: %v", err)
	}
	opt.Out, opt.Details = "", true
	e, err = eval.Measure(t.Context(), lengthRewarder{}, data, growing(9), opt)
	if err != nil || len(e.Details) != 1 || e.Details["score"].Conflict != nil {
		t.Errorf("%+v: %v", e.Details, err)
	}
	opt.Suite = eval.SuiteRewardBench
	if _, err := eval.Measure(t.Context(), lengthRewarder{}, data, nil, opt); err == nil {
		t.Error("a suite was scored of data without its subsets")
	}
}

// TestMeasureMatrix has one model open at a time and a row for each of its rewards.
func TestMeasureMatrix(t *testing.T) {
	open, most := 0, 0
	sets := []eval.SuiteData{
		{Named: []string{"d/one.jsonl"}, Groups: growing(6), Read: "six"},
		{Named: []string{"d/two.jsonl"}, Groups: growing(8), Read: "eight"},
	}
	var told []string
	logf := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	models := []string{"a", "b"}
	out, err := eval.MeasureMatrix(t.Context(), models, func(string) (pref.Rewarder, error) {
		open++
		most = max(most, open)
		return counted{lengthRewarder{}, &open}, nil
	}, sets, nil, logf)
	if err != nil || open != 0 || most != 1 {
		t.Fatalf("%d open, at most %d: %v", open, most, err)
	}
	m := out.Matrix
	if len(m.Models) != 2 || m.Models[1] != "b score" || len(m.Sets) != 2 ||
		m.Sets[1] != "two.jsonl" ||
		m.Cells[0][1].Groups != 8 || out.Read["d/one.jsonl"] != "six" || len(told) != 4 {
		t.Errorf("%+v, told %q", out, told)
	}
	_, err = eval.MeasureMatrix(t.Context(), []string{"a"}, func(string) (pref.Rewarder, error) {
		return nil, os.ErrNotExist
	}, sets, nil, logf)
	if err == nil || !strings.HasPrefix(err.Error(), "a: ") {
		t.Errorf("a model that is not there: %v", err)
	}
}

// counted is a Rewarder that counts itself out when it is closed.
type counted struct {
	pref.Rewarder
	open *int
}

func (c counted) Close() error {
	*c.open--
	return c.Rewarder.Close()
}
