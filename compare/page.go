package compare

import (
	"fmt"
	"math"
	"strings"

	"haf/eval"
	"haf/report"
)

// writePage writes the page of the answer.
func (s *study) writePage(a *Answer) error {
	page, err := s.page(a)
	if err != nil {
		return err
	}
	files := report.FilesOf(s.Out, pageName)
	a.Markdown, a.HTML = files.Markdown, files.HTML
	return page.Write(s.Out, pageName)
}

func (s *study) page(a *Answer) (report.Page, error) {
	page := report.Page{Title: "Which reward model to use"}
	answer := report.Section{Title: "Answer"}
	answer.Add(report.Lead(a.Sentences[0]))
	if len(a.Sentences) > 1 {
		answer.Add(report.List(a.Sentences[1:]))
	}
	if a.Recommended != nil && a.Finished {
		answer.Add(report.Text(fmt.Sprintf("The model is in %s: the run of seed %d, the best of its "+
			"seeds on validation data. The numbers here are means over the seeds. Next:", a.Recommended.Run,
			a.Recommended.Seed)), report.List(a.Next))
	}
	page.Sections = append(page.Sections, answer)
	if a.Recommended != nil {
		page.Sections = append(page.Sections, a.results())
	}
	if a.Curve != nil {
		section, err := a.curveSection()
		if err != nil {
			return page, err
		}
		page.Sections = append(page.Sections, section)
	}
	if section := a.searchSection(); len(section.Blocks) > 0 {
		page.Sections = append(page.Sections, section)
	}
	page.Sections = append(page.Sections, s.method(a))
	return page, nil
}

func percent(e *eval.Estimate) string {
	if e == nil {
		return "–"
	}
	return fmt.Sprintf("%.3f [%.3f, %.3f]", e.Mean, e.Low, e.High)
}

// results shows the finalists on the test data and their differences.
func (a *Answer) results() report.Section {
	s := report.Section{Title: "The finalists on test data"}
	t := report.Table{Caption: "Accuracy with 95 % interval, mean over the seeds; on pairs of " +
		"similar lengths (less than a fifth apart); and how often the longer response has the higher " +
		"reward",
		Header: []string{"", "validation", "test", "similar lengths", "longer is higher"}}
	forest := report.Forest{Title: "Accuracy on test data", X: "accuracy, 95 % interval", At: 0.5,
		AtName: "chance"}
	for i, f := range a.Finalists {
		t.Rows = append(t.Rows, []string{f.Setting.String(), fmt.Sprintf("%.3f", f.Validation),
			percent(&f.Accuracy), percent(f.SimilarLengths), percent(f.Longer)})
		forest.Rows = append(forest.Rows, report.ForestRow{Name: f.Setting.String(), Group: i,
			Value: f.Accuracy.Mean, Low: f.Accuracy.Low, High: f.Accuracy.High})
	}
	s.Add(report.Figure{Name: "accuracy", SVG: forest.Draw(),
		Caption: "Accuracy of the finalists on test data, with 95 % intervals"}, t)
	d := report.Table{Caption: "Paired differences in points of accuracy on the same test pairs. " +
		"Intervals hold together with 95 %, and p is adjusted for all of them (Bonferroni). " +
		"Discordant: the share of pairs on which the two differ",
		Header: []string{"difference", "points", "interval", "by seed", "adjusted p", "discordant",
			"verdict"}}
	for _, c := range a.Comparisons {
		var seeds []string
		for _, x := range c.BySeed {
			seeds = append(seeds, fmt.Sprintf("%+.1f", 100*x))
		}
		verdict := "tie"
		if c.decided() {
			verdict = map[bool]string{true: c.A, false: c.B}[c.Difference > 0] + " is better"
		}
		d.Rows = append(d.Rows, []string{c.A + " − " + c.B, fmt.Sprintf("%+.1f", 100*c.Difference),
			fmt.Sprintf("[%+.1f, %+.1f]", 100*c.Low, 100*c.High), strings.Join(seeds, " "), pText(c.P),
			fmt.Sprintf("%.3f", c.Spread.Discordant), verdict})
	}
	s.Add(d)
	return s
}

