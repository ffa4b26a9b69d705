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
	by := record.Selected()
	record.Seconds = time.Since(began).Seconds()
	if err := t.folder.Record(record); err != nil {
		return err
	}
	t.progress.Logf("step %d: validation%s loss %.4f", t.state.Step, by, record.Loss)
	if !t.state.Best.Improves(by.Accuracy, record.Loss) {
		t.state.EvalsSinceBest++
		if t.result.EarlyStopped = t.outOfPatience(); t.result.EarlyStopped {
			t.progress.Logf("early stop: %d validations without a better one; the best was step %d",
				t.state.EvalsSinceBest, t.state.Best.Step)
		}
		return nil
	}
	t.state.Best = &run.Best{Step: t.state.Step, Accuracy: by.Accuracy, Loss: record.Loss}
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
	if obj.UsesAttributes() && heads.Outputs == nil { // a score head of one output
		heads.Outputs, heads.Scores = asOutputs(heads.Scores), nil
	}
	scores, logps := heads.Scores, heads.LogProbs
	if !obj.UsesScore() {
		scores = nil
	}
	if obj, err = t.stepper.learnedObjective(); err != nil {
		return record, err
	}
	heads.Scores = scores
	values := t.validValues(heads)
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
	return record, t.measureRewards(&record, rewards, heads.Outputs, values)
}

// asOutputs returns scores as the only output of each response.
func asOutputs(scores [][]float64) [][][]float64 {
	out := make([][][]float64, len(scores))
	for g, row := range scores {
		for _, score := range row {
			out[g] = append(out[g], []float64{score})
		}
	}
	return out
}

// validValues are the validation groups' numbers for the objective's float64 reference.
func (t *trainer) validValues(heads reward.HeadValues) []objective.Group {
	row := func(table [][]float64, g int) []float64 {
		if table == nil {
			return nil
		}
		return table[g]
	}
	out := make([]objective.Group, len(t.data.Valid))
	for g := range t.data.Valid {
		out[g] = t.valuesOf(&t.data.Valid[g], row(heads.Scores, g), row(heads.LogProbs, g),
			row(t.validRefs, g))
		out[g].LogVars = row(heads.LogVars, g)
		if heads.Outputs != nil {
			out[g].Outputs = heads.Outputs[g]
		}
	}
	return out
}

// valuesOf are the numbers of a group for the objective's float64 reference; scores, logps and refs
// may be nil.
func (t *trainer) valuesOf(g *encode.Group, scores, logps, refs []float64) objective.Group {
	out := objective.Group{Scores: scores, Logps: logps, RefLogps: refs, Targets: g.Targets()}
	out.Labels, out.Mismatched = labelsOf(g)
	out.Attributes = gradesOf(g, t.opt.Attributes)
	for _, r := range g.Responses {
		out.Tokens = append(out.Tokens, max(1, r.Predicted()))
	}
	for _, c := range g.Comparisons {
		comparison := objective.Comparison{Chosen: c.Chosen, Rejected: c.Rejected, Margin: g.Stated(c),
			NoMargin: !g.HasMargin(c)}
		out.Comparisons = append(out.Comparisons, comparison)
	}
	for _, pair := range g.Ties {
		tie := objective.Comparison{Chosen: pair[0], Rejected: pair[1], Tie: true}
		out.Comparisons = append(out.Comparisons, tie)
	}
	return out
}
