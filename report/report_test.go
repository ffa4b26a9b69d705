package report_test

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"haf/internal/durable"
	"haf/report"
)

const manifest = `{"format": 3, "created": "2026-01-02T03:04:05Z", "device": "a device", "base": "models/x", "report": ["train data: 3 groups"],
"recipe": {"objective": {"reward_weight": 1, "policy_weight": 0.2, "reward": "bradley-terry", "policy": "dpo"}, "train": {"lr": 0.001}},
"origin": {"train.lr": "set", "objective.policy_weight": "default"}}`

const metrics = `{"kind":"step","step":1,"loss":0.8,"tokens":100,"seconds":2}
{"kind":"eval","step":1,"loss":0.7,"rewards":{"score":{"accuracy":0.6,"accuracy_low":0.5,"accuracy_high":0.7},"implicit":{"accuracy":0.9}}}
{"kind":"step","step":2,"loss":0.6,"tokens":100,"seconds":2}
{"kind":"eval","step":2,"loss":0.65,"rewards":{"score":{"accuracy":0.6,"accuracy_low":0.5,"accuracy_high":0.7},"implicit":{"accuracy":0.8}}}
{"kind":"step","step":3,"lo`

const evaluation = `{"model":"x","data":["test.jsonl"],"rewards":{"score":{"comparisons":10,"accuracy":0.7,"accuracy_low":0.4,"accuracy_high":0.9}},"length":{"score":{"longest":{"n":10,"value":0.61,"low":0.3,"high":0.9},"matched":{"n":4,"value":0.52,"low":0.1,"high":0.8},"balanced":{"n":0},"correlation":{"n":20,"value":0.33,"low":0.2,"high":0.4}}}}`

// folder writes a run folder of the given files.
func folder(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Join(dir, "model"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRuns reads a run whose last line is cut off and finds its numbers on both forms of the page.
func TestRuns(t *testing.T) {
	run, err := report.ReadRun(folder(t, "a_b<c>", map[string]string{"manifest.json": manifest,
		"metrics.jsonl": metrics, "eval.json": evaluation}))
	if err != nil {
		t.Fatal(err)
	}
	if best, name, ok := run.Best(); !ok || name != "score" || best.Step != 2 {
		t.Errorf("the best validation is of step %d by %s: the second is as accurate with less loss",
			best.Step, name)
	}
	page, err := report.Runs([]*report.Run{run})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := page.Write(out, "report"); err != nil {
		t.Fatal(err)
	}
	for file, wants := range map[string][]string{
		"report.md": {`# Run a\_b&lt;c&gt;`, "| 0.6000 | [0.5000, 0.7000] | score | finished |",
			"| test.jsonl | score | 10 | 0.7000 | [0.4000, 0.9000] |",
			"| score | 0.6100 | 0.5200 | [0.1000, 0.8000] | 4 | – | – | 0.3300 | [0.2000, 0.4000] |",
			"| train.lr | 0.001 | set |", "![Loss of the training steps, mean of 9](loss.svg)",
			"- 2 steps in 4 s, 50 tokens/s"},
		"report.html": {"<title>Run a_b&lt;c&gt;</title>",
			`<td class="text">train.lr</td><td>0.001</td><td class="text">set</td>`, "<figure><svg", "</html>"},
		"loss.svg":       {"<svg", "Training loss"},
		"validation.svg": {"<svg", "Validation accuracy"},
	} {
		data, err := os.ReadFile(filepath.Join(out, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s has no %q:\n%s", file, want, data[:min(len(data), 3000)])
			}
		}
	}
	html, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, outside := range []string{"<?xml", "<script", "src=", "href="} {
		if strings.Contains(string(html), outside) {
			t.Errorf("report.html is not self-contained: %s", outside)
		}
	}
}

// TestEscape keeps what a name holds from becoming a link, a cell or a tag.
func TestEscape(t *testing.T) {
	page := report.Page{Title: "a|b [x](y) [x]: y",
		Sections: []report.Section{{Title: "<b>*s*", Blocks: []report.Block{report.List{"one\ntwo"}}}}}
	want := "# a\\|b [x]\\(y) [x]\\: y\n\n## &lt;b&gt;\\*s\\*\n\n- one two\n"
	if page.Markdown() != want {
		t.Errorf("%q, want %q", page.Markdown(), want)
	}
}

// TestBadRuns names the file, and the line, that cannot be read.
func TestBadRuns(t *testing.T) {
	if _, err := report.ReadRun(t.TempDir()); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "is no run folder") {
		t.Errorf("%v", err)
	}
	for want, files := range map[string]map[string]string{
		"manifest.json: not JSON: at byte 1: unexpected end": {"manifest.json": "{"},
		"metrics.jsonl:2: ": {"manifest.json": manifest,
			"metrics.jsonl": "{\"kind\":\"other\"}\n{\n"},
		"want what haf -json eval": {"manifest.json": manifest, "eval.json": "[]"},
	} {
		if _, err := report.ReadRun(folder(t, "run", files)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	run, err := report.ReadRun(folder(t, "run", map[string]string{"manifest.json": manifest}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.Runs([]*report.Run{run}); err != nil {
		t.Errorf("a run that has not begun: %v", err)
	}
}

// TestPlot leaves out what is no number and refuses a series of two lengths.
func TestPlot(t *testing.T) {
	p := report.Plot{Title: "A plot", Names: []string{"one", "two"}, Series: []report.Series{
		{Name: "s", X: []float64{0, 1}, Y: []float64{0.5, math.NaN()}, Low: []float64{0.4, 0},
			High: []float64{0.6, 0}}, {Name: "none"}}}
	svg, err := p.Draw()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(svg), "NaN") || !strings.Contains(string(svg), ">two<") {
		t.Errorf("%s", svg)
	}
	p.Series[0].X = p.Series[0].X[:1]
	if _, err := p.Draw(); err == nil ||
		!strings.Contains(err.Error(), `series "s" has 1 and 2 values`) {
		t.Errorf("%v", err)
	}
	twice := report.Page{
		Sections: []report.Section{
			{Blocks: []report.Block{report.Figure{Name: "a"}, report.Figure{Name: "a"}}}}}
	if err := twice.Write(t.TempDir(), "page"); err == nil {
		t.Error("two figures of one name were written")
	}
}

// TestEveryWriteFails makes each operation that writes a page fail in turn, and those after it. The
// page is then written again without a fault.
func TestEveryWriteFails(t *testing.T) {
	page := report.Page{Title: "a page", Sections: []report.Section{{Title: "curves",
		Blocks: []report.Block{report.Figure{Name: "loss", SVG: []byte("<svg></svg>")}}}}}
	for last := 1; ; last++ {
		dir := filepath.Join(t.TempDir(), "page")
		asked := 0
		restore := durable.SetFault(func(_ durable.Op, path string) error {
			if asked++; asked >= last {
				return &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
			}
			return nil
		})
		err := page.Write(dir, "page")
		restore()
		if again := page.Write(dir, "page"); again != nil {
			t.Errorf("after a fault at operation %d (%v): %v", last, err, again)
		}
		if err == nil {
			if last < 4 {
				t.Errorf("a page of three files has %d operations", last-1)
			}
			return
		}
	}
}
