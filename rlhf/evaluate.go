package rlhf

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"haf/eval"
	"haf/lm"
	"haf/run"
)

// evaluationDue reports whether the policy is evaluated before the next step: at the start, every
// EvalEvery steps, and at the end.
func (r *optimization) evaluationDue() bool {
	every, step := r.opt.EvalEvery, r.state.Step
	return every > 0 && r.state.Evaluated < step && (step%every == 0 || step == r.opt.steps)
}

// evaluateIfDue evaluates the policy if that is due. When ctx is canceled it writes a checkpoint,
// from which a resumed run repeats the evaluation from its beginning.
func (r *optimization) evaluateIfDue(ctx context.Context) error {
	if !r.evaluationDue() {
		return nil
	}
	err := r.evaluate(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return r.interrupted()
	}
	return err
}

// evaluate measures the rewards of the policy's responses to the held-out prompts and keeps the
// policy if it is the best so far. Of equal rewards the earliest is the best.
func (r *optimization) evaluate(ctx context.Context) error {
	began := time.Now()
	record, err := r.measureHeldOut(ctx)
	if err != nil {
		return err
	}
	if best := r.result.Best; best == nil || record.Reward > best.Reward {
		best = &run.BestPolicy{Step: record.Step, Reward: record.Reward}
		err := r.folder.SaveBest(best, func(dir string) error {
			return r.savePolicy(filepath.Join(dir, run.ModelName))
		})
		if err != nil {
			return err
		}
		r.result.Best = best
	}
	record.Seconds = time.Since(began).Seconds()
	if err := r.folder.Record(record); err != nil {
		return err
	}
	r.state.Evaluated = r.state.Step
	r.progress.Logf("step %d: held-out reward %.4f [%.4f, %.4f] of %d prompts; the best is step %d",
		record.Step, record.Reward, record.Low, record.High, record.Prompts, r.result.Best.Step)
	return nil
}

// measureHeldOut samples responses to the held-out prompts and scores them.
func (r *optimization) measureHeldOut(ctx context.Context) (run.PolicyEval, error) {
	c := run.PolicyEval{Kind: run.KindEval, Step: r.state.Step, Prompts: len(r.heldOut)}
	n, sampling := r.opt.EvalGenerations, r.opt.Sampling
	if n == 0 {
		n, sampling = 1, lm.Sampling{RepetitionPenalty: sampling.RepetitionPenalty} // greedy
	}
	seed := func(i, k int) uint64 { return r.opt.seed("evaluation", i, k) } // the same at every step
	rollouts, err := r.answer(ctx, r.evaluator, r.heldOut, n, sampling, seed)
	if err != nil {
		return c, err
	}
	if err := r.score(ctx, rollouts); err != nil {
		return c, err
	}
	c.Rewards = rewardStats(r.Rewards, rollouts)
	means := make([]float64, len(rollouts)) // one per prompt, because prompts are independent
	for i, scores := range perResponse(rollouts, func(a *response) float64 { return a.score }) {
		means[i], _, _ = moments([][]float64{scores})
	}
	c.Reward, c.Low, c.High = eval.MeanInterval(means)
	for _, p := range rollouts {
		for _, a := range p.responses {
			c.Length += float64(len(a.tokens))
			if a.ended {
				c.EOSRate++
			}
		}
	}
	responses := float64(len(rollouts) * n)
	c.Length, c.EOSRate = c.Length/responses, c.EOSRate/responses
	return c, nil
}
