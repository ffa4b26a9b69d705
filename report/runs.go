package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"haf/eval"
	"haf/run"
)

// Runs makes the page of one or more runs: their settings, the course of training or optimization,
// and their evaluations.
func Runs(runs []*Run) (Page, error) {
	page := Page{Title: "Runs"}
	if len(runs) == 1 {
		page.Title = "Run " + runs[0].Name
	}
	first, err := verdict(runs)
	if err != nil {
		return page, err
	}
	page.Sections = append(page.Sections, first)
	var trained, policies []*Run
	for _, r := range runs {
		if r.optimizes() {
			policies = append(policies, r)
		} else {
			trained = append(trained, r)
		}
	}
	if len(trained) > 0 {
		curves, err := curves(trained)
		if err != nil {
			return page, err
		}
		page.Sections = append(page.Sections, trainings(trained), evaluations(trained), curves)
	}
	if len(policies) > 0 {
		s, err := optimizations(policies)
		if err != nil {
			return page, err
		}
		page.Sections = append(page.Sections, s)
	}
	for _, r := range runs {
		page.Sections = append(page.Sections, described(r))
	}
	return page, nil
}

// trainings is the table of the validations that selected the weights.
func trainings(runs []*Run) Section {
	s := Section{Title: "Training"}
	t := Table{Header: []string{"run", "w", "α", "losses", "steps", "last loss", "kept step",
		"validation accuracy", "95 % interval", "by", "state"}}
	for _, r := range runs {
		objective := r.Manifest.Recipe["objective"]
		losses := fmt.Sprintf("%v, %v", objective["reward"], objective["policy"])
		row := []string{r.Name, fmt.Sprint(objective["reward_weight"]),
			fmt.Sprint(objective["policy_weight"]), losses, fmt.Sprint(len(r.Steps)), "–"}
		if n := len(r.Steps); n > 0 {
			row[5] = fmt.Sprintf("%.4f", r.Steps[n-1].Loss)
		}
		if best, name, ok := r.Best(); ok {
			accuracy, interval := "–", "–"
			if v := best.Selected(); v.Name != run.ByLoss {
				accuracy, interval = fmt.Sprintf("%.4f", v.Accuracy), Interval(v.Low, v.High)
			}
			row = append(row, fmt.Sprint(best.Step), accuracy, interval, name)
		} else {
			row = append(row, "last", "–", "–", "no validation")
		}
		t.Rows = append(t.Rows, append(row, r.state()))
	}
	s.Add(Text("The weights of the best validation are kept: the highest accuracy, then the lowest "+
		"loss. Its accuracy chose the weights, so it flatters them; what a model is worth is in the "+
		"evaluation."), t)
	return s
}

func (r *Run) state() string {
	if r.Finished {
		return "finished"
	}
	return "not finished"
}

// evaluations is the table of the runs' eval.json files.
func evaluations(runs []*Run) Section {
	s := Section{Title: "Evaluation"}
	t := Table{Header: []string{"run", "data", "reward", "n", "accuracy", "95 % interval", "ties",
		"margin", "log-likelihood", "ECE"}}
	length := Table{Header: []string{"run", "reward", "longer response", "similar lengths",
		"95 % interval", "n", "balanced lengths", "95 % interval", "rank correlation",
		"95 % interval"}}
	var without []string
	for _, r := range runs {
		if r.Eval == nil {
			without = append(without, r.Name)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(r.Eval.Rewards)) {
			v := r.Eval.Rewards[name]
			t.Rows = append(t.Rows, append([]string{r.Name, strings.Join(r.Eval.Data, ", "), name},
				resultCells(v)...))
			if c, ok := r.Eval.Length[name]; ok {
				cells := append([]string{r.Name, name}, lengthCells(c)...)
				length.Rows = append(length.Rows, cells)
			}
		}
	}
	if len(t.Rows) > 0 {
		s.Add(accuracies(runs)...)
		s.Add(t, Text("Intervals resample prompts. Whether two rewards differ is a paired question, "+
			"which these intervals do not answer: see the verdict."))
	}
	if len(length.Rows) > 0 {
		s.Add(Text("How much of this is length? The accuracy of always choosing the longer "+
			"response; the accuracy on comparisons of similar lengths, and at balanced lengths; "+
			"the correlation of reward and length within prompts."), length)
	}
	if len(without) > 0 {
		s.Add(Text("Without an eval.json: " + strings.Join(without, ", ") + "."))
	}
	return s
}

// accuracies plots the rewards of each data set.
func accuracies(runs []*Run) (out []Block) {
	sets := rate(runs)
	for i, data := range slices.Sorted(maps.Keys(sets)) {
		f := Forest{Title: "Held-out accuracy", X: "accuracy, share of comparisons", At: 0.5,
			AtName: "chance"}
		for _, r := range sets[data] {
			group := slices.Index(runs, r.run)
			f.Rows = append(f.Rows,
				ForestRow{r.name(), group, r.Accuracy, r.AccuracyLow, r.AccuracyHigh})
		}
		name := "accuracy"
		if i > 0 {
			name += fmt.Sprint(i + 1)
		}
		out = append(out, Figure{Name: name, SVG: f.Draw(),
			Caption: "Accuracy on " + data + ", with 95 % intervals"})
	}
	return out
}

