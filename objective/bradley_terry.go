package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// Losses of the score head on one comparison, with Δ = r_chosen − r_rejected and F the [Link]: the
// logistic function σ in the papers. Nodes are float32 [C], settings such as ε scalars, and the
// result is [C]; the float64 reference of each bears its name and Value.

// BradleyTerry is the negative log-likelihood of a comparison (Bradley and Terry, Biometrika 1952):
//
//	ℓ = −log F(Δ)
func BradleyTerry(marginC *Node, link Link) *Node { return link.Loss(marginC) }

// BradleyTerryValue is [BradleyTerry] of one margin.
func BradleyTerryValue(margin float64, link Link) float64 { return link.LossValue(margin) }

// Margin requires the chosen response to lead by the margin m that the data states (Llama 2, arXiv
// 2307.09288, equation 2):
//
//	ℓ = −log F(Δ − m)
func Margin(marginC, statedC *Node, link Link) *Node { return link.Loss(Sub(marginC, statedC)) }

// MarginValue is [Margin] of one comparison.
func MarginValue(margin, stated float64, link Link) float64 {
	return link.LossValue(margin - stated)
}

// Scaled weights a comparison by the margin m that the data states (HelpSteer2-Preference, arXiv
// 2410.01257, section 3.2):
//
//	ℓ = −m log F(Δ)
func Scaled(marginC, statedC *Node, link Link) *Node { return Mul(statedC, link.Loss(marginC)) }

// ScaledValue is [Scaled] of one comparison.
func ScaledValue(margin, stated float64, link Link) float64 {
	return stated * link.LossValue(margin)
}

// Smoothed is the cross-entropy with a label that is right with probability 1 − ε:
//
//	ℓ = −(1 − ε) log F(Δ) − ε log F(−Δ)
//
// On the policy's margin it is cDPO (Mitchell, A note on DPO with noisy preferences, 2023).
func Smoothed(marginC, smoothing *Node, link Link) *Node {
	return Add(Mul(link.Loss(marginC), OneMinus(smoothing)),
		Mul(link.Loss(Neg(marginC)), smoothing))
}

// SmoothedValue is [Smoothed] of one margin.
func SmoothedValue(margin, smoothing float64, link Link) float64 {
	return (1-smoothing)*link.LossValue(margin) + smoothing*link.LossValue(-margin)
}

// Robust is an unbiased loss for labels that are flipped with probability ε: its mean over these
// equals the mean of −log F over the true labels (arXiv 2403.00409, equation 12). It may be
// negative:
//
//	ℓ = [−(1 − ε) log F(Δ) + ε log F(−Δ)] / (1 − 2ε)
//
// On the policy's margin it is robust DPO.
func Robust(marginC, rate *Node, link Link) *Node {
	scale := Inverse(OneMinus(MulScalar(rate, 2)))
	return Sub(Mul(link.Loss(marginC), Mul(OneMinus(rate), scale)),
		Mul(link.Loss(Neg(marginC)), Mul(rate, scale)))
}

// RobustValue is [Robust] of one margin.
func RobustValue(margin, rate float64, link Link) float64 {
	return ((1-rate)*link.LossValue(margin) - rate*link.LossValue(-margin)) / (1 - 2*rate)
}

// Hinge is zero from the width γ on (Cortes and Vapnik, Machine Learning 1995):
//
//	ℓ = max(0, γ − Δ)
func Hinge(marginC, width *Node) *Node {
	return MaxScalar(Sub(width, marginC), 0.0)
}

// HingeValue is [Hinge] of one margin.
func HingeValue(margin, width float64) float64 { return math.Max(0, width-margin) }

// normFloor keeps [Normalized] defined at the zero score head, where its slope is ten times that of
// Bradley-Terry.
const normFloor = 0.01

// Normalized is Bradley-Terry of the margin divided by the size of the rewards, so that scaling up
// all rewards gains nothing (norm-BT, a baseline of arXiv 2505.07271, where ε is 0):
//
//	ℓ = −log F(Δ / √(r_c² + r_r² + ε)),  ε = 0.01
func Normalized(chosenC, rejectedC *Node, link Link) *Node {
	size := Sqrt(AddScalar(Add(Mul(chosenC, chosenC), Mul(rejectedC, rejectedC)), normFloor))
	return link.Loss(Div(Sub(chosenC, rejectedC), size))
}

// NormalizedValue is [Normalized] of one comparison.
func NormalizedValue(chosen, rejected float64, link Link) float64 {
	return link.LossValue((chosen - rejected) / math.Sqrt(chosen*chosen+rejected*rejected+normFloor))
}

// Eurus also asks for a positive reward of the chosen response and a negative one of the rejected
// response (arXiv 2404.02078, equation 2):
//
//	ℓ = −log F(Δ) − log F(r_c) − log F(−r_r)
func Eurus(chosenC, rejectedC *Node, link Link) *Node {
	return Add(link.Loss(Sub(chosenC, rejectedC)), Add(link.Loss(chosenC), link.Loss(Neg(rejectedC))))
}

// EurusValue is [Eurus] of one comparison.
func EurusValue(chosen, rejected float64, link Link) float64 {
	return link.LossValue(chosen-rejected) + link.LossValue(chosen) + link.LossValue(-rejected)
}
