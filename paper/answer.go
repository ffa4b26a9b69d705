package paper

import (
	"fmt"
	"slices"
	"strings"

	"haf/eval"
)

// A finding is what one comparison of a table supports.
type finding struct {
	a, b string
	on   string // column; "" for the only column or the mean
	e    eval.Estimate
	p    float64 // adjusted
}

// findings returns the differences that answer the table's question: the means over its columns if
// there are several, else those of the one column.
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

// points formats a difference with its interval.
func points(e eval.Estimate) string {
	return fmt.Sprintf("%+.1f [%+.1f, %+.1f]", 100*e.Mean, 100*e.Low, 100*e.High)
}

// answer is one sentence with what the table's differences support, or "".
func (g accuracyTable) answer(differences []compared) string {
	all := g.findings(differences)
	if len(all) == 0 {
		return ""
	}
	several := false
	for _, f := range all {
		several = several || f.b != all[0].b
	}
	var better, worse, open []finding
	for _, f := range all {
		switch {
		case f.p >= level:
			open = append(open, f)
		case f.e.Mean > 0:
			better = append(better, f)
		default:
			worse = append(worse, f)
		}
	}
	than := " than " + all[0].b
	if several {
		than = ""
	}
	var parts []string
	add := func(word string, of []finding) {
		if len(of) > 0 {
			parts = append(parts, word+": "+strings.Join(together(of, several), ", "))
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

// together lists findings; it joins those that differ only in a setting's value, as in "HaF than
// Baseline with limit 200, 400 (+0.3 to +0.4, intervals within [-1.0, +1.8])". Unless several is
// set, all are compared with the same label, which the sentence names.
func together(of []finding, several bool) (out []string) {
	type group struct {
		name   string
		values []string
		of     []finding
	}
	var groups []*group
	for _, f := range of {
		name, value := f.a, ""
		if several {
			name += " than " + f.b
		}
		a, last := cutLast(f.a)
		b, same := cutLast(f.b)
		switch method, setting, ok := strings.Cut(a, ", "); {
		case a == "":
		case !several:
			name, value = a, last
		case ok && last == same && strings.HasSuffix(b, ", "+setting):
			other := strings.TrimSuffix(b, ", "+setting)
			name = method + " than " + other + " with " + setting
			value = last
		}
		if f.on != "" {
			name, value = strings.TrimSpace(name+" "+value)+" on", f.on
		}
		i := slices.IndexFunc(groups, func(g *group) bool { return g.name == name })
		if i < 0 || value == "" {
			i = len(groups)
			groups = append(groups, &group{name: name})
		}
		groups[i].values = append(groups[i].values, value)
		groups[i].of = append(groups[i].of, f)
	}
	for _, g := range groups {
		text := strings.TrimSpace(g.name + " " + strings.Join(g.values, ", "))
		out = append(out, text+" ("+pointsOf(g.of)+")")
	}
	return out
}

// cutLast cuts the last word, a setting's value, off a label.
func cutLast(label string) (before, last string) {
	i := strings.LastIndexByte(label, ' ')
	if i < 0 || strings.HasSuffix(label[:i], ",") { // a method's name, or the only word after it
		return "", label
	}
	return label[:i], label[i+1:]
}

// pointsOf formats the differences of findings, with the hull of their intervals.
func pointsOf(of []finding) string {
	if len(of) == 1 {
		return points(of[0].e)
	}
	by := func(value func(eval.Estimate) float64, most func([]float64) float64) float64 {
		var all []float64
		for _, f := range of {
			all = append(all, value(f.e))
		}
		return 100 * most(all)
	}
	mean := func(e eval.Estimate) float64 { return e.Mean }
	return fmt.Sprintf("%+.1f to %+.1f, intervals within [%+.1f, %+.1f]", by(mean, slices.Min),
		by(mean, slices.Max), by(func(e eval.Estimate) float64 { return e.Low }, slices.Min),
		by(func(e eval.Estimate) float64 { return e.High }, slices.Max))
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
