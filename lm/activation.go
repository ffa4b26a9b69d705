package lm

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// gated is act(gate) ⊙ up.
//
// The gradient is written out because of the compiler's cost model. It computes an expensive
// operation, such as an exponential, once and writes the result to memory for all users. That takes
// longer than computing it for each user.
func (b *block) gated(gate, up *Node) *Node {
	out := Mul(b.activation(gate), up)
	return custom([]*Node{gate, up}, out, nil, func(in []*Node, _, by *Node) []*Node {
		gate, up := in[0], in[1]
		act, slope := b.activation(preventCSE(gate, 1)), b.slope(preventCSE(gate, 2))
		return []*Node{Mul(Mul(by, up), slope), Mul(by, act)}
	})
}

// preventCSE returns x through an operation that differs with n, so that the compiler does not
// merge common subexpressions. It computes everything that depends on the result once for each n.
func preventCSE(x *Node, n int) *Node { return MaxScalar(x, -3e38+float64(n)*1e37) }

func (b *block) activation(x *Node) *Node {
	switch b.Config.Activation {
	case "gelu":
		return Mul(x, normalBelow(x))
	case "gelu_tanh", "gelu_new":
		return Mul(x, MulScalar(OnePlus(geluTanh(x)), 0.5))
	default: // silu; ParseConfig refuses what is not known
		return Mul(x, Sigmoid(x))
	}
}

// slope is the derivative of the activation function.
func (b *block) slope(x *Node) *Node {
	switch b.Config.Activation {
	case "gelu": // Φ(x) + x·φ(x)
		density := MulScalar(Exp(MulScalar(Mul(x, x), -0.5)), 1/math.Sqrt(2*math.Pi))
		return Add(normalBelow(x), Mul(x, density))
	case "gelu_tanh", "gelu_new":
		t := geluTanh(x)
		inner := MulScalar(AddScalar(MulScalar(Mul(x, x), 3*geluCubic), 1), math.Sqrt(2/math.Pi))
		return MulScalar(Add(OnePlus(t), Mul(Mul(x, OneMinus(Mul(t, t))), inner)), 0.5)
	default: // σ(x)·(1 + x·(1 − σ(x)))
		s := Sigmoid(x)
		return Mul(s, OnePlus(Mul(x, OneMinus(s))))
	}
}

// normalBelow is Φ(x), the probability below x of the standard normal distribution.
func normalBelow(x *Node) *Node { return MulScalar(OnePlus(Erf(DivScalar(x, math.Sqrt2))), 0.5) }

const geluCubic = 0.044715

// geluTanh is the approximation of 2Φ(x) − 1 in gelu.
func geluTanh(x *Node) *Node {
	return Tanh(MulScalar(Add(x, MulScalar(Mul(x, Mul(x, x)), geluCubic)), math.Sqrt(2/math.Pi)))
}
