package lm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// LogProbs returns log softmax(logits(h))[target] for each of N hidden states: float32 [N].
// hiddenNH is [N, H], out the policy head, targetsN int32. The logits are computed in chunks of
// that many rows, so the full [N, V] never exists, in either pass.
//
// gradient names the values by which the result will be differentiated. The gradient of a
// log-probability by its hidden state is W[target] − softmax(h·Wᵀ)·W, which needs nothing that is
// computed later. So with a frozen head it is computed together with the value, and the logits are
// neither kept nor recomputed. With a trained head the backward pass recomputes the chunks.
func LogProbs(hiddenNH *Node, out Output, targetsN *Node, chunk int, gradient Gradients) *Node {
	n := hiddenNH.Shape().Dimensions[0]
	var parts []*Node
	for from := 0; from < n; from += chunk {
		to := min(from+chunk, n)
		h := Slice(hiddenNH, AxisRange(from, to))
		if len(parts) > 0 && gradient != ByAll {
			// Else the compiler makes the logits of all chunks first. With a trained head it would in turn
			// keep each chunk's gradient by the whole head.
			h = SchedulingBarrier(h, parts[len(parts)-1])
		}
		targets := Slice(targetsN, AxisRange(from, to))
		switch gradient {
		case ByHidden:
			parts = append(parts, logProbsFrozen(h, out, targets))
		case ByAll:
			lp, _, _, _ := logProbs(h.Checkpoint(), out, targets)
			parts = append(parts, lp.StopCheckpoint())
		default:
			lp, _, _, _ := logProbs(h, out, targets)
			parts = append(parts, lp)
		}
	}
	return Concatenate(parts, 0)
}

// Gradients names the values by which log-probabilities will be differentiated.
type Gradients int

// The cases of [LogProbs].
const (
	None     Gradients = iota // only the values are wanted
	ByHidden                  // by the hidden states; the policy head is frozen
	ByAll                     // by the hidden states and the policy head
)

// logProbs also returns the exponentials exp(logit − max) [N, V], their sums [N, 1], and the slope
// of the logits by what the soft-cap is put on [N, V], nil without one.
func logProbs(hNH *Node, out Output, targetsN *Node) (lpN, expNV, sumN1, slopeNV *Node) {
	logits, slopeNV := out.logits(hNH)
	logits = Sub(logits, StopGradient(ReduceAndKeep(logits, ReduceMax, -1)))
	expNV = Exp(logits)
	sumN1 = ReduceAndKeep(expNV, ReduceSum, -1)
	n := hNH.Shape().Dimensions[0]
	return Sub(Reshape(pick(logits, targetsN), n), Log(Reshape(sumN1, n))), expNV, sumN1, slopeNV
}

// pick returns x[i, index[i]] for x [N, V]. By comparison rather than by Gather: its gradient is
// elementwise and fuses, where Gather's is a scatter.
func pick(xNV, indexN *Node) *Node {
	n, v := xNV.Shape().Dimensions[0], xNV.Shape().Dimensions[1]
	at := Equal(Iota(xNV.Graph(), shapes.Make(dtypes.Int32, n, v), 1),
		BroadcastToDims(Reshape(indexN, n, 1), n, v))
	return ReduceSum(Where(at, xNV, ZerosLike(xNV)), -1)
}

func logProbsFrozen(hNH *Node, out Output, targetsN *Node) *Node {
	frozen := Output{VH: StopGradient(out.VH), BiasV: out.BiasV, Cap: out.Cap}
	lp, exp, sum, capSlopeNV := logProbs(StopGradient(hNH), frozen, targetsN)
	n := hNH.Shape().Dimensions[0]
	if capSlopeNV != nil {
		exp = Mul(exp, capSlopeNV)
	}
	expected := dot(ConvertDType(exp, hNH.DType()),
		ConvertDType(frozen.VH, hNH.DType())).General([]int{1}, nil, []int{0}, nil)
	expected = ConvertDType(expected, dtypes.Float32)
	expected = Div(expected, BroadcastToDims(sum, expected.Shape().Dimensions...))
	target := ConvertDType(Gather(frozen.VH, Reshape(targetsN, n, 1)), dtypes.Float32)
	if capSlopeNV != nil {
		target = Mul(target, BroadcastToDims(Reshape(pick(capSlopeNV, targetsN), n, 1),
			target.Shape().Dimensions...))
	}
	slopeNH := StopGradient(Sub(target, expected))
	// A term that is zero and whose gradient by h is the slope.
	linear := ReduceSum(Mul(ConvertDType(hNH, dtypes.Float32), slopeNH), -1)
	return Add(StopGradient(lp), Sub(linear, StopGradient(linear)))
}

// Entropies returns the entropy, in nats, of the distribution over tokens that each of N hidden
// states gives: float32 [N]. The logits are computed in chunks as in [LogProbs]. If both are in one
// program without gradients, the logits are computed once.
func Entropies(hiddenNH *Node, out Output, chunk int) *Node {
	n := hiddenNH.Shape().Dimensions[0]
	var parts []*Node
	for from := 0; from < n; from += chunk {
		to := min(from+chunk, n)
		logits, _ := out.logits(Slice(hiddenNH, AxisRange(from, to)))
		logits = Sub(logits, ReduceAndKeep(logits, ReduceMax, -1))
		exp := Exp(logits)
		sum := ReduceSum(exp, -1)
		parts = append(parts, Sub(Log(sum), Div(ReduceSum(Mul(exp, logits), -1), sum)))
	}
	return Concatenate(parts, 0)
}
