package paper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"haf/eval"
	"haf/internal/durable"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/run"
)

// A Runner trains and reads models: the program's own training and evaluation.
type Runner interface {
	// Train trains the recipe into a run folder, or resumes the run that stopped there.
	Train(ctx context.Context, r *recipe.Recipe, dir string) error
	// Read fits the combination of the heads on valid, where both were trained, and reads every reward
	// of the run's model on every set.
	Read(ctx context.Context, dir string, valid []pref.Group, sets [][]pref.Group) (Reading, error)
}

// A Reading is what one model gave: Sets[i].Rewards is by name of the reward.
type Reading struct {
	Combination *reward.Combination
	Sets        []SetReading
}

// A SetReading is one set's: the positions of the groups that could be read, the comparisons left,
// and the rewards.
type SetReading struct {
	Index   []int                  `json:"index"`
	Rewards map[string][][]float64 `json:"rewards"` // [name][group][response]
}

// A Result is what is kept of a finished cell: results.json, beside rewards.json with every reward.
type Result struct {
	ID   string   `json:"id"`
	Sets []string `json:"sets"`
	Set  []string `json:"set"`
	Seed uint64   `json:"seed"`
	// the validation that chose the checkpoint
	Best        *Chosen                           `json:"best"`
	Combination *reward.Combination               `json:"combination,omitempty"`
	Results     map[string]map[string]eval.Result `json:"results"` // [test set][reward]
	Pairs       int                               `json:"pairs"`   // of the training set
	Seconds     float64                           `json:"seconds"` // training and evaluation
}

// Chosen is the checkpoint that validation chose.
type Chosen struct {
	Step     int     `json:"step"`
	Reward   string  `json:"reward"`
	Accuracy float64 `json:"accuracy"`
}

const (
	resultName  = "results.json"
	rewardsName = "rewards.json"
	failedName  = "failed.txt"
)

// Run runs the cells that are not finished, one after the other. A cell that fails leaves
// failed.txt in its folder and does not take the rest with it; it is tried again by the next run.
// failed lists the cells that did. An interrupt ends the run, and the next one goes on.
func (p *Grid) Run(
	ctx context.Context, dir string, data *Data, cells []*Cell, runner Runner,
	say func(format string, args ...any),
) (failed []string, err error) {
	for i, c := range cells {
		folder := c.folder(dir)
		if _, err := readResult(folder); err == nil {
			continue
		}
		say("cell %d of %d: %s", i+1, len(cells), c.ID)
		err := p.runCell(ctx, folder, data, c, runner)
		if ctx.Err() != nil {
			return failed, fmt.Errorf("paper: stopped at cell %d of %d, %s; the same command goes on: %w",
				i+1, len(cells), c.ID, ctx.Err())
		}
		if err == nil {
			continue
		}
		failed = append(failed, c.ID)
		say("cell %s failed: %v", c.ID, err)
		if err := durable.MkdirAll(folder); err != nil {
			return failed, fmt.Errorf("paper: %w", err)
		}
		note := []byte(err.Error() + "\n")
		if err := durable.WriteFile(filepath.Join(folder, failedName), note); err != nil {
			return failed, fmt.Errorf("paper: %w", err)
		}
	}
	return failed, nil
}

func (c *Cell) folder(dir string) string { return filepath.Join(dir, "cells", c.ID) }

