package ui

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"haf/eval"
)

// writeFile writes a file of a test.
func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTrainTest wants data sets of one base name to keep columns of their own, models of a matrix
// and of runs to share them, a second result of one cell to be shown too, and every cell to have
// its n and its interval.
func TestTrainTest(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "hh")
	writeRun(t, dir, 2, 4)
	of := func(accuracy float64, n int) eval.Result {
		return eval.Result{Accuracy: accuracy, AccuracyLow: accuracy - 0.05,
			AccuracyHigh: accuracy + 0.05, Comparisons: n}
	}
	one := func(name, data string, accuracy float64, n int) {
		writeFile(t, filepath.Join(dir, name), asJSON(t, eval.Evaluation{Data: []string{data},
			Rewards: map[string]eval.Result{"score": of(accuracy, n)}}))
	}
	one("eval.json", "sets/a/test.jsonl", 0.61, 101)
	one("eval-b.json", "sets/b/test.jsonl", 0.62, 102)
	one("eval-again.json", "sets/b/test.jsonl", 0.63, 103)
	matrix := eval.MatrixEvaluation{Read: map[string]string{"sets/b/test.jsonl": "", "c.jsonl": ""},
		Matrix: eval.Matrix{Models: []string{dir + " score", "some/model score"},
			Sets: []string{"test.jsonl", "c.jsonl"}, Cells: [][]eval.Cell{
				{{Result: of(0.64, 104)}, {Result: of(0.65, 105)}},
				{{Result: of(0.66, 106)}, {Result: of(0.67, 107)}}}}}
	writeFile(t, filepath.Join(root, "eval-matrix.json"), asJSON(t, matrix))
	writeFile(t, filepath.Join(root, "eval-short.json"), asJSON(t, eval.MatrixEvaluation{
		Read: map[string]string{}, Matrix: eval.Matrix{Models: []string{"m"}}}))

	rows, problems := evaluations(look([]string{root}).evals, look([]string{root}).runs)
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "eval-short.json: 1 models") {
		t.Errorf("problems %q", problems)
	}
	m := heat(rows, map[string]string{"hh": "train.jsonl"})
	if want := []string{"a/test.jsonl", "b/test.jsonl", "c.jsonl"}; !slices.Equal(
		slices.Sorted(slices.Values(m.Data)), want) {
		t.Errorf("sets %q, want %q", m.Data, want)
	}
	found := map[string]float64{}
	for _, r := range m.Rows {
		for i, c := range r.Cells {
			if c.Known {
				found[fmt.Sprintf("%s %s %s %d", r.Model, r.Trained, m.Data[i], c.N)] = c.Accuracy
			}
		}
	}
	for key, want := range map[string]float64{"hh train.jsonl a/test.jsonl 101": 0.61,
		"hh train.jsonl b/test.jsonl 102": 0.62, "hh train.jsonl b/test.jsonl 103": 0.63,
		"hh train.jsonl b/test.jsonl 104": 0.64, "hh train.jsonl c.jsonl 105": 0.65,
		"some/model – b/test.jsonl 106": 0.66, "some/model – c.jsonl 107": 0.67} {
		if found[key] != want {
			t.Errorf("%s: %v, want %v", key, found[key], want)
		}
		delete(found, key)
	}
	if len(found) > 0 {
		t.Errorf("more than what was written: %v", found)
	}
	_, body := get(t, app(t, nil, root), "/evaluations")
	for _, want := range []string{"<small>n 106</small>", "[0.6100, 0.7100]", "b/test.jsonl"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	// A file that is named by itself is read, too.
	_, body = get(t, app(t, nil, filepath.Join(root, "eval-matrix.json")), "/evaluations")
	if !strings.Contains(body, "some/model") || strings.Contains(body, `href="/runs?run=`) {
		t.Errorf("the matrix alone: %s", body)
	}
}

// TestGridMap wants the stored results of a grid of haf paper to be shown, with n and intervals.
func TestGridMap(t *testing.T) {
	_, body := get(t, app(t, nil, filepath.Join("..", "docs", "results", "world")), "/evaluations")
	cells := regexp.MustCompile(
		`<strong>0\.\d{4}</strong><small>\[0\.\d{4}, [01]\.\d{4}\]</small><small>n \d+</small>`)
	if n := len(cells.FindAllString(body, -1)); n < 20 {
		t.Errorf("%d cells", n)
	}
	for _, want := range []string{"does the policy loss help the reward?", " seeds</small>",
		"results.jsonl"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if len(body) > 300_000 {
		t.Errorf("%d bytes", len(body))
	}
}

// TestLinkedRuns wants runs to be found behind links, as people have them to another disk, and
// other links not to be followed.
func TestLinkedRuns(t *testing.T) {
	dir := t.TempDir()
	writeRun(t, filepath.Join(dir, "disk", "long"), 2, 2)
	runs := filepath.Join(dir, "runs")
	if err := os.Mkdir(runs, 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		filepath.Join(runs, "linked"): filepath.Join(dir, "disk", "long"),
		filepath.Join(runs, "around"): dir, filepath.Join(runs, "broken"): "nowhere",
		filepath.Join(dir, "all"): runs,
	} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, root := range []string{runs, filepath.Join(dir, "all"), filepath.Join(runs, "linked")} {
		found := look([]string{root})
		if len(found.runs) != 1 || found.runs[0].Name != "linked" || len(found.problems) > 0 {
			t.Errorf("%s: %v, %v, want the run linked", root, found.runs, found.problems)
		}
	}
}
