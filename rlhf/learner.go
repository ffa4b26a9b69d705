package rlhf

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"

	"haf/backend"
	"haf/internal/durable"
	"haf/lm"
	"haf/mesh"
	"haf/optim"
	"haf/pack"
	"haf/reward"
)

// Names of the value head's weights in a checkpoint: [1, H] and [1].
const (
	valueWeight = "value.weight"
	valueBias   = "value.bias"
)

// A learner holds the policy, its reference or critic, and what trains them: programs, optimizers
// and the value head.
type learner struct {
	opt    Options
	policy *reward.Model
	critic *reward.Model // for ValueSeparate, else nil
	value  []*reward.Param
	// the reference: initial values of the policy's trained weights
	frozen map[string]*mesh.Array

	read, readCritic         *program
	gradient, criticGradient *program
	policyOptimizer          *optim.Optimizer // for the policy with its value head
	criticOptimizer          *optim.Optimizer
	built                    int        // programs compiled, without the optimizers'
	own                      []*program // programs that the device does not keep
}

// newLearner prepares the programs. The policy's present weights become the reference.
func newLearner(policy, critic *reward.Model, opt Options) (*learner, error) {
	l := &learner{opt: opt, policy: policy, frozen: map[string]*mesh.Array{}}
	params := policy.Trainable(reward.PolicyHead)
	for _, p := range params {
		kept, err := p.Value.Clone()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("rlhf: keeping the reference's %s: %w", p.Name, err),
				l.freeFrozen())
		}
		l.frozen[p.Name] = kept
	}
	if opt.hasValues() && !opt.separate() {
		hidden := policy.Config.Hidden
		l.value = []*reward.Param{
			{Param: lm.Param{Name: valueWeight, Shape: []int{1, hidden}},
				Value: mesh.OnHost(policy.Device(), make([]float32, hidden), 1, hidden)},
			{Param: lm.Param{Name: valueBias, Shape: []int{1}},
				Value: mesh.OnHost(policy.Device(), make([]float32, 1), 1)},
		}
		params = append(params, l.value...)
	}
	l.policyOptimizer = optim.New(policy, params, opt.Optimizer)
	heads := fmt.Sprintf("value %v ", l.value != nil)
	loss := fmt.Sprintf("%+v ", opt.surrogate())
	l.read = l.findProgram("read", heads, policy, l.buildRead)
	l.gradient = l.findProgram("gradient", heads+loss, policy, l.buildGradient)
	if opt.separate() {
		l.critic = critic
		settings := opt.Optimizer
		settings.LR = opt.CriticLR
		l.criticOptimizer = optim.New(critic, critic.Trainable(reward.ScoreHead), settings)
		l.readCritic = l.findProgram("read critic", "", critic, l.buildReadCritic)
		l.criticGradient = l.findProgram("critic gradient", loss, critic, l.buildCriticGradient)
	}
	return l, nil
}

// A program is shared by learners whose policies or critics, and settings of the loss, have one
// structure.
type program struct {
	*mesh.Exec
	build func(in []*Node) []*Node // set by the last learner
}

// findProgram finds the model's program on its device, or makes it. settings are the program's
// other dependencies.
func (l *learner) findProgram(
	name, settings string, m *reward.Model, build func(in []*Node) []*Node,
) *program {
	p, kept := backend.Keep(m.Device(), "rlhf "+name+" "+settings+m.Structure(), func() *program {
		p := &program{}
		p.Exec = mesh.NewExec(m.Device(), "rlhf "+name, func(in []*Node) []*Node { return p.build(in) })
		return p
	})
	p.build = func(in []*Node) []*Node {
		l.built++
		return build(in)
	}
	if !kept {
		l.own = append(l.own, p)
	}
	return p
}

func (l *learner) programs() int {
	n := l.built + l.policyOptimizer.Programs()
	if l.criticOptimizer != nil {
		n += l.criticOptimizer.Programs()
	}
	return n
}

func (l *learner) close() {
	for _, p := range l.own {
		p.Finalize()
	}
	for _, o := range []*optim.Optimizer{l.policyOptimizer, l.criticOptimizer} {
		if o != nil {
			o.Close()
		}
	}
	for _, p := range l.value {
		p.Value.MustFree()
	}
	_ = l.freeFrozen() // the run is over
}

func (l *learner) freeFrozen() error {
	var kept []*mesh.Array
	for _, t := range l.frozen {
		kept = append(kept, t)
	}
	return optim.Free(kept)
}

