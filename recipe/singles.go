package recipe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"haf/encode"
	"haf/pref"
	"haf/train"
)

// keepsSingles reports whether responses that are judged by themselves are learned from.
func (r *Recipe) keepsSingles() bool {
	h := r.Objective.hybrid()
	return h.UsesLabels() || h.UsesAttributes()
}

// attributes are those that are learned from.
func (r *Recipe) attributes() []string {
	if r.Objective.hybrid().UsesAttributes() {
		return r.Data.Attributes
	}
	return nil
}

// singles leaves out the comparisons that follow from grades, where the objective reads none.
func (r *Recipe) singles(groups []pref.Group) []pref.Group {
	if r.Objective.hybrid().UsesComparisons() {
		return groups
	}
	for i := range groups {
		if groups[i].Grades != nil {
			groups[i].Comparisons, groups[i].Ties = nil, nil
		}
	}
	return groups
}

// checkSingles returns an error that names the first key of single responses that is wrong.
func (r *Recipe) checkSingles() error {
	for i, name := range r.Data.Attributes {
		switch {
		case strings.TrimSpace(name) != name || name == "":
			return fmt.Errorf("recipe: data.attributes has %q, want the name of a column", name)
		case slices.Contains(r.Data.Attributes[:i], name):
			return fmt.Errorf("recipe: data.attributes names %s twice", name)
		}
	}
	if r.keepsSingles() && r.Data.LabelNoise > 0 {
		return errors.New("recipe: data.label_noise flips comparisons, but the objective reads labels " +
			"or attributes of single responses, which it leaves as they are: set it to 0")
	}
	return nil
}

// oneKind warns of labelled responses that are all desirable, or all undesirable: from those the
// model learns to raise, or to lower, every reward. It is "" otherwise.
func oneKind(groups []pref.Group) string {
	count := map[bool]int{}
	for _, g := range groups {
		for _, desirable := range g.Labels {
			count[desirable]++
		}
	}
	if len(count) != 1 {
		return ""
	}
	kind, other := "desirable", "undesirable"
	if count[false] > 0 {
		kind, other = other, kind
	}
	return fmt.Sprintf("warning: all %d labelled responses are %s: a model learns nothing from them "+
		"about which is better; add %s ones", count[true]+count[false], kind, other)
}

// Encode is [Encode] for training by the recipe's objective. If the objective estimates the KL,
// labelled responses get responses to other prompts beside them.
func (r *Recipe) Encode(
	encoder *encode.Encoder, trained, valid []pref.Group,
) (train.Data, []string, error) {
	data, lines, err := Encode(encoder, trained, valid)
	if text := oneKind(trained); err == nil && text != "" {
		lines = append(lines, text)
	}
	if text := manyTruncated(data.Train, r.Model.MaxLength); err == nil && text != "" {
		lines = append(lines, text)
	}
	if err != nil || !r.Objective.hybrid().UsesMismatched() {
		return data, lines, err
	}
	if err := encode.AddOthers(data.Train, r.Model.MaxLength); err != nil {
		return data, nil, err
	}
	if err := encode.AddOthers(data.Valid, r.Model.MaxLength); err != nil {
		return data, nil, fmt.Errorf("validation set: %w; or hold more out (data.valid_fraction)", err)
	}
	return data, lines, nil
}

// manyTruncated warns of data of which more than a tenth was cut at the length limit: the score
// head learns from answers that do not end.
func manyTruncated(groups []encode.Group, limit int) string {
	cut := 0
	for _, g := range groups {
		if g.Truncated {
			cut++
		}
	}
	if 10*cut <= len(groups) {
		return ""
	}
	return fmt.Sprintf("warning: %d of %d training groups are truncated at model.max_length = %d: "+
		"raise it, or set model.truncation", cut, len(groups), limit)
}
