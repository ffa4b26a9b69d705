package paper_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/backend"
	"haf/hub"
	"haf/launch"
	"haf/paper"
	"haf/recipe"
)

// smallWorld is a grid of a world whose cells take a second in pure Go.
const smallWorld = `
title = "A world"
seeds = [1, 2]
[world]
seed = 1
animals = 2
texts = 8
epochs = 1
[recipe.model]
path = "world"
max_length = 64
[recipe.train]
epochs = 1
batch = 4
tokens_per_batch = 256
checkpointing = "none"
coarse_shapes = true
[[sets]]
name = "plain"
train = 8
valid = 4
test = 6
probe = 6
world = {shift = "none"}
[[sets]]
name = "length"
train = 8
valid = 4
test = 6
world = {length = 1.0}
[[methods]]
name = "Baseline"
set = ["objective.policy_weight=0"]
reward = "score"
[[methods]]
name = "HaF"
reward = "score"
[[methods]]
name = "States"
reward = "probe"
[[tables]]
name = "beta"
kind = "sweep"
title = "β"
methods = ["HaF"]
sets = ["plain"]
key = "objective.beta"
values = [0.1, 0.5]
[[tables]]
name = "states"
kind = "in-distribution"
title = "States"
sets = ["plain"]
methods = ["HaF", "States"]
`

// local is the runner of haf paper in pure Go, which counts trainings.
type local struct {
	paper.Local
	trained []string
	after   func()
}

func newLocal(t *testing.T) *local {
	cache := t.TempDir()
	return &local{Local: paper.Local{Open: func() (launch.Env, error) {
		device, err := backend.Open("go")
		return launch.Env{
			Device: device, Hub: &hub.Client{Offline: true, Cache: cache}, Cache: cache,
			Progress: quiet{}, Notef: quiet{}.Logf,
		}, err
	}}}
}

func (l *local) Train(
	ctx context.Context, r *recipe.Recipe, dir string,
) (paper.Trained, error) {
	l.trained = append(l.trained, filepath.Base(dir))
	if l.after != nil {
		defer l.after()
	}
	return l.Local.Train(ctx, r, dir)
}

func makeGrid(
	t *testing.T, ctx context.Context, runner paper.Runner, dir, text string, only ...string,
) (paper.Outcome, error) {
	t.Helper()
	grid, err := paper.Parse("world.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return grid.Make(ctx, paper.Options{
		Dir: dir, Results: filepath.Join(dir, "results"), Only: only, Runner: runner,
		Logf: func(string, ...any) {},
	})
}

