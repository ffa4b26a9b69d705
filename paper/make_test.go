package paper_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"haf/backend"
	"haf/hub"
	"haf/launch"
	"haf/paper"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

// TestMake makes a grid from nothing, with a cell that fails, and again without it.
func TestMake(t *testing.T) {
	grid, dir := world(t)
	if _, err := recipe.WriteDemo(dir, 1); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir) // where the grid's base model is
	var told []string
	runner := &fake{fail: "HaF-b-seed2"}
	opt := paper.Options{
		Dir: filepath.Join(dir, "out"), PageOnly: true, Note: "a test", Runner: runner,
		Hub:  &hub.Client{Offline: true, Cache: t.TempDir()},
		Logf: func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) },
	}
	if _, err := grid.Make(t.Context(), opt); err == nil ||
		!strings.Contains(err.Error(), "nothing was run there") {
		t.Errorf("a page of nothing: %v", err)
	}
	opt.PageOnly = false
	out, err := grid.Make(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Cells) != 14 || out.Finished != 0 || len(out.Failed) != 1 ||
		!errors.Is(out.Err(), paper.ErrFailed) || !strings.Contains(out.Err().Error(), "1 of 14 cells") {
		t.Errorf("%+v: %v", out, out.Err())
	}
	if len(told) == 0 || !strings.HasPrefix(told[0], "grid: 14 cells, 0 finished") {
		t.Errorf("told %q", told)
	}
	runner.fail, opt.Only = "", []string{"main"}
	first := len(runner.trained)
	if out, err = grid.Make(t.Context(), opt); err != nil || out.Err() != nil {
		t.Fatalf("%+v: %v, %v", out, err, out.Err())
	}
	if again := runner.trained[first:]; len(again) != 1 ||
		!strings.HasPrefix(again[0], "HaF-b-seed2") {
		t.Errorf("trained again: %v", again)
	}
	var page strings.Builder
	if err := out.Write(&page); err != nil ||
		page.String() != out.Markdown+"\n"+out.HTML+"\n" || out.Finished != len(out.Cells)-1 {
		t.Errorf("%q, %+v, %v", page.String(), out, err)
	}
}

// TestOutlook lists the cells with what they need.
func TestOutlook(t *testing.T) {
	grid, dir := world(t)
	if _, err := recipe.WriteDemo(dir, 1); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	client := &hub.Client{Offline: true, Cache: t.TempDir()}
	look, err := grid.Look(t.Context(), client, dir, "", nil)
	if err != nil || look.Need == nil {
		t.Fatalf("%+v: %v, %v", look, err, look.Unknown)
	}
	out := look.Outcome(1)
	if out.Available != 1 || out.Need != look.Need || len(out.Cells) != 14 || !look.Short(1) {
		t.Errorf("%+v", out)
	}
	var list strings.Builder
	if err := look.Write(&list); err != nil || strings.Count(list.String(), "\n") != 14+2 ||
		!strings.Contains(list.String(), "memory: at most ") {
		t.Errorf("%q, %v", list.String(), err)
	}
}

// TestLocal trains a model in pure Go, by the runner of haf paper, and reads its rewards.
func TestLocal(t *testing.T) {
	demo, err := recipe.WriteDemo(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	silent := quiet{}
	local := &paper.Local{Open: func() (launch.Env, error) {
		opened++
		device, err := backend.Open("go")
		return launch.Env{
			Device: device, Hub: &hub.Client{Offline: true, Cache: t.TempDir()}, Cache: t.TempDir(),
			Progress: silent, Notef: silent.Logf,
		}, err
	}}
	r, err := recipe.Load("", []string{
		"model.path=" + demo.Base, "model.max_length=64", "data.train=" + demo.Train,
		"data.limit=16", "train.epochs=1", "train.seed=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	if trained, err := local.Train(t.Context(), r, dir); err != nil || trained.Steps == 0 {
		t.Fatal(err)
	}
	groups, _, err := pref.Load([]string{demo.Test}, pref.Options{})
	if err != nil {
		t.Fatal(err)
	}
	read, err := local.Read(t.Context(), dir, paper.Parts{Valid: groups[:8],
		Tests: [][]pref.Group{groups[8:12], groups[12:18]}})
	if err != nil {
		t.Fatal(err)
	}
	if opened != 1 || read.Combination == nil || len(read.Sets) != 2 || len(read.Sets[0].Index) != 4 ||
		len(read.Sets[1].Rewards[reward.ByCombined]) != 6 {
		t.Errorf("opened %d times, read %+v", opened, read)
	}
}

// quiet is a run.Progress that says nothing.
type quiet struct{}

func (quiet) Logf(string, ...any)    {}
func (quiet) StartPhase(string, int) {}
func (quiet) Update(int, string)     {}
func (quiet) EndPhase()              {}
