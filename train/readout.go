package train

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/encode"
	"haf/objective"
)

// numExtra is the number of inputs of the gradient program between the batch's and the weights: those of [objective.Readout]
// that are no outputs of the model.
const numExtra = 11

// extra are a packed batch's inputs of [objective.Readout], numExtra of them.
func extra(b *encode.Batch, refs [][]float64, m *StepMetrics) []any {
	slots := b.Shape.Responses
	ref, tokens, group := make([]float32, slots), make([]float32, slots), make([]int32, slots)
	for _, owner := range b.Owner {
		if owner >= 0 {
			tokens[owner]++
		}
	}
	for slot := range group {
		group[slot] = -1
	}
	for i, g := range b.Groups {
		for k, slot := range b.Slots[i] {
			group[slot] = int32(i)
			tokens[slot] = max(1, tokens[slot]) // the mean over no token is 0
			if refs != nil {
				ref[slot] = float32(refs[g][k])
			}
		}
	}
	weight := make([]float32, len(b.Weight))
	for i, w := range b.Weight {
		weight[i] = w / float32(m.comparisons)
	}
	vector := func(x []float32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	indices := func(x []int32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	return []any{
		vector(ref), vector(tokens), vector(b.Stated), indices(group), indices(b.Chosen), indices(b.Rejected), vector(b.Margin), vector(b.Tie), vector(weight),
		float32(m.weights[0]), float32(m.weights[1]),
	}
}

// readoutOf names the nodes of the inputs that extra makes.
func readoutOf(in []*Node) objective.Readout {
	return objective.Readout{
		RefS: in[0], TokensS: in[1], TargetS: in[2], GroupS: in[3], ChosenC: in[4], RejectedC: in[5], MarginC: in[6], TieC: in[7], WeightC: in[8],
		RewardWeight: in[9], PolicyWeight: in[10],
	}
}
