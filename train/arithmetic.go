package train

import (
	"strings"

	"haf/lm"
	"haf/objective"
	"haf/pack"
	"haf/reward"
)

// Arithmetic counts the floating-point operations of the matrix products that one packed batch needs: a
// multiplication and an addition are two. Gradients by frozen weights, what only the backward pass of the first trained
// layer would need, and everything that is computed a second time to save memory are not counted; masked places inside
// the attention's blocks are, as are padded positions.
type Arithmetic struct {
	Linear    float64 // the layers' frozen or trained matrices
	Adapter   float64 // LoRA; merging it into the weights where that is done
	Attention float64
	Head      float64 // logits of the predicted tokens
}

// Total is the sum.
func (a Arithmetic) Total() float64 { return a.Linear + a.Adapter + a.Attention + a.Head }

// Forward counts the forward pass alone, reading the policy head or not.
func Forward(model *reward.Model, shape pack.Shape, policy bool) Arithmetic {
	var a Arithmetic
	positions := float64(shape.Positions())
	linear := map[string]bool{}
	for _, path := range lm.Linears(model.Config) {
		linear[path+".weight"] = true
	}
	c := model.Config
	read := readOf(shape, policy)
	for _, p := range model.Params() {
		switch {
		case !linear[p.Name]:
		case lm.LastFeedForward(c, strings.TrimSuffix(p.Name, ".weight")):
			a.Linear += 2 * read * float64(p.Size())
		default:
			a.Linear += 2 * positions * float64(p.Size())
		}
	}
	a.Adapter, _ = adapter(model, shape, policy)
	a.Attention = 4 * float64(c.Layers*c.Heads*c.HeadDim) * seen(shape)
	if policy {
		a.Head = 2 * float64(shape.Predicted) * float64(c.Vocab*c.Hidden)
	}
	return a
}

// readOf is the number of places whose states are read.
func readOf(shape pack.Shape, policy bool) float64 {
	if policy {
		return float64(shape.Responses + shape.Predicted)
	}
	return float64(shape.Responses)
}

// adapter counts a LoRA adapter's forward pass, and forward and backward. Merged into the weights it is their sum and, in
// the backward pass, four thin products; beside them, two thin products in each of three passes.
func adapter(model *reward.Model, shape pack.Shape, policy bool) (forward, step float64) {
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
			rows = readOf(shape, policy)
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

// seen is the number of (query, key) pairs that are computed.
func seen(shape pack.Shape) float64 {
	row := func(length int) (pairs int) {
		from := 0
		for _, to := range lm.QueryBlocks(length) {
			pairs += (to - from) * to
			from = to
		}
		return pairs
	}
	pairs := shape.Rows * row(shape.Length)
	if shape.ShortRows > 0 {
		pairs += shape.ShortRows * row(shape.ShortLength)
	}
	return float64(pairs)
}

// StepArithmetic counts forward and backward pass of one packed batch of a training step.
func StepArithmetic(model *reward.Model, obj objective.Hybrid, shape pack.Shape) Arithmetic {
	a := Forward(model, shape, obj.UsesPolicy())
	frozen := model.Adapter() != nil
	a.Attention *= 3
	_, a.Adapter = adapter(model, shape, obj.UsesPolicy())
	if frozen {
		a.Linear *= 2 // by the inputs only
		a.Head *= 2
	} else {
		a.Linear *= 3
		a.Head *= 4 // the logits are made again
	}
	return a
}