func lengthCells(c eval.LengthControl) []string {
	number := func(x float64) string { return fmt.Sprintf("%.4f", x) }
	both := func(m eval.Measured) []string {
		if m.N == 0 { // no such comparison
			return []string{"–", "–"}
		}
		return []string{number(m.Value), Interval(m.Low, m.High)}
	}
	cells := append([]string{number(c.Longest.Value)}, both(c.Matched)...)
	cells = append(append(cells, fmt.Sprint(c.Matched.N)), both(c.Balanced)...)
	return append(cells, both(c.Correlation)...)
}

func resultCells(v eval.Result) []string {
	return []string{fmt.Sprint(v.Comparisons), fmt.Sprintf("%.4f", v.Accuracy),
		Interval(v.AccuracyLow, v.AccuracyHigh), fmt.Sprint(v.Ties),
		fmt.Sprintf("%.4f", v.Margin), fmt.Sprintf("%.4f", v.LogLikelihood), fmt.Sprintf("%.4f", v.ECE)}
}

// Interval formats the ends of an interval of accuracies.
func Interval(low, high float64) string { return fmt.Sprintf("[%.4f, %.4f]", low, high) }

// curves plots losses and validations.
func curves(runs []*Run) (Section, error) {
	s := Section{Title: "Curves"}
	loss := Plot{Title: "Training loss", X: "optimizer step", Y: "loss"}
	accuracy := Plot{Title: "Validation accuracy", X: "optimizer step", Y: "accuracy, share of pairs"}
	for _, r := range runs {
		line := Series{Name: r.Name}
		for i, step := range r.Steps {
			line.X, line.Y = append(line.X, float64(step.Step)), append(line.Y, smoothed(r.Steps, i))
		}
		loss.Series = append(loss.Series, line)
		of := map[string]*Series{}
		for _, v := range r.Validations {
			for name, result := range v.Rewards {
				if of[name] == nil {
					of[name] = &Series{Name: r.Name + " " + name}
				}
				line := of[name]
				line.X, line.Y = append(line.X, float64(v.Step)), append(line.Y, result.Accuracy)
				line.Low, line.High = append(line.Low, result.AccuracyLow),
					append(line.High, result.AccuracyHigh)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(of)) {
			accuracy.Series = append(accuracy.Series, *of[name])
		}
	}
	figure, err := loss.Figure("loss", fmt.Sprintf("Loss of the training steps, mean of %d",
		2*smoothing+1))
	if err != nil {
		return s, err
	}
	s.Add(figure)
	if len(accuracy.Series) > 0 {
		if figure, err = accuracy.Figure("validation",
			"Accuracy on the validation data, with 95 % intervals"); err != nil {
			return s, err
		}
		s.Add(figure)
	}
	return s, nil
}

// smoothing is the number of steps on each side over which the loss is averaged.
const smoothing = 4

func smoothed(steps []run.TrainStep, i int) float64 {
	near := steps[max(0, i-smoothing):min(len(steps), i+smoothing+1)]
	sum := 0.0
	for _, s := range near {
		sum += s.Loss
	}
	return sum / float64(len(near))
}

// described lists a run's data and the settings of its recipe.
func described(r *Run) Section {
	s := Section{Title: r.Name}
	m := r.Manifest
	steps, seconds, tokens := len(r.Steps)+len(r.PolicySteps), 0.0, 0
	for _, step := range r.Steps {
		seconds, tokens = seconds+step.Seconds, tokens+step.Tokens
	}
	for _, step := range r.PolicySteps {
		seconds, tokens = seconds+step.Seconds, tokens+step.Tokens
	}
	list := List{"begun " + m.Created.Format(time.RFC3339), "base " + m.Base, "device " + m.Device}
	if seconds > 0 {
		rate := float64(tokens) / seconds
		list = append(list, fmt.Sprintf("%d steps in %.0f s, %.0f tokens/s", steps, seconds, rate))
	}
	s.Add(append(list, m.Report...))
	t := Table{Caption: "Settings of the recipe; all others are defaults",
		Header: []string{"key", "value", "from"}}
	for _, key := range slices.Sorted(maps.Keys(m.Origin)) {
		if m.Origin[key] == "default" {
			continue
		}
		table, field, _ := strings.Cut(key, ".")
		t.Rows = append(t.Rows, []string{key, fmt.Sprint(m.Recipe[table][field]), m.Origin[key]})
	}
	if len(t.Rows) > 0 {
		s.Add(t)
	}
	return s
}
