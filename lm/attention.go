package lm

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// hiddenBias is what is added to the attention score of a position that may not be seen: after the softmax its
// weight is exactly zero in float32, and, unlike −∞, no row can become NaN.
const hiddenBias = -1e30

// attentionBias returns 0 where the token at the second axis is visible from the first, else hiddenBias:
// float32 [R, T, T]. Visible: not later in the row, of the same segment, in the prompt or in the same branch.
func attentionBias(rows Rows) *Node {
	r, t := rows.Tokens.Shape().Dimensions[0], rows.Tokens.Shape().Dimensions[1]
	from := func(x *Node) *Node { return BroadcastToDims(Reshape(x, r, t, 1), r, t, t) }
	to := func(x *Node) *Node { return BroadcastToDims(Reshape(x, r, 1, t), r, t, t) }
	place := shapes.Make(dtypes.Int32, r, t, t)
	g := rows.Tokens.Graph()
	causal := GreaterOrEqual(Iota(g, place, 1), Iota(g, place, 2))
	sameSegment := Equal(from(rows.Segments), to(rows.Segments))
	prompt := Equal(to(rows.Branches), ZerosLike(to(rows.Branches)))
	sameBranch := Equal(from(rows.Branches), to(rows.Branches))
	visible := And(And(causal, sameSegment), Or(prompt, sameBranch))
	zeros := Zeros(g, shapes.Make(dtypes.Float32, r, t, t))
	return Where(visible, zeros, AddScalar(zeros, hiddenBias))
}

// queryBlock is the number of queries that attend at once.
const queryBlock = 128

// attention is grouped-query attention with rotary positions; x and the result are [M, H].
func (b *block) attention(xMH *Node, name string) *Node {
	c := b.Config
	kv, group, dim := c.KVHeads, c.Heads/c.KVHeads, c.HeadDim
	q := b.keep(b.rotate(b.linear(xMH, name+"q_proj"), c.Heads))
	k := b.keep(b.rotate(b.linear(xMH, name+"k_proj"), kv))
	v := b.keep(b.linear(xMH, name+"v_proj"))
	qRKGTD := TransposeAllAxes(Reshape(q, b.rows, b.length, kv, group, dim), 0, 2, 3, 1, 4)
	kRKTD := TransposeAllAxes(Reshape(k, b.rows, b.length, kv, dim), 0, 2, 1, 3)
	vRKTD := TransposeAllAxes(Reshape(v, b.rows, b.length, kv, dim), 0, 2, 1, 3)

	// A block of queries sees no key behind its end: the upper half of the square is not computed.
	var parts []*Node
	for from := 0; from < b.length; from += queryBlock {
		to := min(from+queryBlock, b.length)
		parts = append(parts, b.attend(
			Slice(qRKGTD, AxisRange(), AxisRange(), AxisRange(), AxisRange(from, to)),
			Slice(kRKTD, AxisRange(), AxisRange(), AxisRange(0, to)),
			Slice(vRKTD, AxisRange(), AxisRange(), AxisRange(0, to)),
			Slice(b.biasRTT, AxisRange(), AxisRange(from, to), AxisRange(0, to))))
	}
	outRKGTD := Concatenate(parts, 3)
	outMH := Reshape(TransposeAllAxes(outRKGTD, 0, 3, 1, 2, 4), b.rows*b.length, c.Heads*dim)
	return b.linear(b.keep(outMH), name+"o_proj")
}

// attend is softmax(q·kᵀ/√D + bias)·v for Q queries and S keys: q [R, K, G, Q, D], k and v [R, K, S, D], bias [R, Q, S].
func (b *block) attend(q, k, v, bias *Node) *Node {
	scores := Dot(q, k).General([]int{4}, []int{0, 1}, []int{3}, []int{0, 1}) // [R, K, G, Q, S]
	scores = MulScalar(ConvertDType(scores, dtypes.Float32), 1/math.Sqrt(float64(b.Config.HeadDim)))
	dims := bias.Shape().Dimensions
	bias = BroadcastToDims(Reshape(bias, dims[0], 1, 1, dims[1], dims[2]), scores.Shape().Dimensions...)
	weights := ConvertDType(Softmax(Add(scores, bias), -1), b.DType)
	return Dot(weights, v).General([]int{4}, []int{0, 1}, []int{2}, []int{0, 1})
}

// rotations returns the cosines and sines of the rotary angles, [M, 1, D/2]. The angles are float32 whatever the
// dtype: in bfloat16 they are garbage after a few hundred positions.
func rotations(positionsRT *Node, inverse []float64, dtype dtypes.DType) (cos, sin *Node) {
	m, half := positionsRT.Shape().Size(), len(inverse)
	freq := make([]float32, half)
	for i, f := range inverse {
		freq[i] = float32(f)
	}
	pos := BroadcastToDims(Reshape(ConvertDType(positionsRT, dtypes.Float32), m, 1, 1), m, 1, half)
	angle := Mul(pos, BroadcastToDims(Reshape(Const(positionsRT.Graph(), freq), 1, 1, half), m, 1, half))
	return ConvertDType(Cos(angle), dtype), ConvertDType(Sin(angle), dtype)
}

// rotate applies the rotary embedding to [M, heads×D], pairing dimension i with i + D/2 as transformers does.
func (b *block) rotate(x *Node, heads int) *Node {
	m, half := x.Shape().Dimensions[0], b.Config.HeadDim/2
	x = Reshape(x, m, heads, 2*half)
	lo := Slice(x, AxisRange(), AxisRange(), AxisRange(0, half))
	hi := Slice(x, AxisRange(), AxisRange(), AxisRange(half, 2*half))
	cos := BroadcastToDims(b.cosM1D, m, heads, half)
	sin := BroadcastToDims(b.sinM1D, m, heads, half)
	return Concatenate([]*Node{Sub(Mul(lo, cos), Mul(hi, sin)), Add(Mul(hi, cos), Mul(lo, sin))}, -1)
}
