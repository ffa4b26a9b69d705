package lm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// LogProbs returns log softmax(h·Wᵀ)[target] for each of N hidden states: float32 [N]. hiddenNH is [N, H],
// outputVH the output embedding [V, H], targetsN int32. The logits are made in chunks of that many rows, so
// that [N, V] never exists at once, in either pass.
//
// gradient says what the result will be differentiated by. The gradient of a log-probability by its hidden
// state is W[target] − softmax(h·Wᵀ)·W, a vector that needs nothing from after this function: with a frozen W it
// is made together with the value and the logits are neither kept nor made twice. With a trained W the chunks are
// made again in the backward pass.
func LogProbs(hiddenNH, outputVH, targetsN *Node, chunk int, gradient Gradients) *Node {
	n := hiddenNH.Shape().Dimensions[0]
	var parts []*Node
	for from := 0; from < n; from += chunk {
		to := min(from+chunk, n)
		h := Slice(hiddenNH, AxisRange(from, to))
		targets := Slice(targetsN, AxisRange(from, to))
		switch gradient {
		case ByHidden:
			parts = append(parts, logProbsFrozen(h, outputVH, targets))
		case ByAll:
			lp, _, _ := logProbs(h.Checkpoint(), outputVH, targets)
			parts = append(parts, lp.StopCheckpoint())
		default:
			lp, _, _ := logProbs(h, outputVH, targets)
			parts = append(parts, lp)
		}
	}
	return Concatenate(parts, 0)
}

// Gradients says what log-probabilities will be differentiated by.
type Gradients int

// The cases of [LogProbs].
const (
	None     Gradients = iota // only the values are wanted
	ByHidden                  // by the hidden states; the output embedding is frozen
	ByAll                     // by the hidden states and the output embedding
)

// logProbs also returns the exponentials exp(logit − max) [N, V] and their sums [N, 1].
func logProbs(hNH, outputVH, targetsN *Node) (lpN, expNV, sumN1 *Node) {
	logits := logits(hNH, outputVH)
	logits = Sub(logits, StopGradient(ReduceAndKeep(logits, ReduceMax, -1)))
	expNV = Exp(logits)
	sumN1 = ReduceAndKeep(expNV, ReduceSum, -1)
	n := hNH.Shape().Dimensions[0]
	return Sub(Reshape(pick(logits, targetsN), n), Log(Reshape(sumN1, n))), expNV, sumN1
}

// logits returns h·Wᵀ in float32: a bfloat16 body's product keeps its inputs, not its precision.
func logits(hNH, outputVH *Node) *Node {
	dot := Dot(hNH, ConvertDType(outputVH, hNH.DType()))
	if hNH.DType() != dtypes.Float32 {
		dot = dot.WithOutputDType(dtypes.Float32)
	}
	return dot.General([]int{1}, nil, []int{1}, nil)
}

// pick returns x[i, index[i]] for x [N, V]. By comparison rather than by Gather: its gradient is elementwise and
// fuses, where Gather's is a scatter.
func pick(xNV, indexN *Node) *Node {
	n, v := xNV.Shape().Dimensions[0], xNV.Shape().Dimensions[1]
	at := Equal(Iota(xNV.Graph(), shapes.Make(dtypes.Int32, n, v), 1), BroadcastToDims(Reshape(indexN, n, 1), n, v))
	return ReduceSum(Where(at, xNV, ZerosLike(xNV)), -1)
}

func logProbsFrozen(hNH, outputVH, targetsN *Node) *Node {
	frozen := StopGradient(outputVH)
	lp, exp, sum := logProbs(StopGradient(hNH), frozen, targetsN)
	n := hNH.Shape().Dimensions[0]
	expected := Dot(ConvertDType(exp, hNH.DType()), ConvertDType(frozen, hNH.DType())).General([]int{1}, nil, []int{0}, nil)
	expected = ConvertDType(expected, dtypes.Float32)
	expected = Div(expected, BroadcastToDims(sum, expected.Shape().Dimensions...))
	target := ConvertDType(Gather(frozen, Reshape(targetsN, n, 1)), dtypes.Float32)
	slopeNH := StopGradient(Sub(target, expected))
	// A term that is zero and whose gradient by h is the slope.
	linear := ReduceSum(Mul(ConvertDType(hNH, dtypes.Float32), slopeNH), -1)
	return Add(StopGradient(lp), Sub(linear, StopGradient(linear)))
}
