package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// Reward-aware preference optimization (RPO, arXiv 2502.00203) draws the implicit reward margin a =
// βh to an explicit one, b = η(r*(x, y_c) − r*(x, y_r)), under a distance. r* comes with the data
// or from the score head.

// Distances of RPO.
const (
	squared  = "sq"
	backward = "bwd-kl"
	forward  = "fwd-kl"
)

// RewardAware is RPO of one comparison:
//
//	"sq":      ½ (a − b)²
//	"bwd-kl":  KL(σ(b) ‖ σ(a)) = σ(b) log(σ(b)/σ(a)) + σ(−b) log(σ(−b)/σ(−a))
//	"fwd-kl":  KL(σ(a) ‖ σ(b))
//
// At b → ∞ the backward KL is −log σ(a), the DPO loss. Nodes and result are [C].
func RewardAware(implicitC, explicitC *Node, distance string) *Node {
	a, b := implicitC, explicitC
	if distance == squared {
		return MulScalar(Square(Sub(a, b)), 0.5)
	}
	if distance == forward {
		a, b = b, a
	}
	// log(σ(b)/σ(a)) = ℓ(a) − ℓ(b) with ℓ = −log σ
	toChosen := Mul(Sigmoid(b), Sub(negLogSigmoid(a), negLogSigmoid(b)))
	toRejected := Mul(Sigmoid(Neg(b)), Sub(negLogSigmoid(Neg(a)), negLogSigmoid(Neg(b))))
	return Add(toChosen, toRejected)
}

// RewardAwareValue is [RewardAware] of one comparison.
func RewardAwareValue(implicit, explicit float64, distance string) float64 {
	a, b := implicit, explicit
	if distance == squared {
		return (a - b) * (a - b) / 2
	}
	if distance == forward {
		a, b = b, a
	}
	l := negLogSigmoidValue
	return math.Exp(-l(b))*(l(a)-l(b)) + math.Exp(-l(-b))*(l(-a)-l(-b))
}

// RewardAwareGroup is RPO of all K responses of a group at once, the form for K > 2. With a_i =
// βρ_i and b_i = ηr*_i, p and q the softmaxes of b and a over the group, and d = a − b:
//
//	"sq":      Σ_i (d_i − mean d)²
//	"bwd-kl":  KL(p ‖ q) = Σ_i p_i log(p_i/q_i)
//	"fwd-kl":  KL(q ‖ p)
//
// For K = 2 each is [RewardAware]. implicitS and explicitS are [S]; groupS is the group of each
// slot, −1 for none. chosenC are indices of slots, and validC is 1 at comparisons that count. The
// result is [C]: a group is counted once, spread evenly over its comparisons.
func RewardAwareGroup(implicitS, explicitS, groupS, chosenC, validC *Node, distance string) *Node {
	s, c := groupS.Shape().Size(), chosenC.Shape().Size()
	same := Equal(BroadcastToDims(Reshape(groupS, s, 1), s, s),
		BroadcastToDims(Reshape(groupS, 1, s), s, s))
	across := func(xS *Node) *Node { return BroadcastToDims(Reshape(xS, 1, s), s, s) }
	sum := func(xSS *Node) *Node { return ReduceSum(Where(same, xSS, ZerosLike(xSS)), -1) }
	logSoftmax := func(xS *Node) *Node {
		own := BroadcastToDims(Reshape(xS, s, 1), s, s)
		inside := Where(same, across(xS), own)
		largest := StopGradient(ReduceMax(inside, -1))
		return Sub(
			Sub(xS, largest), Log(sum(Exp(Sub(inside, BroadcastToDims(Reshape(largest, s, 1), s, s))))))
	}
	var lossS *Node // a slot's part of its group's loss
	switch distance {
	case squared:
		d := Sub(implicitS, explicitS)
		mean := Div(sum(across(d)), sum(across(OnesLike(d))))
		lossS = Square(Sub(d, mean))
	default:
		q, p := logSoftmax(implicitS), logSoftmax(explicitS)
		if distance == forward {
			p, q = q, p
		}
		lossS = Mul(Exp(p), Sub(p, q))
	}
	groupC := at(groupS, chosenC)
	of := Equal(BroadcastToDims(Reshape(groupC, c, 1), c, s), BroadcastToDims(Reshape(groupS, 1, s), c,
		s))
	loss := BroadcastToDims(Reshape(lossS, 1, s), c, s)
	lossC := ReduceSum(Where(of, loss, ZerosLike(loss)), -1)
	beside := Equal(BroadcastToDims(Reshape(groupC, c, 1), c, c),
		BroadcastToDims(Reshape(groupC, 1, c), c, c))
	valid := BroadcastToDims(Reshape(validC, 1, c), c, c)
	count := ReduceSum(Where(beside, valid, ZerosLike(valid)), -1)
	return Div(lossC, MaxScalar(count, 1.0))
}

// RewardAwareGroupValue is the loss of one group.
func RewardAwareGroupValue(implicit, explicit []float64, distance string) float64 {
	total := 0.0
	if distance == squared {
		d := make([]float64, len(implicit))
		for i := range d {
			d[i] = implicit[i] - explicit[i]
		}
		mean := meanOf(d)
		for _, v := range d {
			total += (v - mean) * (v - mean)
		}
		return total
	}
	q, p := logSoftmaxValue(implicit), logSoftmaxValue(explicit)
	if distance == forward {
		p, q = q, p
	}
	for i := range p {
		total += math.Exp(p[i]) * (p[i] - q[i])
	}
	return total
}

func logSoftmaxValue(x []float64) []float64 {
	largest := math.Inf(-1)
	for _, v := range x {
		largest = math.Max(largest, v)
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - largest)
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v - largest - math.Log(sum)
	}
	return out
}
