package reward

import (
	"errors"
	"fmt"
	"slices"

	"haf/weights"
)

// SaveAverage writes a new folder with the mean of the models' weights. The models were trained
// from one base (WARM, arXiv 2401.12187). Adapters are merged first, because the mean of products
// is not the product of means. Models of different bases, shapes, templates or β are refused,
// because their weights have no common meaning.
func SaveAverage(dir string, models ...*Model) error {
	if len(models) < 2 {
		return fmt.Errorf("reward: the average of %d, want two models or more", len(models))
	}
	first := models[0]
	members := make([]map[string]weights.LazyArray, len(models))
	offset := 0.0
	for i, m := range models {
		if err := m.averages(first); err != nil {
			return fmt.Errorf("reward: %s does not average with %s: %w", m.Dir, first.Dir, err)
		}
		members[i] = map[string]weights.LazyArray{}
		for _, s := range m.merged() {
			members[i][s.Name] = s
		}
		offset += m.Meta.ScoreOffset / float64(len(models))
	}
	for i, m := range models {
		if len(members[i]) != len(members[0]) {
			return fmt.Errorf("reward: %s does not average with %s: it has %d weights, the other %d", m.Dir,
				first.Dir, len(members[i]), len(members[0]))
		}
	}
	var sources []weights.LazyArray
	for _, s := range first.merged() {
		parts := make([]weights.LazyArray, len(models))
		for i, m := range models {
			part, ok := members[i][s.Name]
			if !ok || !slices.Equal(part.Shape, s.Shape) {
				return fmt.Errorf("reward: %s does not average with %s: %s is of shape %v, in the other %v",
					m.Dir, first.Dir, s.Name, s.Shape, part.Shape)
			}
			parts[i] = part
		}
		s.Values = meanOf(parts)
		sources = append(sources, s)
	}
	meta := first.Meta
	meta.ScoreOffset = offset
	return first.save(dir, meta, func(dir string) error {
		return first.writeFolder(dir, first.class(), sources)
	})
}

// averages returns why the model and the first of an average do not belong together.
func (m *Model) averages(first *Model) error {
	a, b := m.Meta, first.Meta
	switch {
	case a.BaseHash == "" || b.BaseHash == "":
		return errors.New("it is not known from which base both were trained (haf.json has no base_hash)")
	case a.BaseHash != b.BaseHash:
		return fmt.Errorf("it was trained from another base (%s, the other from %s)", a.Base, b.Base)
	case a.Template.Hash != b.Template.Hash:
		return fmt.Errorf("its chat template is %q, the other's %q", a.Template.Name, b.Template.Name)
	case m.headLayers != first.headLayers:
		return errors.New("their score heads are of different forms")
	case a.Objective.Beta != b.Objective.Beta:
		return fmt.Errorf("its β is %v, the other's %v", a.Objective.Beta, b.Objective.Beta)
	case !slices.Equal(a.Heads, b.Heads):
		return fmt.Errorf("its trained heads are %v, the other's %v", a.Heads, b.Heads)
	}
	return nil
}

// meanOf returns the values of the mean, read one after the other when they are due.
func meanOf(parts []weights.LazyArray) func() ([]float32, error) {
	return func() ([]float32, error) {
		var sum []float64
		for _, part := range parts {
			values, err := part.Values()
			if err != nil {
				return nil, err
			}
			if sum == nil {
				sum = make([]float64, len(values))
			}
			for i, v := range values {
				sum[i] += float64(v)
			}
		}
		mean := make([]float32, len(sum))
		for i := range sum {
			mean[i] = float32(sum[i] / float64(len(parts)))
		}
		return mean, nil
	}
}
