package eval

import (
	"fmt"
	"io"
	"slices"

	"haf/pref"
)

// A Matrix has the results of several models on several sets.
type Matrix struct {
	Models []string `json:"models"`
	Sets   []string `json:"sets"`
	Cells  [][]Cell `json:"cells"` // Cells[model][set]
	// Mean is the accuracy of each model over the sets, with equal weights.
	Means []float64 `json:"means"`
	// Longest is the accuracy of always choosing the longer response, on the comparisons of each set
	// that the first model could read.
	Longest []Measured   `json:"longest"`
	Pairs   []MatrixPair `json:"pairs"`
}

// A Cell is one model on one set.
type Cell struct {
	Groups int    `json:"groups"` // groups that could be read; see MatrixPair.Common
	Result Result `json:"result"`
}

// A MatrixPair compares two models on the groups of one set that both could read.
type MatrixPair struct {
	Set    string `json:"set"`
	A      string `json:"a"`
	B      string `json:"b"`
	Common int    `json:"common"` // groups
	Paired Paired `json:"paired"`
}

// A Reading has one model's results on one set: the groups that it could read, their positions in
// the set, and their rewards.
type Reading struct {
	Groups  []pref.Group
	Index   []int // position of each group in the set
	Rewards [][]float64
}

// NewMatrix measures readings[model][set]. It compares every two models on every set, on the
// comparisons that both have.
func NewMatrix(models, sets []string, readings [][]Reading) (Matrix, error) {
	m := Matrix{Models: models, Sets: sets}
	for i := range models {
		var row []Cell
		sum := 0.0
		for j := range sets {
			r, err := Comparisons(readings[i][j].Groups, readings[i][j].Rewards)
			if err != nil {
				return Matrix{}, fmt.Errorf("%s on %s: %w", models[i], sets[j], err)
			}
			row = append(row, Cell{Groups: len(readings[i][j].Groups), Result: r})
			sum += r.Accuracy
		}
		m.Cells, m.Means = append(m.Cells, row), append(m.Means, ratio(sum, len(sets)))
	}
	for j, set := range sets {
		m.Longest = append(m.Longest, longestOf(readings[0][j].Groups))
		for a := range models {
			for b := range a {
				groups, ra, rb := common(readings[b][j], readings[a][j])
				if len(groups) == 0 {
					continue
				}
				p, err := Compare(groups, ra, rb)
				if err != nil {
					return Matrix{}, fmt.Errorf("%s against %s on %s: %w", models[b], models[a], set, err)
				}
				m.Pairs = append(m.Pairs, MatrixPair{Set: set, A: models[b], B: models[a], Common: len(groups),
					Paired: p})
			}
		}
	}
	return m, nil
}

// common lines up two readings of one set: the groups in both, with the comparisons that both left.
func common(a, b Reading) (groups []pref.Group, ra, rb [][]float64) {
	at := map[int]int{}
	for i, index := range b.Index {
		at[index] = i
	}
	for i, index := range a.Index {
		k, ok := at[index]
		if !ok {
			continue
		}
		g := a.Groups[i]
		var both []pref.Comparison
		for _, c := range g.Comparisons {
			if slices.Contains(b.Groups[k].Comparisons, c) {
				both = append(both, c)
			}
		}
		if g.Comparisons = both; len(both) > 0 {
			groups, ra, rb = append(groups, g), append(ra, a.Rewards[i]), append(rb, b.Rewards[k])
		}
	}
	return groups, ra, rb
}

// Write writes the accuracies as a table with one row per model and the half-width of each
// interval, then the paired tests.
func (m Matrix) Write(w io.Writer) error {
	cells := [][]string{append(append([]string{"accuracy"}, m.Sets...), "mean")}
	for i, model := range m.Models {
		line := []string{oneLine(model)}
		for _, c := range m.Cells[i] {
			line = append(line, fmt.Sprintf("%.4f [%.4f, %.4f]", c.Result.Accuracy, c.Result.AccuracyLow,
				c.Result.AccuracyHigh))
		}
		cells = append(cells, append(line, fmt.Sprintf("%.4f", m.Means[i])))
	}
	longest, sizes := []string{"always the longer response"}, []string{"comparisons"}
	for j, e := range m.Longest {
		longest = append(longest, fmt.Sprintf("%.4f %s", e.Value, interval(e.Low, e.High)))
		sizes = append(sizes, fmt.Sprint(m.Cells[0][j].Result.Comparisons))
	}
	if err := WriteTable(w, append(cells, append(longest, ""), append(sizes, ""))); err != nil {
		return err
	}
	if len(m.Pairs) == 0 {
		return nil
	}
	cells = [][]string{{"paired", "set", "n", "difference", "95 % interval", "McNemar p"}}
	for _, p := range m.Pairs {
		cells = append(cells, []string{oneLine(p.A + " − " + p.B), p.Set,
			fmt.Sprint(p.Paired.Comparisons), fmt.Sprintf("%+.4f", p.Paired.Difference),
			fmt.Sprintf("[%+.4f, %+.4f]", p.Paired.Low, p.Paired.High),
			fmt.Sprintf("%.3g", p.Paired.McNemarP)})
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("eval: write table: %w", err)
	}
	return WriteTable(w, cells)
}
