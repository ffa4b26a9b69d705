package optim

import (
	"errors"
	"fmt"
	"math"

	"haf/mesh"
)

// A MicroBatch holds the results of the gradient program for one packed batch of a step.
type MicroBatch struct {
	Gradients []*mesh.Array // in the order of [Optimizer.Params]
	Squares   float64       // sum of the squares of all gradients
	Loss      float64       // the step fails if it is not finite
}

// A Step describes one optimizer step to [Optimizer.Step].
type Step struct {
	Number  int     // t, from 1
	Rate    float64 // learning rate
	Batches int     // packed batches whose gradients are added up, at least 1
	// Run runs the gradient program over packed batch i.
	Run func(i int) (MicroBatch, error)
	// Penalize, if not nil, changes the summed gradients in place before clipping and returns their
	// new squared norm.
	Penalize func(sums []*mesh.Array) (squares float64, err error)
}

// Step makes one optimizer step: it adds up the gradients of the packed batches, checks that losses
// and norms are finite, clips, and updates the weights. It returns the norm before clipping. After
// a [NonFiniteError] or an error of s.Run, the weights are unchanged.
func (o *Optimizer) Step(s Step) (norm float64, err error) {
	var sums []*mesh.Array
	defer func() {
		if err != nil {
			err = errors.Join(err, Free(sums))
		}
	}()
	var last MicroBatch
	for i := range s.Batches {
		b, err := s.Run(i)
		if err != nil {
			return norm, err
		}
		last = b
		if !finite(b.Loss) || !finite(b.Squares) {
			return norm, errors.Join(nonFinite(i, b.Loss, math.Sqrt(b.Squares)), Free(b.Gradients))
		}
		squares := b.Squares
		if sums == nil {
			sums = b.Gradients
		} else if squares, err = o.accumulate(sums, b.Gradients); err != nil {
			return norm, errors.Join(err, Free(b.Gradients))
		}
		norm = math.Sqrt(squares)
	}
	if s.Penalize != nil {
		squares, err := s.Penalize(sums)
		if err != nil {
			return norm, err
		}
		norm = math.Sqrt(squares)
	}
	if !finite(norm) {
		return norm, nonFinite(s.Batches-1, last.Loss, norm)
	}
	return norm, o.Apply(sums, s.Rate, norm, s.Number)
}

// A NonFiniteError is a loss or a gradient norm that is NaN or infinite. The step left the weights
// unchanged.
type NonFiniteError struct {
	Batch      int // index of the packed batch in the step
	Loss, Norm float64
}

func nonFinite(batch int, loss, norm float64) error {
	return &NonFiniteError{Batch: batch, Loss: loss, Norm: norm}
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("loss is %v and gradient norm %v", e.Loss, e.Norm)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
