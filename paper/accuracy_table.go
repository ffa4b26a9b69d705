package paper

import (
	"errors"
	"fmt"
	"strings"

	"haf/eval"
	"haf/report"
)

// An accuracyTable is a table of accuracies with its comparisons. A cell is a mean over one or
// several test sets.
type accuracyTable struct {
	columns []string
	rows    []accuracyRow
	pairs   [][2]int // rows a, b of the differences a − b
}

type accuracyRow struct {
	label string
	cells []accuracyCell // one per column
}

// An accuracyCell is nil if a training is not finished.
type accuracyCell []Measurement

// A compared is a pair of rows: its difference in each column and, with several columns, their
// mean.
type compared struct {
	a, b  string
	names []string // of the columns
	each  []eval.Estimate
	mean  *eval.Estimate
	// adjusted p-values of the columns, then of the mean
	p []float64
}

func (r *Results) cell(w want, tests []string, rewardName string) (accuracyCell, error) {
	var cell accuracyCell
	for _, test := range tests {
		m, err := r.measure(w, test, rewardName)
		if errors.Is(err, errMissing) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		cell = append(cell, m)
	}
	return cell, nil
}

func (c accuracyCell) accuracy() (eval.Estimate, error) {
	var of []eval.Estimate
	for _, m := range c {
		e, err := m.Accuracy()
		if err != nil {
			return e, err
		}
		of = append(of, e)
	}
	return meanAccuracy(of)
}

// meanAccuracy is the mean of accuracies, with an interval that is not below 0.
func meanAccuracy(of []eval.Estimate) (eval.Estimate, error) {
	e, err := eval.MeanEstimate(of)
	e.Low = max(0, e.Low)
	return e, err
}

func (c accuracyCell) against(other accuracyCell) (eval.Estimate, error) {
	var of []eval.Estimate
	for i, m := range c {
		e, err := m.Against(other[i])
		if err != nil {
			return e, err
		}
		of = append(of, e)
	}
	return eval.MeanEstimate(of)
}

// accuracies estimates every cell, nil if it is missing, and the mean of each row, nil if any cell
// is missing.
func (g accuracyTable) accuracies() (cells [][]*eval.Estimate, means []*eval.Estimate, err error) {
	for _, row := range g.rows {
		var line []*eval.Estimate
		var all []eval.Estimate
		for _, c := range row.cells {
			if c == nil {
				line = append(line, nil)
				continue
			}
			e, err := c.accuracy()
			if err != nil {
				return nil, nil, err
			}
			line, all = append(line, &e), append(all, e)
		}
		cells = append(cells, line)
		if len(all) < len(row.cells) || len(all) == 0 {
			means = append(means, nil)
			continue
		}
		m, err := meanAccuracy(all)
		if err != nil {
			return nil, nil, err
		}
		means = append(means, &m)
	}
	return cells, means, nil
}

// compare estimates the differences of the pairs. The p-values are adjusted for all of them
// together.
func (g accuracyTable) compare() ([]compared, error) {
	var out []compared
	var p []float64
	for _, pair := range g.pairs {
		a, b := g.rows[pair[0]], g.rows[pair[1]]
		c := compared{a: a.label, b: b.label}
		for i := range g.columns {
			if a.cells[i] == nil || b.cells[i] == nil {
				continue
			}
			e, err := a.cells[i].against(b.cells[i])
			if err != nil {
				return nil, err
			}
			c.each, c.names, p = append(c.each, e), append(c.names, g.columns[i]), append(p, e.P)
		}
		if len(c.each) == 0 {
			continue
		}
		if len(c.each) > 1 && len(c.each) == len(g.columns) {
			mean, err := eval.MeanEstimate(c.each)
			if err != nil {
				return nil, err
			}
			c.mean, p = &mean, append(p, mean.P)
		}
		out = append(out, c)
	}
	p = eval.Holm(p)
	for i := range out {
		n := len(out[i].each)
		if out[i].mean != nil {
			n++
		}
		out[i].p, p = p[:n], p[n:]
	}
	return out, nil
}

// blocks returns the parts of a page that show the table.
func (g accuracyTable) blocks() ([]report.Block, error) {
	cells, means, err := g.accuracies()
	if err != nil {
		return nil, err
	}
	t := report.Table{Caption: "Accuracy with 95 % interval, mean over the seeds",
		Header: append([]string{""}, g.columns...)}
	if len(g.columns) > 1 {
		t.Header = append(t.Header, "mean")
	}
	for i, row := range g.rows {
		line := []string{row.label}
		for _, e := range cells[i] {
			line = append(line, accuracyText(e))
		}
		if len(g.columns) > 1 {
			line = append(line, accuracyText(means[i]))
		}
		t.Rows = append(t.Rows, line)
	}
	out := []report.Block{t}
	all, err := g.compare()
	if err != nil || len(all) == 0 {
		return out, err
	}
	d := report.Table{Caption: "Paired differences in points of accuracy on the same comparisons; p " +
		"adjusted for all tests of this table (Holm)",
		Header: []string{"difference", "on", "points", "95 % interval", "by seed", "adjusted p"}}
	add := func(c compared, on string, e eval.Estimate, p float64) {
		var seeds []string
		for _, s := range e.BySeed {
			seeds = append(seeds, fmt.Sprintf("%+.1f", 100*s))
		}
		d.Rows = append(d.Rows, []string{c.a + " − " + c.b, on, fmt.Sprintf("%+.1f", 100*e.Mean),
			fmt.Sprintf("[%+.1f, %+.1f]", 100*e.Low, 100*e.High), strings.Join(seeds, " "), pText(p)})
	}
	for _, c := range all {
		for i, e := range c.each {
			add(c, c.names[i], e, c.p[i])
		}
		if c.mean != nil {
			add(c, "mean", *c.mean, c.p[len(c.each)])
		}
	}
	return append(out, d), nil
}

func accuracyText(e *eval.Estimate) string {
	if e == nil {
		return "–"
	}
	return fmt.Sprintf("%.3f [%.3f, %.3f]", e.Mean, e.Low, e.High)
}

func pText(p float64) string {
	if p < 0.001 {
		return "< 0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// level is the adjusted p-value below which a difference counts.
const level = 0.05

// verdict says in words what the comparisons support, one sentence per pair.
func verdict(all []compared) (out []string) {
	for _, c := range all {
		var better, worse, open []string
		for i, e := range c.each {
			what := fmt.Sprintf("%s (%+.1f points [%+.1f, %+.1f])", c.names[i], 100*e.Mean, 100*e.Low,
				100*e.High)
			switch outcome(e, c.p[i]) {
			case isOpen:
				open = append(open, what)
			case isBetter:
				better = append(better, what)
			default:
				worse = append(worse, what)
			}
		}
		sentence := c.a + " against " + c.b + ": "
		if c.mean != nil {
			word := "which does not decide between them"
			if c.p[len(c.each)] < level {
				word = map[bool]string{true: c.a + " is better", false: c.a + " is worse"}[c.mean.Mean > 0]
			}
			sentence += fmt.Sprintf("mean %+.1f points [%+.1f, %+.1f], %s; ", 100*c.mean.Mean,
				100*c.mean.Low, 100*c.mean.High, word)
		}
		var parts []string
		for _, part := range []struct {
			word  string
			names []string
		}{{"better on ", better}, {"worse on ", worse}, {"undecided on ", open}} {
			if len(part.names) > 0 {
				parts = append(parts, part.word+strings.Join(part.names, ", "))
			}
		}
		out = append(out, sentence+strings.Join(parts, "; ")+".")
	}
	return out
}
