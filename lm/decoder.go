// Package lm is a decoder-only transformer as graph functions: a configuration and named weights
// in, hidden states and token log-probabilities out. Weights keep their Hugging Face names and
// layouts. Families of models differ in a description of their blocks (family.go).
//
// Tensor names carry their shapes: R rows, T positions of a row, M positions of all rows, H hidden,
// K key-value heads, G query heads of a key-value head, D head dimension, F feed-forward, V
// vocabulary, N predicted tokens.
package lm

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// A Decoder has the settings for building a model's graph.
type Decoder struct {
	Config *Config
	LoRA   *LoRA // nil: no adapter
	// DType is the type of the body: the embeddings and blocks compute in it. Everything after the
	// final norm is float32.
	DType dtypes.DType
	// HalfProducts multiplies the linear layers of a bfloat16 body, and their gradients, in bfloat16
	// with sums in float32, for devices that are fast at it. Otherwise their operands are converted to
	// float32, and only results are rounded.
	HalfProducts bool
	// Columns multiplies the few states of [Decoder.Step] as columns, which XLA on a CPU does
	// faster.
	Columns bool
	// Recompute selects the activations that the backward pass recomputes instead of saving.
	Recompute Recompute
}

// Recompute selects the values that activation checkpointing recomputes in the backward pass, which
// trades time for memory: "none" saves all activations; "selective" saves the results of the linear
// layers and recomputes norms, activation functions and attention weights; "full" saves only the
// inputs of blocks.
type Recompute string

// The choices, by growing time and shrinking memory. The zero value is RecomputeNone.
const (
	RecomputeNone      Recompute = "none"
	RecomputeSelective Recompute = "selective"
	RecomputeFull      Recompute = "full"
)

// Weights holds the graph's nodes of a model's weights by name, adapters included
// ("….lora_A.weight").
type Weights map[string]*Node

// Hidden returns the hidden states after the final norm, float32 [M, H]; or only those at N places,
// [N, H]: readN are indices into the M states, int32 [N], nil for all. The last layer computes
// everything after its attention for these places only.
func (d *Decoder) Hidden(w Weights, rows Rows, readN *Node) *Node {
	b := d.block(w, rows)
	b.read = readN
	names := d.Config.family().names
	x := b.embed(rows)
	for layer := range d.Config.Layers {
		if d.checkpoints() {
			x = x.Checkpoint()
		}
		x = b.layer(x, layer)
	}
	if d.checkpoints() {
		x = x.StopCheckpoint()
	}
	return b.normalize(x, names.norm)
}

func (d *Decoder) checkpoints() bool {
	return d.Recompute == RecomputeSelective || d.Recompute == RecomputeFull
}

// block holds what all layers share while the graph is built.
type block struct {
	*Decoder
	family         *family
	w              Weights
	positions      int   // M
	full, windowed *view // what layers without and with a window attend by
	// mix, if not nil, is what a layer does instead of attention: generation keeps keys and values.
	mix func(xMH *Node, layer int, name string, v *view) *Node
	// read, if not nil, are the places whose states are wanted of the last layer.
	read *Node
	// columns, if not nil, has the columns of the states that were multiplied.
	columns map[*Node]*Node
	made    map[biasKey]*Node // what stripe.bias made for all layers
}

func (d *Decoder) block(w Weights, rows Rows) *block {
	return &block{Decoder: d, family: d.Config.family(), w: w, positions: rows.Tokens.Shape().Size(),
		full: &rows.full, windowed: &rows.windowed, made: map[biasKey]*Node{}}
}

// embed returns the first state of the residual stream, [M, H].
func (b *block) embed(rows Rows) *Node {
	lookup := func(name string, at *Node) *Node {
		return ConvertDType(Gather(b.w[name+".weight"], ExpandAxes(at, -1)), b.DType)
	}
	x := lookup(b.family.names.embedding, rows.Tokens)
	if b.family.scaled {
		// rounded to the body's dtype, as in training
		x = MulScalar(x, math.Sqrt(float64(b.Config.Hidden)))
	}
	if !b.family.rotary() {
		x = Add(x, lookup(b.family.names.positions, rows.Positions))
	}
	return x
}

// keep marks a result that the backward pass finds, where it makes others again.
func (b *block) keep(x *Node) *Node {
	if b.Recompute == RecomputeSelective {
		return x.Checkpoint()
	}
	return x
}

