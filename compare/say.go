package compare

import (
	"fmt"
	"io"
	"strings"
)

// say writes the sentences of the answer.
func (a *Answer) say() {
	r := a.Recommended
	of := a.Finalists[a.index(r.Name)]
	var better, tied []string
	simplest := ""
	for _, f := range a.Finalists {
		if f.Method == r.Name {
			continue
		}
		c := a.between(r.Name, f.Method)
		switch {
		case c.decided():
			better = append(better, fmt.Sprintf("%s by %.1f points [%.1f, %.1f] (p %s)", f.Method,
				100*c.Difference, 100*c.Low, 100*c.High, pText(c.P)))
		default:
			tied = append(tied, fmt.Sprintf("%s (%s)", f.Method, points(c)))
			simplest = simple[r.Name]
		}
	}
	lead := "Use " + r.words() + "."
	if len(better) > 0 {
		lead += fmt.Sprintf(" It is better than %s.", strings.Join(better, " and than "))
	}
	if len(tied) > 0 {
		lead += fmt.Sprintf(" It is tied with %s, and the simplest of these: %s.", join(tied), simplest)
	}
	a.Sentences = []string{lead,
		fmt.Sprintf("The differences are in points of accuracy on %d test pairs, means over %d seeds. "+
			"All %d intervals hold together with 95 %%, over test prompts and seeds; a difference whose "+
			"interval has 0 inside is called a tie, which is not the same as equal.",
			of.Accuracy.Comparisons, len(a.Plan.Seeds), len(a.Comparisons)),
		fmt.Sprintf("%s is right on %.1f %% of the test pairs [%.1f, %.1f]%s.", r.Name,
			100*of.Accuracy.Mean, 100*of.Accuracy.Low, 100*of.Accuracy.High, of.lengths()),
	}
	if !a.Finished {
		a.Sentences = append(a.Sentences, a.unfinished()+" The learning curve is missing.")
	}
	for _, c := range a.Comparisons {
		if (c.A == r.Name || c.B == r.Name) && !c.decided() {
			a.Sentences = append(a.Sentences, c.sentence(a))
		}
	}
	if a.Curve != nil {
		a.Sentences = append(a.Sentences, a.outlook())
	}
}

// words names the setting in the answer.
func (r *Recommended) words() string {
	if r.Method == HaF {
		return fmt.Sprintf("HaF with α = %g and learning rate %g", r.Alpha, r.LR)
	}
	return fmt.Sprintf("%s with learning rate %g", r.Method, r.LR)
}

func points(c Comparison) string {
	return fmt.Sprintf("%+.1f points [%+.1f, %+.1f], p %s", 100*c.Difference, 100*c.Low, 100*c.High,
		pText(c.P))
}

func pText(p float64) string {
	if p < 0.001 {
		return "< 0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// lengths says how far the accuracy depends on length.
func (r Result) lengths() string {
	var parts []string
	if e := r.SimilarLengths; e != nil {
		parts = append(parts, fmt.Sprintf("on %.1f %% [%.1f, %.1f] of the %d pairs of similar lengths",
			100*e.Mean, 100*e.Low, 100*e.High, e.Comparisons))
	}
	if e := r.Longer; e != nil {
		parts = append(parts, fmt.Sprintf("it prefers the longer response in %.1f %% [%.1f, %.1f]",
			100*e.Mean, 100*e.Low, 100*e.High))
	}
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, "; ")
}

// outlook says how much more training pairs would improve the recommended finalist.
func (a *Answer) outlook() string {
	i := a.index(a.Recommended.Name)
	of := a.Curve.Of[i]
	sizes := a.Curve.Sizes
	first, last := of.Accuracy[0], of.Accuracy[len(of.Accuracy)-1]
	twice := a.Curve.at(i, 2*float64(sizes[len(sizes)-1]))
	return fmt.Sprintf("From %d to %d training pairs the accuracy of %s went from %.1f %% to %.1f "+
		"%%; its learning curve expects %.1f %% [%.1f, %.1f] of twice as many.", sizes[0],
		sizes[len(sizes)-1], of.Name, 100*first.Value, 100*last.Value, 100*twice.Value,
		100*twice.Low, 100*twice.High)
}

// Write writes the answer for a terminal.
func (a *Answer) Write(w io.Writer) error {
	var b strings.Builder
	for _, s := range a.Sentences {
		b.WriteString(s + "\n")
	}
	if a.Recommended != nil && a.Finished {
		fmt.Fprintf(&b, "\nThe model: %s (seed %d, the best of its seeds on validation data)\nNext:\n",
			a.Recommended.Run, a.Recommended.Seed)
		for _, command := range a.Next {
			b.WriteString("  " + command + "\n")
		}
	}
	fmt.Fprintf(&b, "\n%s\n%s\n", a.Markdown, a.HTML)
	_, err := io.WriteString(w, b.String())
	return err
}
