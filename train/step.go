package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/encode"
	"haf/objective"
	"haf/reward"
)

// stepper holds what an optimizer step works on: the weights (in the model), their moments, and three programs:
// gradients of one packed batch, sum of gradients, update. The update and the sum run over a layer's weights at a
// time: inputs and outputs of a program exist together, and all layers share one program.
type stepper struct {
	model     *reward.Model
	objective objective.Hybrid
	optimizer AdamW

	params  []*reward.Param // trained: the model's, and last the objective's own where it has one
	scale   *reward.Param   // the objective's own, nil where it learns none
	ofSteps int             // in the run, for the schedule of the weights
	m, v    []*tensors.Tensor
	parts   [][]int // indices into params: what one call of add or update works on

	dropout Dropout
	elastic *elastic // nil but for the elastic schedule

	gradient, add, update *Exec
	built                 int // programs compiled
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
func newStepper(model *reward.Model, obj objective.Hybrid, opt AdamW, total int) *stepper {
	var want reward.Heads
	if obj.UsesScore() {
		want |= reward.ScoreHead
	}
	if obj.UsesPolicy() {
		want |= reward.PolicyHead
	}
	s := &stepper{model: model, objective: obj, optimizer: opt, params: model.Trainable(want), ofSteps: total}
	if obj.Learns() {
		s.scale = newScale(obj)
		s.params = append(s.params, s.scale)
	}
	for i, p := range s.params {
		s.m, s.v = append(s.m, tensors.FromShape(p.Value.Shape())), append(s.v, tensors.FromShape(p.Value.Shape()))
		if i == 0 || model.Config.LayerOf(p.Name) != model.Config.LayerOf(s.params[i-1].Name) {
			s.parts = append(s.parts, nil)
		}
		last := len(s.parts) - 1
		s.parts[last] = append(s.parts[last], i)
	}
	backend := model.Device().Backend
	s.gradient = MustNewExec(backend, func(in []*Node) []*Node { return s.buildGradient(in, want) }).SetMaxCache(-1).WithName("gradient")
	s.add = MustNewExec(backend, s.buildAdd).SetMaxCache(-1).WithName("add")
	s.update = MustNewExec(backend, s.buildUpdate).SetMaxCache(-1).WithName("update")
	return s
}

// buildGradient: inputs of the batch, those of extra, all weights → losses, squared norm, margins, gradients.
func (s *stepper) buildGradient(in []*Node, want reward.Heads) []*Node {
	s.built++
	batch, extra, args := in[:reward.NumInputs], in[reward.NumInputs:reward.NumInputs+numExtra], in[reward.NumInputs+numExtra:]
	var keep *Node
	if s.dropout.Rate > 0 {
		keep, args = args[0], args[1:]
	}
	w := s.model.Weights(args)
	score, logp := s.model.Heads(batch, w, want, s.model.Gradients(), keep)
	readout := readoutOf(extra)
	readout.ScoreS, readout.LogpS = score, logp
	if s.scale != nil {
		w[scaleName] = args[len(args)-1]
		readout.LogScale = Reshape(w[scaleName])
	}
	out := s.objective.Loss(readout)
	by := make([]*Node, len(s.params))
	for i, p := range s.params {
		by[i] = w[p.Name]
	}
	gradients := Gradient(out.Total, by...)
	result := []*Node{out.Total, out.Reward, out.Policy, sumOfSquares(gradients), out.RewardMarginC, out.LogRatioMarginC}
	return append(result, gradients...)
}

// sumOfSquares sums rows first: one long float32 sum over an embedding loses per cents on a backend that adds in order.
func sumOfSquares(xs []*Node) *Node {
	var total *Node
	for _, x := range xs {
		squares := ReduceAllSum(ReduceSum(Mul(x, x), -1))
		if total == nil {
			total = squares
		} else {
			total = Add(total, squares)
		}
	}
	return total
}

// buildAdd: n sums and n gradients → the sum of squares of the new sums, and the sums.
func (s *stepper) buildAdd(in []*Node) []*Node {
	s.built++
	n := len(in) / 2
	sums := make([]*Node, n)
	for i := range n {
		sums[i] = Add(in[i], in[n+i])
	}
	return append([]*Node{sumOfSquares(sums)}, sums...)
}

// buildUpdate: scalars, decays [n], then n each of weights, first and second moments, gradients → the first three, new.
func (s *stepper) buildUpdate(in []*Node) []*Node {
	s.built++
	n := (len(in) - 2) / 4
	out := make([]*Node, 3*n)
	for i := range n {
		decay := Reshape(Slice(in[1], AxisRange(i, i+1)))
		out[i], out[n+i], out[2*n+i] = s.optimizer.update(in[0], decay, in[2+i], in[2+n+i], in[2+2*n+i], in[2+3*n+i])
	}
	return out
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

// step makes one optimizer step t ≥ 1 over the packed batches; refs[g][k] is the reference's log-probability, nil
// where the objective needs none. The loss is the mean over all comparisons of the step. A loss or gradient that
// is not finite is an error, and the weights stay as they were.
func (s *stepper) step(batches []*encode.Batch, refs [][]float64, rate float64, t int) (measures, error) {
	ms := s.begin(batches, t)
	var sums []*tensors.Tensor
	for _, b := range batches {
		gradients, squares, err := s.gradients(b, refs, &ms)
		if err != nil {
			return ms, errors.Join(err, free(sums))
		}
		if !finite(ms.losses[0]) || !finite(squares) {
			err := &nonFiniteError{batch: b, loss: ms.losses[0], norm: math.Sqrt(squares), margins: ms.margins}
			return ms, errors.Join(err, free(sums), free(gradients))
		}
		if sums == nil {
			sums = gradients
		} else if squares, err = s.accumulate(sums, gradients); err != nil {
			return ms, err
		}
		ms.norm = math.Sqrt(squares)
	}
	if s.elastic != nil {
		squares, err := s.pullBack(sums, t)
		if err != nil {
			return ms, err
		}
		ms.norm = math.Sqrt(squares)
	}
	if !finite(ms.norm) {
		return ms, errors.Join(&nonFiniteError{batch: batches[len(batches)-1], loss: ms.losses[0], norm: ms.norm}, free(sums))
	}
	return ms, s.apply(sums, s.optimizer.scalars(rate, ms.norm, t))
}

// nonFiniteError is a loss or gradient that is no number; the weights are as they were before the step.
type nonFiniteError struct {
	batch      *encode.Batch
	loss, norm float64
	margins    [2][]float32 // of the batch's comparisons
}

func (e *nonFiniteError) Error() string {
	return fmt.Sprintf("loss is %v and gradient norm %v", e.loss, e.norm)
}

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

func free(ts []*tensors.Tensor) error {
	for _, t := range ts {
		if err := t.FinalizeAll(); err != nil {
			return fmt.Errorf("train: freeing gradients: %w", err)
		}
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// gradients runs one packed batch and adds its losses and margins to ms.
func (s *stepper) gradients(b *encode.Batch, refs [][]float64, ms *measures) (gradients []*tensors.Tensor, squares float64, err error) {
	args := append(reward.Inputs(b), extra(b, refs, ms)...)
	if s.dropout.Rate > 0 {
		args = append(args, s.dropout.mask(ms.step, ms.batches, b.Shape.Responses, s.model.Config.Hidden))
	}
	ms.batches++
	out, err := s.gradient.Call(append(args, s.arguments()...)...)
	if err != nil {
		return nil, 0, fmt.Errorf("train: gradients of a batch of %d rows of %d positions: %w", b.Shape.Rows, b.Shape.Length, err)
	}
	for i := range ms.losses {
		ms.losses[i] += float64(tensors.ToScalar[float32](out[i]))
	}
	squares = float64(tensors.ToScalar[float32](out[3]))
	for c, w := range b.Weight {
		if w != 0 && b.Tie[c] == 0 {
			ms.decided++
		}
	}
	for i := range ms.margin {
		margins, err := tensors.CopyFlatData[float32](out[4+i])
		if err != nil {
			return nil, 0, fmt.Errorf("train: reading margins: %w", err)
		}
		ms.margins[i] = margins
		for c, margin := range margins {
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
	for _, t := range out[:6] {
		if err := t.FinalizeAll(); err != nil {
			return nil, 0, fmt.Errorf("train: freeing results: %w", err)
		}
	}
	return out[6:], squares, nil
}

// accumulate adds the gradients to the sums, in place, and returns the squared norm of all the new sums.
func (s *stepper) accumulate(sums, gradients []*tensors.Tensor) (squares float64, err error) {
	for _, part := range s.parts {
		args, err := s.donate(nil, part, sums, gradients)
		if err != nil {
			return 0, err
		}
		out, err := s.add.Call(args...)
		if err != nil {
			return 0, fmt.Errorf("train: adding gradients: %w", err)
		}
		squares += float64(tensors.ToScalar[float32](out[0]))
		for i, at := range part {
			sums[at] = out[1+i]
		}
	}
	return squares, nil
}

// apply updates the weights and moments with the gradients, which it consumes.
func (s *stepper) apply(gradients []*tensors.Tensor, scalars []float32) error {
	for _, part := range s.parts {
		decays := make([]float32, len(part))
		values := make([]*tensors.Tensor, len(s.params))
		for i, at := range part {
			values[at] = s.params[at].Value
			if s.optimizer.decays(s.params[at].Param) {
				decays[i] = 1
			}
		}
		first := []any{tensors.FromFlatDataAndDimensions(scalars, len(scalars)), tensors.FromFlatDataAndDimensions(decays, len(decays))}
		args, err := s.donate(first, part, values, s.m, s.v, gradients)
		if err != nil {
			return err
		}
		out, err := s.update.Call(args...)
		if err != nil {
			return fmt.Errorf("train: updating weights: %w", err)
		}
		n := len(part)
		for i, at := range part {
			s.params[at].Value, s.m[at], s.v[at] = out[i], out[n+i], out[2*n+i]
		}
	}
	return nil
}

// donate appends to args the part's tensors of each list, giving up their buffers.
func (s *stepper) donate(args []any, part []int, lists ...[]*tensors.Tensor) ([]any, error) {
	for _, list := range lists {
		for _, at := range part {
			buffer, err := DonateTensorBuffer(list[at], s.model.Device().Backend, compute.DeviceNum(0))
			if err != nil {
				return nil, fmt.Errorf("train: giving up the buffer of %s: %w", s.params[at].Name, err)
			}
			args = append(args, buffer)
		}
	}
	return args, nil
}

// close frees the moments and programs.
func (s *stepper) close() {
	if s == nil {
		return
	}
	for _, exec := range []*Exec{s.gradient, s.add, s.update} {
		exec.Finalize()
	}
	s.elastic.close()
	if s.scale != nil {
		s.scale.Value.MustFinalizeAll()
	}
	for _, list := range [][]*tensors.Tensor{s.m, s.v} {
		for _, t := range list {
			t.MustFinalizeAll()
		}
	}
}
