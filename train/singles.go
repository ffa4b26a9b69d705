package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/encode"
	"haf/eval"
	"haf/mesh"
	"haf/objective"
	"haf/pack"
	"haf/reward"
	"haf/run"
)

// Labels and grades of single responses: the inputs of the gradient program that state them, what
// it gives of them, and their part in a step's record.

// singles are the groups whose labels and grades a [Stepper] reads.
type singles struct {
	groups     []encode.Group
	attributes []string // in the order of the score head's outputs
}

// Over sets the groups of the stepper's packed batches, by index. It is needed if the objective
// reads labels or attributes.
func (s *Stepper) Over(groups []encode.Group, attributes []string) {
	s.singles = singles{groups, attributes}
}

// labelInputs are the inputs of the gradient program that losses of labelled responses read;
// [objective.Readout] describes them.
type labelInputs[T any] struct{ LabelS, LabelWeightS, MismatchedS T }

func (in *labelInputs[T]) fields() []*T {
	return []*T{&in.LabelS, &in.LabelWeightS, &in.MismatchedS}
}

// gradeInputs are those that the regression loss reads.
type gradeInputs[T any] struct{ AttributeSA, AttributeWeightSA T }

func (in *gradeInputs[T]) fields() []*T { return []*T{&in.AttributeSA, &in.AttributeWeightSA} }

// singleInputs are those of a packed batch, of the kinds that the objective reads.
func (s *Stepper) singleInputs(b *pack.Batch, m *StepMetrics) (out []any) {
	if s.objective.UsesLabels() {
		in := s.singles.labelInputs(b, m.labels.Desirable+m.labels.Undesirable)
		out = append(out, reward.PackInputs(in.fields())...)
	}
	if s.objective.UsesAttributes() {
		in := s.singles.gradeInputs(b, m.graded)
		out = append(out, reward.PackInputs(in.fields())...)
	}
	return out
}

// unpackSingles adds the inputs of singleInputs to what the objective reads.
func (s *Stepper) unpackSingles(out *objective.Readout, in []*Node) (rest []*Node) {
	if s.objective.UsesLabels() {
		var labels labelInputs[*Node]
		in = reward.UnpackInputs(labels.fields(), in)
		out.LabelS, out.LabelWeightS = labels.LabelS, labels.LabelWeightS
		out.MismatchedS = labels.MismatchedS
	}
	if s.objective.UsesAttributes() {
		var grades gradeInputs[*Node]
		in = reward.UnpackInputs(grades.fields(), in)
		out.AttributeSA, out.AttributeWeightSA = grades.AttributeSA, grades.AttributeWeightSA
	}
	return in
}

