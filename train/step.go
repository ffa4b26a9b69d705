package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/encode"
	"haf/objective"
	"haf/optim"
	"haf/reward"
)

// stepper holds what an optimizer step of the hybrid objective works on: the optimizer's weights, the model's and last the
// objective's own where it has one, and the program of the gradients of one packed batch.
type stepper struct {
	*optim.Optimizer
	model     *reward.Model
	objective objective.Hybrid
	scale     *reward.Param // the objective's own, nil where it learns none
	ofSteps   int           // in the run, for the schedule of the weights

	dropout Dropout
	elastic *elastic // nil but for the elastic schedule

	gradient *Exec
	built    int           // programs compiled, apart from the optimizer's
	compiled chan struct{} // closed when the program of compileAhead is there; nil if none is made
}

// measures are the numbers of one optimizer step.
type measures struct {
	step        int          // counted from 1
	batches     int          // packed batches run so far
	weights     [2]float64   // w and α of the step
	losses      [3]float64   // total, reward, policy
	norm        float64      // of all gradients, before clipping
	margins     [2][]float32 // of the last packed batch, by the score head and by the policy head
	correct     [2]float64   // comparisons right by the score head and by the implicit reward; a tie counts half
	margin      [2]float64   // sums of the margins
	comparisons int
	decided     int // comparisons that are no ties
	groups      int
	tokens      int // real
	slots       int // positions computed
	flops       float64
}

// newStepper prepares the steps of a run of total steps.
func newStepper(model *reward.Model, obj objective.Hybrid, opt optim.AdamW, total int) *stepper {
	var want reward.Heads
	if obj.UsesScore() {
		want |= reward.ScoreHead
	}
	if obj.UsesPolicy() {
		want |= reward.PolicyHead
	}
	if obj.UsesVariance() {
		want |= reward.VarianceHead
	}
	s := &stepper{model: model, objective: obj, ofSteps: total}
	params := model.Trainable(want)
	if obj.Learns() {
		s.scale = newScale(obj)
		params = append(params, s.scale)
	}
	s.Optimizer = optim.New(model, params, opt)
	s.gradient = MustNewExec(model.Device().Backend, func(in []*Node) []*Node { return s.buildGradient(in, want) }).SetMaxCache(-1).WithName("gradient")
	return s
}

// buildGradient: inputs of the batch, those of extra, all weights → losses, squared norm, margins, gradients.
func (s *stepper) buildGradient(in []*Node, want reward.Heads) []*Node {
	s.built++
	n := s.model.NumInputs(in)
	batch, extra, args := in[:n], in[n:n+numExtra], in[n+numExtra:]
	var keep *Node
	if s.dropout.Rate > 0 {
		keep, args = args[0], args[1:]
	}
	w := s.model.Weights(args)
	score, logp, logVar := s.model.Heads(batch, w, want, s.model.Gradients(), keep)
	readout := readoutOf(extra)
	readout.ScoreS, readout.LogpS, readout.LogVarS = score, logp, logVar
	if s.scale != nil {
		w[scaleName] = args[len(args)-1]
		readout.LogScale = Reshape(w[scaleName])
	}
	out := s.objective.Loss(readout)
	squares, gradients := optim.Gradients(out.Total, s.Params(), w)
	result := []*Node{out.Total, out.Reward, out.Policy, squares, out.RewardMarginC, out.LogRatioMarginC}
	return append(result, gradients...)
}

// begin counts what the step is made of.
func (s *stepper) begin(batches []*encode.Batch, t int) measures {
	ms := measures{step: t}
	ms.weights[0], ms.weights[1] = s.objective.Weights(s.objective.RewardWeight, s.objective.PolicyWeight, t-1, s.ofSteps)
	for _, b := range batches {
		ms.comparisons += b.NumComparisons
		ms.groups += len(b.Groups)
		ms.tokens += b.Real
		ms.slots += b.Shape.Positions()
		ms.flops += StepArithmetic(s.model, s.objective, b.Shape).Total()
	}
	return ms
}

// step makes one optimizer step t ≥ 1 over the packed batches; refs[g][k] is the reference's
// log-probability, nil where the objective needs none. The loss is the mean over all comparisons of
// the step. A loss or gradient that is not finite is a [*nonFiniteError], and the weights stay as
// they were.
func (s *stepper) step(batches []*encode.Batch, refs [][]float64, rate float64, t int) (measures, error) {
	ms := s.begin(batches, t)
	step := optim.Step{Number: t, Rate: rate, Batches: len(batches), Run: func(i int) (optim.MicroBatch, error) {
		gradients, squares, err := s.gradients(batches[i], refs, &ms)
		return optim.MicroBatch{Gradients: gradients, Squares: squares, Loss: ms.losses[0]}, err
	}}
	if s.elastic != nil {
		step.Penalize = func(sums []*tensors.Tensor) (float64, error) { return s.pullBack(sums, t) }
	}
	var err error
	ms.norm, err = s.Step(step)
	if bad := (*optim.NonFiniteError)(nil); errors.As(err, &bad) {
		err = &nonFiniteError{err, batches[bad.Batch], bad.Batch, ms.margins}
	}
	return ms, err
}

