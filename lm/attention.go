package lm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// hiddenBias is what is added to the attention score of a position that may not be seen: after the softmax its
// weight is exactly zero in float32, and, unlike −∞, no row can become NaN.
const hiddenBias = -1e30

// attentionBias returns 0 where the token at the second axis is visible from the first, else hiddenBias:
// float32 [R, T, T]. Visible: not later in the row, of the same segment, in the prompt or in the same branch, and, unless
// window is 0, less than window positions back. Positions, not places in the row: between a response and its prompt
// there may be other responses.
func attentionBias(rows Rows, window int) *Node {
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
	if window > 0 {
		distance := Sub(from(rows.Positions), to(rows.Positions))
		visible = And(visible, LessThan(distance, AddScalar(ZerosLike(distance), float64(window))))
	}
	zeros := Zeros(g, shapes.Make(dtypes.Float32, r, t, t))
	return Where(visible, zeros, AddScalar(zeros, hiddenBias))
}

// QueryBlock is the number of queries that attend at once: none is computed with keys behind its block.
const QueryBlock = 128

// attention is grouped-query attention; x and the result are [M, H].
func (b *block) attention(xMH *Node, name string, v *view) *Node {
	c := b.Config
	kv, group, dim := c.KVHeads, c.Heads/c.KVHeads, c.HeadDim
	q, k, value := b.project(xMH, name)
	q = b.keep(b.rotate(b.headNorm(q, c.Heads, name, b.family.names.qNorm), c.Heads, v))
	k = b.keep(b.rotate(b.headNorm(k, kv, name, b.family.names.kNorm), kv, v))
	value = b.keep(value)
	qRKGTD := TransposeAllAxes(Reshape(q, b.rows, b.length, kv, group, dim), 0, 2, 3, 1, 4)
	kRKTD := TransposeAllAxes(Reshape(k, b.rows, b.length, kv, dim), 0, 2, 1, 3)
	vRKTD := TransposeAllAxes(Reshape(value, b.rows, b.length, kv, dim), 0, 2, 1, 3)

	// A block of queries sees no key behind its end: the upper half of the square is not computed.
	var parts []*Node
	for from := 0; from < b.length; from += QueryBlock {
		to := min(from+QueryBlock, b.length)
		parts = append(parts, b.attend(
			Slice(qRKGTD, AxisRange(), AxisRange(), AxisRange(), AxisRange(from, to)),
			Slice(kRKTD, AxisRange(), AxisRange(), AxisRange(0, to)),
			Slice(vRKTD, AxisRange(), AxisRange(), AxisRange(0, to)),
			Slice(v.biasRTT, AxisRange(), AxisRange(from, to), AxisRange(0, to))))
	}
	outRKGTD := Concatenate(parts, 3)
	outMH := Reshape(TransposeAllAxes(outRKGTD, 0, 3, 1, 2, 4), b.rows*b.length, c.Heads*dim)
	return b.linear(b.keep(outMH), name+b.family.names.o)
}

// project returns queries [M, heads×D], keys and values [M, kv×D], cut out of the fused projection where there is one.
func (b *block) project(xMH *Node, name string) (q, k, v *Node) {
	c, n := b.Config, b.family.names
	if n.qkv == "" {
		return b.linear(xMH, name+n.q), b.linear(xMH, name+n.k), b.linear(xMH, name+n.v)
	}
	fused := b.linear(xMH, name+n.qkv)
	if !b.family.byHead {
		parts := cut(fused, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim, c.KVHeads*c.HeadDim)
		return parts[0], parts[1], parts[2]
	}
	m := xMH.Shape().Dimensions[0]
	fused = Reshape(fused, m, c.Heads, 3, c.HeadDim)
	part := func(i int) *Node {
		return Reshape(Slice(fused, AxisRange(), AxisRange(), AxisRange(i, i+1), AxisRange()), m, c.Heads*c.HeadDim)
	}
	return part(0), part(1), part(2)
}

// headNorm normalizes queries or keys [M, heads×D], each head or all of them together, in families that do.
func (b *block) headNorm(x *Node, heads int, name, norm string) *Node {
	switch {
	case norm == "":
		return x
	case b.family.wholeNorm:
		return b.norm(x, name+norm)
	}
	dims := x.Shape().Dimensions
	return Reshape(b.norm(Reshape(x, dims[0], heads, b.Config.HeadDim), name+norm), dims...)
}

// attend is softmax(cap(q·kᵀ/√s) + bias)·v, s the head's dimension unless the family has another, cap the soft-cap where there is one, for Q queries and S keys: q [R, K, G, Q, D], k and v [R, K, S, D], bias [R, Q, S].
func (b *block) attend(q, k, v, bias *Node) *Node {
	scores := Dot(q, k).General([]int{4}, []int{0, 1}, []int{3}, []int{0, 1}) // [R, K, G, Q, S]
	scores = b.scaled(ConvertDType(scores, dtypes.Float32))
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

// rotate applies the rotary embedding to [M, heads×D]: of the first dimensions of a head, all or a part, it pairs the
// i-th of the first half with the i-th of the second, as transformers does.
func (b *block) rotate(x *Node, heads int, v *view) *Node {
	if v.cosM1D == nil {
		return x
	}
	m, dim, half := x.Shape().Dimensions[0], b.Config.HeadDim, b.Config.rotaryDim()/2
	x = Reshape(x, m, heads, dim)
	part := func(from, to int) *Node { return Slice(x, AxisRange(), AxisRange(), AxisRange(from, to)) }
	lo, hi := part(0, half), part(half, 2*half)
	cos := BroadcastToDims(v.cosM1D, m, heads, half)
	sin := BroadcastToDims(v.sinM1D, m, heads, half)
	parts := []*Node{Sub(Mul(lo, cos), Mul(hi, sin)), Add(Mul(hi, cos), Mul(lo, sin))}
	if 2*half < dim {
		parts = append(parts, part(2*half, dim))
	}
	return Concatenate(parts, -1)
}
