package lm

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// queryBlock is the approximate number of queries that attend at once. Keys behind a block are not
// computed, which leaves out most of the square's upper half. Smaller blocks leave out more of it,
// but every block is compiled separately, in every layer.
const queryBlock = 192

// QueryBlocks returns the ends of the blocks of a row's queries. The blocks have about equal sizes.
func QueryBlocks(length int) []int {
	const unit = 32
	ends := make([]int, max(1, (length+queryBlock/2)/queryBlock))
	for i := range ends {
		ends[i] = (i + 1) * length / len(ends) / unit * unit
	}
	ends[len(ends)-1] = length
	return ends
}

// attend is softmax(cap(q·kᵀ/√s) + bias)·v over the visible keys. s is the head's dimension unless
// the family has another value, and cap is the soft-cap, if any. q is [M, heads×D], k and v are [M,
// kv×D], visible is [R, T, T] for every stripe, and the result is [M, heads×D].
//
// The gradient is written out, as in FlashAttention (arXiv 2205.14135, appendix B): the weights P
// are recomputed, and dS = P ⊙ (dP − rowsum(P ⊙ dP)) with dP = dO·vᵀ. Automatic differentiation of
// the softmax would pass over matrices of queries by keys three times as often.
//
// It has the form that XLA on a CPU turns into one program for both products and the softmax, which
// processes a block in tiles. XLA does so if no value in between has another user, all arrays have
// at most four axes, and the added array is float32. So nothing is kept for the gradient, rows and
// key-value heads are one axis B, and masks become biases beforehand.
func (b *block) attend(q, k, v *Node, visible []*Node) *Node {
	stripes := make([]*stripe, len(visible))
	outs := make([]*Node, len(visible))
	first := 0
	for i, mask := range visible {
		dims := mask.Shape().Dimensions
		stripes[i] = &stripe{block: b, first: first, rows: dims[0], length: dims[1], visible: mask}
		first += dims[0] * dims[1]
		outs[i] = stripes[i].attend(q, k, v)
	}
	return custom([]*Node{q, k, v}, Concatenate(outs, 0), b.keep,
		func(in []*Node, _, by *Node) []*Node {
			var parts [3][]*Node
			for _, s := range stripes {
				for i, gradient := range s.gradient(in[0], in[1], in[2], by) {
					parts[i] = append(parts[i], gradient)
				}
			}
			return []*Node{Concatenate(parts[0], 0), Concatenate(parts[1], 0), Concatenate(parts[2], 0)}
		})
}

// A stripe is the rows of one length: R×T of the M positions, beginning at first.
type stripe struct {
	*block
	first, rows, length int
	visible             *Node // [R, T, T]
}

// attend returns the stripe's part of the result, [R×T, heads×D].
func (s *stripe) attend(q, k, v *Node) *Node {
	var parts []*Node
	s.queryBlocks(q, k, v, func(at queries) {
		scores, _ := s.scores(at)
		exp, sum := exponentials(scores)
		out := dot(ConvertDType(exp, at.v.DType()), at.v).WithOutputDType(dtypes.Float32).
			General([]int{3}, []int{0}, []int{1}, []int{0})
		parts = append(parts, ConvertDType(Div(out, sum), s.DType))
	})
	return s.flat(Concatenate(parts, 2))
}

// exponentials returns exp(x − max) for each row, and their sums.
func exponentials(x *Node) (exp, sum *Node) {
	exp = Exp(Sub(x, ReduceAndKeep(x, ReduceMax, -1)))
	return exp, ReduceAndKeep(exp, ReduceSum, -1)
}