// curveSection shows the learning curves.
func (a *Answer) curveSection() (report.Section, error) {
	s := report.Section{Title: "Learning curve"}
	c := a.Curve
	largest := c.Sizes[len(c.Sizes)-1]
	s.Add(report.Text(fmt.Sprintf("Accuracy by training pairs. Up to %d pairs it is measured; "+
		"beyond, the lines are extrapolated. Form: error = a · pairs^−b, fitted to the logarithms by "+
		"least squares. Band: percentiles 2.5 and 97.5 of %d fits to draws of prompts and seeds. The "+
		"form has no floor, so far to the right it is too hopeful where labels are noisy, and the band "+
		"does not cover that.",
		largest, curveDraws)))
	plot := report.Plot{Title: "Accuracy by training pairs", X: "training pairs", Y: "accuracy"}
	points := report.Plot{Title: "Measured", X: "training pairs", Y: "accuracy"}
	for _, n := range c.Sizes {
		points.Names = append(points.Names, fmt.Sprint(n))
	}
	t := report.Table{Caption: "Measured accuracy with 95 % interval, and the fit at more pairs",
		Header: []string{"pairs"}}
	rows := make([][]string, len(c.Sizes))
	for i, n := range c.Sizes {
		rows[i] = []string{fmt.Sprint(n)}
	}
	for _, more := range []int{2, farthest} {
		rows = append(rows, []string{fmt.Sprintf("%d (fit)", more*largest)})
	}
	last := []string{"b"}
	for i, of := range c.Of {
		t.Header = append(t.Header, of.Name)
		line, fitted := report.Series{Name: of.Name}, report.Series{Name: of.Name}
		for k, e := range of.Accuracy {
			line.X, line.Y = append(line.X, float64(k)), append(line.Y, e.Value)
			line.Low, line.High = append(line.Low, e.Low), append(line.High, e.High)
			rows[k] = append(rows[k], bounded(e))
		}
		for k, e := range of.Fitted {
			fitted.X, fitted.Y = append(fitted.X, c.At[k]), append(fitted.Y, e.Value)
			fitted.Low, fitted.High = append(fitted.Low, e.Low), append(fitted.High, e.High)
		}
		for k, more := range []int{2, farthest} {
			rows[len(c.Sizes)+k] = append(rows[len(c.Sizes)+k],
				bounded(c.at(i, float64(more*largest))))
		}
		last = append(last, fmt.Sprintf("%.2f", of.B))
		points.Series, plot.Series = append(points.Series, line), append(plot.Series, fitted)
	}
	t.Rows = append(rows, last)
	for _, of := range []struct {
		name, caption string
		plot          report.Plot
	}{{"measured", "Measured accuracy by training pairs, with 95 % intervals", points},
		{"curve", fmt.Sprintf("Fitted accuracy by training pairs, extrapolated beyond %d, with bands",
			largest), plot}} {
		figure, err := of.plot.Figure(of.name, of.caption)
		if err != nil {
			return s, err
		}
		s.Add(figure)
	}
	s.Add(t)
	return s, nil
}

func bounded(b Bounded) string { return fmt.Sprintf("%.3f [%.3f, %.3f]", b.Value, b.Low, b.High) }

// searchSection shows the rounds of the search.
func (a *Answer) searchSection() report.Section {
	s := report.Section{Title: "The search on validation data"}
	for _, r := range a.Search {
		t := report.Table{Caption: fmt.Sprintf("%s: %d settings on %d pairs, of which %d went on",
			r.Method, len(r.Entries), r.Pairs, r.Kept),
			Header: []string{"setting", "validation accuracy", "loss", ""}}
		for i, e := range r.Entries {
			row := []string{e.Setting.String(), fmt.Sprintf("%.3f", e.Accuracy),
				fmt.Sprintf("%.4f", e.Loss), ""}
			if e.Failed {
				row[1], row[2] = "failed", "–"
			} else if i < r.Kept {
				row[3] = "kept"
			}
			t.Rows = append(t.Rows, row)
		}
		s.Add(t)
	}
	if len(a.Search) > 0 {
		standard := 50 / math.Sqrt(float64(a.Data.Parts[0].Valid))
		s.Blocks = append([]report.Block{report.Text(fmt.Sprintf("Each round trains every setting that "+
			"is left on the same pairs and keeps the better half by validation accuracy, then by the lower "+
			"loss. One accuracy on %d pairs has a standard error of up to %.1f points, so that much of a "+
			"choice between close settings is chance.", a.Data.Parts[0].Valid, standard))}, s.Blocks...)
	}
	return s
}

// method describes how the numbers were obtained.
func (s *study) method(a *Answer) report.Section {
	p, part := a.Plan, a.Data.Parts[0]
	out := report.Section{Title: "How"}
	test := fmt.Sprintf("a part of %s, split by conversation", s.Data)
	if s.Test != "" {
		test = s.Test
	}
	out.Add(report.List{
		s.commandLine(),
		fmt.Sprintf("Data: %s with %d groups, of which %d are trained on and %d validate. Test: %d "+
			"groups, %s. What begins with the same user message is on one side; %d groups were left out, "+
			"because a test group begins alike.", s.Data, p.Groups, part.Train, part.Valid, part.Test, test,
			part.Overlap),
		"The search and the choice of checkpoints and of the best run saw validation data alone. The " +
			"finalists were then trained with new seeds and read on the test data once.",
		"Recommended is the simplest finalist that no other is decidedly better than, in the order " +
			"Baseline, HaF, DPO. " + DPO + "'s reward reads two models, the policy and the reference; the " +
			"others' reads one.",
		"Interval and p: Student's, from the standard error clustered by prompt and the variance " +
			"between seeds. The seed decides order, adapter and noise; the pairs are the same for all, so " +
			"another sample of training pairs may differ more.",
		fmt.Sprintf("Pace: %s. Planned: %d trainings in about %v of a budget of %v.", p.Pace, p.Trainings,
			seconds(p.Seconds), seconds(p.Command.Seconds)),
	})
	total := 0.0
	for _, r := range s.journal.Results() {
		total += r.Seconds
	}
	out.Add(report.Text(fmt.Sprintf("%d trainings took %v.", a.Done, seconds(total))))
	return out
}

// commandLine returns the command of the plan.
func (s *study) commandLine() string {
	c := s.plan.Command
	line := fmt.Sprintf("Command: haf compare %s %s -out %s", c.Data, c.Model, s.Out)
	if c.Test != "" {
		line += " -test " + c.Test
	}
	for _, set := range c.Set {
		line += " -set " + set
	}
	return line + fmt.Sprintf(" -time %v", seconds(c.Seconds))
}
