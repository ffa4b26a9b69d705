package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// PlackettLuce is the negative log-likelihood of rankings (Plackett, Applied Statistics 1975; Luce
// 1959). Each response i that was preferred to others is one choice, among itself and all responses
// to which it was preferred:
//
//	ℓ_i = log(e^(r_i) + Σ_{j: i ≻ j} e^(r_j)) − r_i
//
// The comparisons of a full ranking of K responses give the model's K − 1 choices. The best
// response against all others gives a softmax over K, and a pair gives Bradley-Terry. If two
// responses were judged equal, neither is in the other's choice. Every choice is counted once,
// spread evenly over its comparisons.
//
// scoreS is [S], chosenC and rejectedC are indices into it, validC is 1 at comparisons that count;
// the result is [C].
func PlackettLuce(scoreS, chosenC, rejectedC, validC *Node) *Node {
	n := chosenC.Shape().Size()
	square := func(x *Node, of int) *Node { // [C] as the rows or columns of [C, C]
		if of == 0 {
			return BroadcastToDims(Reshape(x, n, 1), n, n)
		}
		return BroadcastToDims(Reshape(x, 1, n), n, n)
	}
	chosenScoreC := at(scoreS, chosenC)
	same := LogicalAnd(Equal(square(chosenC, 0), square(chosenC, 1)),
		GreaterThan(square(validC, 1), ScalarZero(validC.Graph(), validC.DType())))
	// What is not in the choice stands in it with the response's own reward, which no exponential
	// overflows by.
	own := square(chosenScoreC, 0)
	others := Where(same, square(at(scoreS, rejectedC), 1), own)
	largest := StopGradient(Max(chosenScoreC, ReduceMax(others, -1)))
	exponentials := Exp(Sub(others, square(largest, 0)))
	sum := Add(Exp(Sub(chosenScoreC, largest)),
		ReduceSum(Where(same, exponentials, ZerosLike(exponentials)), -1))
	choice := Sub(Add(Log(sum), largest), chosenScoreC)
	size := ReduceSum(Where(same, OnesLike(others), ZerosLike(others)), -1)
	return Div(choice, MaxScalar(size, 1.0))
}

// PlackettLuceValue is the sum of [PlackettLuce] over a group's comparisons [chosen, rejected]: its
// choices.
func PlackettLuceValue(scores []float64, comparisons [][2]int) float64 {
	beaten := map[int][]int{}
	for _, c := range comparisons {
		beaten[c[0]] = append(beaten[c[0]], c[1])
	}
	total := 0.0
	for i := range scores { // in order: a sum of floats depends on it
		others := beaten[i]
		if len(others) == 0 {
			continue
		}
		largest := scores[i]
		for _, j := range others {
			largest = math.Max(largest, scores[j])
		}
		sum := math.Exp(scores[i] - largest)
		for _, j := range others {
			sum += math.Exp(scores[j] - largest)
		}
		total += math.Log(sum) + largest - scores[i]
	}
	return total
}
