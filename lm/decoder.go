// Package lm is a decoder-only transformer as graph functions: a configuration and named weights in, hidden
// states and token log-probabilities out. Weights keep their Hugging Face names and layouts ([out, in]).
//
// Tensor names carry their shapes: R rows, T positions of a row, M = R×T, H hidden, K key-value heads, G query
// heads of a key-value head, D head dimension, F feed-forward, V vocabulary, N predicted tokens.
package lm

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// A Decoder says how the graph of a model is built.
type Decoder struct {
	Config *Config
	LoRA   *LoRA // nil: no adapter
	// DType is the body's: the embeddings and blocks compute in it. What follows the final norm is float32.
	DType dtypes.DType
	// Checkpointing says which activations the backward pass finds and which it makes again.
	Checkpointing Checkpointing
}

// Checkpointing trades time for memory in the backward pass: "none" computes nothing twice; "selective" keeps the
// results of the linear layers and makes norms, activation functions and attention weights again; "full" keeps only
// what goes from block to block.
type Checkpointing string

// The choices, by growing time and shrinking memory. The zero value is CheckpointNone.
const (
	CheckpointNone      Checkpointing = "none"
	CheckpointSelective Checkpointing = "selective"
	CheckpointFull      Checkpointing = "full"
)

// Weights holds the graph's nodes of a model's weights by name, adapters included ("….lora_A.weight").
type Weights map[string]*Node

// Rows are the packed rows that the decoder runs, each int32 [R, T]. A token sees the tokens at or before it in
// its row that have its segment and either branch 0 (the prompt) or its own branch.
type Rows struct {
	Tokens, Positions, Segments, Branches *Node
}

// Hidden returns the hidden states after the final norm, [M, H] in float32.
func (d *Decoder) Hidden(w Weights, rows Rows) *Node {
	b := d.block(w, rows)
	checkpoints := d.Checkpointing == CheckpointSelective || d.Checkpointing == CheckpointFull
	x := ConvertDType(Gather(w[EmbeddingName], ExpandAxes(Reshape(rows.Tokens, b.rows*b.length), -1)), d.DType)
	for layer := range d.Config.Layers {
		if checkpoints {
			x = x.Checkpoint()
		}
		x = b.layer(x, layer)
	}
	if checkpoints {
		x = x.StopCheckpoint()
	}
	return b.normalize(x, NormName)
}

// block holds what all layers share while the graph is built.
type block struct {
	*Decoder
	w            Weights
	rows, length int
	biasRTT      *Node // 0 where visible, a large negative number elsewhere; float32
	cosM1D       *Node // [M, 1, D/2]
	sinM1D       *Node
}

func (d *Decoder) block(w Weights, rows Rows) *block {
	dims := rows.Tokens.Shape().Dimensions
	b := &block{Decoder: d, w: w, rows: dims[0], length: dims[1]}
	b.biasRTT = attentionBias(rows)
	b.cosM1D, b.sinM1D = rotations(rows.Positions, d.Config.InverseFrequencies(), d.DType)
	return b
}

// keep marks a result that the backward pass finds, where it makes others again.
func (b *block) keep(x *Node) *Node {
	if b.Checkpointing == CheckpointSelective {
		return x.Checkpoint()
	}
	return x
}

// layer is one block: attention and feed-forward, each after its norm and added to the residual stream.
func (b *block) layer(xMH *Node, layer int) *Node {
	name := layerName(layer)
	xMH = b.keep(Add(xMH, b.attention(b.norm(xMH, name+"input_layernorm.weight"), name+"self_attn.")))
	return Add(xMH, b.feedForward(b.norm(xMH, name+"post_attention_layernorm.weight"), name+"mlp."))
}

// feedForward is the gated form: down(act(gate(x)) ⊙ up(x)).
func (b *block) feedForward(xMH *Node, name string) *Node {
	gateMF := b.keep(b.linear(xMH, name+"gate_proj"))
	upMF := b.keep(b.linear(xMH, name+"up_proj"))
	return b.linear(Mul(b.activation(gateMF), upMF), name+"down_proj")
}

func (b *block) activation(x *Node) *Node {
	switch b.Config.Activation {
	case "gelu":
		return Mul(x, MulScalar(AddScalar(Erf(DivScalar(x, math.Sqrt2)), 1), 0.5))
	case "gelu_tanh", "gelu_new":
		inner := MulScalar(Add(x, MulScalar(Mul(x, Mul(x, x)), 0.044715)), math.Sqrt(2/math.Pi))
		return Mul(x, MulScalar(AddScalar(Tanh(inner), 1), 0.5))
	default: // silu; ParseConfig refuses what is not known
		return Mul(x, Sigmoid(x))
	}
}

// norm is RMSNorm, back in the body's dtype.
func (b *block) norm(x *Node, name string) *Node { return ConvertDType(b.normalize(x, name), b.DType) }

// normalize is RMSNorm in float32: x / √(mean(x²) + ε) · weight.
func (b *block) normalize(x *Node, name string) *Node {
	xf := ConvertDType(x, dtypes.Float32)
	// Div by Sqrt, because Rsqrt has no gradient.
	xf = Div(xf, Sqrt(AddScalar(ReduceAndKeep(Mul(xf, xf), ReduceMean, -1), b.Config.NormEps)))
	weight := ConvertDType(b.w[name], dtypes.Float32)
	return Mul(xf, ExpandAndBroadcast(weight, xf.Shape().Dimensions, []int{0}))
}

// linear returns x·Wᵀ [M, out], plus the bias and the adapter where there are any.
func (b *block) linear(x *Node, name string) *Node {
	y := product(x, b.w[name+".weight"])
	if bias, ok := b.w[name+".bias"]; ok {
		y = Add(y, ExpandAndBroadcast(ConvertDType(bias, y.DType()), y.Shape().Dimensions, []int{0}))
	}
	if a, ok := b.w[name+LoraA]; ok {
		y = Add(y, MulScalar(product(b.keep(product(x, a)), b.w[name+LoraB]), b.LoRA.Scale()))
	}
	return y
}

// product returns x·Wᵀ for x [M, in] and W [out, in], in x's dtype.
func product(x, w *Node) *Node {
	return Dot(x, ConvertDType(w, x.DType())).General([]int{-1}, nil, []int{-1}, nil)
}
