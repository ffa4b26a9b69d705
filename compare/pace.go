package compare

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"haf/internal/durable"
)

// A Pace is the speed of this machine, measured by two short trainings with the same shape: the
// first compiles, the second does not. A pair costs a training step as much as three forward
// passes.
type Pace struct {
	Forward  float64 `json:"forward"`  // seconds of a forward pass of a pair
	Overhead float64 `json:"overhead"` // seconds of a training besides its steps and validations
	Compile  float64 `json:"compile"`  // seconds of compiling the programs of one shape
}

// paceBatches is the number of optimizer steps of a short training.
const paceBatches = 3

// measure trains HaF twice on a few pairs.
func (s *study) measure(ctx context.Context, batch int) (Pace, error) {
	dir := filepath.Join(s.Out, paceName)
	if err := durable.RemoveAll(dir); err != nil { // left by a stopped call
		return Pace{}, fmt.Errorf("compare: %w", err)
	}
	pairs := min(paceBatches*batch, s.plan.Groups/3)
	s.Logf("a short training on %d pairs, to measure the pace", pairs)
	grid := s.plan.gridOf(s, pairs, fewestValid/2, 1)
	data, err := s.split(ctx, grid, dir)
	if err != nil {
		return Pace{}, err
	}
	setting := Setting{HaF, 0.2, 1e-6}
	probe := study{Options: s.Options, plan: s.plan, grid: grid, data: data}
	var walls, steps []float64
	for seed := range uint64(2) {
		cell, err := probe.cell(setting, pairs, seed+1)
		if err != nil {
			return Pace{}, err
		}
		if err := cell.Recipe.Override("train.epochs=1"); err != nil {
			return Pace{}, err
		}
		cell.Recipe.Train.EvalEvery, cell.Recipe.Train.CheckpointEvery = 0, 0
		began := time.Now()
		trained, err := s.Runner.Train(ctx, cell.Recipe, cell.Folder(dir))
		if err != nil {
			return Pace{}, err
		}
		walls, steps = append(walls, time.Since(began).Seconds()), append(steps, trained.Seconds)
	}
	units := 3*float64(pairs) + fewestValid/2
	p := Pace{Forward: steps[1] / units, Overhead: max(0, walls[1]-steps[1]),
		Compile: max(0, walls[0]-walls[1])}
	if err := durable.RemoveAll(dir); err != nil {
		return p, fmt.Errorf("compare: %w", err)
	}
	return p, nil
}

// training estimates the seconds of a training on that many pairs with its validations.
func (p Pace) training(pairs int, of *Plan) float64 {
	n := float64(pairs)
	return p.Overhead + p.Forward*(3*n*float64(of.Epochs)+n+float64(of.Valid)*(validations+1))
}

// reading estimates the seconds of reading a model and its reference on validation and test data.
func (p Pace) reading(of *Plan) float64 {
	return p.Overhead + p.Forward*2*float64(of.Test+of.Valid)
}

// String is the pace in one line.
func (p Pace) String() string {
	return fmt.Sprintf("measured: %.3g pairs a second in training; besides its steps a training "+
		"takes %v, and each new shape %v to compile", 1/max(1e-12, 3*p.Forward), seconds(p.Overhead),
		seconds(p.Compile))
}