// valueN applies the value head to the states that predict the tokens. args begins with the head's
// two weights.
func valueN(hiddenNH *Node, args []*Node) *Node {
	n := hiddenNH.Shape().Dimensions[0]
	x := Reshape(Dot(hiddenNH, args[0]).General([]int{1}, nil, []int{1}, nil), n)
	return Add(x, BroadcastToDims(Reshape(args[1], 1), n))
}

// arguments returns the weights for the policy's programs: the value head's, then those of the
// policy or of the reference.
func (l *learner) arguments(reference bool) []any {
	var args []any
	for _, p := range l.value {
		args = append(args, p.Value)
	}
	weights := l.policy.Arguments()
	if reference {
		for i, p := range l.policy.Params() {
			if kept, ok := l.frozen[p.Name]; ok {
				weights[i] = kept
			}
		}
	}
	return append(args, weights...)
}

// buildRead: inputs of the batch, value head, weights → log-probabilities, entropies, values; all
// [N].
func (l *learner) buildRead(in []*Node) []*Node {
	batch, args := l.policy.UnpackBatch(in)
	w := l.policy.Weights(args[len(l.value):])
	hiddenNH := l.policy.Predicting(batch, w)
	out := []*Node{l.policy.TokenLogProbs(hiddenNH, batch, w, lm.None),
		l.policy.TokenEntropies(hiddenNH, w)}
	if l.value != nil {
		out = append(out, valueN(hiddenNH, args))
	}
	return out
}

func (l *learner) buildReadCritic(in []*Node) []*Node {
	batch, args := l.critic.UnpackBatch(in)
	w := l.critic.Weights(args)
	return []*Node{l.critic.TokenScores(l.critic.Predicting(batch, w), w)}
}

// buildGradient: inputs of the batch, [policyInputs], value head, weights → the [Losses] as one
// array, squared norm, gradients.
func (l *learner) buildGradient(in []*Node) []*Node {
	batch, in := l.policy.UnpackBatch(in)
	inputs, args := unpackPolicyInputs(in)
	w := l.policy.Weights(args[len(l.value):])
	hiddenNH := l.policy.Predicting(batch, w)
	r := readoutOf(inputs.tokenInputs)
	r.KL = inputs.KL
	r.LogpN = l.policy.TokenLogProbs(hiddenNH, batch, w, l.policy.Gradients())
	// Padding has no log-probability to compare, and a weight of 0 would not cancel an infinite ratio.
	r.LogpN = Where(GreaterThan(r.WeightN, ZerosLike(r.WeightN)), r.LogpN, ZerosLike(r.LogpN))
	for i, p := range l.value {
		w[p.Name] = args[i]
	}
	if l.value != nil {
		r.ValueN = valueN(hiddenNH, args)
	}
	parts := l.opt.surrogate().Graph(r)
	squares, gradients := optim.Gradients(parts.Total, l.policyOptimizer.Params(), w)
	losses := Stack(reward.PackInputs(parts.fields()), 0)
	return append([]*Node{losses, squares}, gradients...)
}

// buildCriticGradient: inputs of the batch, [tokenInputs], weights → the value loss, squared norm,
// gradients.
func (l *learner) buildCriticGradient(in []*Node) []*Node {
	batch, in := l.critic.UnpackBatch(in)
	inputs, args := unpackTokenInputs(in)
	w, r := l.critic.Weights(args), readoutOf(inputs)
	r.ValueN = l.critic.TokenScores(l.critic.Predicting(batch, w), w)
	loss := l.opt.surrogate().valueLoss(r)
	squares, gradients := optim.Gradients(loss, l.criticOptimizer.Params(), w)
	return append([]*Node{Reshape(loss, 1), squares}, gradients...)
}

// call runs a program that returns only arrays, and reads them.
func call(program *program, b *pack.Batch, inputs, args []any) ([][]float32, error) {
	out, err := program.Call(slices.Concat(inputs, args)...)
	if err != nil {
		return nil, fmt.Errorf("rlhf: reading a batch of %v rows and positions: %w", b.Shape, err)
	}
	arrays := make([][]float32, len(out))
	for i, t := range out {
		if arrays[i], err = t.Floats(); err != nil {
			return nil, fmt.Errorf("rlhf: reading a result: %w", err)
		}
	}
	return arrays, optim.Free(out)
}

