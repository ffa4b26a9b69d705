package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// Losses of single responses that were labelled desirable or undesirable. desirableS is 1 or 0,
// float32 [S], as the other nodes and the results are.

// A Label is a judgement of a single response.
type Label int8

// The labels of a response.
const (
	Unlabelled  Label = 0
	Desirable   Label = 1
	Undesirable Label = -1
)

// BinaryCrossEntropy treats the score head's reward as the log-odds of a desirable response, with F
// the link, by default the logistic function:
//
//	ℓ = −log F(r) where desirable, −log F(−r) where undesirable
func BinaryCrossEntropy(scoreS, desirableS *Node, link Link) *Node {
	return link.Loss(Mul(signOf(desirableS), scoreS))
}

// BinaryCrossEntropyValue is [BinaryCrossEntropy] of one response.
func BinaryCrossEntropyValue(score float64, label Label, link Link) float64 {
	return link.LossValue(float64(label) * score)
}

// KahnemanTversky is KTO (arXiv 2402.01306, equation 8). With ρ = log π − log π_ref of the response
// and z the reference point of [ReferencePoint]:
//
//	ℓ = λ_D [1 − σ(β(ρ − z))] where desirable, λ_U [1 − σ(β(z − ρ))] where undesirable
//
// With z = 0 and both weights 1 it is APO-zero's form for labels (arXiv 2408.06266).
func KahnemanTversky(
	ratioS, pointS, desirableS, beta, desirable, undesirable *Node,
) *Node {
	gain := Mul(Mul(signOf(desirableS), Sub(ratioS, pointS)), beta)
	weight := Add(Mul(desirableS, Sub(desirable, undesirable)), undesirable)
	return Mul(weight, Sigmoid(Neg(gain)))
}

// KahnemanTverskyValue is [KahnemanTversky] of one response.
func KahnemanTverskyValue(
	ratio, point float64, label Label, beta, desirable, undesirable float64,
) float64 {
	weight := desirable
	if label == Undesirable {
		weight = undesirable
	}
	return weight * math.Exp(-negLogSigmoidValue(-float64(label)*beta*(ratio-point)))
}

// ReferencePoint estimates KL(π‖π_ref) for [KahnemanTversky]: the mean of ρ over the packed batch's
// responses to other prompts, where mismatchedS is 1. It is 0 if the mean is negative or there are
// no such responses. It gets no gradient. The result is a scalar, in nats a response.
func ReferencePoint(ratioS, mismatchedS *Node) *Node {
	return StopGradient(MaxScalar(weightedMean(ratioS, mismatchedS), 0.0))
}

// ReferencePointValue is [ReferencePoint] of the ratios of mismatched responses.
func ReferencePointValue(ratios []float64) float64 { return math.Max(0, meanOf(ratios)) }

// signOf is 1 where desirable and −1 elsewhere.
func signOf(desirableS *Node) *Node { return AddScalar(MulScalar(desirableS, 2), -1) }

// point is the reference point of the packed batch, for every response slot.
func (t terms) point() *Node {
	return BroadcastToDims(ReferencePoint(t.ratio(), t.MismatchedS), t.LabelS.Shape().Size())
}

// A labelled response, for the float64 references.
type labelled struct {
	side
	label Label
	point float64 // of all groups
	link  Link
}

// countLabels counts the labelled responses of groups.
func countLabels(groups []Group) (n int) {
	for _, g := range groups {
		for _, label := range g.Labels {
			if label != Unlabelled {
				n++
			}
		}
	}
	return n
}

// labelSum is a loss of labelled responses, summed over those of all groups.
func (l loss) labelSum(h Hybrid, groups []Group, link Link) float64 {
	point := h.PointValue(groups)
	return overGroups(groups, func(g Group) float64 {
		total := 0.0
		for k, label := range g.Labels {
			if label != Unlabelled {
				total += l.labelValue(h, labelled{g.side(k), label, point, link})
			}
		}
		return total
	})
}

// PointValue is the reference point of all groups together, 0 if no loss reads it.
func (h Hybrid) PointValue(groups []Group) float64 {
	if !h.UsesMismatched() {
		return 0
	}
	var ratios []float64
	for _, g := range groups {
		for k, mismatched := range g.Mismatched {
			if mismatched {
				ratios = append(ratios, g.side(k).ratio())
			}
		}
	}
	return ReferencePointValue(ratios)
}
