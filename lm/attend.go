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
// where there is one: q [M, heads×D], k and v [M, kv×D], visible [R, T, T], the result [M, heads×D].
//
// The gradient is written out, as in FlashAttention (arXiv 2205.14135, appendix B): the weights P are made again from
// the scores and the logarithm of their sum, and dS = P ⊙ (dO·vᵀ − rowsum(dO ⊙ O)). Differentiated automatically, the
// softmax passes over matrices of queries by keys three times as often.
func (b *block) attend(q, k, v, visible *Node) *Node {
	var logSums []*Node // of each block of queries, [R, K, G, Q, 1]
	var parts []*Node
	b.queryBlocks(q, k, v, func(at queries) {
		scores, _ := b.scores(at.q, at.k, at.mask(visible))
		most := ReduceAndKeep(scores, ReduceMax, -1)
		weights := Exp(Sub(scores, most))
		sum := ReduceAndKeep(weights, ReduceSum, -1)
		out := Dot(ConvertDType(weights, b.DType), at.v).WithOutputDType(dtypes.Float32).General([]int{4}, []int{0, 1}, []int{2}, []int{0, 1})
		parts = append(parts, ConvertDType(Div(out, sum), b.DType))
		logSums = append(logSums, Add(most, Log(sum)))
	})
	return custom([]*Node{q, k, v}, b.flat(Concatenate(parts, 3)), b.keep, func(in []*Node, out, by *Node) []*Node {
		return b.attendGradient(in[0], in[1], in[2], visible, out, by, logSums)
	})
}

// attendGradient returns the gradients by q, k and v; by is the gradient by the output.
func (b *block) attendGradient(q, k, v, visible, out, by *Node, logSums []*Node) []*Node {
	// rowsum(dO ⊙ O) is rowsum(P ⊙ dP) without a matrix of queries by keys.
	deltas := b.heads(Mul(ConvertDType(by, dtypes.Float32), ConvertDType(out, dtypes.Float32)), b.Config.Heads)
	deltas = ReduceAndKeep(deltas, ReduceSum, -1)
	byRKGTD := b.heads(by, b.Config.Heads)
	var dq []*Node
	var dk, dv *Node
	i := 0
	b.queryBlocks(q, k, v, func(at queries) {
		scores, slope := b.scores(at.q, at.k, at.mask(visible))
		weights := Exp(Sub(scores, logSums[i]))
		dOut, delta := at.cut(byRKGTD), at.cut(deltas)
		dWeights := Dot(dOut, at.v).WithOutputDType(dtypes.Float32).General([]int{4}, []int{0, 1}, []int{3}, []int{0, 1})
		dScores := Mul(weights, Sub(dWeights, delta))
		if slope != nil {
			dScores = Mul(dScores, slope)
		}
		dScores = ConvertDType(dScores, b.DType)
		dq = append(dq, Dot(dScores, at.k).General([]int{4}, []int{0, 1}, []int{2}, []int{0, 1}))
		// Σ over query heads and queries, [R, K, D, S], with zeros behind the block. The thin matrix comes first: a wide
		// one transposed halves the rate of the product.
		keys := func(sum, thin, wide *Node) *Node {
			x := Dot(thin, wide).General([]int{2, 3}, []int{0, 1}, []int{2, 3}, []int{0, 1})
			x = Pad(x, ScalarZero(x.Graph(), x.DType()), PadAxis{}, PadAxis{}, PadAxis{}, PadAxis{End: b.length - at.to})
			if sum == nil {
				return x
			}
			return Add(sum, x)
		}
		dk, dv = keys(dk, at.q, dScores), keys(dv, dOut, ConvertDType(weights, b.DType))
		i++
	})
	flatKeys := func(x *Node) *Node {
		return Reshape(TransposeAllAxes(x, 0, 3, 1, 2), b.rows*b.length, b.Config.KVHeads*b.Config.HeadDim)
	}
	scale := b.scale()
	return []*Node{MulScalar(b.flat(Concatenate(dq, 3)), scale), flatKeys(MulScalar(dk, scale)), flatKeys(dv)}
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

func (b *block) queryBlocks(q, k, v *Node, do func(at queries)) {
	qRKGTD, kRKTD, vRKTD := b.heads(q, b.Config.Heads), b.keyHeads(k), b.keyHeads(v)
	from := 0
	for _, to := range QueryBlocks(b.length) {
		at := queries{from: from, to: to}
		from = to
		keys := func(x *Node) *Node { return Slice(x, AxisRange(), AxisRange(), AxisRange(0, at.to)) }
		at.q, at.k, at.v = at.cut(qRKGTD), keys(kRKTD), keys(vRKTD)
		do(at)
	}
}

// heads lays [M, heads×D] out as [R, K, G, T, D].
func (b *block) heads(x *Node, heads int) *Node {
	kv := b.Config.KVHeads
	return TransposeAllAxes(Reshape(x, b.rows, b.length, kv, heads/kv, b.Config.HeadDim), 0, 2, 3, 1, 4)
}

// flat is the inverse of heads.
func (b *block) flat(x *Node) *Node {
	return Reshape(TransposeAllAxes(x, 0, 3, 1, 2, 4), b.rows*b.length, b.Config.Heads*b.Config.HeadDim)
}

// keyHeads lays [M, kv×D] out as [R, K, T, D].
func (b *block) keyHeads(x *Node) *Node {
	return TransposeAllAxes(Reshape(x, b.rows, b.length, b.Config.KVHeads, b.Config.HeadDim), 0, 2, 1, 3)
}
