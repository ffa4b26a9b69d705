package lm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// hiddenBias is the bias of the attention score of an invisible position. After the softmax its
// weight is exactly zero in float32. With −∞ a row could become NaN.
const hiddenBias = -1e30

// bias returns 0 where a token is visible from another, else hiddenBias, in float32.
func bias(visible *Node) *Node {
	zeros := Zeros(visible.Graph(), shapes.Make(dtypes.Float32, visible.Shape().Dimensions...))
	return Where(visible, zeros, AddScalar(zeros, hiddenBias))
}

// attention is grouped-query attention; x and the result are [M, H].
func (b *block) attention(xMH *Node, name string, v *view) *Node {
	q, k, value := b.project(xMH, name)
	q = b.keep(b.rotate(b.headNorm(q, b.Config.Heads, name, b.family.names.qNorm), b.Config.Heads, v))
	k = b.keep(b.rotate(b.headNorm(k, b.Config.KVHeads, name, b.family.names.kNorm), b.Config.KVHeads,
		v))
	return b.linear(b.attend(q, k, b.keep(value), v.visible), name+b.family.names.o)
}

// project returns queries [M, heads×D], keys and values [M, kv×D]. It splits a fused projection, if
// any.
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
		return Reshape(Slice(fused, AxisRange(), AxisRange(), AxisRange(i, i+1), AxisRange()), m,
			c.Heads*c.HeadDim)
	}
	return part(0), part(1), part(2)
}

// headNorm normalizes queries or keys [M, heads×D] in families that do so, for each head or for all
// heads together.
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

// rotate applies the rotary embedding to [M, heads×D]: of the first dimensions of a head, all or a
// part, it pairs the i-th of the first half with the i-th of the second, as transformers does.
func (b *block) rotate(x *Node, heads int, v *view) *Node {
	if v.cosM1D == nil {
		return x
	}
	m, dim, half := x.Shape().Dimensions[0], b.Config.HeadDim, b.Config.rotaryDim()/2
	x = Reshape(x, m, heads, dim)
	part := func(from, to int) *Node { return Slice(x, AxisRange(), AxisRange(), AxisRange(from, to)) }
	lo, hi := part(0, half), part(half, 2*half)
	spread := func(angles *Node) *Node {
		return BroadcastToDims(ConvertDType(angles, b.DType), m, heads, half)
	}
	cos, sin := spread(v.cosM1D), spread(v.sinM1D)
	parts := []*Node{Sub(Mul(lo, cos), Mul(hi, sin)), Add(Mul(hi, cos), Mul(lo, sin))}
	if 2*half < dim {
		parts = append(parts, part(2*half, dim))
	}
	return Concatenate(parts, -1)
}
