package train

import (
	"fmt"
	"iter"

	"haf/objective"
	"haf/pack"
	"haf/reward"
)

// A stepOrder says which packed batches are run, and in which steps.
type stepOrder struct {
	// shapes are those of all packed batches, so that training, reference and validation share
	// programs.
	shapes  []pack.Shape
	packing *pack.Packing
	epochs  [][][]int // steps of each epoch, each a list of packed batches
	total   int       // steps
}

// newStepOrder packs the data into batches of about that many positions and cuts them into steps.
func newStepOrder(positions int, data Data, opt Options) (*stepOrder, error) {
	packing := pack.Options{Positions: positions, CoarseReadOut: opt.CoarseShapes}
	var s stepOrder
	var err error
	if s.shapes, err = pack.CommonShapes(packing, data.Train, data.Valid); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	packing.Shapes = s.shapes
	if s.packing, err = pack.New(data.Train, packing); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	more := func(epoch int) bool {
		return (opt.Epochs < 1 || epoch < opt.Epochs) && (opt.MaxSteps < 1 || s.total < opt.MaxSteps)
	}
	for epoch := 0; more(epoch); epoch++ {
		steps := s.packing.Steps(opt.Batch, opt.Seed, epoch)
		s.epochs = append(s.epochs, steps)
		s.total += len(steps)
	}
	if opt.MaxSteps > 0 {
		s.total = min(s.total, opt.MaxSteps)
	}
	return &s, nil
}

// sizeWarning says that steps are much larger than asked for, and "" otherwise: a step has one
// packed batch at least, and short texts put many groups into one.
func sizeWarning(stats pack.StepStats, batch, positions int) string {
	if stats.Mean <= 1.5*float64(batch) {
		return ""
	}
	fit := max(64, int(float64(positions)*float64(batch)/stats.Mean)/32*32)
	return fmt.Sprintf("warning: a step has %.0f groups, and train.batch is %d: one packed batch of "+
		"short texts holds that many; for smaller steps set train.tokens_per_batch = %d, now %d",
		stats.Mean, batch, fit, positions)
}

// steps yields the steps that are made, each as its packed batches.
func (s *stepOrder) steps() iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		left := s.total
		for _, steps := range s.epochs {
			for _, step := range steps[:min(left, len(steps))] {
				if !yield(step) {
					return
				}
			}
			left -= min(left, len(steps))
		}
	}
}

// memory estimates the memory of a run of these steps with the model's present checkpointing.
func (s *stepOrder) memory(model *reward.Model, obj objective.Hybrid) Memory {
	accumulates := false
	for step := range s.steps() {
		accumulates = accumulates || len(step) > 1
	}
	return NewMemory(model, obj, s.shapes, accumulates)
}
