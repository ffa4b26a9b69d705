package paper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"haf/eval"
	"haf/report"
)

// Page makes the page of the finished cells. note names the command and the program.
func (r *Results) Page(note string) (report.Page, error) {
	page := report.Page{Title: r.grid.Title}
	var tables []report.Section
	var said, answers report.List
	var all, first []compared
	var firstTitle string
	for _, t := range r.grid.Tables {
		g, err := r.accuracyTable(t)
		if err != nil {
			return page, fmt.Errorf("paper: table %s: %w", t.Name, err)
		}
		differences, err := g.compare()
		if err != nil {
			return page, fmt.Errorf("paper: table %s: %w", t.Name, err)
		}
		if len(first) == 0 {
			first, firstTitle = differences, t.Title
		}
		all = append(all, differences...)
		answer := g.answer(differences)
		section, err := r.section(t, g, answer)
		if err != nil {
			return page, fmt.Errorf("paper: table %s: %w", t.Name, err)
		}
		tables = append(tables, section)
		if t.Question != "" {
			answers = append(answers, t.Question+" "+orOpen(answer))
			continue
		}
		for _, s := range verdict(differences) {
			said = append(said, t.Title+". "+s)
		}
	}
	opening := r.verdict(answers, said)
	if len(first) > 0 && len(answers) == 0 {
		opening.Blocks = slices.Insert(opening.Blocks, 0,
			report.Block(report.Lead(headline(firstTitle, first, all))))
	}
	page.Sections = append(page.Sections, opening)
	if section := r.tested(); len(section.Blocks) > 0 {
		page.Sections = append(page.Sections, section)
	}
	page.Sections = append(page.Sections, r.method(note))
	page.Sections = append(page.Sections, tables...)
	if published := r.published(); len(published.Blocks) > 1 {
		page.Sections = append(page.Sections, published)
	}
	page.Sections = append(page.Sections, r.trainings())
	return page, nil
}

// orOpen returns an answer, or a sentence that there is none yet.
func orOpen(answer string) string {
	if answer == "" {
		return "Open: its trainings are not finished."
	}
	return answer
}

// verdict has the answers to the grid's questions, and the statements of its other tables.
func (r *Results) verdict(answers, said report.List) report.Section {
	s := report.Section{Title: "Verdict"}
	if len(answers) > 0 {
		s.Title = "Answers"
	}
	if len(said) == 0 && len(answers) == 0 {
		said = report.List{"Nothing can be said yet: no table has two finished rows."}
	}
	s.Add(report.Text(r.warrant()))
	for _, list := range []report.List{answers, said} {
		if len(list) > 0 {
			s.Add(list)
		}
	}
	return s
}

// tested states the hypotheses, and the differences that the grid can detect.
func (r *Results) tested() report.Section {
	s := report.Section{Title: "What is tested"}
	if len(r.grid.Hypotheses) > 0 {
		s.Add(report.Text("Stated before results were seen:"), report.List(r.grid.Hypotheses))
	}
	if r.grid.Power.Discordant > 0 {
		s.Add(r.grid.powerTable(r.data))
	}
	return s
}

// warrant says what the verdict rests on.
func (r *Results) warrant() string {
	text := fmt.Sprintf("A difference is called better or worse where its p-value, adjusted for all "+
		"tests of its table, is below %.2f, and undecided elsewhere: undecided is not equal. ", level)
	if n := len(r.grid.Seeds); n == 1 {
		text += "There is one seed, so that all of this holds for these very trainings and says " +
			"nothing of others. "
	} else {
		text += fmt.Sprintf("Intervals and tests cover the test prompts and the %d seeds. ", n)
	}
	if len(r.Missing) > 0 {
		text += fmt.Sprintf("Cells that are not finished: %d; what needs them is left out.",
			len(r.Missing))
	}
	return strings.TrimSpace(text)
}

