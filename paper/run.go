package paper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"haf/internal/durable"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/run"
)

// A Runner trains and reads models.
type Runner interface {
	// Train trains the recipe into a run folder, or resumes the run that stopped there.
	Train(ctx context.Context, r *recipe.Recipe, dir string) (Trained, error)
	// Read fits the combination of the heads on the validation groups, if both heads were trained, and
	// a probe on the groups of known truth. It reads every reward of the run's model on every test
	// set.
	Read(ctx context.Context, dir string, of Parts) (Reading, error)
}

// Trained is the effort of a training. Seconds are those of its steps and validations.
type Trained struct {
	Steps, Programs int
	Seconds         float64
}

// Parts are the groups that a model is read on.
type Parts struct {
	Valid []pref.Group
	Probe []pref.Group // none: no probe
	Tests [][]pref.Group
}

// A Reading has the rewards of one model.
type Reading struct {
	Combination *reward.Combination
	Sets        []SetReading
	Programs    int // number compiled
	Seconds     float64
}

// A SetReading has the rewards on one set: the positions of the groups that could be read, the
// comparisons left, and the rewards.
type SetReading struct {
	Index   []int
	Rewards map[string][][]float64 // [name][group][response]
}

// A Result is the record of a finished cell: a line of the [Journal].
type Result struct {
	ID   string   `json:"id"`
	Sets []string `json:"sets"`
	Set  []string `json:"set"`
	Seed uint64   `json:"seed"`
	// the validation that selected the checkpoint
	Best        *Chosen                       `json:"best"`
	Combination *reward.Combination           `json:"combination,omitempty"`
	Tests       map[string]map[string]Margins `json:"tests"` // [test set][reward]
	Pairs       int                           `json:"pairs"` // in the training set
	Steps       int                           `json:"steps"`
	Programs    int                           `json:"programs"`      // compiled for the cell
	Seconds     float64                       `json:"seconds"`       // for the whole cell
	TrainTime   float64                       `json:"train_seconds"` // for steps and validations
	ReadTime    float64                       `json:"read_seconds"`  // for reading the test sets
}

// Chosen is the checkpoint that validation selected.
type Chosen struct {
	Step     int     `json:"step"`
	Reward   string  `json:"reward"`
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss,omitempty"`
}

const failedName = "failed.txt"

// ErrTime is the cause of a stop at the end of the given time.
var ErrTime = errors.New("the time is up")

// Run runs the unfinished cells one after another and adds each to the journal. A cell that fails
// leaves failed.txt in its folder, and the others continue; the next run tries it again. failed
// lists these cells. After an interrupt the next run resumes. The end of the time, [ErrTime], stops
// the run in the same way, but is no error.
func (p *Grid) Run(
	ctx context.Context, dir string, data *Data, cells []*Cell, journal *Journal, runner Runner,
	say func(format string, args ...any),
) (failed []string, err error) {
	for i, c := range cells {
		folder := c.Folder(dir)
		if journal.Result(c) != nil {
			continue
		}
		stopped := func() error {
			if errors.Is(context.Cause(ctx), ErrTime) {
				say("%v at cell %d of %d, %s; the same command resumes", ErrTime, i+1, len(cells), c.ID)
				return nil
			}
			return fmt.Errorf("paper: stopped at cell %d of %d, %s; the same command resumes: %w",
				i+1, len(cells), c.ID, ctx.Err())
		}
		if ctx.Err() != nil {
			return failed, stopped()
		}
		say("cell %d of %d: %s", i+1, len(cells), c.ID)
		result, err := p.runCell(ctx, folder, data, c, runner)
		if ctx.Err() != nil && err != nil {
			return failed, stopped()
		}
		if err == nil {
			if err := journal.add(result); err != nil {
				return failed, err
			}
			if err := p.clean(c, folder); err != nil {
				return failed, err
			}
			continue
		}
		failed = append(failed, c.ID)
		say("cell %s failed: %v", c.ID, err)
		if err := durable.MkdirAll(folder); err != nil {
			return failed, fmt.Errorf("paper: %w", err)
		}
		why := []byte(err.Error() + "\n")
		if err := durable.WriteFile(filepath.Join(folder, failedName), why); err != nil {
			return failed, fmt.Errorf("paper: %w", err)
		}
	}
	return failed, nil
}

