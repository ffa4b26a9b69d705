package train

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/encode"
	"haf/lm"
	"haf/objective"
	"haf/pack"
	"haf/reward"
)

// numExtra is the number of inputs of the gradient program between the batch's and the weights: those of [objective.Readout]
// that are no outputs of the model.
const numExtra = 11

// extra are a packed batch's inputs of [objective.Readout], numExtra of them.
func extra(b *pack.Batch, refs [][]float64, ms *measures) []any {
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
		weight[i] = w / float32(ms.comparisons)
	}
	vector := func(x []float32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	indices := func(x []int32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	return []any{
		vector(ref), vector(tokens), vector(b.Stated), indices(group), indices(b.Chosen), indices(b.Rejected), vector(b.Margin), vector(b.Tie), vector(weight),
		float32(ms.weights[0]), float32(ms.weights[1]),
	}
}

// readoutOf names the nodes of the inputs that extra makes.
func readoutOf(in []*Node) objective.Readout {
	return objective.Readout{
		RefS: in[0], TokensS: in[1], TargetS: in[2], GroupS: in[3], ChosenC: in[4], RejectedC: in[5], MarginC: in[6], TieC: in[7], WeightC: in[8],
		RewardWeight: in[9], PolicyWeight: in[10],
	}
}

// valuesOf are the numbers of a group for the objective's float64 twin; scores, logps and refs may be nil.
func valuesOf(g *encode.Group, scores, logps, refs []float64) objective.Group {
	out := objective.Group{Scores: scores, Logps: logps, RefLogps: refs, Targets: g.Targets()}
	for _, r := range g.Responses {
		out.Tokens = append(out.Tokens, max(1, r.Predicted()))
	}
	for _, c := range g.Comparisons {
		out.Comparisons = append(out.Comparisons, objective.Comparison{Chosen: c.Chosen, Rejected: c.Rejected, Margin: g.Stated(c)})
	}
	for _, t := range g.Ties {
		out.Comparisons = append(out.Comparisons, objective.Comparison{Chosen: t[0], Rejected: t[1], Tie: true})
	}
	return out
}

// checkStated returns an error if the objective reads margins or rewards that the data does not state.
func checkStated(h objective.Hybrid, parts ...[]encode.Group) error {
	stated := false
	for _, groups := range parts {
		for i := range groups {
			g := &groups[i]
			for _, c := range g.Comparisons {
				stated = stated || g.Stated(c) != 0
			}
			if h.UsesTargets() && g.Targets() == nil {
				return fmt.Errorf("train: %s states no rewards, but policy %q reads one of every response: give its rows scores (haf relabel -how scores), or set objective.explicit = \"score\" to take the score head's", g.Source, h.Policy)
			}
		}
	}
	if h.UsesMargins() && !stated {
		return fmt.Errorf("train: no comparison of the data states a margin, but reward %q and policy %q read them: give the rows a margin or scores (haf relabel), or choose other losses", h.Reward, h.Policy)
	}
	return nil
}

// scaleName is the learned scale of the preference link, its logarithm, among the trained weights of a checkpoint.
const scaleName = "objective.log_scale"

// arguments are the weights that go into the gradient program.
func (s *stepper) arguments() []any {
	args := s.model.Arguments()
	if s.scale != nil {
		args = append(args, s.scale.Value)
	}
	return args
}

// now is the objective with the scale as it has been learned so far.
func (s *stepper) now() (objective.Hybrid, error) {
	h := s.objective
	if s.scale == nil {
		return h, nil
	}
	a, err := s.scale.Read()
	if err != nil {
		return h, fmt.Errorf("train: %w", err)
	}
	h.PriorScale = math.Exp(float64(a.Data[0]))
	return h, nil
}

// newScale is the scale before training.
func newScale(h objective.Hybrid) *reward.Param {
	value := tensors.FromFlatDataAndDimensions([]float32{float32(math.Log(h.PriorScale))}, 1)
	return &reward.Param{Param: lm.Param{Name: scaleName, Shape: []int{1}}, Value: value}
}