// method describes how the numbers were obtained.
func (r *Results) method(note string) report.Section {
	s := report.Section{Title: "How"}
	p := r.grid
	if p.World != nil {
		return r.worldMethod(note)
	}
	model, _ := p.Recipe["model"].(map[string]any)
	var seeds []string
	for _, seed := range p.Seeds {
		seeds = append(seeds, fmt.Sprint(seed))
	}
	s.Add(report.List{
		note,
		fmt.Sprintf("Base model %v, seeds %s. The seed decides order, adapter and noise; the split into "+
			"train, validation and test is one for all.", model["path"], strings.Join(seeds, ", ")),
		"Checkpoint: the one of the highest accuracy (then lowest loss) on the validation part of the " +
			"training set, which also fits the weights of the combined heads. No test part has any share " +
			"in training, selection or fitting.",
		"Split: by conversation. What begins with the same user message is on one side, in all sets " +
			"together; what a test part has is taken out of every training and validation part.",
		"Interval: Student's, from the standard error clustered by prompt and the variance between " +
			"seeds (docs/concepts/statistics.md).",
	})
	s.Add(r.setTable(), r.methodTable())
	return s
}

// worldMethod describes how the numbers of a world were obtained.
func (r *Results) worldMethod(note string) report.Section {
	s := report.Section{Title: "How"}
	w := r.grid.World
	s.Add(report.List{
		note,
		fmt.Sprintf("World: %d animals with three facts each. Base model: a decoder of about a hundred "+
			"thousand weights, trained on %d texts about the facts. Seeds: %d. Every seed draws its own "+
			"training pairs, their order and their label noise; the test pairs are one set.", w.Animals,
			w.Texts, len(r.grid.Seeds)),
		"Truth: the use of a response, which is most of all the right fact. Training and validation " +
			"pairs are choices of annotators who see the use through noise, and in some sets with a bias. " +
			"Test pairs are labelled by the use itself, so 1.0 is the best possible.",
		"Checkpoint: the one of the highest accuracy (then lowest loss) on the validation part. No " +
			"test part has any share in training, selection or fitting.",
		"Interval: Student's, from the standard error clustered by prompt and the variance between " +
			"seeds (docs/concepts/statistics.md).",
	})
	s.Add(r.setTable(), r.methodTable())
	return s
}

// setTable shows the number of groups in each set.
func (r *Results) setTable() report.Table {
	p := r.grid
	t := report.Table{Caption: "Groups of each set", Header: []string{"set", "stands for", "domain",
		"train", "validation", "test", "left out as overlap"}}
	for _, part := range r.data.Parts {
		set := p.set(part.Set)
		if set == nil {
			continue // from an earlier version of the grid
		}
		t.Rows = append(t.Rows, []string{part.Set, set.standsFor(), set.Domain, fmt.Sprint(part.Train),
			fmt.Sprint(part.Valid), fmt.Sprint(part.Test), fmt.Sprint(part.Overlap)})
	}
	return t
}

// standsFor is the column of the paper's tables or, in a world, a description of annotators and
// test.
func (s *Set) standsFor() string {
	w := s.World
	if w == nil {
		return s.Paper
	}
	var parts []string
	if w.Length != 0 {
		parts = append(parts, fmt.Sprintf("%+g for a word", w.Length))
	}
	if w.Phrase != 0 {
		parts = append(parts, fmt.Sprintf("%+g for a phrase", w.Phrase))
	}
	if w.Sharpness != 0 {
		parts = append(parts, fmt.Sprintf("sharpness %g", w.Sharpness))
	}
	return strings.Join(append(parts, "test shifted by "+cmp.Or(w.Shift, "wording")), ", ")
}

func (r *Results) methodTable() report.Table {
	m := report.Table{Caption: "Methods", Header: []string{"method", "settings", "reward"}}
	for _, method := range r.grid.Methods {
		m.Rows = append(m.Rows, []string{method.Name, strings.Join(method.Set, " "), method.Reward})
	}
	return m
}