// gradient returns the stripe's part of the gradients by q, k and v; by is the gradient by the
// output.
func (s *stripe) gradient(q, k, v, by *Node) [3]*Node {
	byBGTD := s.heads(by)
	var dq []*Node
	var dk, dv *Node
	s.queryBlocks(q, k, v, func(at queries) {
		scores, slope := s.scores(at)
		exp, sum := exponentials(scores)
		weights := Div(exp, sum)
		dOut := at.cut(byBGTD)
		dWeights := dot(dOut, at.v).WithOutputDType(dtypes.Float32).
			General([]int{3}, []int{0}, []int{2}, []int{0})
		dScores := Mul(weights, Sub(dWeights, ReduceAndKeep(Mul(weights, dWeights), ReduceSum, -1)))
		if slope != nil {
			dScores = Mul(dScores, slope)
		}
		dScores = ConvertDType(dScores, at.k.DType())
		dq = append(dq, dot(dScores, at.k).General([]int{3}, []int{0}, []int{1}, []int{0}))
		// Σ over query heads and queries, [B, D, S], with zeros behind the block. The thin matrix comes
		// first: a wide one transposed halves the rate of the product.
		keys := func(sum, thin, wide *Node) *Node {
			x := dot(thin, wide).General([]int{1, 2}, []int{0}, []int{1, 2}, []int{0})
			x = Pad(x, ScalarZero(x.Graph(), x.DType()), PadAxis{}, PadAxis{},
				PadAxis{End: s.length - at.to})
			if sum == nil {
				return x
			}
			return Add(sum, x)
		}
		dk, dv = keys(dk, at.q, dScores), keys(dv, dOut, ConvertDType(weights, dOut.DType()))
	})
	flatKeys := func(x *Node) *Node {
		x = Reshape(x, s.rows, s.Config.KVHeads, s.Config.HeadDim, s.length)
		return Reshape(TransposeAllAxes(x, 0, 3, 1, 2), s.rows*s.length,
			s.Config.KVHeads*s.Config.HeadDim)
	}
	if !s.scalesQueries() {
		dk = MulScalar(dk, s.scale())
	}
	gradients := [3]*Node{MulScalar(s.flat(Concatenate(dq, 2)), s.scale()), flatKeys(dk), flatKeys(dv)}
	for i, x := range gradients {
		gradients[i] = ConvertDType(x, s.DType)
	}
	return gradients
}

// digits is the dtype of queries, keys, values and weights in attention: float32 if the device
// would multiply in float32 anyway.
func (b *block) digits() dtypes.DType {
	if b.HalfProducts {
		return b.DType
	}
	return dtypes.Float32
}

// scalesQueries reports whether the queries are multiplied by the scale, rather than their products
// with the keys. This is done in float32 only, because in bfloat16 it would lose digits.
func (b *block) scalesQueries() bool { return b.digits() == dtypes.Float32 }

// scale is the factor of q·kᵀ.
func (b *block) scale() float64 {
	if b.Config.QueryScale != 0 {
		return 1 / math.Sqrt(b.Config.QueryScale)
	}
	return 1 / math.Sqrt(float64(b.Config.HeadDim))
}

// scores returns the argument of the softmax, float32 [B, G, Q, S], and its slope by q·kᵀ, nil if
// the slope is one.
func (s *stripe) scores(at queries) (scores, slope *Node) {
	scale := s.scale()
	if s.scalesQueries() {
		scale = 1
	}
	product := dot(at.q, at.k).WithOutputDType(dtypes.Float32).
		General([]int{3}, []int{0}, []int{2}, []int{0})
	scores, slope = s.scaled(product, scale)
	return Add(scores, ExpandAndBroadcast(at.bias, scores.Shape().Dimensions, []int{1})), slope
}

// SharedBias is the approximate size, in bytes, up to which a stripe's biases are computed once for
// all layers. The compiler makes them as large as the scores.
const SharedBias = 128 << 20

