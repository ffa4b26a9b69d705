package lm

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// queryBlock is about how many queries attend at once. None is computed with keys behind its block, so that the upper half of the
// square is left out; smaller blocks leave out more of it, but every block is compiled for itself, in every layer.
const queryBlock = 320

// QueryBlocks returns where the blocks of a row's queries end. They are of equal size, about.
func QueryBlocks(length int) []int {
	const unit = 32
	ends := make([]int, max(1, (length+queryBlock/2)/queryBlock))
	for i := range ends {
		ends[i] = (i + 1) * length / len(ends) / unit * unit
	}
	ends[len(ends)-1] = length
	return ends
}

// attend is softmax(cap(q·kᵀ/√s) + bias)·v over what is visible, s the head's dimension unless the family has another, cap the soft-cap
// where there is one: q [M, heads×D], k and v [M, kv×D], visible [R, T, T] of every stripe, the result [M, heads×D].
//
// The gradient is written out, as in FlashAttention (arXiv 2205.14135, appendix B): the weights P are made again from
// the scores and the logarithm of their sum, and dS = P ⊙ (dO·vᵀ − rowsum(dO ⊙ O)). Differentiated automatically, the
// softmax passes over matrices of queries by keys three times as often.
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
	return custom([]*Node{q, k, v}, Concatenate(outs, 0), b.keep, func(in []*Node, out, by *Node) []*Node {
		var parts [3][]*Node
		for _, s := range stripes {
			for i, gradient := range s.gradient(in[0], in[1], in[2], out, by) {
				parts[i] = append(parts[i], gradient)
			}
		}
		return []*Node{Concatenate(parts[0], 0), Concatenate(parts[1], 0), Concatenate(parts[2], 0)}
	})
}

// A stripe is the rows of one length: R×T of the M positions, from the first on.
type stripe struct {
	*block
	first, rows, length int
	visible             *Node   // [R, T, T]
	logSums             []*Node // of each block of queries, [R, K, G, Q, 1]
}

// attend returns the stripe's part of the result, [R×T, heads×D].
func (s *stripe) attend(q, k, v *Node) *Node {
	var parts []*Node
	s.queryBlocks(q, k, v, func(at queries) {
		scores, _ := s.scores(at.q, at.k, at.mask(s.visible))
		most := ReduceAndKeep(scores, ReduceMax, -1)
		weights := Exp(Sub(scores, most))
		sum := ReduceAndKeep(weights, ReduceSum, -1)
		out := Dot(ConvertDType(weights, s.DType), at.v).WithOutputDType(dtypes.Float32).General([]int{4}, []int{0, 1}, []int{2}, []int{0, 1})
		parts = append(parts, ConvertDType(Div(out, sum), s.DType))
		s.logSums = append(s.logSums, Add(most, Log(sum)))
	})
	return s.flat(Concatenate(parts, 3))
}

// gradient returns the stripe's part of the gradients by q, k and v; by is the gradient by the output.
func (s *stripe) gradient(q, k, v, out, by *Node) [3]*Node {
	// rowsum(dO ⊙ O) is rowsum(P ⊙ dP) without a matrix of queries by keys.
	deltas := Mul(ConvertDType(s.heads(by), dtypes.Float32), ConvertDType(s.heads(out), dtypes.Float32))
	deltas = ReduceAndKeep(deltas, ReduceSum, -1)
	byRKGTD := s.heads(by)
	var dq []*Node
	var dk, dv *Node
	i := 0
	s.queryBlocks(q, k, v, func(at queries) {
		scores, slope := s.scores(at.q, at.k, at.mask(s.visible))
		weights := Exp(Sub(scores, s.logSums[i]))
		dOut, delta := at.cut(byRKGTD), at.cut(deltas)
		dWeights := Dot(dOut, at.v).WithOutputDType(dtypes.Float32).General([]int{4}, []int{0, 1}, []int{3}, []int{0, 1})
		dScores := Mul(weights, Sub(dWeights, delta))
		if slope != nil {
			dScores = Mul(dScores, slope)
		}
		dScores = ConvertDType(dScores, s.DType)
		dq = append(dq, Dot(dScores, at.k).General([]int{4}, []int{0, 1}, []int{2}, []int{0, 1}))
		// Σ over query heads and queries, [R, K, D, S], with zeros behind the block. The thin matrix comes first: a wide
		// one transposed halves the rate of the product.
		keys := func(sum, thin, wide *Node) *Node {
			x := Dot(thin, wide).General([]int{2, 3}, []int{0, 1}, []int{2, 3}, []int{0, 1})
			x = Pad(x, ScalarZero(x.Graph(), x.DType()), PadAxis{}, PadAxis{}, PadAxis{}, PadAxis{End: s.length - at.to})
			if sum == nil {
				return x
			}
			return Add(sum, x)
		}
		dk, dv = keys(dk, at.q, dScores), keys(dv, dOut, ConvertDType(weights, s.DType))
		i++
	})
	flatKeys := func(x *Node) *Node {
		return Reshape(TransposeAllAxes(x, 0, 3, 1, 2), s.rows*s.length, s.Config.KVHeads*s.Config.HeadDim)
	}
	scale := s.scale()
	return [3]*Node{MulScalar(s.flat(Concatenate(dq, 3)), scale), flatKeys(MulScalar(dk, scale)), flatKeys(dv)}
}

