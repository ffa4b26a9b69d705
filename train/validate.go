package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"haf/encode"
	"haf/eval"
	"haf/objective"
	"haf/reward"
	"haf/run"
)

// validateIfDue validates after the step just made, or after resuming where the run was stopped
// during a validation.
func (t *trainer) validateIfDue(ctx context.Context) error {
	if !t.state.ValidationDue {
		return nil
	}
	err := t.validate(ctx)
	if errors.Is(err, context.Canceled) {
		return t.interrupted()
	}
	t.state.ValidationDue = false
	return err
}

// validate measures the validation groups, keeps the weights if they are the best so far, and
// decides on an early stop.
func (t *trainer) validate(ctx context.Context) error {
	began := time.Now()
	record, err := t.measure(ctx)
	if err != nil {
		return err
	}
	name := record.SelectedBy()
	result := record.Rewards[name]
	record.Seconds = time.Since(began).Seconds()
	if err := t.folder.Record(record); err != nil {
		return err
	}
	t.progress.Logf("step %d: validation accuracy %.4f [%.4f, %.4f] of %s, loss %.4f", t.state.Step,
		result.Accuracy, result.AccuracyLow, result.AccuracyHigh, name, record.Loss)
	if !t.state.Best.Improves(result.Accuracy, record.Loss) {
		t.state.EvalsSinceBest++
		if t.result.EarlyStopped = t.outOfPatience(); t.result.EarlyStopped {
			t.progress.Logf("early stop: %d validations without a better one; the best was step %d",
				t.state.EvalsSinceBest, t.state.Best.Step)
		}
		return nil
	}
	t.state.Best = &run.Best{Step: t.state.Step, Accuracy: result.Accuracy, Loss: record.Loss}
	t.state.EvalsSinceBest = 0
	return t.folder.SaveBest(*t.state.Best, t.stepper.optimizer.SaveWeights)
}

// measure reads the heads in use on the validation groups and returns losses and accuracies.
func (t *trainer) measure(ctx context.Context) (run.Validation, error) {
	obj, valid := t.opt.Objective, t.data.Valid
	record := run.Validation{
		Kind: run.KindEval, Step: t.state.Step, Rewards: map[string]eval.Result{},
	}
	want := headsOf(obj)
	if obj.UsesPolicy() {
		want |= reward.ScoreHead // of the program that the reference was read with
	}
	heads, err := t.model.Read(ctx, valid, want, t.order.shapes, nil)
	if err != nil {
		return record, err
	}
	scores, logps, logVars := heads.Scores, heads.LogProbs, heads.LogVars
	if !obj.UsesScore() {
		scores = nil
	}
	if obj, err = t.stepper.learnedObjective(); err != nil {
		return record, err
	}
	values := t.validValues(scores, logps, logVars)
	record.Loss, record.RewardLoss, record.PolicyLoss = obj.Value(values)
	if math.IsNaN(record.Loss) || math.IsInf(record.Loss, 0) {
		return record, fmt.Errorf("train: the validation loss after step %d is %v: lower train.lr or "+
			"set train.clip", t.state.Step, record.Loss)
	}
	rewards := map[string][][]float64{}
	if scores != nil {
		rewards[reward.ByScore] = scores
	}
	if t.validRefs != nil {
		formula := reward.Formula{Beta: obj.Beta}
		rewards[reward.ByImplicit] = formula.Rewards(reward.ByImplicit, valid, heads, t.validRefs)
	} else if logps != nil {
		rewards[run.ByLogProb] = logps
	}
	for name, values := range rewards {
		result, err := eval.Comparisons(t.data.ValidGroups, values)
		if err != nil {
			return record, fmt.Errorf("train: validation: %w", err)
		}
		record.Rewards[name] = result
	}
	return record, nil
}

// validValues are the validation groups' numbers for the objective's float64 reference.
func (t *trainer) validValues(scores, logps, logVars [][]float64) []objective.Group {
	row := func(table [][]float64, g int) []float64 {
		if table == nil {
			return nil
		}
		return table[g]
	}
	out := make([]objective.Group, len(t.data.Valid))
	for g := range t.data.Valid {
		out[g] = valuesOf(&t.data.Valid[g], row(scores, g), row(logps, g), row(t.validRefs, g))
		out[g].LogVars = row(logVars, g)
	}
	return out
}

// valuesOf are the numbers of a group for the objective's float64 reference; scores, logps and refs
// may be nil.
func valuesOf(g *encode.Group, scores, logps, refs []float64) objective.Group {
	out := objective.Group{Scores: scores, Logps: logps, RefLogps: refs, Targets: g.Targets()}
	for _, r := range g.Responses {
		out.Tokens = append(out.Tokens, max(1, r.Predicted()))
	}
	for _, c := range g.Comparisons {
		comparison := objective.Comparison{Chosen: c.Chosen, Rejected: c.Rejected, Margin: g.Stated(c),
			NoMargin: !g.HasMargin(c)}
		out.Comparisons = append(out.Comparisons, comparison)
	}
	for _, t := range g.Ties {
		tie := objective.Comparison{Chosen: t[0], Rejected: t[1], Tie: true}
		out.Comparisons = append(out.Comparisons, tie)
	}
	return out
}
