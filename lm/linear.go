package lm

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// linear returns x·Wᵀ [M, out], plus the bias and the adapter, if any.
func (b *block) linear(x *Node, name string) *Node {
	weight := b.w[name+".weight"]
	lora, adapted := b.w[name+LoraA]
	var y *Node
	switch {
	case adapted && b.Merges(b.positions, weight.Shape().Dimensions):
		y = b.merged(x, weight, lora, b.w[name+LoraB])
	default:
		y = b.matMulWeight(x, weight)
		if adapted {
			y = Add(y, MulScalar(b.matMul(b.keep(b.matMul(x, lora, 0)), b.w[name+LoraB], 0), b.LoRA.Scale()))
		}
	}
	if bias, ok := b.w[name+".bias"]; ok {
		y = Add(y, spreadLast(ConvertDType(bias, y.DType()), y))
	}
	return y
}

// Merges reports whether an adapter is added to a layer's weights, whose two dimensions dims has,
// rather than its product to the layer's result. This is done in float32 only, because bfloat16
// would round the adapter away. It is done if the two thin products that it saves, forward and
// backward, cost more than the products that merge the weights, forward and again backward. Both
// costs are proportional to the rank.
func (d *Decoder) Merges(positions int, dims []int) bool {
	return d.DType == dtypes.Float32 && 2*positions*(dims[0]+dims[1]) > 3*dims[0]*dims[1]
}

// merged is x·(W + s·B·A)ᵀ. The gradients by A and B need only thin products: with u = dY·B and t =
// x·Aᵀ, dA = s·uᵀ·x and dB = s·dYᵀ·t. A gradient by the merged weights would be a product as large
// as the layer's. W is frozen and gets none.
func (b *block) merged(x, weight, loraA, loraB *Node) *Node {
	scale := b.LoRA.Scale()
	merge := func(loraB *Node) *Node {
		var delta *Node
		if b.family.conv1D {
			delta = dot(loraA, loraB).General([]int{0}, nil, []int{1}, nil)
		} else {
			delta = dot(loraB, loraA).General([]int{1}, nil, []int{0}, nil)
		}
		return StopGradient(Add(weight, MulScalar(delta, scale)))
	}
	// without this the compiler merges the weights of many layers first
	whole := merge(SchedulingBarrier(loraB, x))
	return custom([]*Node{x, loraA, loraB}, b.matMulWeight(x, whole), nil,
		func(in []*Node, _, by *Node) []*Node {
			x, loraA, loraB := in[0], in[1], in[2]
			u := dot(by, loraB).Product()
			tT := matMulTransposed(loraA, x, x.DType())
			dA := MulScalar(dot(u, x).General([]int{0}, nil, []int{0}, nil), scale)
			// The thin matrix comes first, and the result is transposed, because transposing a wide matrix
			// halves the rate of the product.
			dB := Transpose(MulScalar(dot(tT, by).Product(), scale), 0, 1)
			if b.checkpoints() { // a second copy of the weights costs more than making it again
				whole = merge(SchedulingBarrier(loraB, by))
			}
			out := 0
			if b.family.conv1D {
				out = 1
			}
			dx := dot(by, whole).General([]int{1}, nil, []int{out}, nil)
			return []*Node{dx, dA, dB}
		})
}

// matMulWeight returns x·Wᵀ, or x·W if the family stores W as [in, out].
func (b *block) matMulWeight(x, weight *Node) *Node {
	if b.family.conv1D {
		return b.matMul(x, weight, 1)
	}
	return b.matMul(x, weight, 0)
}

// matMul is the product of x [M, in] and w, whose outputs are the axis out, in x's dtype.
//
// The tensor library differentiates products of bfloat16 in float32. A device with bfloat16 units
// multiplies float32 at only a half to an eighth of their rate.
func (b *block) matMul(x, w *Node, out int) *Node {
	multiply := func(x, w *Node) *Node {
		if b.columns != nil && out == 0 {
			if b.columns[x] == nil {
				b.columns[x] = asColumns(x)
			}
			return matMulColumns(w, b.columns[x], x.DType())
		}
		return dot(x, w).General([]int{1}, nil, []int{1 - out}, nil)
	}
	w = ConvertDType(w, x.DType())
	switch {
	case x.DType() == dtypes.Float32:
		return multiply(x, w)
	case !b.HalfProducts:
		return ConvertDType(multiply(ConvertDType(x, dtypes.Float32), ConvertDType(w, dtypes.Float32)),
			x.DType())
	}
	y := multiply(x, w)
	return custom([]*Node{x, w}, y, nil, func(in []*Node, _, by *Node) []*Node {
		x, w := in[0], in[1]
		dx := dot(by, w).General([]int{1}, nil, []int{out}, nil)
		switch {
		// as in merged, the thin matrix first
		case out == 0 && 4*x.Shape().Dimensions[1] <= by.Shape().Dimensions[1]:
			return []*Node{dx, Transpose(dot(asColumns(x), by).Product(), 0, 1)}
		case out == 0:
			return []*Node{dx, dot(by, x).General([]int{0}, nil, []int{0}, nil)}
		}
		return []*Node{dx, dot(x, by).General([]int{0}, nil, []int{0}, nil)}
	})
}

// dot is the tensor library's Dot. For bfloat16 operands that Dot requests sums in float32. Its XLA
// backend for CPUs then makes every second operand wait for the first: it adds a zero computed from
// it, in a pass over the operand that does not fuse. XLA sums products of bfloat16 in float32
// without the request; the pure Go backend needs it.
func dot(x, y *Node) *DotBuilder {
	d := Dot(x, y)
	if x.DType() == dtypes.BFloat16 && x.Graph().Backend().Name() == "xla" {
		return d.WithAccumulatorDType(dtypes.BFloat16)
	}
	return d
}

// matMulTransposed returns x·Wᵀ for x [M, in] and W [out, in], both of one dtype, with a result of
// another.
func matMulTransposed(x, w *Node, dtype dtypes.DType) *Node {
	return withOutput(dot(x, w), x.DType(), dtype).General([]int{1}, nil, []int{1}, nil)
}

// matMulColumns is [matMulTransposed] of the columns of [asColumns]. A product of few states with
// large weights takes the time of reading the weights. XLA's library on a CPU transposes the
// weights first, unless the states have this layout.
func matMulColumns(w, columns *Node, dtype dtypes.DType) *Node {
	return Transpose(opaque(withOutput(dot(w, columns), columns.DType(), dtype).General([]int{1}, nil,
		[]int{0}, nil)), 0, 1)
}

// asColumns returns x [M, in] as [in, M].
func asColumns(x *Node) *Node { return opaque(Transpose(x, 0, 1)) }

// opaque returns x through an operation that the compiler does not simplify. Without it the
// compiler fuses a transposition into the product beside it; scheduling barriers are gone by then.
func opaque(x *Node) *Node { return MaxScalar(x, -3e38) }

// withOutput makes the sums of a product dtype.
func withOutput(dot *DotBuilder, of, dtype dtypes.DType) *DotBuilder {
	if of == dtype {
		return dot
	}
	return dot.WithOutputDType(dtype)
}
