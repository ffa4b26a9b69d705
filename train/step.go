package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"

	"haf/backend"
	"haf/lm"
	"haf/mesh"
	"haf/objective"
	"haf/optim"
	"haf/pack"
	"haf/reward"
	"haf/run"
)

// A Stepper makes the optimizer steps of the hybrid objective. It holds the gradient program and
// the optimizer. The optimizer's weights are the model's and, last, the objective's own if it has
// one.
type Stepper struct {
	optimizer *optim.Optimizer
	model     *reward.Model
	objective objective.Hybrid
	scale     *reward.Param // the objective's own weight, nil where it learns none
	total     int           // steps of the run, for the schedule of w and α
	dropout   Dropout
	ewc       *ewc // nil unless the schedule is elastic
	singles   singles

	gradient *gradientProgram
	kept     bool          // the gradient program, by the device
	built    int           // programs compiled, apart from the optimizer's
	compiled chan struct{} // closed when the program of compileAhead is there; nil if none is made
}

// NewStepper prepares the steps of a run of total steps.
func NewStepper(
	model *reward.Model, obj objective.Hybrid, settings optim.AdamW, total int,
) *Stepper {
	s := &Stepper{model: model, objective: obj, total: total}
	params := model.Trainable(headsOf(obj))
	if obj.Learns() {
		s.scale = newScale(model.Device(), obj)
		params = append(params, s.scale)
	}
	s.optimizer = optim.New(model, params, settings)
	s.findGradient(model, obj)
	return s
}

// headsOf are the heads that an objective trains.
func headsOf(obj objective.Hybrid) (heads reward.Heads) {
	if obj.UsesScore() {
		heads |= reward.ScoreHead
	}
	if obj.UsesPolicy() {
		heads |= reward.PolicyHead
	}
	if obj.UsesVariance() {
		heads |= reward.VarianceHead
	}
	return heads
}

// Optimizer returns the stepper's optimizer. Its parameters are in the order of
// [Stepper.Gradients].
func (s *Stepper) Optimizer() *optim.Optimizer { return s.optimizer }

// Programs is the number of compiled programs.
func (s *Stepper) Programs() int { return s.built + s.optimizer.Programs() }

// outputs are the results of the gradient program before the gradients.
const (
	outLoss = iota
	outRewardLoss
	outPolicyLoss
	outSquares
	outRewardMargin
	outLogRatioChosen
	outLogRatioRejected
	numOutputs
)

// buildGradient: inputs of the batch, [stepInputs], those of single responses, dropout's mask where
// there is one, all weights → losses, squared norm, margins, what labels add, gradients.
func (s *Stepper) buildGradient(in []*Node) []*Node {
	s.built++
	batch, in := s.model.UnpackBatch(in)
	extra, args := unpackStepInputs(in)
	readout := readoutOf(extra)
	args = s.unpackSingles(&readout, args)
	var keep *Node
	if s.dropout.Rate > 0 {
		keep, args = args[0], args[1:]
	}
	w := s.model.Weights(args)
	score, logp, logVar := s.model.Heads(batch, w, headsOf(s.objective), s.model.Gradients(), keep)
	readout.ScoreS, readout.LogpS, readout.LogVarS = score, logp, logVar
	if s.scale != nil {
		w[scaleName] = args[len(args)-1]
		readout.LogScale = Reshape(w[scaleName])
	}
	out := s.objective.Loss(readout)
	squares, gradients := optim.Gradients(out.Total, s.optimizer.Params(), w)
	result := make([]*Node, numOutputs, numOutputs+len(gradients))
	result[outLoss], result[outRewardLoss], result[outPolicyLoss] = out.Total, out.Reward, out.Policy
	result[outSquares] = squares
	result[outRewardMargin] = out.RewardMarginC
	result[outLogRatioChosen], result[outLogRatioRejected] = out.LogRatioChosenC,
		out.LogRatioRejectedC
	if s.objective.UsesLabels() {
		result = append(result, s.labelOutputs(out, score)...)
	}
	return append(result, gradients...)
}

