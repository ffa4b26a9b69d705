package report

import (
	"fmt"
	"slices"
	"strings"

	"haf/run"
)

// optimizes reports whether the run optimized a policy (haf rlhf) rather than trained a reward
// model.
func (r *Run) optimizes() bool { return r.Manifest.Verb == run.VerbRLHF }

// optimizations has the table and the curves of policies: the reward, and its cost in KL.
func optimizations(runs []*Run) (Section, error) {
	s := Section{Title: "Policies"}
	t := Table{Header: []string{
		"run", "algorithm", "rewards", "steps", "reward at first", "at last", "KL at last",
		"entropy at last", "tokens of a response", "EOS rate", "best held-out reward", "state",
	}}
	reward := Plot{Title: "Reward of the policy's responses", X: "step", Y: "reward"}
	kl := Plot{Title: "KL from the reference", X: "step", Y: "KL, nats a response"}
	paid := Plot{Title: "Reward against KL", X: "KL, nats a response", Y: "reward"}
	for _, r := range runs {
		t.Rows = append(t.Rows, policyRow(r))
		var at, got, cost []float64
		for _, step := range r.PolicySteps {
			at, got, cost = append(at, float64(step.Step)), append(got, step.Reward), append(cost, step.KL)
		}
		reward.Series = append(reward.Series, Series{Name: r.Name, X: at, Y: got})
		kl.Series = append(kl.Series, Series{Name: r.Name, X: at, Y: cost})
		paid.Series = append(paid.Series, Series{Name: r.Name, X: cost, Y: got})
	}
	s.Add(t, Text("Rewards are of the responses sampled in a step, of each step's own prompts; those "+
		"of different reward models have different scales. KL is the estimator k1: of few responses "+
		"it may be below 0. The held-out reward is a mean over the held-out prompts, with its 95 % "+
		"interval. That of the best step is too high on average, because the step was chosen by it."))
	if sources := rewardsBySource(runs); len(sources.Rows) > 0 {
		s.Add(sources)
	}
	figures := []figure{
		{reward, "policy-reward", "Mean reward of each step's responses"},
		{kl, "policy-kl", "Mean KL (k1) of each step's responses"},
		{paid, "policy-reward-kl", "Each step's reward against its KL"},
	}
	if held := heldOutPlot(runs); len(held.Series) > 0 {
		figures = append(figures, figure{held, "policy-held-out",
			"Mean reward of the held-out prompts, with 95 % intervals"})
	}
	for _, f := range figures {
		drawn, err := f.plot.Figure(f.name, f.caption)
		if err != nil {
			return s, err
		}
		s.Add(drawn)
	}
	return s, nil
}

type figure struct {
	plot          Plot
	name, caption string
}

// policyRow is the table row of a run.
func policyRow(r *Run) []string {
	table := r.Manifest.Recipe["rlhf"]
	row := []string{
		r.Name, fmt.Sprint(table["algorithm"]), rewardSources(r), fmt.Sprint(len(r.PolicySteps)),
	}
	if n := len(r.PolicySteps); n > 0 {
		first, last := r.PolicySteps[0], r.PolicySteps[n-1]
		row = append(row, fmt.Sprintf("%.3f", first.Reward), fmt.Sprintf("%.3f", last.Reward),
			fmt.Sprintf("%.3f", last.KL), fmt.Sprintf("%.3f", last.Entropy),
			fmt.Sprintf("%.1f", last.Length), fmt.Sprintf("%.2f", last.EOSRate))
	} else {
		row = append(row, "–", "–", "–", "–", "–", "–")
	}
	if best, ok := r.BestPolicy(); ok {
		row = append(row, fmt.Sprintf("%.3f [%.3f, %.3f] at step %d",
			best.Reward, best.Low, best.High, best.Step))
	} else {
		row = append(row, "–")
	}
	return append(row, r.state())
}

// rewardSources names the sources of a run's rewards, with what their servers serve and, for
// several rewards, names and weights.
func rewardSources(r *Run) string {
	list, _ := r.Manifest.Recipe["rlhf"]["rewards"].([]any)
	var out []string
	for _, x := range list {
		reward, _ := x.(map[string]any)
		source := fmt.Sprint(reward["source"])
		for _, m := range r.Manifest.Models {
			if m.Path == source && m.Served != "" {
				source += " (" + m.Served + ")"
				break
			}
		}
		if len(list) > 1 {
			source = fmt.Sprintf("%v · %v: %s", reward["weight"], reward["name"], source)
		}
		out = append(out, source)
	}
	return strings.Join(out, "; ")
}

// rewardsBySource shows each reward of runs with several, at the first and the last step.
func rewardsBySource(runs []*Run) Table {
	t := Table{Header: []string{
		"run", "reward", "mean at first", "deviation", "mean at last", "deviation",
	}}
	for _, r := range runs {
		n := len(r.PolicySteps)
		if n == 0 || len(r.PolicySteps[0].Rewards) < 2 {
			continue
		}
		first, last := r.PolicySteps[0].Rewards, r.PolicySteps[n-1].Rewards
		var names []string
		for name := range first {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			row := []string{r.Name, name}
			for _, x := range []float64{first[name].Mean, first[name].Std, last[name].Mean, last[name].Std} {
				row = append(row, fmt.Sprintf("%.3f", x))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// heldOutPlot plots the evaluations of the runs that have some.
func heldOutPlot(runs []*Run) Plot {
	p := Plot{Title: "Held-out reward", X: "step", Y: "reward"}
	for _, r := range runs {
		s := Series{Name: r.Name}
		for _, e := range r.PolicyEvals {
			s.X, s.Y = append(s.X, float64(e.Step)), append(s.Y, e.Reward)
			s.Low, s.High = append(s.Low, e.Low), append(s.High, e.High)
		}
		if len(s.X) > 0 {
			p.Series = append(p.Series, s)
		}
	}
	return p
}