func (p *Grid) runCell(
	ctx context.Context, folder string, data *Data, c *Cell, runner Runner,
) error {
	began := time.Now()
	if !run.Finished(folder) {
		if err := runner.Train(ctx, c.Recipe, folder); err != nil {
			return err
		}
	}
	var valid []pref.Group
	var sets [][]pref.Group
	for _, name := range c.Sets {
		groups, err := data.Groups(name, "valid")
		if err != nil {
			return err
		}
		valid = append(valid, groups...)
	}
	for _, s := range p.Sets {
		groups, err := data.Groups(s.Name, "test")
		if err != nil {
			return err
		}
		sets = append(sets, groups)
	}
	reading, err := runner.Read(ctx, folder, valid, sets)
	if err != nil {
		return err
	}
	r := Result{ID: c.ID, Sets: c.Sets, Set: c.Set, Seed: c.Seed, Combination: reading.Combination,
		Results: map[string]map[string]eval.Result{}}
	rewards := map[string]SetReading{}
	for i, s := range p.Sets {
		of := reading.Sets[i]
		rewards[s.Name], r.Results[s.Name] = of, map[string]eval.Result{}
		for name, values := range of.Rewards {
			if r.Results[s.Name][name], err = eval.Comparisons(pick(sets[i], of.Index), values); err != nil {
				return fmt.Errorf("%s on %s: %w", name, s.Name, err)
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
	if r.Best, err = chosen(folder); err != nil {
		return err
	}
	r.Seconds = time.Since(began).Seconds()
	if err := writeJSON(filepath.Join(folder, rewardsName), rewards); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(folder, resultName), r); err != nil {
		return err
	}
	stale := []string{failedName, run.CheckpointsName}
	if !p.KeepModels {
		stale = append(stale, run.ModelName, run.BestName)
	}
	for _, name := range stale {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("paper: %w", err)
		}
	}
	return nil
}

// pick takes the groups at the positions.
func pick(groups []pref.Group, index []int) []pref.Group {
	out := make([]pref.Group, len(index))
	for i, at := range index {
		out[i] = groups[at]
	}
	return out
}

func readResult(folder string) (*Result, error) {
	data, err := os.ReadFile(filepath.Join(folder, resultName))
	if err != nil {
		return nil, err
	}
	r := &Result{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("paper: %s: %w", filepath.Join(folder, resultName), err)
	}
	return r, nil
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		err = durable.WriteFile(path, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("paper: %w", err)
	}
	return nil
}

// WriteResults writes one line of JSON a finished cell, in the grid's order: the data of the page.
func WriteResults(path string, results []*Result) error {
	var out []byte
	for _, r := range results {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("paper: %w", err)
		}
		out = append(append(out, line...), '\n')
	}
	if err := durable.WriteFile(path, out); err != nil {
		return fmt.Errorf("paper: %w", err)
	}
	return nil
}

// ErrFailed is wrapped where cells have failed.
var ErrFailed = errors.New("cells failed")

// Estimated is the seconds that cells take. A pair costs a training step 3 forward passes; the
// reference, validations and tests cost one each.
type Estimated struct {
	Cells, Finished int
	Seconds         float64 // of the rest; 0 where nothing is known
	From            string  // what the rate is from
}

// Estimate says what is left of the cells. Rates are those of finished cells in dir, or else what
// the grid states.
func (p *Grid) Estimate(dir string, data *Data, cells []*Cell) Estimated {
	e := Estimated{Cells: len(cells), From: "pairs_per_second of the grid"}
	var rates []float64 // seconds a unit
	left := 0.0
	for _, c := range cells {
		units := p.units(data, c)
		if r, err := readResult(c.folder(dir)); data != nil && err == nil {
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

// A Need is the memory of the training that needs the most, by its own estimate.
type Need struct {
	Cell  string `json:"cell"`
	Bytes int64  `json:"bytes"`
}

// Need estimates the trainings of the cells, whose data must be made and base models be on disk. Of
// cells that differ only in what memory does not depend on, the first stands for all.
func (p *Grid) Need(cells []*Cell) (Need, error) {
	return most(cells, func(r *recipe.Recipe) (int64, error) {
		estimate, err := r.Estimate()
		if err != nil {
			return 0, err
		}
		return estimate.Run.Memory.Total(), nil
	})
}

// Bound is [Grid.Need] from above where neither data nor base models are on disk, by the grid's
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

// units is a cell's work in forward passes of a pair.
func (p *Grid) units(data *Data, c *Cell) float64 {
	parts := map[string]Parts{}
	if data != nil {
		for _, of := range data.Parts {
			parts[of.Set] = of
		}
	} else {
		for _, s := range p.Sets {
			parts[s.Name] = Parts{Train: s.NTrain, Valid: s.NValid, Test: s.NTest}
		}
	}
	train, valid, tests := 0, 0, 0
	for _, name := range c.Sets {
		train, valid = train+parts[name].Train, valid+parts[name].Valid
	}
	for _, s := range p.Sets {
		tests += parts[s.Name].Test
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
	return 3*trained + float64(train) + float64(valid)*(validations+1) + 2*float64(tests)
}
