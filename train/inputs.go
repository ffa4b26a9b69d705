package train

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/objective"
	"haf/pack"
	"haf/reward"
)

// stepInputs are the inputs of the gradient program that the objective reads beside the model's
// outputs: tensors and scalars on the host (any) or nodes of the graph (*Node). [objective.Readout]
// describes them.
type stepInputs[T any] struct {
	RefS, TokensS, TargetS, GroupS             T
	ChosenC, RejectedC, MarginC, TieC, WeightC T
	MarginWeightC                              T
	RewardWeight, PolicyWeight                 T
	Settings                                   T // of the objective
}

// fields lists all of them, in the order of the program's inputs.
func (in *stepInputs[T]) fields() []*T {
	return []*T{
		&in.RefS, &in.TokensS, &in.TargetS, &in.GroupS,
		&in.ChosenC, &in.RejectedC, &in.MarginC, &in.TieC, &in.WeightC,
		&in.MarginWeightC,
		&in.RewardWeight, &in.PolicyWeight, &in.Settings,
	}
}

func (in stepInputs[T]) pack() []T { return reward.PackInputs(in.fields()) }

func unpackStepInputs[T any](from []T) (in stepInputs[T], rest []T) {
	rest = reward.UnpackInputs(in.fields(), from)
	return in, rest
}

// newStepInputs are those of a packed batch; refs may be nil.
func newStepInputs(
	b *pack.Batch, refs [][]float64, m *StepMetrics, settings []float32,
) stepInputs[any] {
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
		weight[i] = w / float32(max(1, m.comparisons)) // a step may have labelled responses alone
	}
	marginWeight := make([]float32, len(b.Weight))
	for i, w := range b.Weight {
		if b.NoMargin[i] == 0 {
			marginWeight[i] = w / float32(max(1, m.comparisons-m.noMargin))
		}
	}
	chosen, rejected, margin, tie := b.Chosen, b.Rejected, b.Margin, b.Tie
	if len(weight) == 0 { // data without comparisons: one that counts nothing
		chosen, rejected, margin, tie = []int32{0}, []int32{0}, []float32{0}, []float32{0}
		weight, marginWeight = []float32{0}, []float32{0}
	}
	floats := func(x []float32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	ints := func(x []int32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	return stepInputs[any]{
		RefS: floats(ref), TokensS: floats(tokens), TargetS: floats(b.Stated), GroupS: ints(group),
		ChosenC: ints(chosen), RejectedC: ints(rejected), MarginC: floats(margin),
		TieC: floats(tie), WeightC: floats(weight),
		MarginWeightC: floats(marginWeight),
		RewardWeight:  float32(m.weights[0]), PolicyWeight: float32(m.weights[1]),
		Settings: floats(settings),
	}
}

// readoutOf returns the objective's inputs except the model's outputs.
func readoutOf(in stepInputs[*Node]) objective.Readout {
	return objective.Readout{
		RefS: in.RefS, TokensS: in.TokensS, TargetS: in.TargetS, GroupS: in.GroupS,
		ChosenC: in.ChosenC, RejectedC: in.RejectedC, MarginC: in.MarginC, TieC: in.TieC,
		WeightC: in.WeightC, MarginWeightC: in.MarginWeightC,
		RewardWeight: in.RewardWeight, PolicyWeight: in.PolicyWeight, Settings: in.Settings,
	}
}
