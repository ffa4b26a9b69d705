package paper_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/paper"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

const head = `
title = "A rerun"
seeds = [1, 2]
[recipe.model]
path = "base"
[cost]
pairs_per_second = 10
[[sets]]
name = "a"
files = ["a.jsonl"]
domain = "chat"
paper = "Helpful"
train = 20
valid = 10
test = 40
[[sets]]
name = "b"
files = ["b.jsonl"]
domain = "chat"
train = 20
valid = 10
test = 40
[[methods]]
name = "Baseline"
set = ["objective.policy_weight=0"]
reward = "score"
[[methods]]
name = "HaF"
reward = "score"
`

const tables = `
[[tables]]
name = "main"
kind = "in-distribution"
title = "In distribution"
[[tables]]
name = "ood"
kind = "ood"
title = "Out of distribution"
[[tables]]
name = "mixed"
kind = "mixed"
title = "Mixed"
[[tables]]
name = "alpha"
kind = "sweep"
title = "Sweep"
sets = ["a"]
methods = ["HaF"]
key = "objective.policy_weight"
values = [0, 0.2, 1]
[[tables]]
name = "heads"
kind = "heads"
title = "Heads"
methods = ["HaF"]
`

// world writes two sets of 100 conversations, 15 of which begin alike in both, and returns the
// grid, with the files' real places.
func world(t *testing.T) (*paper.Grid, string) {
	t.Helper()
	dir := t.TempDir()
	for _, set := range []string{"a", "b"} {
		var out strings.Builder
		for i := range 100 {
			name := fmt.Sprintf("%s %d", set, i)
			if i < 15 {
				name = fmt.Sprintf("shared %d", i)
			}
			row, err := json.Marshal(map[string]any{
				"prompt": []pref.Message{{Role: pref.User, Content: name},
					{Role: pref.Assistant, Content: "yes"}, {Role: pref.User, Content: set}},
				"responses": []string{"good", "bad"}, "comparisons": [][2]int{{0, 1}},
			})
			if err != nil {
				t.Fatal(err)
			}
			out.Write(append(row, '\n'))
		}
		if err := os.WriteFile(filepath.Join(dir, set+".jsonl"), []byte(out.String()),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.NewReplacer(`"a.jsonl"`, fmt.Sprintf("%q", filepath.Join(dir, "a.jsonl")),
		`"b.jsonl"`, fmt.Sprintf("%q", filepath.Join(dir, "b.jsonl"))).Replace(head + tables)
	grid, err := paper.Parse("grid.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return grid, dir
}

// open opens the grid's journal for the test.
func open(t *testing.T, grid *paper.Grid, dir string, data *paper.Data) *paper.Journal {
	t.Helper()
	journal, err := grid.OpenJournal(filepath.Join(dir, "results"), data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = journal.Close() })
	return journal
}

func same(files []string) ([]string, error) { return files, nil }

// opening is the first message of a group's conversation.
func opening(g pref.Group) string { return g.Prompt[0].Content }

// TestSplit wants no conversation of any test part in any other part, the counts asked for, and the
// same split again.
func TestSplit(t *testing.T) {
	grid, dir := world(t)
	data, err := grid.MakeData(dir, same)
	if err != nil {
		t.Fatal(err)
	}
	tested, overlap := map[string]bool{}, 0
	for _, set := range []string{"a", "b"} {
		groups, err := data.Groups(set, "test")
		if err != nil || len(groups) != 40 {
			t.Fatalf("%d test groups of %s, %v", len(groups), set, err)
		}
		for _, g := range groups {
			tested[opening(g)] = true
		}
	}
	for i, set := range []string{"a", "b"} {
		seen := map[string]string{}
		for part, want := range map[string]int{"train": 20, "valid": 10} {
			groups, err := data.Groups(set, part)
			if err != nil || len(groups) != want {
				t.Fatalf("%d %s groups of %s, %v", len(groups), part, set, err)
			}
			for _, g := range groups {
				if tested[opening(g)] {
					t.Errorf("%s of %s has the conversation %q of a test part", part, set, opening(g))
				}
				if other := seen[opening(g)]; other != "" && other != part {
					t.Errorf("%q is in train and validation of %s", opening(g), set)
				}
				seen[opening(g)] = part
			}
		}
		overlap += data.Parts[i].Overlap
	}
	if overlap == 0 {
		t.Error("none of the shared conversations was left out")
	}
	again, err := grid.MakeData(dir, func([]string) ([]string, error) {
		return nil, errors.New("read again")
	})
	if err != nil || again.Hash != data.Hash {
		t.Errorf("a second call made other data: %v", err)
	}
	if other, err := grid.MakeData(t.TempDir(), same); err != nil || other.Hash != data.Hash {
		t.Errorf("the split is not the same elsewhere: %v", err)
	}
}

// A fake is a Runner whose models are right on a share of the comparisons; it fails where it is
// told to.
type fake struct {
	trained []string
	fail    string
	after   func()
}

func (f *fake) Train(
	_ context.Context, r *recipe.Recipe, dir string,
) (of paper.Trained, err error) {
	f.trained = append(f.trained, filepath.Base(dir))
	if f.fail != "" && strings.Contains(dir, f.fail) {
		return of, errors.New("out of memory")
	}
	if err := os.MkdirAll(filepath.Join(dir, "model"), 0o755); err != nil {
		return of, err
	}
	manifest, err := json.Marshal(
		map[string]any{
			"recipe": map[string]any{"objective": map[string]any{"policy_weight": r.Objective.PolicyWeight},
				"train": map[string]any{"seed": r.Train.Seed}}})
	if err != nil {
		return of, err
	}
	const metrics = `{"kind":"eval","step":7,"loss":0.5,"rewards":{"score":{"accuracy":0.75}}}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), []byte(metrics), 0o644); err != nil {
		return of, err
	}
	return of, os.WriteFile(filepath.Join(dir, "manifest.json"), manifest, 0o644)
}

func (f *fake) Read(
	_ context.Context, dir string, of paper.Parts,
) (paper.Reading, error) {
	share := 0.55
	names := []string{reward.ByScore}
	if strings.Contains(dir, "HaF") {
		share, names = 0.99, []string{reward.ByScore, reward.ByImplicit, reward.ByNormalized,
			reward.ByCombined}
	}
	random := rand.New(rand.NewPCG(uint64(len(dir)), 1))
	var out paper.Reading
	for _, set := range of.Tests {
		r := paper.SetReading{Rewards: map[string][][]float64{}}
		for g := range set {
			r.Index = append(r.Index, g)
			right := random.Float64() < share
			for _, name := range names {
				pair := []float64{0, 1}
				if right {
					pair = []float64{1, 0}
				}
				r.Rewards[name] = append(r.Rewards[name], pair)
			}
		}
		out.Sets = append(out.Sets, r)
	}
	if f.after != nil {
		f.after()
	}
	return out, nil
}

// TestRun runs a grid with a cell that fails, goes on without what is finished, and makes the page.
func TestRun(t *testing.T) {
	grid, dir := world(t)
	if cells, err := grid.Cells(nil, nil); err != nil || len(cells) != 14 {
		t.Fatalf("%d cells, %v: 2 methods on 2 sets and on both, and α 1, with 2 seeds", len(cells), err)
	}
	data, err := grid.MakeData(dir, same)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := grid.Cells(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	journal := open(t, grid, dir, data)
	estimate := grid.Estimate(journal, data, cells)
	if estimate.Seconds <= 0 || estimate.Finished != 0 {
		t.Errorf("%+v", estimate)
	}
	runner := &fake{fail: "HaF-b-seed2"}
	silent := func(string, ...any) {}
	failed, err := grid.Run(t.Context(), dir, data, cells, journal, runner, silent)
	if err != nil || len(failed) != 1 || len(runner.trained) != len(cells) {
		t.Fatalf("%v failed, %d trained, %v", failed, len(runner.trained), err)
	}
	results, err := grid.Results(journal, dir, data)
	if err != nil {
		t.Fatal(err)
	}
	page, err := results.Page("Command: a test")
	if err != nil {
		t.Fatal(err)
	}
	text := page.Markdown()
	for _, want := range []string{"Cells that are not finished: 1;", "out of memory",
		"No test part has any share in training, selection or fitting", "| – | – |",
		"In distribution. HaF against Baseline: better on a",
		"**In distribution: HaF is better than Baseline on a (+"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page of an unfinished grid has no %q:\n%s", want, text)
		}
	}

	runner = &fake{}
	if failed, err = grid.Run(t.Context(), dir, data, cells, journal, runner, silent); err != nil ||
		len(failed) != 0 || len(runner.trained) != 1 {
		t.Fatalf("the second run trained %v, %v failed, %v", runner.trained, failed, err)
	}
	if results, err = grid.Results(journal, dir, data); err != nil {
		t.Fatal(err)
	}
	if page, err = results.Page("Command: a test"); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "page")
	if err := page.Write(out, "page"); err != nil {
		t.Fatal(err)
	}
	text = page.Markdown()
	for _, want := range []string{"HaF against Baseline: mean +", "HaF is better",
		"| paper, Phi-2 | HaF | 76.4 | 70.4 | 79.0 | 84.0 | 60.8 | 74.1 |", "| this grid | HaF |",
		"Every model on every test set", "policy\\_weight 0.2 against policy\\_weight 0: better on a",
		"HaF, combined against HaF, score: mean +0.0 points", "| 7 | 0.750 | score |"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "alpha.svg")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cells", cells[0].ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a finished cell was kept: %v", err)
	}
	if estimate := grid.Estimate(journal, data, cells); estimate.Finished != len(cells) ||
		estimate.Seconds != 0 {
		t.Errorf("%+v", estimate)
	}
}

// TestReadSets reads a model on the test sets that tables show it on, whichever are made now. A
// result that lacks one of them is not finished.
func TestReadSets(t *testing.T) {
	grid, dir := world(t)
	data, err := grid.MakeData(dir, same)
	if err != nil {
		t.Fatal(err)
	}
	cellsOf := func(tables ...string) []*paper.Cell {
		t.Helper()
		cells, err := grid.Cells(data, tables)
		if err != nil {
			t.Fatal(err)
		}
		return cells
	}
	want := map[string]string{"mixed": "[a b]", "main": "[a b]", "alpha": "[a]"}
	for _, c := range cellsOf() {
		if got := fmt.Sprint(slices.Sorted(slices.Values(c.Tests))); got != want[c.Tables[0]] {
			t.Errorf("%s is read on %s, want %s", c.ID, got, want[c.Tables[0]])
		}
	}
	all := grid.Tables
	grid.Tables = slices.DeleteFunc(slices.Clone(all), func(t paper.TableSpec) bool {
		return t.Kind == paper.OOD
	})
	journal := open(t, grid, dir, data)
	run := func(tables ...string) (trained int) {
		t.Helper()
		runner := &fake{}
		failed, err := grid.Run(t.Context(), dir, data, cellsOf(tables...), journal, runner,
			func(string, ...any) {})
		if err != nil || len(failed) > 0 {
			t.Fatalf("%v failed, %v", failed, err)
		}
		return len(runner.trained)
	}
	if n := run("main"); n != 8 {
		t.Errorf("%d cells of 2 methods, 2 sets and 2 seeds were trained", n)
	}
	for _, c := range cellsOf("main") {
		if r := journal.Result(c); r == nil || len(r.Tests) != 1 || r.Tests[c.Sets[0]] == nil {
			t.Errorf("%s was not read on its own set alone", c.ID)
		}
	}
	grid.Tables = all
	if n := run("main"); n != 8 {
		t.Errorf("%d of 8 cells that lack a test set were trained again", n)
	}
	if n := run("main"); n != 0 {
		t.Errorf("%d finished cells were trained again", n)
	}
}

// TestTrainedBefore reads a cell that a killed process had trained, and finds its steps in the
// run's records.
func TestTrainedBefore(t *testing.T) {
	grid, dir := world(t)
	data, err := grid.MakeData(dir, same)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := grid.Cells(data, []string{"main"})
	if err != nil {
		t.Fatal(err)
	}
	runner, folder := &fake{}, cells[0].Folder(dir)
	if _, err := runner.Train(t.Context(), cells[0].Recipe, folder); err != nil {
		t.Fatal(err)
	}
	const steps = `{"kind":"step","step":6,"seconds":2}` + "\n" +
		`{"kind":"step","step":7,"seconds":3}` + "\n"
	path := filepath.Join(folder, "metrics.jsonl")
	if err := os.WriteFile(path, []byte(steps), 0o644); err != nil {
		t.Fatal(err)
	}
	journal := open(t, grid, dir, data)
	silent := func(string, ...any) {}
	_, err = grid.Run(t.Context(), dir, data, cells[:1], journal, runner, silent)
	if err != nil {
		t.Fatal(err)
	}
	r := journal.Result(cells[0])
	if len(runner.trained) != 1 || r == nil || r.Steps != 7 || r.TrainTime != 5 {
		t.Errorf("%d trainings, %+v, want one, with 7 steps in 5 s", len(runner.trained), r)
	}
}

// TestInterrupt stops between cells and goes on.
func TestInterrupt(t *testing.T) {
	grid, dir := world(t)
	data, err := grid.MakeData(dir, same)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := grid.Cells(data, []string{"main"})
	if err != nil {
		t.Fatal(err)
	}
	journal := open(t, grid, dir, data)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = grid.Run(ctx, dir, data, cells, journal, &fake{after: cancel}, func(string, ...any) {})
	if !errors.Is(err, context.Canceled) ||
		!strings.Contains(err.Error(), "the same command resumes") {
		t.Errorf("%v", err)
	}
	runner := &fake{}
	if _, err := grid.Run(t.Context(), dir, data, cells, journal, runner,
		func(string, ...any) {}); err != nil || len(runner.trained) != len(cells)-1 {
		t.Errorf("%d of %d trained, %v", len(runner.trained), len(cells), err)
	}
	if _, err := grid.Cells(data, []string{"none"}); err == nil ||
		!strings.Contains(err.Error(), `no table "none": main, ood, mixed, alpha, heads`) {
		t.Errorf("%v", err)
	}
}

// TestSettingsOfValue gives a sweep's value settings of its own, in its cells alone.
func TestSettingsOfValue(t *testing.T) {
	text := strings.NewReplacer("values = [0, 0.2, 1]",
		`values = ["dpo", ["cdpo", "objective.smoothing=0.1", "objective.beta=0.2"]]`,
		`key = "objective.policy_weight"`, `key = "objective.policy"`).Replace(head + tables)
	grid, err := paper.Parse("grid.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	cells, err := grid.Cells(nil, []string{"alpha"})
	if err != nil || len(cells) != 4 {
		t.Fatalf("%d cells, %v: 2 values with 2 seeds", len(cells), err)
	}
	for i, want := range []recipe.Objective{{Policy: "dpo", Smoothing: 0, Beta: 0.1},
		{Policy: "cdpo", Smoothing: 0.1, Beta: 0.2}} {
		c := cells[2*i]
		if o := c.Recipe.Objective; o.Policy != want.Policy || o.Smoothing != want.Smoothing ||
			o.Beta != want.Beta {
			t.Errorf("%s: %s, smoothing %g, beta %g, want %+v", c.ID, o.Policy, o.Smoothing, o.Beta, want)
		}
	}
	if id := cells[2].ID; !strings.HasPrefix(id, "HaF-a-policy=cdpo-smoothing=0.1-beta=0.2-seed1-") {
		t.Error(id)
	}
}

// TestBadPlans names what is wrong.
func TestBadPlans(t *testing.T) {
	for _, bad := range []struct{ old, new, want string }{
		{"seeds = [1, 2]", "seeds = []", "seeds is empty"},
		{"title =", "titel =", `grid.toml:2: unknown key "titel"`},
		{"valid = 10", "valid = 0", "the checkpoint is chosen on validation data, never on a test set"},
		{`kind = "ood"`, `kind = "odd"`, `kind "odd" is not known`},
		{`sets = ["a"]`, `sets = ["z"]`, `there is no set "z"`},
		{`methods = ["HaF"]`, `methods = ["Z"]`, `there is no method "Z"`},
		{`name = "b"`, `name = "a"`, `set "a": want a name of its own`},
		{`reward = "score"`, `reward = "implicit"`, "a head which the table reads is not trained"},
		{"values = [0, 0.2, 1]", "values = [-1]", "policy_weight is -1"},
		{"values = [0, 0.2, 1]", `values = [["cdpo", "smoothing"]]`, "want a value of " +
			"objective.policy_weight, then settings"},
		{"values = [0, 0.2, 1]", `values = [[0.2, "objective.smoothing=0.7"]]`, "smoothing"},
		{`key = "objective.policy_weight"`, `key = "objective.weight"`, `unknown key "objective.weight"`},
		{`path = "base"`, `paht = "base"`, `unknown key "model.paht"`},
		{"title = \"A rerun\"", "backbone = \"Phi-9\"", `backbone "Phi-9" is not one of the paper's`},
	} {
		text := strings.Replace(head+tables, bad.old, bad.new, 1)
		if _, err := paper.Parse("grid.toml", []byte(text)); err == nil ||
			!strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %q", bad.new, err, bad.want)
		}
	}
}