// clean removes a finished cell's folder, or only the parts besides the model if models are kept.
func (p *Grid) clean(c *Cell, folder string) error {
	stale := []string{folder}
	if p.KeepModels || c.KeepModel {
		stale = []string{filepath.Join(folder, failedName), filepath.Join(folder, run.CheckpointsName)}
	}
	for _, path := range stale {
		if err := durable.RemoveAll(path); err != nil {
			return fmt.Errorf("paper: %w", err)
		}
	}
	return nil
}

// Folder is the run folder of the cell, if the grid's cells are in dir.
func (c *Cell) Folder(dir string) string { return filepath.Join(dir, "cells", c.ID) }

func (p *Grid) runCell(
	ctx context.Context, folder string, data *Data, c *Cell, runner Runner,
) (*Result, error) {
	began := time.Now()
	var trained Trained
	if !run.Finished(folder) {
		var err error
		if trained, err = runner.Train(ctx, c.Recipe, folder); err != nil {
			return nil, err
		}
	}
	var parts Parts
	var reading Reading
	if len(c.Tests) > 0 {
		var err error
		if parts, err = p.parts(data, c); err != nil {
			return nil, err
		}
		if reading, err = runner.Read(ctx, folder, parts); err != nil {
			return nil, err
		}
	}
	var err error
	r := &Result{ID: c.ID, Sets: c.Sets, Set: c.Set, Seed: c.Seed, Combination: reading.Combination,
		Tests: map[string]map[string]Margins{}, Steps: trained.Steps,
		Programs: trained.Programs + reading.Programs, TrainTime: trained.Seconds,
		ReadTime: reading.Seconds}
	for i, s := range p.Sets {
		if i >= len(reading.Sets) || !slices.Contains(c.Tests, s.Name) {
			continue
		}
		of := reading.Sets[i]
		if len(of.Index) == 0 {
			return nil, fmt.Errorf("no test group of %s fits into model.max_length: raise it, or lower "+
				"max_chars of the set", s.Name)
		}
		r.Tests[s.Name] = map[string]Margins{}
		for name, values := range of.Rewards {
			if r.Tests[s.Name][name], err = newMargins(parts.Tests[i], of.Index, values,
				bitsOf(name)); err != nil {
				return nil, fmt.Errorf("%s on %s: %w", name, s.Name, err)
			}
		}
	}
	for _, name := range c.Sets {
		for _, part := range data.Parts {
			if part.Set == name {
				r.Pairs += part.Train
			}
		}
	}
	if first := c.Recipe.Data.Limit; first > 0 {
		r.Pairs = min(r.Pairs, first)
	}
	records, err := run.ReadRecords(folder, run.VerbTrain)
	if err != nil {
		return nil, err
	}
	r.Best = chosen(records)
	if n := len(records.Steps); r.Steps == 0 && n > 0 { // an earlier process trained the cell
		r.Steps = records.Steps[n-1].Step
		for _, step := range records.Steps {
			r.TrainTime += step.Seconds
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// parts returns the groups that a cell's model is read on, with tests by set.
func (p *Grid) parts(data *Data, c *Cell) (out Parts, err error) {
	add := func(to *[]pref.Group, set, part string) error {
		groups, err := data.Groups(set, part)
		*to = append(*to, groups...)
		return err
	}
	for _, name := range c.Sets {
		if err := add(&out.Valid, name, "valid"); err != nil {
			return out, err
		}
		if p.set(name).Probe > 0 {
			if err := add(&out.Probe, name, "probe"); err != nil {
				return out, err
			}
		}
	}
	for _, s := range p.Sets {
		var groups []pref.Group
		if slices.Contains(c.Tests, s.Name) {
			if err := add(&groups, s.Name, "test"); err != nil {
				return out, err
			}
		}
		out.Tests = append(out.Tests, groups)
	}
	return out, nil
}

// pick returns the groups at the positions.
func pick(groups []pref.Group, index []int) []pref.Group {
	out := make([]pref.Group, len(index))
	for i, at := range index {
		out[i] = groups[at]
	}
	return out
}

// ErrFailed is wrapped by the error for failed cells.
var ErrFailed = errors.New("cells failed")

// Estimated is the estimated time of cells, in seconds. A pair costs a training step as much as 3
// forward passes; validations and tests cost one each. The passes of the reference are not counted,
// because cells share them through the cache.
type Estimated struct {
	Cells    int     `json:"cells"`
	Finished int     `json:"finished"`
	Seconds  float64 `json:"seconds"` // for the rest; 0 if unknown
	From     string  `json:"from"`    // source of the rate
}

// Estimate estimates the remaining time of the cells. The rate comes from the journal's finished
// cells, or else from the grid.
func (p *Grid) Estimate(journal *Journal, data *Data, cells []*Cell) Estimated {
	e := Estimated{Cells: len(cells), From: "pairs_per_second of the grid"}
	var rates []float64 // seconds per unit
	left := 0.0
	for _, c := range cells {
		units := p.units(data, c)
		if r := journal.Result(c); data != nil && r != nil {
			e.Finished++
			rates = append(rates, r.Seconds/units)
		} else {
			left += units
		}
	}
	rate := 0.0
	if p.Cost.PairsPerSecond > 0 {
		rate = 1 / (3 * p.Cost.PairsPerSecond)
	}
	if len(rates) > 0 {
		slices.Sort(rates)
		rate, e.From = rates[len(rates)/2], fmt.Sprintf("the median of %d finished cells", len(rates))
	}
	e.Seconds = left * rate
	return e
}

// A Need is the estimated memory of the training that needs the most.
type Need struct {
	Cell  string `json:"cell"`
	Bytes int64  `json:"bytes"`
}

// Need estimates the trainings of the cells, whose data and base models must be on disk. Cells that
// differ only in settings without effect on memory are estimated once.
func (p *Grid) Need(cells []*Cell) (Need, error) {
	return most(cells, func(r *recipe.Recipe) (int64, error) {
		estimate, err := r.Estimate()
		if err != nil {
			return 0, err
		}
		return estimate.Run.Memory.Total(), nil
	})
}

// Bound is an upper bound of [Grid.Need] if data or base models are not on disk, from the grid's
// base_config.
func (p *Grid) Bound(cells []*Cell) (Need, error) {
	if len(p.BaseConfig) == 0 {
		return Need{}, fmt.Errorf(
			"paper: %s has no [base_config], which would say how large the base model is", p.name)
	}
	config, err := json.Marshal(p.BaseConfig)
	if err != nil {
		return Need{}, fmt.Errorf("paper: base_config: %w", err)
	}
	return most(cells, func(r *recipe.Recipe) (int64, error) {
		memory, err := r.Bound(config)
		return memory.Total(), err
	})
}

// most finds the cell whose training needs the most memory.
func most(cells []*Cell, total func(*recipe.Recipe) (int64, error)) (Need, error) {
	var most Need
	planned := map[string]bool{}
	for _, c := range cells {
		r := c.Recipe
		o := r.TrainOptions().Objective
		t := r.Train
		t.Seed, t.LR = 0, 0
		key := fmt.Sprint(c.Sets, r.Model, r.LoRA, t, r.Data.Limit, r.Data.Fraction, o.UsesScore(),
			o.UsesPolicy(), o.UsesReference(), o.Learns(), o.Kind)
		if planned[key] {
			continue
		}
		planned[key] = true
		bytes, err := total(r)
		if err != nil {
			return most, fmt.Errorf("paper: %s: %w", c.ID, err)
		}
		if bytes > most.Bytes {
			most = Need{c.ID, bytes}
		}
	}
	return most, nil
}

// units is a cell's work, in forward passes of a pair.
func (p *Grid) units(data *Data, c *Cell) float64 {
	parts := map[string]PartCounts{}
	if data != nil {
		for _, of := range data.Parts {
			parts[of.Set] = of
		}
	} else {
		for _, s := range p.Sets {
			parts[s.Name] = PartCounts{Train: s.NTrain, Valid: s.NValid, Test: s.NTest}
		}
	}
	train, valid, tests := 0, 0, 0
	for _, name := range c.Sets {
		train, valid = train+parts[name].Train, valid+parts[name].Valid
	}
	for _, s := range p.Sets {
		if slices.Contains(c.Tests, s.Name) {
			tests += parts[s.Name].Test
		}
	}
	if first := c.Recipe.Data.Limit; first > 0 {
		train = min(train, first)
	}
	t := c.Recipe.Train
	trained := float64(train * t.Epochs)
	if t.MaxSteps > 0 && (t.Epochs < 1 || float64(t.MaxSteps*t.Batch) < trained) {
		trained = float64(t.MaxSteps * t.Batch)
	}
	validations := 1.0
	if t.EvalEvery > 0 {
		validations += trained / float64(t.Batch*t.EvalEvery)
	}
	return 3*trained + float64(valid)*(validations+1) + float64(tests)
}
