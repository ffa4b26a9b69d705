// Package compare finds the reward model that a user should train on their own data: it trains
// Baseline, HaF and DPO within a time budget, chooses their settings on validation data, compares
// the finalists on test data, and reports how certain the answer is and how to make it more
// certain.
package compare

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"haf/hub"
	"haf/internal/durable"
	"haf/paper"
	"haf/run"
)

// Options set what [Run] compares.
type Options struct {
	Data  string // preference file, folder or id of a data set; [Demo] is the built-in one
	Test  string // held-out pairs; "": the test split of Data, else a part of Data
	Model string // base model: folder or id; [Demo] is the built-in one
	Out   string // output folder; "": [DefaultDir]
	// Time is the budget for the plan; the trainings stop after it.
	Time          time.Duration
	Alphas        []float64 // weights of HaF's policy loss; none: the budget decides
	LearningRates []float64 // none: three that fit the model's size
	Set           []string  // overrides of the recipe, KEY=VALUE
	Hub           *hub.Client
	Runner        paper.Runner
	Logf          func(format string, args ...any)
}

// Names of files and folders below Options.Out.
const (
	planName   = "plan.json"
	paceName   = "pace"
	chosenName = "chosen"
	demoName   = "demo"
	pageName   = "page"
)

// setName is the name of the data in the grid.
const setName = "pairs"

// DefaultDir is the default output folder of a comparison.
func DefaultDir(data string) string {
	name, _, _ := strings.Cut(filepath.Base(data), ".")
	return filepath.Join("runs", "compare-"+strings.ReplaceAll(name, ":", "-"))
}

// A study is a comparison in progress.
type study struct {
	Options
	asked   Options // as given; in Options the demo's data and model have paths
	plan    *Plan
	grid    *paper.Grid
	data    *paper.Data
	journal *paper.Journal
	rounds  []Round
	failed  map[string]bool // cells that failed in this process, by their ids
}

// Run makes the comparison, or resumes it. When the time is over it returns an answer from the
// finished trainings, which says that it is incomplete.
func Run(ctx context.Context, opt Options) (*Answer, error) {
	if opt.Out == "" {
		opt.Out = DefaultDir(opt.Data)
	}
	if opt.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, opt.Time, paper.ErrTime)
		defer cancel()
	}
	s := &study{Options: opt, asked: opt, failed: map[string]bool{}}
	if err := s.prepare(ctx); err != nil {
		return nil, s.explain(ctx, err)
	}
	defer func() { _ = s.journal.Close() }() // every line is on disk already
	finalists, err := s.search(ctx)
	if err == nil {
		err = s.train(ctx, finalists)
	}
	if err != nil && !timeUp(ctx) {
		return nil, err
	}
	answer, err := s.answer(finalists)
	if err != nil {
		return nil, err
	}
	if answer.Finished {
		if err := s.keep(answer, finalists); err != nil {
			return nil, err
		}
	}
	return answer, s.writePage(answer)
}

// prepare makes the plan, splits the data and opens the journal.
func (s *study) prepare(ctx context.Context) error {
	if err := s.checkOptions(); err != nil {
		return err
	}
	if err := s.makeDemo(ctx); err != nil {
		return err
	}
	if err := s.makePlan(ctx); err != nil {
		return err
	}
	s.grid = s.plan.grid(s)
	s.grid.Base = paper.BaseHashes(ctx, s.Hub)
	var err error
	if s.data, err = s.split(ctx, s.grid, s.Out); err != nil {
		return err
	}
	s.Logf("%s", s.plan.describe(s.data.Parts[0]))
	s.journal, err = s.grid.OpenJournal(s.Out, s.data)
	return err
}

// split splits the data of a grid.
func (s *study) split(ctx context.Context, grid *paper.Grid, dir string) (*paper.Data, error) {
	return grid.MakeData(dir, func(named []string) ([]string, error) {
		return s.Hub.Files(ctx, named)
	})
}

// run runs the unfinished cells. It records failures; only a stop is an error.
func (s *study) run(ctx context.Context, cells []*paper.Cell) error {
	failed, err := s.grid.Run(ctx, s.Out, s.data, cells, s.journal, s.Runner, s.Logf)
	for _, id := range failed {
		s.failed[id] = true
	}
	if err == nil && ctx.Err() != nil {
		for _, c := range cells {
			if s.journal.Result(c) == nil && !s.failed[c.ID] {
				return context.Cause(ctx)
			}
		}
	}
	return err
}

func timeUp(ctx context.Context) bool { return errors.Is(context.Cause(ctx), paper.ErrTime) }

// explain turns the end of the time before there is a plan into an error that says so.
func (s *study) explain(ctx context.Context, err error) error {
	if !timeUp(ctx) || errors.Is(err, ErrShort) {
		return err
	}
	return fmt.Errorf("compare: %w: -time %v ended before the first short training: give at least %v",
		ErrShort, s.Time, 4*s.Time)
}

// ErrShort is wrapped by the error for a time too short for any answer.
var ErrShort = errors.New("the time is too short")

// keep moves the best run of the recommended finalist to its final place and removes the other
// models.
func (s *study) keep(a *Answer, finalists []*Finalist) error {
	path := filepath.Join(s.Out, chosenName)
	for _, f := range finalists {
		for i, c := range f.full() {
			folder := c.Folder(s.Out)
			wanted := f.Name == a.Recommended.Name && i == a.Recommended.best
			var err error
			switch {
			case !wanted:
				err = durable.RemoveAll(folder)
			case run.Finished(folder):
				err = durable.Rename(folder, path)
			}
			if err != nil {
				return fmt.Errorf("compare: %w", err)
			}
		}
	}
	if !run.Finished(path) {
		return fmt.Errorf("compare: %s, the chosen model, is gone: remove %s and run the same command "+
			"to train it again", path, filepath.Join(s.Out, "results.jsonl"))
	}
	a.Recommended.Run = path
	return nil
}
