package train

import (
	"fmt"

	"haf/encode"
)

// A schedule says which packed batches are run, and in which steps.
type schedule struct {
	shapes []encode.Shape // of all packed batches, so that training, reference and validation share programs
	plan   *encode.Plan
	epochs [][][]int // steps of each epoch, each a list of packed batches
	total  int       // steps
}

// newSchedule packs the data into batches of about that many positions and cuts them into steps.
func newSchedule(positions int, data Data, opt Options) (*schedule, error) {
	packing := encode.PlanOptions{Positions: positions}
	var s schedule
	var err error
	if s.shapes, err = encode.CommonShapes(packing, data.Train, data.Valid); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	packing.Shapes = s.shapes
	if s.plan, err = encode.NewPlan(data.Train, packing); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	for epoch := 0; (opt.Epochs < 1 || epoch < opt.Epochs) && (opt.MaxSteps < 1 || s.total < opt.MaxSteps); epoch++ {
		steps := s.plan.Steps(opt.Batch, opt.Seed, epoch)
		s.epochs = append(s.epochs, steps)
		s.total += len(steps)
	}
	if opt.MaxSteps > 0 {
		s.total = min(s.total, opt.MaxSteps)
	}
	return &s, nil
}
