package train

import (
	"strings"

	"haf/encode"
	"haf/lm"
	"haf/objective"
	"haf/reward"
)

// Arithmetic counts the floating-point operations of the matrix products that one packed batch needs: a
// multiplication and an addition are two. Gradients by frozen weights, what only the backward pass of the first trained
// layer would need, and everything that is computed a second time to save memory are not counted; masked places inside
// the attention's blocks are, as are padded positions.
type Arithmetic struct {
	Linear    float64 // the layers' frozen or trained matrices
	Adapter   float64 // LoRA
	Attention float64
	Head      float64 // logits of the predicted tokens
}

// Total is the sum.
func (a Arithmetic) Total() float64 { return a.Linear + a.Adapter + a.Attention + a.Head }

// Forward counts the forward pass alone, reading the policy head or not.
func Forward(model *reward.Model, shape encode.Shape, policy bool) Arithmetic {
	var a Arithmetic
	positions := float64(shape.Positions())
	linear := map[string]bool{}
	for _, path := range lm.Linears(model.Config) {
		linear[path+".weight"] = true
	}
	for _, p := range model.Params() {
		switch {
		case linear[p.Name]:
			a.Linear += 2 * positions * float64(p.Size())
		case strings.HasSuffix(p.Name, lm.LoraA), strings.HasSuffix(p.Name, lm.LoraB):
			a.Adapter += 2 * positions * float64(p.Size())
		}
	}
	c := model.Config
	a.Attention = 4 * float64(c.Layers*c.Heads*c.HeadDim*shape.Rows) * seen(shape.Length)
	if policy {
		a.Head = 2 * float64(shape.Predicted) * float64(c.Vocab*c.Hidden)
	}
	return a
}

// seen is the number of (query, key) pairs of a row that are computed.
func seen(length int) float64 {
	pairs := 0
	for from := 0; from < length; from += lm.QueryBlock {
		to := min(from+lm.QueryBlock, length)
		pairs += (to - from) * to
	}
	return float64(pairs)
}

// StepArithmetic counts forward and backward pass of one packed batch of a training step.
func StepArithmetic(model *reward.Model, obj objective.Hybrid, shape encode.Shape) Arithmetic {
	a := Forward(model, shape, obj.UsesPolicy())
	frozen := model.Adapter() != nil
	a.Attention *= 3
	a.Adapter *= 3
	if frozen {
		a.Linear *= 2 // by the inputs only
		a.Head *= 2
	} else {
		a.Linear *= 3
		a.Head *= 4 // the logits are made again
	}
	return a
}