// labelInputs returns the inputs of a packed batch in a step with this number of labelled
// responses.
func (s singles) labelInputs(b *pack.Batch, labelled int) labelInputs[any] {
	slots := b.Shape.Responses
	label, weight := make([]float32, slots), make([]float32, slots)
	mismatched := make([]float32, slots)
	for i, index := range b.Groups {
		g := &s.groups[index]
		for k, slot := range b.Slots[i] {
			switch {
			case k >= g.Own():
				mismatched[slot] = 1
			case g.Labels != nil:
				weight[slot] = 1 / float32(max(1, labelled))
				if g.Labels[k] {
					label[slot] = 1
				}
			}
		}
	}
	floats := func(x []float32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	return labelInputs[any]{floats(label), floats(weight), floats(mismatched)}
}

// gradeInputs returns the inputs of a packed batch in a step with this number of graded responses.
func (s singles) gradeInputs(b *pack.Batch, graded int) gradeInputs[any] {
	slots, width := b.Shape.Responses, len(s.attributes)
	grade, weight := make([]float32, slots*width), make([]float32, slots*width)
	for i, index := range b.Groups {
		for k, grades := range gradesOf(&s.groups[index], s.attributes) {
			stated := 0
			for _, y := range grades {
				if !math.IsNaN(y) {
					stated++
				}
			}
			at := int(b.Slots[i][k]) * width
			for a, y := range grades {
				if !math.IsNaN(y) {
					grade[at+a] = float32(y)
					weight[at+a] = 1 / float32(max(1, graded)) / float32(stated)
				}
			}
		}
	}
	matrix := func(x []float32) any { return tensors.FromFlatDataAndDimensions(x, slots, width) }
	return gradeInputs[any]{matrix(grade), matrix(weight)}
}

// gradesOf are the grades of a group's own responses in the order of the attributes, NaN where the
// data states none; nil where it has none at all.
func gradesOf(g *encode.Group, attributes []string) [][]float64 {
	if g.Grades == nil || len(attributes) == 0 {
		return nil
	}
	out := make([][]float64, g.Own())
	for k := range out {
		out[k] = make([]float64, len(attributes))
		for a, name := range attributes {
			out[k][a] = math.NaN()
			if values := g.Grades[name]; values != nil {
				out[k][a] = values[k]
			}
		}
	}
	return out
}

// labelsOf are the labels of a group's responses for the objective's float64 reference, and which
// of them were given to other prompts; nil where there are none.
func labelsOf(g *encode.Group) (labels []objective.Label, mismatched []bool) {
	if g.Labels == nil {
		return nil, nil
	}
	labels, mismatched = make([]objective.Label, len(g.Responses)), make([]bool, len(g.Responses))
	for k := range g.Responses {
		switch {
		case k >= g.Own():
			mismatched[k] = true
		case g.Labels[k]:
			labels[k] = objective.Desirable
		default:
			labels[k] = objective.Undesirable
		}
	}
	return labels, mismatched
}

// isGraded reports whether a response has a grade.
func isGraded(grades []float64) bool {
	for _, y := range grades {
		if !math.IsNaN(y) {
			return true
		}
	}
	return false
}

// countSingles counts the labelled and the graded responses of a packed batch.
func (s *Stepper) countSingles(b *pack.Batch, m *StepMetrics) {
	if s.singles.groups == nil {
		return
	}
	for _, index := range b.Groups {
		g := &s.singles.groups[index]
		for _, desirable := range g.Labels {
			if desirable {
				m.labels.Desirable++
			} else {
				m.labels.Undesirable++
			}
		}
		for _, grades := range gradesOf(g, s.singles.attributes) {
			if isGraded(grades) {
				m.graded++
			}
		}
	}
}

// Results of the gradient program that an objective over labels adds behind the others.
const (
	outLabelReward = iota
	outLabelPolicy
	outPoint
	outScores
	outRatios
	numLabelOutputs
)

// labelOutputs are the nodes of these results.
func (s *Stepper) labelOutputs(out objective.Losses, scoreS *Node) []*Node {
	if scoreS == nil || s.objective.UsesAttributes() {
		scoreS = ZerosLike(out.RatioS)
	}
	result := make([]*Node, numLabelOutputs)
	result[outLabelReward], result[outLabelPolicy] = out.LabelReward, out.LabelPolicy
	result[outPoint], result[outScores], result[outRatios] = out.Point, scoreS, out.RatioS
	return result
}

// numOutputs is the number of results of the gradient program before the gradients.
func (s *Stepper) numOutputs() int {
	if s.objective.UsesLabels() {
		return numOutputs + numLabelOutputs
	}
	return numOutputs
}

// labelStep is what a step's labelled responses came to; sums until the record is made.
type labelStep struct {
	run.LabelStep
	points int // responses to other prompts that the KL was estimated from
}

// record makes means of the sums.
func (l labelStep) record() run.LabelStep {
	out, n := l.LabelStep, float64(max(1, l.Desirable+l.Undesirable))
	out.Accuracy, out.PolicyAccuracy = out.Accuracy/n, out.PolicyAccuracy/n
	out.KL /= float64(max(1, l.points))
	return out
}

// Labels are the metrics of the step's labelled responses.
func (m *StepMetrics) Labels() run.LabelStep { return m.labels.record() }

// countLabels adds what the gradient program gave of a packed batch's labelled responses.
func (s *Stepper) countLabels(b *pack.Batch, m *StepMetrics, out []*mesh.Array) error {
	scores, err := out[outScores].Floats()
	if err != nil {
		return fmt.Errorf("train: reading scores: %w", err)
	}
	ratios, err := out[outRatios].Floats()
	if err != nil {
		return fmt.Errorf("train: reading log-ratios: %w", err)
	}
	point := float32(out[outPoint].Scalar())
	m.labels.RewardLoss += out[outLabelReward].Scalar()
	m.labels.PolicyLoss += out[outLabelPolicy].Scalar()
	for i, index := range b.Groups {
		g := &s.singles.groups[index]
		m.labels.points += g.Others
		m.labels.KL += float64(point) * float64(g.Others)
		for k, desirable := range g.Labels {
			slot := b.Slots[i][k]
			m.labels.Accuracy += credit(scores[slot], desirable)
			m.labels.PolicyAccuracy += credit(ratios[slot]-point, desirable)
		}
	}
	return nil
}

// credit is 1 if the sign of a value agrees with the label, ½ at zero.
func credit(x float32, desirable bool) float64 {
	switch {
	case x == 0:
		return 0.5
	case x > 0 == desirable:
		return 1
	}
	return 0
}

// checkSingles returns an error if the objective reads a kind of judgement that the training data
// does not have, or the data has one that no loss of the objective reads.
func (o Options) checkSingles(model *reward.Model, groups []encode.Group) error {
	h := o.Objective
	var compared, labelled, others int
	graded := make([]bool, len(o.Attributes)) // by some response
	for i := range groups {
		g := &groups[i]
		others += g.Others
		labelled += len(g.Labels)
		if g.Grades == nil {
			compared += g.Compared()
		}
		for _, grades := range gradesOf(g, o.Attributes) {
			for a, y := range grades {
				graded[a] = graded[a] || !math.IsNaN(y)
			}
		}
	}
	named := fmt.Sprintf("reward %q and policy %q", h.Reward, h.Policy)
	switch {
	case h.UsesLabels() && labelled == 0:
		return fmt.Errorf("train: %s read labelled responses, but the data has none: give rows "+
			"{prompt, completion, label}, or choose losses of comparisons", named)
	case h.UsesAttributes() && len(o.Attributes) == 0:
		return fmt.Errorf("train: reward %q reads attributes, but none is named: set data.attributes, "+
			"as in [\"helpfulness\", \"correctness\"]", h.Reward)
	case h.UsesAttributes() && slices.Contains(graded, false):
		return fmt.Errorf("train: reward %q reads the attribute %s, but no response left to train on "+
			"states it: name others (data.attributes), or keep more data", h.Reward,
			o.Attributes[slices.Index(graded, false)])
	case !h.UsesAttributes() && len(o.Attributes) > 0:
		return fmt.Errorf("train: data.attributes names %s, but reward %q does not read them: set "+
			"objective.reward = %q", strings.Join(o.Attributes, ", "), h.Reward, objective.Regression)
	case h.UsesAttributes() && model.Outputs() != len(o.Attributes):
		return fmt.Errorf("train: %d attributes are named, but the score head of %s has %d outputs",
			len(o.Attributes), model.Dir, model.Outputs())
	case h.UsesComparisons() && compared == 0 && (labelled > 0 || !h.UsesAttributes()):
		return fmt.Errorf("train: %s read comparisons, but the data has none: %s", named,
			otherLosses(h, labelled))
	case !h.UsesLabels() && labelled > 0:
		return fmt.Errorf("train: %d responses of the data are labelled, but %s read no labels: %s",
			labelled, named, otherLosses(h, labelled))
	case !h.UsesComparisons() && compared > 0:
		return fmt.Errorf("train: the data has %d comparisons, but %s read none: add a loss of "+
			"comparisons, as in reward = \"bradley-terry + bce\" and policy = \"dpo + kto\", or leave "+
			"these rows out", compared, named)
	case h.UsesMismatched() && others == 0:
		return fmt.Errorf("train: policy %q estimates the KL from responses to other prompts, which "+
			"the groups do not have: add them with encode.AddOthers", h.Policy)
	}
	return nil
}

// otherLosses says which losses read labelled data.
func otherLosses(h objective.Hybrid, labelled int) string {
	if labelled == 0 {
		return "give rows of pairs or groups"
	}
	var sets []string
	if h.UsesScore() {
		sets = append(sets, "objective.reward = \"bce\"")
	} else {
		sets = append(sets, "objective.reward_weight = 0")
	}
	if h.UsesPolicy() {
		sets = append(sets, "objective.policy = \"kto\"")
	} else {
		sets = append(sets, "objective.policy_weight = 0")
	}
	return "for labelled responses set " + strings.Join(sets, " and ")
}

// measureRewards adds to the record what the rewards are worth on the validation groups'
// comparisons and labels, and the outputs on their grades.
func (t *trainer) measureRewards(
	record *run.Validation, rewards map[string][][]float64, outputs [][][]float64,
	values []objective.Group,
) error {
	var compared, labelled int
	for i := range t.data.Valid {
		compared += len(t.data.Valid[i].Comparisons)
		labelled += len(t.data.Valid[i].Labels)
	}
	h := t.opt.Objective
	record.KL = h.PointValue(values)
	for name, all := range rewards {
		own := make([][]float64, len(all))
		for g := range all {
			own[g] = all[g][:t.data.Valid[g].Own()]
		}
		if compared > 0 {
			result, err := eval.Comparisons(t.data.ValidGroups, own)
			if err != nil {
				return fmt.Errorf("train: validation: %w", err)
			}
			record.Rewards[name] = result
		}
		if labelled == 0 {
			continue
		}
		if name == reward.ByImplicit {
			own = shifted(own, -h.Beta*record.KL)
		}
		result, err := eval.Labels(t.data.ValidGroups, own)
		if err != nil {
			return fmt.Errorf("train: validation: %w", err)
		}
		if record.Labels == nil {
			record.Labels = map[string]eval.LabelResult{}
		}
		record.Labels[name] = result
	}
	if outputs != nil {
		grades := make([][][]float64, len(values))
		for g := range values {
			grades[g] = values[g].Attributes
		}
		record.Attributes = eval.Attributes(t.opt.Attributes, outputs, grades)
	}
	return nil
}

// shifted adds a number to all rewards.
func shifted(rewards [][]float64, by float64) [][]float64 {
	out := make([][]float64, len(rewards))
	for g := range rewards {
		for _, x := range rewards[g] {
			out[g] = append(out[g], x+by)
		}
	}
	return out
}
