package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// Models with ties take the probability t of a tie between equals, 0 < t < 1, as their parameter.
// tieC is 1 where the two responses were judged equal and 0 where the first is the chosen one.

// RaoKupper is the negative log-likelihood of a comparison that may be a tie. A tie is observed if
// the difference is below a threshold η (Rao and Kupper, JASA 1967):
//
//	P(c ≻ r) = σ(Δ − η),  P(tie) = (e^2η − 1) σ(Δ − η) σ(−Δ − η),  e^η = (1 + t)/(1 − t)
func RaoKupper(marginC, tieC *Node, tieRate float64) *Node {
	eta := raoKupperThreshold(tieRate)
	win := negLogSigmoid(SubScalar(marginC, eta))
	other := AddScalar(negLogSigmoid(SubScalar(Neg(marginC), eta)), -math.Log(math.Expm1(2*eta)))
	return Add(win, Mul(tieC, other))
}

// RaoKupperValue is [RaoKupper] of one comparison.
func RaoKupperValue(margin float64, tie bool, tieRate float64) float64 {
	theta := (1 + tieRate) / (1 - tieRate)
	eta := math.Log(theta)
	if tie {
		return -math.Log(theta*theta-1) + negLogSigmoidValue(margin-eta) + negLogSigmoidValue(-margin-eta)
	}
	return negLogSigmoidValue(margin - eta)
}

func raoKupperThreshold(tieRate float64) float64 { return math.Log((1 + tieRate) / (1 - tieRate)) }

// Davidson is the negative log-likelihood of a comparison that may be a tie. The odds of a tie are
// the geometric mean of the other two (Davidson, JASA 1970):
//
//	P(c ≻ r) = e^(Δ/2) / Z,  P(tie) = ν / Z,  Z = e^(Δ/2) + e^(−Δ/2) + ν,  ν = 2t/(1 − t)
func Davidson(marginC, tieC *Node, tieRate float64) *Node {
	logNu := math.Log(2 * tieRate / (1 - tieRate))
	half := MulScalar(marginC, 0.5)
	// Z by its largest term: log Z = |Δ|/2 + log(1 + e^−|Δ| + ν e^(−|Δ|/2)), of which the last stays
	// below ν.
	abs := Abs(half)
	logZ := Add(abs, Log1P(Add(Exp(MulScalar(abs, -2)), MulScalar(Exp(Neg(abs)), math.Exp(logNu)))))
	return Sub(logZ, Add(Mul(OneMinus(tieC), half), MulScalar(tieC, logNu)))
}

// DavidsonValue is [Davidson] of one comparison.
func DavidsonValue(margin float64, tie bool, tieRate float64) float64 {
	nu := 2 * tieRate / (1 - tieRate)
	abs := math.Abs(margin)
	logZ := abs/2 + math.Log1p(math.Exp(-abs)+nu*math.Exp(-abs/2))
	if tie {
		return logZ - math.Log(nu)
	}
	return logZ - margin/2
}