// A nonFiniteError names the packed batch of an [optim.NonFiniteError].
type nonFiniteError struct {
	error
	batch   *encode.Batch
	index   int          // of the batch in the step
	margins [2][]float32 // of the comparisons of the last batch that ran
}

func (e *nonFiniteError) Unwrap() error { return e.error }

// groups are the indices of the groups at fault: those with a margin that is not finite, else all of the batch.
func (e *nonFiniteError) groups() []int {
	owner := map[int32]int{}
	for i, slots := range e.batch.Slots {
		for _, slot := range slots {
			owner[int32(slot)] = e.batch.Groups[i]
		}
	}
	var out []int
	for _, margins := range e.margins {
		for c, margin := range margins {
			if g := owner[e.batch.Chosen[c]]; e.batch.Weight[c] != 0 && !finite(float64(margin)) && !slices.Contains(out, g) {
				out = append(out, g)
			}
		}
	}
	if len(out) == 0 {
		return e.batch.Groups
	}
	return out
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// inputs are those of the gradient program.
func (s *stepper) inputs(b *encode.Batch, refs [][]float64, ms *measures) []any {
	args := append(s.model.Inputs(b), extra(b, refs, ms)...)
	if s.dropout.Rate > 0 {
		args = append(args, s.dropout.mask(ms.step, ms.batches, b.Shape.Responses, s.model.Config.Hidden))
	}
	return append(args, s.arguments()...)
}

// compileAhead compiles the gradient program for batches of b's shape while something else is done: on most of its way the
// compiler keeps one core busy. [stepper.ready] waits for it; an error comes again in the step. close waits, too.
func (s *stepper) compileAhead(b *encode.Batch) {
	var inputs []shapes.Shape
	for _, arg := range s.inputs(b, nil, &measures{step: 1, comparisons: 1}) {
		switch x := arg.(type) {
		case *tensors.Tensor:
			inputs = append(inputs, x.Shape())
		case float32:
			inputs = append(inputs, shapes.Make(dtypes.Float32))
		default:
			return // the step will compile it
		}
	}
	s.compiled = make(chan struct{})
	go func() {
		defer close(s.compiled)
		s.gradient.Compile(inputs...) // an error comes again in the step
	}()
}

// ready waits until the program of compileAhead is compiled, so that its time is no step's.
func (s *stepper) ready(ctx context.Context, progress Progress) {
	if s.compiled == nil {
		return
	}
	select {
	case <-s.compiled:
		return
	default:
		progress.Say("compiling: the first step waits for its program")
	}
	select {
	case <-s.compiled:
	case <-ctx.Done():
	}
}

// gradients runs one packed batch and adds its losses and margins to ms.
func (s *stepper) gradients(b *encode.Batch, refs [][]float64, ms *measures) (gradients []*tensors.Tensor, squares float64, err error) {
	args := s.inputs(b, refs, ms)
	ms.batches++
	out, err := s.gradient.Call(args...)
	if err != nil {
		return nil, 0, fmt.Errorf("train: gradients of a batch of %v rows and positions: %w", b.Shape, err)
	}
	for i := range ms.losses {
		ms.losses[i] += float64(tensors.ToScalar[float32](out[i]))
	}
	squares = float64(tensors.ToScalar[float32](out[3]))
	if err := ms.count(b, out[4:6]); err != nil {
		return nil, 0, errors.Join(err, optim.Free(out))
	}
	if err := optim.Free(out[:6]); err != nil {
		return nil, 0, errors.Join(err, optim.Free(out[6:]))
	}
	return out[6:], squares, nil
}

// count adds the margins of a packed batch's comparisons, by the score head and by the policy head.
func (ms *measures) count(b *encode.Batch, margins []*tensors.Tensor) (err error) {
	for c, w := range b.Weight {
		if w != 0 && b.Tie[c] == 0 {
			ms.decided++
		}
	}
	for i := range ms.margin {
		if ms.margins[i], err = tensors.CopyFlatData[float32](margins[i]); err != nil {
			return fmt.Errorf("train: reading margins: %w", err)
		}
		for c, margin := range ms.margins[i] {
			if b.Weight[c] == 0 || b.Tie[c] != 0 {
				continue
			}
			ms.margin[i] += float64(margin)
			switch {
			case margin > 0:
				ms.correct[i]++
			case margin == 0:
				ms.correct[i] += 0.5
			}
		}
	}
	return nil
}

// close frees the optimizer and the programs.
func (s *stepper) close() {
	if s == nil {
		return
	}
	s.gradient.Finalize()
	s.elastic.close()
	if s.scale != nil {
		s.scale.Value.MustFinalizeAll()
	}
	s.Close()
}
