package train

import (
	"strings"

	"haf/lm"
	"haf/objective"
	"haf/pack"
	"haf/reward"
)

// FLOPs counts the floating-point operations of the matrix products that one packed batch needs; a
// multiplication and an addition are two. It leaves out the gradients of frozen weights, the unused
// part of the first trained layer's backward pass, and everything that is recomputed to save
// memory. It counts padded positions, and masked ones inside attention's blocks.
type FLOPs struct {
	Linear    float64 // the layers' frozen or trained matrices
	Adapter   float64 // LoRA, including its merging into the weights
	Attention float64
	Head      float64 // logits of the predicted tokens
}

// Total is the sum.
func (a FLOPs) Total() float64 { return a.Linear + a.Adapter + a.Attention + a.Head }

// ForwardFLOPs counts the forward pass alone, with or without the policy head.
func ForwardFLOPs(model *reward.Model, shape pack.Shape, policy bool) FLOPs {
	var a FLOPs
	positions := float64(shape.Positions())
	linear := map[string]bool{}
	for _, path := range lm.Linears(model.Config) {
		linear[path+".weight"] = true
	}
	c := model.Config
	read := numRead(shape, policy)
	for _, p := range model.Params() {
		switch {
		case !linear[p.Name]:
		case lm.LastFeedForward(c, strings.TrimSuffix(p.Name, ".weight")):
			a.Linear += 2 * read * float64(p.Size())
		default:
			a.Linear += 2 * positions * float64(p.Size())
		}
	}
	a.Adapter, _ = adapterFLOPs(model, shape, policy)
	a.Attention = 4 * float64(c.Layers*c.Heads*c.HeadDim) * reward.AttendedPairs(shape)
	if policy {
		a.Head = 2 * float64(shape.Predicted) * float64(c.Vocab*c.Hidden)
	}
	return a
}

// numRead is the number of positions whose hidden states are read.
func numRead(shape pack.Shape, policy bool) float64 {
	if policy {
		return float64(shape.Responses + shape.Predicted)
	}
	return float64(shape.Responses)
}

// adapterFLOPs counts a LoRA adapter's forward pass, and its forward and backward passes together.
// An adapter that is merged into the weights costs their sum and four thin products in the backward
// pass; one that is not costs two thin products in each of three passes.
func adapterFLOPs(model *reward.Model, shape pack.Shape, policy bool) (forward, step float64) {
	shapes := map[string][]int{}
	for _, p := range model.Params() {
		shapes[p.Name] = p.Shape
	}
	for name, a := range shapes {
		path, ok := strings.CutSuffix(name, lm.LoraA)
		if !ok {
			continue
		}
		weight := shapes[path+".weight"]
		in, out, rank := float64(weight[0]), float64(weight[1]), float64(a[0])
		rows := float64(shape.Positions())
		if lm.LastFeedForward(model.Config, path) {
			rows = numRead(shape, policy)
		}
		thin := 2 * rows * rank * (in + out)
		if model.MergesAdapter(shape.Positions(), weight) {
			forward += 2 * rank * in * out
			step += 2*rank*in*out + 2*thin
		} else {
			forward += thin
			step += 3 * thin
		}
	}
	return forward, step
}

// TrainStepFLOPs counts the forward and backward pass of one packed batch of a training step.
func TrainStepFLOPs(model *reward.Model, obj objective.Hybrid, shape pack.Shape) FLOPs {
	a := ForwardFLOPs(model, shape, obj.UsesPolicy())
	frozen := model.Adapter() != nil
	a.Attention *= 3
	_, a.Adapter = adapterFLOPs(model, shape, obj.UsesPolicy())
	if frozen {
		a.Linear *= 2 // by the inputs only
		a.Head *= 2
	} else {
		a.Linear *= 3
		a.Head *= 4 // the logits are recomputed
	}
	return a
}