// StepMetrics are the metrics of one optimizer step. A loss is the mean over the comparisons,
// labelled responses or graded responses that it reads.
type StepMetrics struct {
	Loss, RewardLoss, PolicyLoss float64
	GradNorm                     float64 // of all gradients, before clipping

	step        int          // counted from 1
	batches     int          // packed batches run so far
	weights     [2]float64   // w and α of the step
	margins     [2][]float32 // of the last packed batch, by the score head and by the policy head
	correct     [2]float64   // comparisons each head gets right; a tie counts half
	margin      [2]float64   // sums of the margins
	ratios      [2]float64   // sums of the log-ratios of chosen and of rejected responses
	referenced  bool         // they are those to a reference
	labels      labelStep
	graded      int // responses
	comparisons int
	noMargin    int // comparisons of which the data states no margin
	decided     int // comparisons that are no ties
	groups      int
	tokens      int // without padding
	positions   int // computed
	flops       float64
}

// record is the step's line of metrics.jsonl, without what the loop alone knows.
func (m *StepMetrics) record() run.TrainStep {
	n := max(1, float64(m.decided)) // a step of ties alone has no accuracy
	return run.TrainStep{
		Kind: run.KindStep, Step: m.step,
		Loss: m.Loss, RewardLoss: m.RewardLoss, PolicyLoss: m.PolicyLoss,
		Accuracy: m.correct[0] / n, Margin: m.margin[0] / n,
		PolicyAccuracy: m.correct[1] / n, LogRatioMargin: m.margin[1] / n,
		LogRatio:     m.LogRatio(),
		RewardWeight: m.weights[0], PolicyWeight: m.weights[1], GradNorm: m.GradNorm,
		Labels: m.labels.record(), Graded: m.graded,
		Groups: m.groups, Comparisons: m.comparisons, Tokens: m.tokens,
		PackingEfficiency: float64(m.tokens) / float64(m.positions), GFLOP: m.flops / 1e9,
	}
}

// LogRatio is that of the step's comparisons, nil if there are none or no reference is read.
func (m *StepMetrics) LogRatio() *run.LogRatio {
	if !m.referenced || m.decided == 0 {
		return nil
	}
	n := float64(m.decided)
	return &run.LogRatio{Chosen: m.ratios[0] / n, Rejected: m.ratios[1] / n}
}

// begin counts what the step is made of.
func (s *Stepper) begin(batches []*pack.Batch, t int) *StepMetrics {
	h := s.objective
	m := &StepMetrics{step: t, referenced: h.UsesReference()}
	m.weights[0], m.weights[1] = h.Weights(h.RewardWeight, h.PolicyWeight, t-1, s.total)
	for _, b := range batches {
		m.comparisons += b.NumComparisons
		for _, none := range b.NoMargin {
			m.noMargin += int(none)
		}
		m.groups += len(b.Groups)
		s.countSingles(b, m)
		m.tokens += b.Real
		m.positions += b.Shape.Positions()
		m.flops += TrainStepFLOPs(s.model, h, b.Shape).Total()
	}
	return m
}

// Step makes optimizer step t ≥ 1 over the packed batches; refs[g][k] is the reference's
// log-probability; refs is nil if the objective needs none. The loss is the mean over all
// comparisons of the step. If a loss or gradient is not finite, the error wraps
// [optim.NonFiniteError], and the weights are unchanged.
func (s *Stepper) Step(
	batches []*pack.Batch, refs [][]float64, rate float64, t int,
) (*StepMetrics, error) {
	m := s.begin(batches, t)
	step := optim.Step{Number: t, Rate: rate, Batches: len(batches)}
	step.Run = func(i int) (optim.MicroBatch, error) { return s.runGradient(batches[i], refs, m) }
	if s.ewc != nil {
		step.Penalize = func(sums []*mesh.Array) (float64, error) { return s.addPenalty(sums, t) }
	}
	var err error
	m.GradNorm, err = s.optimizer.Step(step)
	if bad := (*optim.NonFiniteError)(nil); errors.As(err, &bad) {
		err = &nonFiniteError{err, batches[bad.Batch], bad.Batch, m.margins}
	}
	return m, err
}

