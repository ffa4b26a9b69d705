package paper

import (
	"fmt"
	"slices"
	"strings"

	"haf/reward"
)

// accuracyTable makes a table of the finished cells.
func (r *Results) accuracyTable(t TableSpec) (accuracyTable, error) {
	switch t.Kind {
	case Sweep:
		return r.sweep(t)
	case Heads:
		return r.heads(t)
	case Ensemble:
		return r.ensembles(t)
	}
	g := accuracyTable{}
	sets := r.grid.setsOf(t)
	for _, s := range sets {
		g.columns = append(g.columns, s.Name)
	}
	wants := r.grid.wants(t)
	for _, m := range r.grid.methodsOf(t) {
		for _, rewardName := range rewardsOf(m) {
			row := accuracyRow{label: m.Name}
			if rewardName != m.Reward {
				row.label += ", " + rewardName
			}
			for _, s := range sets {
				trained, tests := []string{s.Name}, []string{s.Name}
				switch t.Kind {
				case Mixed:
					trained = g.columns
				case OOD:
					tests = r.grid.others(s)
				}
				cell, err := r.cell(find(wants, m, trained), tests, rewardName)
				if err != nil {
					return g, err
				}
				row.cells = append(row.cells, cell)
			}
			g.rows = append(g.rows, row)
		}
	}
	if g.pairs = claims(g, r.grid.Claim); t.Baseline != "" {
		g.pairs = against(g, t.Baseline)
	}
	return g, nil
}

// rewardsOf returns the rewards that show a method. An implicit reward also has its
// length-normalized form, because the plain sum depends on length.
func rewardsOf(m Method) []string {
	if m.Reward == reward.ByImplicit {
		return []string{reward.ByImplicit, reward.ByNormalized}
	}
	return []string{m.Reward}
}

// claims pairs the claimed method's row with every other.
func claims(g accuracyTable, claim string) [][2]int {
	var pairs [][2]int
	at := slices.IndexFunc(g.rows, func(r accuracyRow) bool { return r.label == claim })
	for i := range g.rows {
		if at >= 0 && i != at {
			pairs = append(pairs, [2]int{at, i})
		}
	}
	return pairs
}

// against pairs every other row with the baseline's.
func against(g accuracyTable, baseline string) [][2]int {
	var pairs [][2]int
	at := slices.IndexFunc(g.rows, func(r accuracyRow) bool { return r.label == baseline })
	for i := range g.rows {
		if at >= 0 && i != at {
			pairs = append(pairs, [2]int{i, at})
		}
	}
	return pairs
}

// find returns the want of a method on sets, with a sweep's overrides.
func find(wants []want, m Method, sets []string, extra ...string) want {
	for _, w := range wants {
		if w.method.Name == m.Name && slices.Equal(w.sets, sets) && slices.Equal(w.extra, extra) {
			return w
		}
	}
	panic(fmt.Sprintf("paper: no want of %s on %v", m.Name, sets)) // cannot happen
}

// others returns the test sets that are out of distribution for a training set: the others of its
// domain or, if there are none, all others.
func (p *Grid) others(s Set) []string {
	var same, all []string
	for _, o := range p.Sets {
		if o.Name == s.Name {
			continue
		}
		all = append(all, o.Name)
		if o.Domain == s.Domain && s.Domain != "" {
			same = append(same, o.Name)
		}
	}
	if len(same) > 0 {
		return same
	}
	return all
}

// sweep has a row for every method and value. With one method, each value is compared with the
// first; else the claimed method is compared with the others at each value.
func (r *Results) sweep(t TableSpec) (accuracyTable, error) {
	g := accuracyTable{}
	sets := r.grid.setsOf(t)
	for _, s := range sets {
		g.columns = append(g.columns, s.Name)
	}
	wants := r.grid.wants(t)
	methods := r.grid.methodsOf(t)
	for _, m := range methods {
		for _, v := range t.Values {
			row := accuracyRow{label: sweepLabel(methods, m, t, v)}
			for _, s := range sets {
				cell, err := r.cell(find(wants, m, []string{s.Name}, t.overrides(v)...), []string{s.Name},
					m.Reward)
				if err != nil {
					return g, err
				}
				row.cells = append(row.cells, cell)
			}
			g.rows = append(g.rows, row)
		}
	}
	n := len(t.Values)
	if len(methods) == 1 {
		for i := 1; i < n; i++ {
			g.pairs = append(g.pairs, [2]int{i, 0})
		}
		return g, nil
	}
	if base := slices.IndexFunc(methods, func(m Method) bool {
		return m.Name == t.Baseline
	}); base >= 0 {
		for m := range methods {
			for i := range n {
				if m != base {
					g.pairs = append(g.pairs, [2]int{m*n + i, base*n + i})
				}
			}
		}
		return g, nil
	}
	claim := slices.IndexFunc(methods, func(m Method) bool { return m.Name == r.grid.Claim })
	for m := range methods {
		for i := range n {
			if claim >= 0 && m != claim {
				g.pairs = append(g.pairs, [2]int{claim*n + i, m*n + i})
			}
		}
	}
	return g, nil
}

func sweepLabel(methods []Method, m Method, t TableSpec, v any) string {
	key := t.Key[strings.LastIndexByte(t.Key, '.')+1:]
	if len(methods) == 1 {
		return key + " " + t.valueName(v)
	}
	return m.Name + ", " + key + " " + t.valueName(v)
}

// heads has a row for every reward of the methods' trainings, each compared with the score head's.
func (r *Results) heads(t TableSpec) (accuracyTable, error) {
	g := accuracyTable{}
	sets := r.grid.setsOf(t)
	for _, s := range sets {
		g.columns = append(g.columns, s.Name)
	}
	wants := r.grid.wants(t)
	for _, m := range r.grid.methodsOf(t) {
		first := len(g.rows)
		for _, name := range []string{reward.ByScore, reward.ByImplicit, reward.ByNormalized,
			reward.ByCombined} {
			row := accuracyRow{label: m.Name + ", " + name}
			for _, s := range sets {
				cell, err := r.cell(find(wants, m, []string{s.Name}), []string{s.Name}, name)
				if err != nil {
					return g, err
				}
				row.cells = append(row.cells, cell)
			}
			g.rows = append(g.rows, row)
			if i := len(g.rows) - 1; i > first {
				g.pairs = append(g.pairs, [2]int{i, first})
			}
		}
	}
	return g, nil
}
