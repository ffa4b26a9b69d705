package paper

import (
	"fmt"
	"strings"

	"haf/eval"
)

// A finding is what one comparison of a table supports.
type finding struct {
	a, b string
	on   string // "" where the table has one column, or for the mean over all
	e    eval.Estimate
	p    float64 // adjusted
}

// findings are those that answer the table's question: the means over its columns where there are
// several, else the one column's.
func (g accuracyTable) findings(all []compared) (out []finding) {
	for _, c := range all {
		switch {
		case c.mean != nil:
			out = append(out, finding{c.a, c.b, "", *c.mean, c.p[len(c.each)]})
		case len(g.columns) == 1:
			out = append(out, finding{c.a, c.b, "", c.each[0], c.p[0]})
		default: // some columns are not finished
			for i, e := range c.each {
				out = append(out, finding{c.a, c.b, c.names[i], e, c.p[i]})
			}
		}
	}
	return out
}

// points are a difference with its interval.
func points(e eval.Estimate) string {
	return fmt.Sprintf("%+.1f [%+.1f, %+.1f]", 100*e.Mean, 100*e.Low, 100*e.High)
}

// answer is one sentence of what the table's differences support, "" where there is none.
func (g accuracyTable) answer(differences []compared) string {
	all := g.findings(differences)
	if len(all) == 0 {
		return ""
	}
	several := false
	for _, f := range all {
		several = several || f.b != all[0].b
	}
	name := func(f finding) string {
		text := f.a
		if several {
			text += " than " + f.b
		}
		if f.on != "" {
			text += " on " + f.on
		}
		return text + " (" + points(f.e) + ")"
	}
	var better, worse, open []string
	for _, f := range all {
		switch {
		case f.p >= level:
			open = append(open, name(f))
		case f.e.Mean > 0:
			better = append(better, name(f))
		default:
			worse = append(worse, name(f))
		}
	}
	than := " than " + all[0].b
	if several {
		than = ""
	}
	var parts []string
	add := func(word string, names []string) {
		if len(names) > 0 {
			parts = append(parts, word+": "+strings.Join(names, ", "))
		}
	}
	add("better"+than, better)
	add("worse"+than, worse)
	undecided := "undecided"
	if !several {
		undecided += " against " + all[0].b
	}
	add(undecided, open)
	text := strings.Join(parts, "; ")
	return strings.ToUpper(text[:1]) + text[1:] + ", in points of accuracy."
}

// incomplete says which rows of the table are not finished.
func (g accuracyTable) incomplete() string {
	var names []string
	for _, row := range g.rows {
		for _, c := range row.cells {
			if c == nil {
				names = append(names, row.label)
				break
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("Not finished, so left out of the answer: %s.", strings.Join(names, ", "))
}