// Gradients returns the losses and gradients of a step t ≥ 1 over one packed batch, without making
// the step.
func (s *Stepper) Gradients(
	b *pack.Batch, refs [][]float64, t int,
) (*StepMetrics, []*mesh.Array, error) {
	m := s.begin([]*pack.Batch{b}, t)
	out, err := s.runGradient(b, refs, m)
	m.GradNorm = math.Sqrt(out.Squares)
	return m, out.Gradients, err
}

// A nonFiniteError names the packed batch of an [optim.NonFiniteError].
type nonFiniteError struct {
	error
	batch   *pack.Batch
	index   int          // of the batch in the step
	margins [2][]float32 // of the comparisons of the last batch that ran
}

func (e *nonFiniteError) Unwrap() error { return e.error }

// groups are the indices of the groups at fault: those with a margin that is not finite, else all
// of the batch.
func (e *nonFiniteError) groups() []int {
	owner := map[int32]int{}
	for i, slots := range e.batch.Slots {
		for _, slot := range slots {
			owner[int32(slot)] = e.batch.Groups[i]
		}
	}
	var out []int
	for _, margins := range e.margins {
		for c, margin := range margins[:min(len(margins), len(e.batch.Weight))] {
			g := owner[e.batch.Chosen[c]]
			// A value that is not finite has no difference of 0 from itself.
			if e.batch.Weight[c] != 0 && margin-margin != 0 && !slices.Contains(out, g) {
				out = append(out, g)
			}
		}
	}
	if len(out) == 0 {
		return e.batch.Groups
	}
	return out
}

// inputs are those of the gradient program.
func (s *Stepper) inputs(b *pack.Batch, refs [][]float64, m *StepMetrics) []any {
	args := append(s.model.Inputs(b), newStepInputs(b, refs, m, s.objective.Settings()).pack()...)
	args = append(args, s.singleInputs(b, m)...)
	if s.dropout.Rate > 0 {
		slots, hidden := b.Shape.Responses, s.model.Config.Hidden
		args = append(args, s.dropout.mask(m.step, m.batches, slots, hidden))
	}
	args = append(args, s.model.Arguments()...)
	if s.scale != nil {
		args = append(args, s.scale.Value)
	}
	return args
}

// compileAhead compiles the gradient program for batches of b's shape in the background, because
// the compiler keeps mostly one core busy. [Stepper.waitCompiled] waits for it, and so does Close.
func (s *Stepper) compileAhead(b *pack.Batch) {
	inputs := s.inputs(b, nil, &StepMetrics{step: 1, comparisons: 1})
	s.compiled = make(chan struct{})
	go func() {
		defer close(s.compiled)
		s.gradient.exec.Compile(inputs...) // an error comes again in the step
	}()
}

// waitCompiled waits for the program of compileAhead, so that compiling is not counted as a step's
// time.
func (s *Stepper) waitCompiled(ctx context.Context, progress run.Progress) {
	if s.compiled == nil {
		return
	}
	select {
	case <-s.compiled:
		return
	default:
		progress.Logf("compiling: the first step waits for its program")
	}
	select {
	case <-s.compiled:
	case <-ctx.Done():
	}
}

