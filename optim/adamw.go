package optim

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"haf/lm"
)

// AdamW holds the settings of the optimizer (arXiv 1711.05101), in PyTorch's form.
type AdamW struct {
	LR           float64 // peak learning rate
	Beta1, Beta2 float64
	Eps          float64
	WeightDecay  float64
	DecayNorms   bool    // also decay norm weights and biases
	Clip         float64 // largest global gradient norm; 0 disables clipping
	Schedule     string  // "linear", "cosine" or "constant", after the warm-up
	Warmup       float64 // share of all steps in which the learning rate rises linearly
}

// structure names the settings that are constants of the update's program. The others are inputs of
// the program.
func (o AdamW) structure() string {
	return fmt.Sprint(o.Beta1, " ", o.Beta2, " ", o.Eps, " ", o.WeightDecay)
}

// Rate returns the learning rate of a step, counted from 0, of total steps.
func (o AdamW) Rate(step, total int) float64 {
	warmup := int(math.Round(o.Warmup * float64(total)))
	if step < warmup {
		return o.LR * float64(step+1) / float64(warmup+1)
	}
	// 1 at the first step after the warm-up
	left := float64(total-step) / float64(max(1, total-warmup))
	switch o.Schedule {
	case "linear":
		return o.LR * left
	case "cosine":
		return o.LR * 0.5 * (1 - math.Cos(math.Pi*left))
	default:
		return o.LR
	}
}

// Check returns an error that names the first setting out of range.
func (o AdamW) Check() error {
	switch {
	case !(o.LR > 0 && o.LR < math.Inf(1)):
		return fmt.Errorf("optim: learning rate is %g, want a positive number", o.LR)
	case !(o.Beta1 >= 0 && o.Beta1 < 1 && o.Beta2 >= 0 && o.Beta2 < 1):
		return fmt.Errorf("optim: betas are %g and %g, want from 0 to below 1", o.Beta1, o.Beta2)
	case !(o.Eps > 0 && o.Eps < math.Inf(1)):
		return fmt.Errorf("optim: eps is %g, want a positive number", o.Eps)
	case !(o.WeightDecay >= 0 && o.Clip >= 0):
		return fmt.Errorf("optim: weight decay is %g and clip %g, neither may be negative",
			o.WeightDecay, o.Clip)
	case !(o.Warmup >= 0 && o.Warmup < 1):
		return fmt.Errorf("optim: warm-up is %g, want a share of the steps from 0 to below 1", o.Warmup)
	case o.Schedule != "linear" && o.Schedule != "cosine" && o.Schedule != "constant":
		return fmt.Errorf("optim: schedule %q is not known: linear, cosine or constant", o.Schedule)
	}
	return nil
}

// decays reports whether weight decay applies to a weight. It applies to norms and biases, which
// are vectors in every family, only if DecayNorms is set.
func (o AdamW) decays(p lm.Param) bool { return o.DecayNorms || len(p.Shape) > 1 }

// clipFactor returns the factor for gradients of the given norm, as PyTorch's clip_grad_norm_ does.
func (o AdamW) clipFactor(norm float64) float64 {
	if o.Clip == 0 {
		return 1
	}
	return min(1, o.Clip/(norm+1e-6))
}

// scalars returns the numbers that change with update t ≥ 1: the clip factor, the learning rate,
// and the two bias corrections 1 − β₁ᵗ and √(1 − β₂ᵗ).
func (o AdamW) scalars(rate, norm float64, t int) []float32 {
	return []float32{
		float32(o.clipFactor(norm)), float32(rate),
		float32(1 - math.Pow(o.Beta1, float64(t))), float32(math.Sqrt(1 - math.Pow(o.Beta2, float64(t)))),
	}
}

// update builds the update of one weight:
//
//	g ← clip·g;  p ← p − lr·λ·p;  m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²
//	p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
//
// decay is a scalar node, 1 or 0. scalars is a node with the numbers of [AdamW.scalars].
func (o AdamW) update(scalars, decay, p, m, v, g *Node) (pNew, mNew, vNew *Node) {
	scalar := func(i int) *Node {
		return ConvertDType(Reshape(Slice(scalars, AxisRange(i, i+1))), dtypes.Float32)
	}
	clip, rate, correct1, correct2 := scalar(0), scalar(1), scalar(2), scalar(3)
	g = Mul(g, clip)
	p = Mul(p, OneMinus(MulScalar(Mul(rate, decay), o.WeightDecay)))
	mNew = Add(MulScalar(m, o.Beta1), MulScalar(g, 1-o.Beta1))
	vNew = Add(MulScalar(v, o.Beta2), MulScalar(Mul(g, g), 1-o.Beta2))
	denominator := AddScalar(Div(Sqrt(vNew), correct2), o.Eps)
	return Sub(p, Mul(Div(rate, correct1), Div(mNew, denominator))), mNew, vNew
}