func lines(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "results", "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// cellOf is a cell's line without what measures time or programs.
func cellOf(t *testing.T, dir string, cell string) string {
	t.Helper()
	for _, line := range lines(t, dir) {
		if strings.Contains(line, `"id":"`+cell) {
			at := strings.Index(line, `"sets":`)
			if end := strings.Index(line, `,"programs"`); end > at {
				return line[at:end]
			}
			return line[at:]
		}
	}
	t.Fatalf("%s has no cell %s", dir, cell)
	return ""
}

// TestSharedPrograms trains cells that differ in β and the seed: after the first of a shape nothing
// is compiled, and a cell is bit for bit the one that is trained alone.
func TestSharedPrograms(t *testing.T) {
	together, alone := t.TempDir(), t.TempDir()
	if _, err := makeGrid(t, t.Context(), newLocal(t), together, smallWorld, "beta"); err != nil {
		t.Fatal(err)
	}
	journal, err := paper.ReadJournal(filepath.Join(together, "results"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(journal.Results()); n != 4 {
		t.Fatalf("%d results, want 4", n)
	}
	for _, r := range journal.Results() {
		// Seeds draw pairs of their own, whose packing may have another shape.
		of, first := strings.HasPrefix(r.ID, "HaF-plain-beta=0.5"), "HaF-plain-beta=0.1-seed1"
		if of && r.Programs != 0 || strings.HasPrefix(r.ID, first) && r.Programs == 0 {
			t.Errorf("cell %s compiled %d programs", r.ID, r.Programs)
		}
	}
	const last = "HaF-plain-beta=0.5-seed2"
	text := strings.NewReplacer("values = [0.1, 0.5]", "values = [0.5]", "seeds = [1, 2]",
		"seeds = [2]").Replace(smallWorld)
	if _, err := makeGrid(t, t.Context(), newLocal(t), alone, text, "beta"); err != nil {
		t.Fatal(err)
	}
	if a, b := cellOf(t, together, last), cellOf(t, alone, last); a != b {
		t.Errorf("in a grid %s\nalone %s", a, b)
	}
}

// TestStoppedWorld stops a grid in a training, resumes it, and wants the results of one that ran
// through. A damaged line is an error, one that was cut off is dropped.
func TestStoppedWorld(t *testing.T) {
	whole, parts := t.TempDir(), t.TempDir()
	if _, err := makeGrid(t, t.Context(), newLocal(t), whole, smallWorld); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	runner := newLocal(t)
	runner.after = func() {
		if len(runner.trained) == 3 { // of the base and of two cells
			stop(paper.ErrTime)
		}
	}
	out, err := makeGrid(t, ctx, runner, parts, smallWorld)
	if err != nil || out.Markdown == "" {
		t.Fatalf("%+v, %v", out, err)
	}
	page, err := os.ReadFile(out.Markdown)
	if err != nil || !strings.Contains(string(page), "Cells that are not finished: ") {
		t.Errorf("a partial page does not say so: %v", err)
	}
	file := filepath.Join(parts, "results", "results.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(string(text), `"steps":`, `"stepz":`, 1)
	if err := os.WriteFile(file, []byte(damaged), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := makeGrid(t, t.Context(), newLocal(t), parts, smallWorld); err == nil ||
		!strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a damaged line: %v", err)
	}
	if err := os.WriteFile(file, append(text, `{"kind":"cell","val`...), 0o644); err != nil {
		t.Fatal(err)
	}
	// Another machine has the results alone.
	elsewhere := t.TempDir()
	if err := os.Rename(filepath.Join(parts, "results"), filepath.Join(elsewhere,
		"results")); err != nil {
		t.Fatal(err)
	}
	done := len(lines(t, elsewhere))
	runner = newLocal(t)
	if _, err := makeGrid(t, t.Context(), runner, elsewhere, smallWorld); err != nil {
		t.Fatal(err)
	}
	if got, want := len(lines(t, elsewhere)), len(lines(t, whole)); got != want || done >= want {
		t.Errorf("%d lines, then %d, want %d", done, got, want)
	}
	for _, cell := range []string{"beta=0.1-seed1", "beta=0.1-seed2", "beta=0.5-seed1"} {
		if a, b := cellOf(t, whole, "HaF-plain-"+cell), cellOf(t, elsewhere,
			"HaF-plain-"+cell); a != b {
			t.Errorf("through %s\nin parts %s", a, b)
		}
	}
}

// TestWorldGrids refuses grids of worlds that are wrong.
func TestWorldGrids(t *testing.T) {
	for _, bad := range []struct{ old, new, want string }{
		{"animals = 2", "animals = 99", "animals is 99, want 2 to 24"},
		{`path = "world"`, `path = "base"`, `set path = "world"`},
		{"world = {length = 1.0}", `files = ["a.jsonl"]`, "or none has one"},
		{"world = {length = 1.0}", `world = {shift = "south"}`, `shift "south" is not known`},
		{"[world]\nseed = 1\nanimals = 2\ntexts = 8\nepochs = 1\n", "", "or none has one"},
	} {
		text := strings.Replace(smallWorld, bad.old, bad.new, 1)
		if _, err := paper.Parse("world.toml", []byte(text)); err == nil ||
			!strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %q", bad.new, err, bad.want)
		}
	}
	grid, err := paper.Load(filepath.Join("..", "recipes", "world.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if cells, err := grid.Cells(nil, nil); err != nil || len(cells) < 100 {
		t.Errorf("%d cells, %v", len(cells), err)
	}
}

// TestWorldResults wants every cell of the committed study to be found among its results, so that
// no key or table that is added to recipes makes hours of work foreign.
func TestWorldResults(t *testing.T) {
	grid, err := paper.Load(filepath.Join("..", "recipes", "world.toml"))
	if err != nil {
		t.Fatal(err)
	}
	results := t.TempDir()
	committed := os.DirFS(filepath.Join("..", "docs", "results", "world"))
	if err := os.CopyFS(results, committed); err != nil {
		t.Fatal(err)
	}
	look, err := grid.Look(t.Context(), &hub.Client{}, t.TempDir(), results, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := look.Estimated.Finished; len(look.Cells) == 0 || n != len(look.Cells) {
		t.Errorf("%d cells, %d of them finished, want all", len(look.Cells), n)
	}
}
