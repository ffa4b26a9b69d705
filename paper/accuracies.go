package paper

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"haf/eval"
)

// An Accuracy is the accuracy of a reward of one kind of training on one test set, over its seeds.
type Accuracy struct {
	Label  string   // method, sets and overrides of the trainings
	Train  []string // training sets
	Test   string
	Reward string
	Seeds  int
	eval.Estimate
}

// Title is the title of the grid.
func (j *Journal) Title() string { return j.origin.Title }

// Tests returns the names of the test sets, sorted.
func (j *Journal) Tests() []string { return slices.Sorted(maps.Keys(j.tests)) }

// Accuracies estimates every reward of every kind of training on every test set, sorted by label,
// reward and test set. Trainings that differ only in their seed are one kind. An error names
// results that cannot be read or combined.
func (j *Journal) Accuracies() ([]Accuracy, error) {
	kinds := map[string][]*Result{}
	for _, r := range j.cells {
		label := labelOf(r)
		kinds[label] = append(kinds[label], r)
	}
	var out []Accuracy
	for _, label := range slices.Sorted(maps.Keys(kinds)) {
		results := kinds[label]
		slices.SortFunc(results, func(a, b *Result) int { return cmp.Compare(a.Seed, b.Seed) })
		for _, test := range slices.Sorted(maps.Keys(results[0].Tests)) {
			for _, reward := range slices.Sorted(maps.Keys(results[0].Tests[test])) {
				m, err := j.overSeeds(results, test, reward)
				if err != nil {
					return nil, err
				}
				e, err := m.Accuracy()
				if err != nil {
					return nil, fmt.Errorf("paper: %s on %s: %w", label, test, err)
				}
				out = append(out, Accuracy{Label: label, Train: results[0].Sets, Test: test,
					Reward: reward, Seeds: len(results), Estimate: e})
			}
		}
	}
	return out, nil
}

// labelOf is a cell's label without its seed, but with the overrides that its name does not show.
func labelOf(r *Result) string {
	label := r.ID
	if at := strings.LastIndex(label, fmt.Sprintf("-seed%d-", r.Seed)); at >= 0 {
		label = label[:at]
	}
	for _, set := range r.Set {
		if short := short(set); !strings.Contains(label, strings.ReplaceAll(short, " ", "_")) {
			label += "-" + short
		}
	}
	return label
}

// overSeeds collects the results of trainings on a test set, like [Results.measure].
func (j *Journal) overSeeds(results []*Result, test, reward string) (Measurement, error) {
	set, ok := j.tests[test]
	if !ok {
		return Measurement{}, fmt.Errorf("paper: %s has no test set %q", j.path, test)
	}
	var m Measurement
	var index []int
	for i, r := range results {
		margins, ok := r.Tests[test][reward]
		if !ok {
			return m, fmt.Errorf("paper: %s has no reward %q on %s", r.ID, reward, test)
		}
		at, values, err := margins.reading(set)
		if err != nil {
			return m, fmt.Errorf("paper: %s: %w", r.ID, err)
		}
		if i > 0 && !slices.Equal(index, at) {
			return m, fmt.Errorf("paper: %s could read other groups of %s than %s", r.ID, test,
				results[0].ID)
		}
		index, m.Rewards = at, append(m.Rewards, values)
	}
	m.Groups = pick(set.groups(), index)
	return m, nil
}