// readAll fills in the log-probabilities, entropies and values of fresh rollouts.
func (l *learner) readAll(rollouts []*rollout) error {
	for _, r := range rollouts {
		for _, a := range r.responses {
			n := len(a.tokens)
			a.logps, a.refs, a.entropies = make([]float64, n), make([]float64, n), make([]float64, n)
			if l.opt.hasValues() {
				a.values = make([]float64, n)
			}
		}
	}
	batches, err := packed(rollouts, l.policy.Positions())
	if err != nil {
		return fmt.Errorf("rlhf: %w", err)
	}
	for _, b := range batches {
		inputs := l.policy.Inputs(b)
		now, err := call(l.read, b, inputs, l.arguments(false))
		if err != nil {
			return err
		}
		ref, err := call(l.read, b, inputs, l.arguments(true))
		if err != nil {
			return err
		}
		var values []float32
		switch {
		case l.value != nil:
			values = now[2]
		case l.critic != nil:
			out, err := call(l.readCritic, b, l.critic.Inputs(b), l.critic.Arguments())
			if err != nil {
				return err
			}
			values = out[0]
		}
		eachToken(b, rollouts, func(n int, r *response, t int) {
			r.logps[t], r.entropies[t], r.refs[t] = float64(now[0][n]), float64(now[1][n]),
				float64(ref[0][n])
			if values != nil {
				r.values[t] = float64(values[n])
			}
		})
	}
	return nil
}

// updateMetrics are the losses and gradient norms of an optimizer step.
type updateMetrics struct {
	Losses[float64]
	norm, criticNorm float64
}

// step makes optimizer step t ≥ 1 on some of the rollouts. kl is the KL coefficient in the loss,
// rate the share of the peak learning rate.
func (l *learner) step(rollouts []*rollout, kl, rate float64, t int) (updateMetrics, error) {
	var out updateMetrics
	batches, err := packed(rollouts, l.policy.Positions())
	if err != nil {
		return out, fmt.Errorf("rlhf: %w", err)
	}
	weight := l.opt.weights(rollouts)
	losses := make([]float64, len(out.Losses.fields()))
	out.norm, err = update(l.gradient, l.policyOptimizer, batches, losses, rate, t,
		func(b *pack.Batch) []any {
			in := policyInputs[any]{newTokenInputs(b, rollouts, weight), float32(kl)}
			return slices.Concat(l.policy.Inputs(b), in.pack(), l.arguments(false))
		})
	reward.UnpackInputs(out.Losses.fields(), losses)
	if err != nil || l.critic == nil {
		return out, err
	}
	var value [1]float64
	optimizer := l.criticOptimizer
	out.criticNorm, err = update(l.criticGradient, optimizer, batches, value[:], rate, t,
		func(b *pack.Batch) []any {
			in := newTokenInputs(b, rollouts, weight)
			return slices.Concat(l.critic.Inputs(b), in.pack(), l.critic.Arguments())
		})
	out.Value = value[0]
	return out, err
}

// update makes an optimizer step with the gradients of packed batches and adds up their losses.
func update(
	gradient *program, optimizer *optim.Optimizer, batches []*pack.Batch, losses []float64,
	rate float64, t int, args func(*pack.Batch) []any,
) (norm float64, err error) {
	norm, err = optimizer.Step(optim.Step{
		Number: t, Rate: rate * optimizer.Settings().LR, Batches: len(batches),
		Run: func(i int) (optim.MicroBatch, error) {
			return runGradient(gradient, batches[i], losses, args(batches[i]))
		},
	})
	if err != nil {
		err = fmt.Errorf("rlhf: %w", err)
	}
	return norm, err
}

// runGradient runs a gradient program over a packed batch and adds its losses.
func runGradient(
	gradient *program, b *pack.Batch, losses []float64, args []any,
) (optim.MicroBatch, error) {
	out, err := gradient.Call(args...)
	if err != nil {
		return optim.MicroBatch{}, fmt.Errorf(
			"gradients of a batch of %v rows and positions: %w", b.Shape, err)
	}
	parts, err := out[0].Floats()
	if err != nil {
		return optim.MicroBatch{}, errors.Join(fmt.Errorf("reading losses: %w", err), optim.Free(out))
	}
	for i, x := range parts {
		losses[i] += float64(x)
	}
	squares := out[1].Scalar()
	if err := optim.Free(out[:2]); err != nil {
		return optim.MicroBatch{}, errors.Join(err, optim.Free(out[2:]))
	}
	return optim.MicroBatch{Gradients: out[2:], Squares: squares, Loss: losses[0]}, nil
}

// save writes the trained weights and the optimizers' moments.
func (l *learner) save(dir string) error {
	if err := l.policyOptimizer.Save(dir); err != nil || l.criticOptimizer == nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Join(dir, "critic")); err != nil {
		return err
	}
	return l.criticOptimizer.Save(filepath.Join(dir, "critic"))
}

// load restores what save wrote.
func (l *learner) load(dir string) error {
	if err := l.policyOptimizer.Load(dir); err != nil || l.criticOptimizer == nil {
		return err
	}
	return l.criticOptimizer.Load(filepath.Join(dir, "critic"))
}
