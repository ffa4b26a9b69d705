package report

import (
	"fmt"
	"strings"

	"haf/run"
)

// optimizes says whether the run optimized a policy (haf rlhf) and trained no reward model.
func (r *Run) optimizes() bool { return r.Manifest.Verb == run.VerbRLHF }

// optimizations is the table and the curves of policies: the reward, and what was paid for it in
// KL.
func optimizations(runs []*Run) (Section, error) {
	s := Section{Title: "Policies"}
	t := Table{Header: []string{"run", "algorithm", "reward model", "steps", "reward at first", "at last", "KL at last", "entropy at last", "tokens of a response", "EOS rate", "state"}}
	reward := Plot{Title: "Reward of the policy's responses", X: "step", Y: "reward"}
	kl := Plot{Title: "KL from the reference", X: "step", Y: "nats a response"}
	paid := Plot{Title: "Reward against KL", X: "nats a response", Y: "reward"}
	for _, r := range runs {
		table := r.Manifest.Recipe["rlhf"]
		var served []string
		for _, m := range r.Manifest.Models {
			if m.Served != "" {
				served = append(served, m.Served)
			}
		}
		by := fmt.Sprint(table["reward"])
		if len(served) > 0 {
			by += " (" + strings.Join(served, ", ") + ")"
		}
		row := []string{r.Name, fmt.Sprint(table["algorithm"]), by, fmt.Sprint(len(r.PolicySteps))}
		if n := len(r.PolicySteps); n > 0 {
			first, last := r.PolicySteps[0], r.PolicySteps[n-1]
			row = append(row, fmt.Sprintf("%.3f", first.Reward), fmt.Sprintf("%.3f", last.Reward), fmt.Sprintf("%.3f", last.KL), fmt.Sprintf("%.3f", last.Entropy),
				fmt.Sprintf("%.1f", last.Length), fmt.Sprintf("%.2f", last.EOSRate))
		} else {
			row = append(row, "–", "–", "–", "–", "–", "–")
		}
		t.Rows = append(t.Rows, append(row, r.state()))
		var at, got, cost []float64
		for _, step := range r.PolicySteps {
			at, got, cost = append(at, float64(step.Step)), append(got, step.Reward), append(cost, step.KL)
		}
		reward.Series = append(reward.Series, Series{Name: r.Name, X: at, Y: got})
		kl.Series = append(kl.Series, Series{Name: r.Name, X: at, Y: cost})
		paid.Series = append(paid.Series, Series{Name: r.Name, X: cost, Y: got})
	}
	s.Add(t, Text("Rewards are of the responses sampled in a step, of each step's own prompts; those of different reward models have different scales. KL is the estimator k1: of few responses it may be below 0."))
	for _, f := range []struct {
		plot          Plot
		name, caption string
	}{
		{reward, "policy-reward", "Mean reward of each step's responses"}, {kl, "policy-kl", "Mean KL (k1) of each step's responses"}, {paid, "policy-reward-kl", "Each step's reward against its KL"},
	} {
		figure, err := f.plot.Figure(f.name, f.caption)
		if err != nil {
			return s, err
		}
		s.Add(figure)
	}
	return s, nil
}