// bias returns the bias of the scores of the block of queries, float32 [B, Q, S]. It is computed
// once for all layers, or in each layer if it is too large to keep.
func (s *stripe) bias(from, to int, q *Node) *Node {
	key := biasKey{s.visible, from}
	if made, ok := s.made[key]; ok {
		return made
	}
	kv := s.Config.KVHeads
	part := Slice(s.visible, AxisRange(), AxisRange(from, to), AxisRange(0, to))
	part = BroadcastToDims(ExpandAxes(part, 1), s.rows, kv, to-from, to)
	out := opaque(bias(Reshape(part, s.rows*kv, to-from, to)))
	if 4*s.rows*s.Config.Heads*s.length*s.length/2 > SharedBias {
		return SchedulingBarrier(out, q) // without the barrier it would be computed once all the same
	}
	s.made[key] = out
	return out
}

type biasKey struct {
	visible *Node
	from    int
}

// scaled is cap(scale·x) for products x of queries and keys, and its slope by scale·x, nil without
// a soft-cap, when the slope is one.
func (b *block) scaled(x *Node, scale float64) (scores, slope *Node) {
	softCap := b.Config.AttentionCap
	if softCap == 0 {
		if scale == 1 {
			return x, nil
		}
		return MulScalar(x, scale), nil
	}
	capped := Tanh(MulScalar(x, scale/softCap))
	return MulScalar(capped, softCap), OneMinus(Mul(capped, capped))
}

// queries are a block of queries with the keys and values up to its end: q [B, G, Q, D], k and v
// [B, S, D].
type queries struct {
	from, to int
	q, k, v  *Node
	bias     *Node // [B, Q, S]
}

// cut cuts the block's queries out of [B, G, T, …].
func (at queries) cut(x *Node) *Node {
	return Slice(x, AxisRange(), AxisRange(), AxisRange(at.from, at.to))
}

func (s *stripe) queryBlocks(q, k, v *Node, do func(at queries)) {
	qBGTD, kBTD, vBTD := s.heads(q), s.keyHeads(k), s.keyHeads(v)
	if s.scalesQueries() {
		qBGTD = MulScalar(qBGTD, s.scale())
	}
	from := 0
	for _, to := range QueryBlocks(s.length) {
		at := queries{from: from, to: to}
		from = to
		keys := func(x *Node) *Node { return Slice(x, AxisRange(), AxisRange(0, at.to)) }
		at.q, at.k, at.v = at.cut(qBGTD), keys(kBTD), keys(vBTD)
		at.bias = s.bias(at.from, at.to, at.q)
		do(at)
	}
}

// cut cuts the stripe out of [M, …].
func (s *stripe) cut(x *Node) *Node {
	if s.rows*s.length == s.positions {
		return x
	}
	return Slice(x, AxisRange(s.first, s.first+s.rows*s.length))
}

// heads cuts the stripe out of [M, heads×D] and lays it out as [B, G, T, D].
func (s *stripe) heads(x *Node) *Node {
	kv, groups := s.Config.KVHeads, s.Config.Heads/s.Config.KVHeads
	x = ConvertDType(s.cut(x), s.digits())
	x = TransposeAllAxes(Reshape(x, s.rows, s.length, kv, groups, s.Config.HeadDim), 0, 2, 3, 1, 4)
	return Reshape(x, s.rows*kv, groups, s.length, s.Config.HeadDim)
}

// flat lays [B, G, T, D] out as [R×T, heads×D].
func (s *stripe) flat(x *Node) *Node {
	kv := s.Config.KVHeads
	x = Reshape(x, s.rows, kv, s.Config.Heads/kv, s.length, s.Config.HeadDim)
	return Reshape(TransposeAllAxes(x, 0, 3, 1, 2, 4), s.rows*s.length,
		s.Config.Heads*s.Config.HeadDim)
}

// keyHeads cuts the stripe out of [M, kv×D] and lays it out as [B, T, D].
func (s *stripe) keyHeads(x *Node) *Node {
	kv := s.Config.KVHeads
	x = ConvertDType(s.cut(x), s.digits())
	x = TransposeAllAxes(Reshape(x, s.rows, s.length, kv, s.Config.HeadDim), 0, 2, 1, 3)
	return Reshape(x, s.rows*kv, s.length, s.Config.HeadDim)
}
