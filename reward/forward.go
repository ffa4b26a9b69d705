package reward

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"haf/backend"
	"haf/lm"
	"haf/mesh"
	"haf/pack"
	"haf/pref"
)

// Heads is the set of heads to read.
type Heads uint8

// The heads; a set of them is their sum.
const (
	ScoreHead  Heads = 1 << iota // the reward of a response
	PolicyHead                   // the summed log-probability of a response's tokens

	VarianceHead // the log-variance of the reward, if the model has a head for it

	tokenLogps // with PolicyHead: the log-probability of every token that is predicted, not summed
	states     // with ScoreHead alone: the hidden states that it reads, [S, H], in place of scores
)

// Heads builds the two-headed forward pass over the inputs of a packed batch: for each of S
// response slots the reward scoreS, the summed log-probability logpS and the reward's log-variance
// logVarS (float32 [S], scoreS [S, A] of a head with A outputs); a head that is not wanted is nil.
// gradient names the values by which logpS will be differentiated. keepSH, if not nil, multiplies
// the hidden states [S, H] that the score head reads: dropout.
func (m *Model) Heads(
	in BatchInputs[*Node], w lm.Weights, want Heads, gradient lm.Gradients, keepSH *Node,
) (scoreS, logpS, logVarS *Node) {
	const ofResponse = ScoreHead | VarianceHead
	slots := in.ReadS.Shape().Size()
	read := in.PredictN
	switch {
	case want&PolicyHead == 0:
		read = in.ReadS
	case want&ofResponse != 0:
		read = Concatenate([]*Node{in.ReadS, in.PredictN}, 0)
	}
	hiddenNH := m.hidden(in, w, read)
	if want&ofResponse != 0 {
		hiddenSH := Slice(hiddenNH, AxisRange(0, slots))
		if keepSH != nil {
			hiddenSH = Mul(hiddenSH, keepSH)
		}
		switch {
		case want&states != 0:
			scoreS = hiddenSH
		case want&ScoreHead != 0:
			scoreS = Reshape(m.score(hiddenSH, w), m.scoreShape(slots)...)
		}
		if want&VarianceHead != 0 {
			logVarS = Reshape(linear(hiddenSH, w, varianceName), slots)
		}
		if want&PolicyHead != 0 {
			hiddenNH = Slice(hiddenNH, AxisRange(slots))
		}
	}
	if want&PolicyHead != 0 {
		logpN := m.TokenLogProbs(hiddenNH, in, w, gradient)
		if want&tokenLogps != 0 {
			return scoreS, logpN, logVarS
		}
		logpS = sumByOwner(logpN, in.OwnerN, slots)
	}
	return scoreS, logpS, logVarS
}

// scoreShape is [S], or [S, A] of a score head with A outputs.
func (m *Model) scoreShape(slots int) []int {
	if n := m.Outputs(); n > 1 {
		return []int{slots, n}
	}
	return []int{slots}
}

// hidden builds the decoder's forward pass over the inputs of a packed batch, and returns the
// states at the places read, [N, H].
func (m *Model) hidden(in BatchInputs[*Node], w lm.Weights, readN *Node) *Node {
	return m.decoder.Hidden(w, m.Config.Rows(in.Rows), readN)
}

// Predicting builds the forward pass over the inputs of a packed batch and returns the hidden
// states that predict its response tokens: float32 [N, H]. The states at padding have no meaning;
// their owner is −1.
func (m *Model) Predicting(in BatchInputs[*Node], w lm.Weights) *Node {
	return m.hidden(in, w, in.PredictN)
}

// TokenLogProbs returns the log-probability of every response token, from the states of
// [Model.Predicting]: float32 [N].
func (m *Model) TokenLogProbs(
	hiddenNH *Node, in BatchInputs[*Node], w lm.Weights, gradient lm.Gradients,
) *Node {
	return lm.LogProbs(ConvertDType(hiddenNH, m.decoder.DType), m.Config.Output(w), in.TargetN,
		m.chunk, gradient)
}

// TokenEntropies returns the entropy of the distribution at every response token: float32 [N].
func (m *Model) TokenEntropies(hiddenNH *Node, w lm.Weights) *Node {
	return lm.Entropies(ConvertDType(hiddenNH, m.decoder.DType), m.Config.Output(w), m.chunk)
}

// TokenScores returns the score head's output at the states of [Model.Predicting], the values of a
// critic: float32 [N].
func (m *Model) TokenScores(hiddenNH *Node, w lm.Weights) *Node {
	return Reshape(m.score(hiddenNH, w), hiddenNH.Shape().Dimensions[0])
}