// runGradient runs the gradient program over one packed batch and adds its losses and margins to m.
func (s *Stepper) runGradient(
	b *pack.Batch, refs [][]float64, m *StepMetrics,
) (optim.MicroBatch, error) {
	args := s.inputs(b, refs, m)
	m.batches++
	out, err := s.gradient.exec.Call(args...)
	if err != nil {
		return optim.MicroBatch{}, fmt.Errorf(
			"train: gradients of a batch of %v rows and positions: %w", b.Shape, err)
	}
	scalar := func(i int) float64 { return out[i].Scalar() }
	m.Loss += scalar(outLoss)
	m.RewardLoss += scalar(outRewardLoss)
	m.PolicyLoss += scalar(outPolicyLoss)
	before := s.numOutputs()
	result := optim.MicroBatch{Gradients: out[before:], Squares: scalar(outSquares), Loss: m.Loss}
	err = m.countMargins(b, out[outRewardMargin], out[outLogRatioChosen], out[outLogRatioRejected])
	if s.objective.UsesAttributes() {
		m.correct[0] = 0 // several outputs have no one margin
	}
	if err == nil && s.objective.UsesLabels() {
		err = s.countLabels(b, m, out[numOutputs:before])
	}
	if err != nil {
		return optim.MicroBatch{}, errors.Join(err, optim.Free(out))
	}
	if err := optim.Free(out[:before]); err != nil {
		return optim.MicroBatch{}, errors.Join(err, optim.Free(result.Gradients))
	}
	return result, nil
}

// countMargins adds the margins and log-ratios of a packed batch's comparisons: the score head's
// margins, and the log-ratios of the chosen and of the rejected responses.
func (m *StepMetrics) countMargins(b *pack.Batch, byComparison ...*mesh.Array) error {
	var values [3][]float32
	for i, t := range byComparison {
		var err error
		if values[i], err = t.Floats(); err != nil {
			return fmt.Errorf("train: reading margins: %w", err)
		}
	}
	chosen, rejected := values[1], values[2]
	m.margins = [2][]float32{values[0], make([]float32, len(chosen))}
	for c := range chosen {
		m.margins[1][c] = chosen[c] - rejected[c]
	}
	for c, w := range b.Weight {
		if w == 0 || b.Tie[c] != 0 {
			continue
		}
		m.decided++
		m.ratios[0] += float64(chosen[c])
		m.ratios[1] += float64(rejected[c])
		for i, margins := range m.margins {
			m.margin[i] += float64(margins[c])
			switch {
			case margins[c] > 0:
				m.correct[i]++
			case margins[c] == 0:
				m.correct[i] += 0.5
			}
		}
	}
	return nil
}

// scaleName is the learned scale of the preference link, its logarithm, among the trained weights
// of a checkpoint.
const scaleName = "objective.log_scale"

// newScale is the scale before training.
func newScale(device *backend.Device, h objective.Hybrid) *reward.Param {
	value := []float32{float32(math.Log(h.LinkScale))}
	return &reward.Param{
		Param: lm.Param{Name: scaleName, Shape: []int{1}},
		Value: mesh.OnHost(device, value, 1),
	}
}

// learnedObjective is the objective with the scale as it has been learned so far.
func (s *Stepper) learnedObjective() (objective.Hybrid, error) {
	h := s.objective
	if s.scale == nil {
		return h, nil
	}
	a, err := s.scale.Read()
	if err != nil {
		return h, fmt.Errorf("train: %w", err)
	}
	h.LinkScale = math.Exp(float64(a.Data[0]))
	return h, nil
}

// save writes weights, moments and what the elastic schedule keeps into a checkpoint.
func (s *Stepper) save(dir string) error {
	if err := s.optimizer.Save(dir); err != nil {
		return err
	}
	return s.saveEWC(dir)
}

// load restores what save wrote.
func (s *Stepper) load(dir string) error {
	if err := s.optimizer.Load(dir); err != nil {
		return err
	}
	return s.loadEWC(dir)
}

// Close frees the optimizer, and the programs unless the device keeps them.
func (s *Stepper) Close() {
	if s == nil {
		return
	}
	s.closeGradient()
	s.ewc.close()
	if s.scale != nil {
		s.scale.Value.MustFree()
	}
	s.optimizer.Close()
}