// section is a table's part of the page.
func (r *Results) section(t TableSpec, g accuracyTable, answer string) (report.Section, error) {
	s := report.Section{Title: t.Title}
	if t.Question != "" {
		s.Add(report.Text(t.Question + " " + orOpen(answer)))
		if text := g.incomplete(); answer != "" && text != "" {
			s.Add(report.Text(text))
		}
	}
	if t.Kind == OOD {
		s.Add(report.Text("A column is the set that was trained on; the accuracy is the mean over the " +
			"other test sets of its domain (over all others, where it is alone in it)."))
	}
	blocks, err := g.blocks()
	if err != nil {
		return s, err
	}
	s.Add(blocks...)
	lengths, err := g.lengthTable()
	if err != nil {
		return s, err
	}
	if len(lengths.Rows) > 0 {
		s.Add(lengths)
	}
	switch t.Kind {
	case OOD:
		return s, r.addMatrix(&s, t)
	case Sweep:
		return s, r.addCurve(&s, t, g)
	}
	return s, nil
}

// addMatrix adds the accuracy of every trained model on every test set.
func (r *Results) addMatrix(s *report.Section, t TableSpec) error {
	wants := r.grid.wants(t)
	table := report.Table{Caption: "Every model on every test set: accuracy, mean over the seeds",
		Header: []string{"method", "trained on"}}
	for _, test := range r.grid.Sets {
		table.Header = append(table.Header, test.Name)
	}
	for _, m := range r.grid.methodsOf(t) {
		for _, trained := range r.grid.setsOf(t) {
			row := []string{m.Name, trained.Name}
			for _, test := range r.grid.Sets {
				cell, err := r.cell(find(wants, m, []string{trained.Name}), []string{test.Name}, m.Reward)
				if err != nil {
					return err
				}
				var e *eval.Estimate
				if cell != nil {
					of, err := cell.accuracy()
					if err != nil {
						return err
					}
					e = &of
				}
				row = append(row, accuracyText(e))
			}
			table.Rows = append(table.Rows, row)
		}
	}
	s.Add(table)
	return nil
}

// addCurve plots a sweep: the mean over the sets by value, with a line for every method.
func (r *Results) addCurve(s *report.Section, t TableSpec, g accuracyTable) error {
	_, means, err := g.accuracies()
	if err != nil {
		return err
	}
	plot := report.Plot{Title: t.Title, X: t.Key, Y: "accuracy"}
	for _, v := range t.Values {
		plot.Names = append(plot.Names, t.valueName(v))
	}
	for i, m := range r.grid.methodsOf(t) {
		line := report.Series{Name: m.Name}
		for k := range t.Values {
			if e := means[i*len(t.Values)+k]; e != nil {
				line.X, line.Y = append(line.X, float64(k)), append(line.Y, e.Mean)
				line.Low, line.High = append(line.Low, e.Low), append(line.High, e.High)
			}
		}
		if len(line.X) > 0 {
			plot.Series = append(plot.Series, line)
		}
	}
	if len(plot.Series) == 0 {
		return nil
	}
	figure, err := plot.Figure(t.Name, t.Title+": mean over the sets, with 95 % intervals")
	s.Add(figure)
	return err
}

// published shows the paper's numbers beside this grid's, for tables of the same kind.
func (r *Results) published() report.Section {
	s := report.Section{Title: "Beside the paper's published numbers"}
	s.Add(report.Text("The paper's models are of 2.7 and 7 billion parameters, trained on up to " +
		"47,625 pairs, and its checkpoints were chosen on the very test pairs that are reported; with " +
		"about 1000 test pairs one standard error is near 1.4 points. Read the signs of the " +
		"differences, not the levels."))
	if !slices.ContainsFunc(r.grid.Sets, func(of Set) bool { return of.Paper != "" }) {
		return s
	}
	for _, t := range r.grid.Tables {
		rows, ok := publishedTables[t.Kind]
		if !ok {
			continue
		}
		table := report.Table{Caption: publishedCaptions[t.Kind],
			Header: append(append([]string{"source", "method"}, columns...), "mean")}
		for _, row := range rows {
			if r.grid.Backbone == "" || r.grid.Backbone == row.Backbone {
				table.Rows = append(table.Rows, row.row())
			}
		}
		if g, err := r.accuracyTable(t); err == nil {
			table.Rows = append(table.Rows, r.own(g)...)
		}
		s.Add(table)
	}
	return s
}

