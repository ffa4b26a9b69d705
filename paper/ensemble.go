package paper

import (
	"fmt"
	"math"
)

// ensembles has two rows for every method and size: the ensembles of that many seeds, and their
// first members alone. Every seed is in one ensemble.
func (r *Results) ensembles(t TableSpec) (accuracyTable, error) {
	var g accuracyTable
	sets := r.grid.setsOf(t)
	for _, s := range sets {
		g.columns = append(g.columns, s.Name)
	}
	wants := r.grid.wants(t)
	for _, m := range r.grid.methodsOf(t) {
		for _, size := range t.Sizes {
			together := accuracyRow{label: fmt.Sprintf("%s, mean of %d seeds", m.Name, size)}
			alone := accuracyRow{label: fmt.Sprintf("%s, one seed of those", m.Name)}
			for _, s := range sets {
				cell, err := r.cell(find(wants, m, []string{s.Name}), []string{s.Name}, m.Reward)
				if err != nil {
					return g, err
				}
				var several, one accuracyCell
				for _, of := range cell {
					several, one = append(several, of.ensembles(size)), append(one, of.members(size))
				}
				together.cells, alone.cells = append(together.cells, several), append(alone.cells, one)
			}
			g.rows = append(g.rows, together, alone)
			g.pairs = append(g.pairs, [2]int{len(g.rows) - 2, len(g.rows) - 1})
		}
	}
	return g, nil
}

// ensembles sums the rewards of that many seeds, each divided by the mean size of its margins.
func (m Measurement) ensembles(size int) Measurement {
	out := Measurement{Groups: m.Groups}
	for first := 0; first+size <= len(m.Rewards); first += size {
		sum := make([][]float64, len(m.Groups))
		for g := range sum {
			sum[g] = make([]float64, 2)
		}
		for _, of := range m.Rewards[first : first+size] {
			scale := 0.0
			for _, pair := range of {
				scale += math.Abs(pair[0] - pair[1])
			}
			for g, pair := range of {
				for k, x := range pair {
					sum[g][k] += x / max(scale, 1e-300) * float64(len(of))
				}
			}
		}
		out.Rewards = append(out.Rewards, sum)
	}
	return out
}

// members returns the first seed of each ensemble.
func (m Measurement) members(size int) Measurement {
	out := Measurement{Groups: m.Groups}
	for first := 0; first+size <= len(m.Rewards); first += size {
		out.Rewards = append(out.Rewards, m.Rewards[first])
	}
	return out
}
