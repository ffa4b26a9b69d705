package lm

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// An Output is the policy head, which computes logits from a hidden state after the final norm,
//
//	logits(h) = cap · tanh((h·Wᵀ + b) / cap)        h·Wᵀ + b without a soft-cap
type Output struct {
	VH    *Node   // W [V, H]
	BiasV *Node   // b [V]; nil is none
	Cap   float64 // 0 is none

	columns bool // the few states are multiplied as columns
}

// Output returns the policy head of a model among its weights.
func (c *Config) Output(w Weights) Output {
	return Output{VH: w[OutputWeight(c)], BiasV: w[c.family().names.output+".bias"], Cap: c.LogitCap}
}

// Logits returns the logits of hidden states [N, H]: float32 [N, V].
func (o Output) Logits(hNH *Node) *Node {
	logits, _ := o.logits(hNH)
	return logits
}

// logits returns the logits in float32 (a bfloat16 body's product keeps its inputs, not its
// precision), and their slope by what the soft-cap is put on, 1 − (logit/cap)²; nil without one.
func (o Output) logits(hNH *Node) (logitsNV, slopeNV *Node) {
	w := ConvertDType(o.VH, hNH.DType())
	if o.columns {
		logitsNV = matMulColumns(w, asColumns(hNH), dtypes.Float32)
	} else {
		logitsNV = matMulTransposed(hNH, w, dtypes.Float32)
	}
	if o.BiasV != nil {
		logitsNV = Add(logitsNV, spreadLast(ConvertDType(o.BiasV, dtypes.Float32), logitsNV))
	}
	if o.Cap == 0 {
		return logitsNV, nil
	}
	bounded := Tanh(MulScalar(logitsNV, 1/o.Cap))
	return MulScalar(bounded, o.Cap), OneMinus(Mul(bounded, bounded))
}