// score is the score head on hidden states [S, H]: [S, 1]. It is one matrix, or linear layers with
// ReLU between them (GRM, arXiv 2406.10216), and the offset that the model's source had.
func (m *Model) score(x *Node, w lm.Weights) *Node {
	if m.headLayers == 0 {
		x = linear(x, w, lm.ScoreName)
	}
	for layer := range m.headLayers {
		if layer > 0 {
			x = Max(x, ZerosLike(x))
		}
		x = linear(x, w, mlpName(layer, "weight"))
		bias := ConvertDType(w[mlpName(layer, "bias")], dtypes.Float32)
		x = Add(x, ExpandAndBroadcast(bias, x.Shape().Dimensions, []int{0}))
	}
	if m.Meta.ScoreOffset != 0 {
		x = AddScalar(x, m.Meta.ScoreOffset)
	}
	return x
}

// linear is a head's matrix on hidden states [S, H].
func linear(x *Node, w lm.Weights, name string) *Node {
	return Dot(x, ConvertDType(w[name], dtypes.Float32)).General([]int{1}, nil, []int{1}, nil)
}

// sumByOwner adds up the values of each slot; an owner of −1 is left out.
func sumByOwner(xN, ownerN *Node, slots int) *Node {
	n := xN.Shape().Size()
	slot := Iota(xN.Graph(), shapes.Make(dtypes.Int32, slots, n), 0)
	owned := Equal(slot, BroadcastToDims(Reshape(ownerN, 1, n), slots, n))
	x := BroadcastToDims(Reshape(xN, 1, n), slots, n)
	return ReduceSum(Where(owned, x, ZerosLike(x)), -1)
}

// Weights returns the nodes of a program's arguments after the inputs by name, in the order of
// [Model.Arguments].
func (m *Model) Weights(args []*Node) lm.Weights {
	w := make(lm.Weights, len(args))
	for i, p := range m.params {
		w[p.Name] = args[i]
	}
	return w
}

// Arguments returns the model's weights as the arguments of a program, in the order of
// [Model.Weights].
func (m *Model) Arguments() []any {
	args := make([]any, len(m.params))
	for i, p := range m.params {
		args[i] = p.Value
	}
	return args
}

// reader returns the program that reads the wanted heads; it compiles once for each shape. It is
// called under the programs' lock.
func (m *Model) reader(want Heads) *mesh.Exec {
	p := m.programs
	p.model = m
	if p.readers[want] == nil {
		build := func(in []*Node) []*Node {
			p.built++
			batch, args := p.model.UnpackBatch(in)
			w := p.model.Weights(args)
			score, logp, logVar := p.model.Heads(batch, w, want, lm.None, nil)
			return slices.DeleteFunc([]*Node{score, logp, logVar}, func(n *Node) bool { return n == nil })
		}
		p.readers[want] = mesh.NewExec(m.device, fmt.Sprintf("heads%d", want), build)
	}
	return p.readers[want]
}

// A readings is what the heads give of a packed batch; a head that is not wanted has nil.
type readings struct{ score, logp, logVar []float32 }

// readBatch runs the wanted heads over one packed batch with the given weights.
func (m *Model) readBatch(b *pack.Batch, want Heads, weights []any) (r readings, err error) {
	if err := m.checkRead(want, b.Shape); err != nil {
		return r, err
	}
	inputs := m.Inputs(b) // before the lock: another batch may be running
	m.programs.mu.Lock()
	defer m.programs.mu.Unlock()
	out, err := m.reader(want).Call(append(inputs, weights...)...)
	if backend.OutOfMemory(err) {
		return r, fmt.Errorf("reward: %w on the device: reading %d tokens with %s: shorten the texts, "+
			"or read fewer at a time: %w", pref.ErrMemory, b.Shape.Positions(), m.Dir, err)
	}
	if err != nil {
		return r, fmt.Errorf("reward: running the model on a batch of %v rows and positions: %w", b.Shape,
			err)
	}
	m.programs.compiled.Store(programKey{want, b.Shape}, true)
	var to []*[]float32 // in the program's order
	for _, of := range []struct {
		head   Heads
		values *[]float32
	}{{ScoreHead, &r.score}, {PolicyHead, &r.logp}, {VarianceHead, &r.logVar}} {
		if want&of.head != 0 {
			to = append(to, of.values)
		}
	}
	for i, t := range out {
		v, err := t.Floats()
		if err != nil {
			return r, fmt.Errorf("reward: reading the result: %w", err)
		}
		*to[i] = v
		if err := t.Free(); err != nil {
			return r, fmt.Errorf("reward: freeing the result: %w", err)
		}
	}
	return r, nil
}