// layer is one block: attention and feed-forward part, each between its norms and added to the
// residual stream. The last one's result has the states that are read.
func (b *block) layer(xMH *Node, layer int) *Node {
	name, n := b.Config.blockName(layer), b.family.names
	v := b.full
	if b.Config.windowed(layer) {
		v = b.windowed
	}
	norm := func(x *Node, part string) *Node {
		if part == "" {
			return x
		}
		return b.norm(x, name+part)
	}
	inMH := norm(xMH, n.attentionIn)
	attentionMH := norm(b.mixed(inMH, layer, name, v), n.attentionOut)
	pick := func(x *Node) *Node { return x }
	if b.read != nil && layer == b.Config.Layers-1 {
		pick = func(x *Node) *Node { return Gather(x, ExpandAxes(b.read, -1)) }
	}
	if b.Config.ParallelResidual {
		xMH, attentionMH = pick(xMH), pick(attentionMH)
		if n.mlpIn != n.attentionIn {
			inMH = norm(xMH, n.mlpIn)
		} else {
			inMH = pick(inMH)
		}
		return Add(xMH, Add(attentionMH, norm(b.feedForward(inMH, name), n.mlpOut)))
	}
	xMH = b.keep(pick(Add(xMH, attentionMH)))
	return Add(xMH, norm(b.feedForward(norm(xMH, n.mlpIn), name), n.mlpOut))
}

// mixed is the part of a layer in which tokens see each other.
func (b *block) mixed(xMH *Node, layer int, name string, v *view) *Node {
	if b.mix != nil {
		return b.mix(xMH, layer, name, v)
	}
	return b.attention(xMH, name, v)
}

// feedForward is down(act(gate(x)) ⊙ up(x)), or down(act(up(x))) without a gate.
func (b *block) feedForward(xMH *Node, name string) *Node {
	n := b.family.names
	var innerMF *Node
	switch {
	case n.gateUp != "":
		both := cut(b.keep(b.linear(xMH, name+n.gateUp)), b.Config.FeedForward, b.Config.FeedForward)
		innerMF = b.gated(both[0], both[1])
	case n.gate != "":
		gateMF := b.keep(b.linear(xMH, name+n.gate))
		upMF := b.keep(b.linear(xMH, name+n.up))
		innerMF = b.gated(gateMF, upMF)
	default:
		innerMF = b.activation(b.keep(b.linear(xMH, name+n.up)))
	}
	return b.linear(innerMF, name+n.down)
}

// cut cuts the last axis of x [M, Σ widths] into parts of the given widths.
func cut(x *Node, widths ...int) []*Node {
	var parts []*Node
	at := 0
	for _, width := range widths {
		parts = append(parts, Slice(x, AxisRange(), AxisRange(at, at+width)))
		at += width
	}
	return parts
}

// norm is the family's norm, back in the body's dtype.
func (b *block) norm(x *Node, name string) *Node {
	return ConvertDType(b.normalize(x, name), b.DType)
}

// normalize is the family's norm over the last axis, in float32.
func (b *block) normalize(x *Node, name string) *Node {
	xf := ConvertDType(x, dtypes.Float32)
	if b.family.norm == layerNorm {
		xf = Sub(xf, ReduceAndKeep(xf, ReduceMean, -1))
	}
	// Div by Sqrt, because Rsqrt has no gradient.
	xf = Div(xf, Sqrt(AddScalar(ReduceAndKeep(Mul(xf, xf), ReduceMean, -1), b.Config.NormEps)))
	spread := func(part string) *Node {
		return spreadLast(ConvertDType(b.w[name+part], dtypes.Float32), xf)
	}
	switch b.family.norm {
	case rmsNormPlusOne:
		return Mul(xf, spreadLast(OnePlus(ConvertDType(b.w[name+".weight"], dtypes.Float32)), xf))
	case layerNorm:
		return Add(Mul(xf, spread(".weight")), spread(".bias"))
	}
	return Mul(xf, spread(".weight"))
}

// spreadLast broadcasts a vector along the last axis of x to x's shape.
func spreadLast(vector, x *Node) *Node {
	axes := make([]int, x.Rank()-1)
	for i := range axes {
		axes[i] = i
	}
	return ExpandAndBroadcast(vector, x.Shape().Dimensions, axes)
}
