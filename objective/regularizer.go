package objective

import . "github.com/gomlx/gomlx/core/graph"

// Regularizers of the rewards, added to the reward loss with a weight of their own. Bradley-Terry
// sees differences alone and leaves the rewards free to drift and to grow.

// Centring penalizes the mean reward of a comparison (arXiv 2312.09244, section 3.1; its weight
// there is 0.01):
//
//	ℓ = (r_c + r_r)²
func Centring(chosenC, rejectedC *Node) *Node { return Square(Add(chosenC, rejectedC)) }

// CentringValue is [Centring] of one comparison.
func CentringValue(chosen, rejected float64) float64 {
	return (chosen + rejected) * (chosen + rejected)
}

// RewardNorm penalizes the rewards themselves:
//
//	ℓ = (r_c² + r_r²) / 2
func RewardNorm(chosenC, rejectedC *Node) *Node {
	return MulScalar(Add(Square(chosenC), Square(rejectedC)), 0.5)
}

// RewardNormValue is [RewardNorm] of one comparison.
func RewardNormValue(chosen, rejected float64) float64 {
	return (chosen*chosen + rejected*rejected) / 2
}

// BatchSum penalizes the mean reward of a batch (batch-wise sum-to-zero, arXiv 2505.07271):
//
//	ℓ = [Σ_c (r_c + r_r) / 2C]²
//
// The batch is a packed batch of C comparisons; weightC marks those that count. The result [C] has
// the same value for all of them.
func BatchSum(chosenC, rejectedC, weightC *Node) *Node {
	mean := MulScalar(weightedMean(Add(chosenC, rejectedC), weightC), 0.5)
	return BroadcastToDims(Square(mean), weightC.Shape().Size())
}

// BatchSumValue is [BatchSum] of a batch's rewards, two a comparison.
func BatchSumValue(chosen, rejected []float64) float64 {
	mean := (meanOf(chosen) + meanOf(rejected)) / 2
	return mean * mean
}

// weightedMean is Σ w x / Σ w, and zero where all weights are.
func weightedMean(xC, weightC *Node) *Node {
	return Div(ReduceAllSum(Mul(weightC, xC)), MaxScalar(ReduceAllSum(weightC), 1e-30))
}

func meanOf(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / max(1, float64(len(x)))
}
