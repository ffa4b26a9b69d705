package paper

import (
	"fmt"
	"slices"
	"strings"

	"haf/eval"
	"haf/report"
)

// Page makes the page of what is finished; note says by which command and program.
func (r *Results) Page(note string) (report.Page, error) {
	p := r.grid
	page := report.Page{Title: p.Title}
	opening := report.Section{Title: "Verdict"}
	var tables []report.Section
	var said report.List
	var all, first []compared
	var firstTitle string
	for _, t := range p.Tables {
		g, err := r.accuracyTable(t)
		if err != nil {
			return page, fmt.Errorf("paper: table %s: %w", t.Name, err)
		}
		section, err := r.section(t, g)
		if err != nil {
			return page, fmt.Errorf("paper: table %s: %w", t.Name, err)
		}
		tables = append(tables, section)
		differences, err := g.compare()
		if err != nil {
			return page, fmt.Errorf("paper: table %s: %w", t.Name, err)
		}
		if len(first) == 0 {
			first, firstTitle = differences, t.Title
		}
		all = append(all, differences...)
		sentences := verdict(differences)
		for _, s := range sentences {
			said = append(said, t.Title+". "+s)
		}
	}
	if len(said) == 0 {
		said = report.List{"Nothing can be said yet: no table has two finished rows."}
	}
	if len(first) > 0 {
		opening.Add(report.Lead(headline(firstTitle, first, all)))
	}
	opening.Add(report.Text(r.warrant()), said)
	page.Sections = append(page.Sections, opening, r.method(note))
	page.Sections = append(page.Sections, tables...)
	page.Sections = append(page.Sections, r.published(), r.trainings())
	return page, nil
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

// method says how the numbers were made.
func (r *Results) method(note string) report.Section {
	s := report.Section{Title: "How"}
	p := r.grid
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
	t := report.Table{Caption: "Groups of each set", Header: []string{"set", "stands for", "domain",
		"train", "validation", "test", "left out as overlap"}}
	for _, part := range r.data.Parts {
		set := p.set(part.Set)
		t.Rows = append(t.Rows, []string{part.Set, set.Paper, set.Domain, fmt.Sprint(part.Train),
			fmt.Sprint(part.Valid), fmt.Sprint(part.Test), fmt.Sprint(part.Overlap)})
	}
	m := report.Table{Caption: "Methods", Header: []string{"method", "settings", "reward"}}
	for _, method := range p.Methods {
		m.Rows = append(m.Rows, []string{method.Name, strings.Join(method.Set, " "), method.Reward})
	}
	s.Add(t, m)
	return s
}

// section is a table's part of the page.
func (r *Results) section(t TableSpec, g accuracyTable) (report.Section, error) {
	s := report.Section{Title: t.Title}
	if t.Kind == OOD {
		s.Add(report.Text("A column is the set that was trained on; the accuracy is the mean over the " +
			"other test sets of its domain (over all others, where it is alone in it)."))
	}
	blocks, err := g.blocks()
	if err != nil {
		return s, err
	}
	s.Add(blocks...)
	switch t.Kind {
	case OOD:
		return s, r.addMatrix(&s, t)
	case Sweep:
		return s, r.addCurve(&s, t, g)
	}
	return s, nil
}

// addMatrix adds every trained model on every test set.
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

// addCurve plots a sweep: the mean over the sets by value, a line for every method.
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

// published puts the paper's numbers beside this grid's, where it has a table of the kind.
func (r *Results) published() report.Section {
	s := report.Section{Title: "Beside the paper's published numbers"}
	s.Add(report.Text("The paper's models are of 2.7 and 7 billion parameters, trained on up to " +
		"47,625 pairs, and its checkpoints were chosen on the very test pairs that are reported; with " +
		"about 1000 test pairs one standard error is near 1.4 points. Read the signs of the " +
		"differences, not the levels."))
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

// own are a grid's rows under the paper's columns.
func (r *Results) own(g accuracyTable) [][]string {
	cells, means, err := g.accuracies()
	if err != nil {
		return nil // the table's own section has said so
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

// trainings lists every cell: what chose its checkpoint, the weights of its heads, and how long it
// took.
func (r *Results) trainings() report.Section {
	s := report.Section{Title: "Trainings"}
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
	s.Add(t)
	if len(r.Missing) > 0 {
		var list report.List
		for _, id := range r.Missing {
			why := r.Failed[id]
			if why == "" {
				why = "not run yet"
			}
			list = append(list, id+": "+why)
		}
		slices.Sort(list)
		s.Add(report.Text("Not finished:"), list)
	}
	return s
}
