package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// Uncertain is Bradley-Terry with uncertain rewards. Each has its own variance, σ² = s² e^u / 2,
// where s is the link's scale and u comes from a head beside the score head:
//
//	ℓ = −log F(Δ / √((e^u_c + e^u_r) / 2))
//
// With the Gaussian link rewards r ± σ are compared, P(c ≻ r) = Φ((μ_c − μ_r)/√(σ_c² + σ_r²))
// (Thurstone 1927, his case of unequal dispersions). With another link, squared scales take the
// place of variances. At u = 0 it is [BradleyTerry]. Nodes and result are [C].
func Uncertain(marginC, chosenC, rejectedC *Node, link Link) *Node {
	d := Abs(Sub(chosenC, rejectedC))
	// log of the mean of e^u: the mean of u, and log cosh of half the difference.
	logMean := Add(MulScalar(Add(chosenC, rejectedC), 0.5),
		SubScalar(Add(MulScalar(d, 0.5), Log1P(Exp(Neg(d)))), math.Ln2))
	return link.Loss(Mul(marginC, Exp(MulScalar(logMean, -0.5))))
}

// UncertainValue is [Uncertain] of one comparison.
func UncertainValue(margin, chosen, rejected float64, link Link) float64 {
	return link.LossValue(margin / math.Sqrt((math.Exp(chosen)+math.Exp(rejected))/2))
}

// Variance is the variance that u gives for a reward trained by [Uncertain]: σ² = s² e^u / 2.
func (h Hybrid) Variance(u float64) float64 { return h.LinkScale * h.LinkScale * math.Exp(u) / 2 }
