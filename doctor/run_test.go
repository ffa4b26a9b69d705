package doctor

import (
	"math"
	"strings"
	"testing"

	"haf/eval"
	"haf/objective"
	"haf/run"
)

// steps makes n training steps of a healthy run, which change may spoil.
func steps(n int, change func(i int, s *run.TrainStep)) []run.TrainStep {
	out := make([]run.TrainStep, n)
	for i := range out {
		out[i] = run.TrainStep{Step: i + 1, Loss: 0.8, PolicyLoss: math.Ln2, Margin: 0.5, GradNorm: 1}
		if change != nil {
			change(i, &out[i])
		}
	}
	return out
}

func validations(losses []float64, accuracies ...float64) (out []run.Validation) {
	for i, loss := range losses {
		v := run.Validation{Step: 10 * (i + 1), Loss: loss}
		if i < len(accuracies) {
			a := accuracies[i]
			v.Rewards = map[string]eval.Result{
				"score": {Accuracy: a, AccuracyLow: a - 0.05, AccuracyHigh: a + 0.05, Comparisons: 100},
			}
		}
		out = append(out, v)
	}
	return out
}

// TestRunChecks has for every check of a run what it finds, and what it leaves alone.
func TestRunChecks(t *testing.T) {
	h := objective.Default()
	robust := h
	robust.Reward, robust.NoiseRate = "robust", 0.1
	for _, c := range []struct {
		name  string
		found []Finding
		want  string // of what was seen; "" is nothing
	}{
		{"bound", lossBound(h, steps(3, nil)), ""},
		{"below", lossBound(h, steps(3, func(i int, s *run.TrainStep) { s.Loss = -74 })), "-74"},
		{"unbounded", lossBound(robust, steps(3, func(i int, s *run.TrainStep) { s.Loss = -1 })), ""},
		{"first", firstLoss(h, steps(3, nil)), ""},
		{"other reference", firstLoss(h, steps(3, func(i int, s *run.TrainStep) { s.PolicyLoss = 0.6 })),
			"0.6000"},
		{"gradients", gradients(steps(40, nil)), ""},
		{"exploding", gradients(
			steps(40, func(i int, s *run.TrainStep) { s.GradNorm = math.Exp(float64(i)) })),
			"grew from"},
		{"head", deadHead(h, steps(40, nil)), ""},
		{"dead head", deadHead(h, steps(40, func(i int, s *run.TrainStep) { s.Margin = 1e-6 })),
			"margins"},
		{"fitting", overfitting(validations([]float64{0.7, 0.6, 0.59})), ""},
		{"overfitting", overfitting(validations([]float64{0.7, 0.5, 0.9})),
			"rose from 0.5000 at step 20"},
		{"large", smallValidation(run.Records{
			Validations: validations([]float64{1, 1, 1}, 0.5, 0.6, 0.7)}), ""},
		{"small", smallValidation(run.Records{
			Validations: validations([]float64{1, 1, 1}, 0.68, 0.69, 0.7)}), "mostly chance"},
		{"data", warned([]string{"train: 5 groups read, 5 kept"}), ""},
		{"truncated", warned([]string{"warning: 3 of 9 training groups are truncated"}), "3 of 9"},
		{"no steps", emptyRecords(run.Records{}), "no step"},
	} {
		switch {
		case c.want == "" && len(c.found) > 0:
			t.Errorf("%s: found %+v", c.name, c.found)
		case c.want != "" && (len(c.found) != 1 || !strings.Contains(c.found[0].What, c.want)):
			t.Errorf("%s: found %+v, want %q", c.name, c.found, c.want)
		}
	}
}

// TestOptimizationChecks is the same for haf rlhf.
func TestOptimizationChecks(t *testing.T) {
	policy := func(change func(i int, s *run.PolicyStep)) []run.PolicyStep {
		out := make([]run.PolicyStep, 40)
		for i := range out {
			out[i] = run.PolicyStep{KL: 1, Std: 1, EOSRate: 1, Length: 20, Reward: float64(i)}
			change(i, &out[i])
		}
		return out
	}
	healthy := policy(func(int, *run.PolicyStep) {})
	for name, c := range map[string]struct {
		check func([]run.PolicyStep) []Finding
		spoil func(i int, s *run.PolicyStep)
		want  string
	}{
		"negative KL":   {klOf, func(i int, s *run.PolicyStep) { s.KL = -2 }, "not negative"},
		"large KL":      {klOf, func(i int, s *run.PolicyStep) { s.KL = 90 }, "unlike its training"},
		"equal rewards": {equalRewards, func(i int, s *run.PolicyStep) { s.Std = 0 }, "40 of 40"},
		"truncated":     {truncated, func(i int, s *run.PolicyStep) { s.EOSRate = 0.1 }, "only 10 %"},
		"drift": {drift, func(i int, s *run.PolicyStep) { s.Length = float64(10 + 5*i) },
			"grew from"},
	} {
		if found := c.check(healthy); len(found) > 0 {
			t.Errorf("%s: found %+v in a healthy run", name, found)
		}
		found := c.check(policy(c.spoil))
		if len(found) != 1 || !strings.Contains(found[0].What, c.want) {
			t.Errorf("%s: found %+v, want %q", name, found, c.want)
		}
	}
}
