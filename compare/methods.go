package compare

import (
	"fmt"
	"strings"

	"haf/paper"
	"haf/reward"
)

// Names of the methods, the simplest first, which wins a tie.
const (
	Baseline = "Baseline"
	HaF      = "HaF"
	DPO      = "DPO"
)

var methods = []string{Baseline, HaF, DPO}

// simple says why a method is simpler than those after it.
var simple = map[string]string{
	Baseline: "it trains by one loss, and a reward takes one forward pass",
	HaF: "a reward takes one forward pass, where DPO's takes two, of the policy and of the " +
		"reference",
}

// A Setting is a method with its hyperparameters.
type Setting struct {
	Method string  `json:"method"`
	Alpha  float64 `json:"alpha"` // weight of the policy loss; 0 for Baseline, 1 for DPO
	LR     float64 `json:"learning_rate"`
}

// String is the setting as tables show it.
func (c Setting) String() string {
	if c.Method == HaF {
		return fmt.Sprintf("HaF, α %g, learning rate %g", c.Alpha, c.LR)
	}
	return fmt.Sprintf("%s, learning rate %g", c.Method, c.LR)
}

// reward names the reward that the method is used with.
func (c Setting) reward() string {
	if c.Method == DPO {
		return reward.ByImplicit
	}
	return reward.ByScore
}

// overrides returns the setting as overrides of the recipe.
func (c Setting) overrides() []string {
	weight := "1"
	if c.Method == DPO {
		weight = "0"
	}
	return []string{"objective.reward_weight=" + weight,
		fmt.Sprintf("objective.policy_weight=%g", c.Alpha), fmt.Sprintf("train.lr=%g", c.LR)}
}

// candidates returns the settings of a method that the plan searches. The middle learning rate
// comes first, because the first of equals wins.
func (p *Plan) candidates(method string) (out []Setting) {
	alphas := map[string][]float64{Baseline: {0}, HaF: p.Alphas, DPO: {1}}[method]
	for _, lr := range p.LearningRates {
		for _, alpha := range alphas {
			out = append(out, Setting{method, alpha, lr})
		}
	}
	return out
}

// cell returns the training of a setting on the first n pairs.
func (s *study) cell(of Setting, pairs int, seed uint64) (*paper.Cell, error) {
	label := fmt.Sprintf("%s-%d", of.Method, pairs)
	if of.Method == HaF {
		label = fmt.Sprintf("%s-%g-%d", of.Method, of.Alpha, pairs)
	}
	sets := append(s.plan.sizeSets(pairs), of.overrides()...)
	return s.grid.NewCell(s.data, label, seed, sets...)
}

// join joins names for a sentence.
func join(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}