// scale is what q·kᵀ is multiplied by.
func (b *block) scale() float64 {
	if b.Config.QueryScale != 0 {
		return 1 / math.Sqrt(b.Config.QueryScale)
	}
	return 1 / math.Sqrt(float64(b.Config.HeadDim))
}

// scores returns what the softmax is over, float32 [R, K, G, Q, S], and its slope as scaled does.
func (b *block) scores(q, k, visible *Node) (scores, slope *Node) {
	scores, slope = b.scaled(Dot(q, k).WithOutputDType(dtypes.Float32).General([]int{4}, []int{0, 1}, []int{3}, []int{0, 1}))
	dims := visible.Shape().Dimensions
	visible = BroadcastToDims(Reshape(visible, dims[0], 1, 1, dims[1], dims[2]), scores.Shape().Dimensions...)
	return Add(scores, bias(visible)), slope
}

// scaled is cap(scale·x) for the products x of queries and keys, and its slope by x over the scale, nil where that is one:
// without a soft-cap.
func (b *block) scaled(x *Node) (scores, slope *Node) {
	softCap := b.Config.AttentionCap
	if softCap == 0 {
		return MulScalar(x, b.scale()), nil
	}
	capped := Tanh(MulScalar(x, b.scale()/softCap))
	return MulScalar(capped, softCap), OneMinus(Mul(capped, capped))
}

// queries are a block of queries with the keys and values up to its end: q [R, K, G, Q, D], k and v [R, K, S, D].
type queries struct {
	from, to int
	q, k, v  *Node
}

// mask cuts the block out of what is visible, [R, T, T].
func (at queries) mask(visible *Node) *Node {
	return Slice(visible, AxisRange(), AxisRange(at.from, at.to), AxisRange(0, at.to))
}

// cut cuts the block's queries out of [R, K, G, T, …].
func (at queries) cut(x *Node) *Node {
	return Slice(x, AxisRange(), AxisRange(), AxisRange(), AxisRange(at.from, at.to))
}

func (s *stripe) queryBlocks(q, k, v *Node, do func(at queries)) {
	qRKGTD, kRKTD, vRKTD := s.heads(q), s.keyHeads(k), s.keyHeads(v)
	from := 0
	for _, to := range QueryBlocks(s.length) {
		at := queries{from: from, to: to}
		from = to
		keys := func(x *Node) *Node { return Slice(x, AxisRange(), AxisRange(), AxisRange(0, at.to)) }
		at.q, at.k, at.v = at.cut(qRKGTD), keys(kRKTD), keys(vRKTD)
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

// heads cuts the stripe out of [M, heads×D] and lays it out as [R, K, G, T, D].
func (s *stripe) heads(x *Node) *Node {
	kv := s.Config.KVHeads
	return TransposeAllAxes(Reshape(s.cut(x), s.rows, s.length, kv, s.Config.Heads/kv, s.Config.HeadDim), 0, 2, 3, 1, 4)
}

// flat lays [R, K, G, T, D] out as [R×T, heads×D].
func (s *stripe) flat(x *Node) *Node {
	return Reshape(TransposeAllAxes(x, 0, 3, 1, 2, 4), s.rows*s.length, s.Config.Heads*s.Config.HeadDim)
}

// keyHeads cuts the stripe out of [M, kv×D] and lays it out as [R, K, T, D].
func (s *stripe) keyHeads(x *Node) *Node {
	return TransposeAllAxes(Reshape(s.cut(x), s.rows, s.length, s.Config.KVHeads, s.Config.HeadDim), 0, 2, 1, 3)
}