// own arranges a grid's rows under the paper's columns.
func (r *Results) own(g accuracyTable) [][]string {
	cells, means, err := g.accuracies()
	if err != nil {
		return nil // the table's own section reports it
	}
	var out [][]string
	for i, row := range g.rows {
		line := []string{"this grid", row.label}
		for _, column := range columns {
			text := "–"
			for k, name := range g.columns {
				if set := r.grid.set(name); set.Paper == column && cells[i][k] != nil {
					text = fmt.Sprintf("%.1f", 100*cells[i][k].Mean)
				}
			}
			line = append(line, text)
		}
		mean := "–"
		if means[i] != nil {
			mean = fmt.Sprintf("%.1f", 100*means[i].Mean)
		}
		out = append(out, append(line, mean))
	}
	return out
}

// mostTrainings limits the trainings that a page lists one by one.
const mostTrainings = 120

// trainings lists every cell: the validation that selected its checkpoint, the weights of its
// heads, and its time. For many cells it gives sums.
func (r *Results) trainings() report.Section {
	s := report.Section{Title: "Trainings"}
	if len(r.Finished) > 0 {
		s.Add(report.Text(r.effort()))
	}
	if len(r.Finished) <= mostTrainings {
		s.Add(r.trainingTable())
	}
	if len(r.Missing) > 0 {
		var list report.List
		for _, id := range r.Missing {
			if why := r.Failed[id]; why != "" {
				list = append(list, id+": "+why)
			} else if len(r.Missing) <= mostTrainings {
				list = append(list, id+": not run yet")
			}
		}
		slices.Sort(list)
		s.Add(report.Text(fmt.Sprintf("Not finished: %d of %d.", len(r.Missing),
			len(r.Missing)+len(r.Finished))))
		if len(list) > 0 {
			s.Add(list)
		}
	}
	return s
}

// effort summarizes the time of the trainings.
func (r *Results) effort() string {
	var seconds, steps, overhead []float64
	total, programs := 0.0, 0
	for _, of := range r.Finished {
		total += of.Seconds
		programs += of.Programs
		seconds, steps = append(seconds, of.Seconds), append(steps, of.TrainTime)
		overhead = append(overhead, of.Seconds-of.TrainTime-of.ReadTime)
	}
	for _, of := range [][]float64{seconds, steps, overhead} {
		slices.Sort(of)
	}
	middle := len(seconds) / 2
	return fmt.Sprintf("%d trainings in %.1f hours, with %d programs compiled. Medians: %.1f seconds "+
		"a training with its evaluation, %.1f of them for its steps and validations, and %.1f for "+
		"what is neither steps nor the reading of the test sets.", len(seconds), total/3600, programs,
		seconds[middle], steps[middle], overhead[middle])
}

func (r *Results) trainingTable() report.Table {
	t := report.Table{Header: []string{"cell", "pairs", "kept step", "validation accuracy", "by",
		"combined heads", "seconds"}}
	for _, of := range r.Finished {
		row := []string{of.ID, fmt.Sprint(of.Pairs), "–", "–", "–", "–", fmt.Sprintf("%.0f", of.Seconds)}
		if of.Best != nil {
			row[2], row[3], row[4] = fmt.Sprint(of.Best.Step), fmt.Sprintf("%.3f", of.Best.Accuracy),
				of.Best.Reward
		}
		if c := of.Combination; c != nil {
			row[5] = fmt.Sprintf("%.3g · score + %.3g · implicit", c.Score, c.Implicit)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
