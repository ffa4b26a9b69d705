package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// BradleyTerry is the loss of one comparison under the Bradley-Terry model of its reward margin (Biometrika 1952):
//
//	ℓ(Δ) = −log σ(Δ),  Δ = r_chosen − r_rejected
//
// marginC is [C]; so is the result. Its float64 twin is [BradleyTerryValue].
func BradleyTerry(marginC *Node) *Node { return negLogSigmoid(marginC) }

// BradleyTerryValue is [BradleyTerry] of one margin.
func BradleyTerryValue(margin float64) float64 { return negLogSigmoidValue(margin) }

// negLogSigmoid returns −log σ(x) = log(1 + exp(−|x|)) − min(x, 0), which neither overflows nor loses the small end.
func negLogSigmoid(x *Node) *Node {
	return Sub(Log1P(Exp(Neg(Abs(x)))), MinScalar(x, 0.0))
}

func negLogSigmoidValue(x float64) float64 {
	return math.Log1p(math.Exp(-math.Abs(x))) - math.Min(x, 0)
}