// TestRecipes loads every grid that is kept, and lists its cells.
func TestRecipes(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "recipes", "paper-*.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		grid, err := paper.Load(path)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		cells, err := grid.Cells(nil, nil)
		if err != nil || len(cells) == 0 {
			t.Errorf("%s: %d cells, %v", path, len(cells), err)
		}
		if e := grid.Estimate(nil, nil, cells); e.Seconds <= 0 {
			t.Errorf("%s: no estimate: %+v", path, e)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".toml")
		names = append(names, name)
		need, err := grid.Bound(cells)
		least, largest := map[string]float64{
			// Weights: 2.78e9 in float32 with gradients twice and two moments; 7.24e9 in bfloat16.
			"paper-phi2": 2.78e9 * 4 * 5, "paper-mistral": 7.24e9 * 2, "paper-mistral-instruct": 7.24e9 * 2,
		}[name], 80e9
		switch {
		case least == 0 && err == nil:
			t.Errorf("%s: bounded by nothing", path)
		case least > 0 && (err != nil || float64(need.Bytes) < least || float64(need.Bytes) > largest):
			t.Errorf("%s: %+v, %v, want from %.3g to %.3g bytes", path, need, err, least, largest)
		}
	}
	if want := []string{"paper-full", "paper-mistral-instruct", "paper-mistral", "paper-phi2",
		"paper-small", "paper-tiny"}; !slices.Equal(names, want) {
		t.Errorf("grids are %v, want %v", names, want)
	}
}
