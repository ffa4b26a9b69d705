package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// Losses of the policy head on one comparison. With log π the summed log-probability of a response
// and |y| its number of tokens, end token included,
//
//	ρ_y = log π(y|x) − log π_ref(y|x),  h = ρ_c − ρ_r,  h_π = log π(y_c|x) − log π(y_r|x)
//
// Nodes are float32 [C], settings such as β scalars; the result is [C]; the float64 reference of
// each bears its name and Value. [Smoothed], [Robust], [Hinge], [RaoKupper] and [Davidson] of βh
// are losses of the policy head, too.

// DirectPreference is the DPO loss (arXiv 2305.18290, equation 7):
//
//	ℓ = −log F(β h)
//
// With h_π for h it is DPO without a reference; with every ρ divided by |y| it is length-normalized
// (Tulu 3, arXiv 2411.15124, equation 6).
func DirectPreference(marginC, beta *Node, link Link) *Node {
	return link.Loss(Mul(marginC, beta))
}

// DirectPreferenceValue is [DirectPreference] of one margin.
func DirectPreferenceValue(margin, beta float64, link Link) float64 {
	return link.LossValue(beta * margin)
}

// IdentityPreference is IPO (arXiv 2310.12036, equation 17), on summed log-probabilities:
//
//	ℓ = (h − 1/(2β))²
func IdentityPreference(marginC, beta *Node) *Node {
	return Square(Sub(marginC, MulScalar(Inverse(beta), 0.5)))
}

// IdentityPreferenceValue is [IdentityPreference] of one margin.
func IdentityPreferenceValue(margin, beta float64) float64 {
	return math.Pow(margin-1/(2*beta), 2)
}

// IdentityPreferenceSqrt is IPO with a slope of −1 at h = 0 for every β, one of two other forms in
// HaF-RM (arXiv 2407.04185):
//
//	ℓ = β (h − 1/(2β))²
func IdentityPreferenceSqrt(marginC, beta *Node) *Node {
	return Mul(IdentityPreference(marginC, beta), beta)
}

// IdentityPreferenceSqrtValue is [IdentityPreferenceSqrt] of one margin.
func IdentityPreferenceSqrtValue(margin, beta float64) float64 {
	return beta * IdentityPreferenceValue(margin, beta)
}

// IdentityPreferenceFull is IPO on the implicit rewards themselves, the other of the two forms:
//
//	ℓ = (β h − ½)² = β² (h − 1/(2β))²
func IdentityPreferenceFull(marginC, beta *Node) *Node {
	return Square(AddScalar(Mul(marginC, beta), -0.5))
}

// IdentityPreferenceFullValue is [IdentityPreferenceFull] of one margin.
func IdentityPreferenceFullValue(margin, beta float64) float64 {
	return math.Pow(beta*margin-0.5, 2)
}

// SimplePreference is SimPO (arXiv 2405.14734, equation 6): without a reference, with the mean
// log-probability of a token and a target margin γ. The margin is log π(y_c|x)/|y_c| − log
// π(y_r|x)/|y_r|.
//
//	ℓ = −log F(β margin − γ)
func SimplePreference(marginC, beta, gamma *Node, link Link) *Node {
	return link.Loss(Sub(Mul(marginC, beta), gamma))
}

// SimplePreferenceValue is [SimplePreference] of one margin.
func SimplePreferenceValue(margin, beta, gamma float64, link Link) float64 {
	return link.LossValue(beta*margin - gamma)
}

// Supervised is the mean cross-entropy of the chosen response's tokens:
//
//	ℓ = −log π(y_c|x) / |y_c|
//
// logpC and tokensC are [C], both float32.
func Supervised(logpC, tokensC *Node) *Node { return Neg(Div(logpC, tokensC)) }

// SupervisedValue is [Supervised] of one response of the given log-probability and number of
// tokens.
func SupervisedValue(logp, tokens float64) float64 { return -logp / tokens }

// SupervisedSum is the summed cross-entropy of the chosen response, which HaF-RM (arXiv 2407.04185)
// calls SLiC:
//
//	ℓ = −log π(y_c|x)
func SupervisedSum(logpC *Node) *Node { return Neg(logpC) }

// SupervisedSumValue is [SupervisedSum] of one response.
func SupervisedSumValue(logp float64) float64 { return -logp }

// PairKTO is the Kahneman-Tversky loss of the two responses of a comparison (arXiv 2402.01306,
// equation 8, with λ = 1; the form for pairs is from early TRL):
//
//	ℓ = ½ [1 − σ(β(ρ_c − z_r))] + ½ [1 − σ(β(z_c − ρ_r))],  z_y = max(0, mean ρ_y)
//
// The mean, an estimate of KL(π‖π_ref) that gets no gradient, is over the packed batch's
// comparisons by weightC.
func PairKTO(chosenC, rejectedC, weightC, beta *Node) *Node {
	point := func(ratioC *Node) *Node {
		z := StopGradient(MaxScalar(weightedMean(ratioC, weightC), 0.0))
		return BroadcastToDims(z, weightC.Shape().Size())
	}
	gain := Sigmoid(Mul(Sub(point(rejectedC), chosenC), beta))
	loss := Sigmoid(Mul(Sub(rejectedC, point(chosenC)), beta))
	return MulScalar(Add(gain, loss), 0.5)
}

// PairKTOValue is the mean of [PairKTO] over a batch's log-ratios.
func PairKTOValue(chosen, rejected []float64, beta float64) float64 {
	sigmoid := func(x float64) float64 { return math.Exp(-negLogSigmoidValue(x)) }
	zChosen, zRejected := math.Max(0, meanOf(chosen)), math.Max(0, meanOf(rejected))
	total := 0.0
	for i := range chosen {
		total += sigmoid(beta*(zRejected-chosen[i]))/2 + sigmoid(beta*(rejected[i]-zChosen))/2
	}
	return total / float64(len(chosen))
}
