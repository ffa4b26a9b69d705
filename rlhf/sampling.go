package rlhf

import (
	"context"
	"fmt"
	"time"

	"haf/lm"
	"haf/reward"
)

// A drawing holds the rollouts that were sampled for a step.
type drawing struct {
	all     []*rollout // scored and shaped
	kept    []*rollout // those to learn from
	rounds  int        // batches of prompts
	dropped int        // rollouts dropped because all their rewards are equal

	generating, scoring time.Duration
}

// draw samples the rollouts of a step. With dynamic sampling it drops rollouts without an advantage
// and draws further batches of prompts until a whole batch is kept; it drops the surplus too. Every
// batch of prompts counts in state.Draws, so a resumed run draws the same ones.
func (r *optimization) draw(ctx context.Context) (drawing, error) {
	var d drawing
	for {
		rollouts, err := r.drawBatch(ctx, &d)
		if err != nil {
			return d, err
		}
		d.all = append(d.all, rollouts...)
		for _, p := range rollouts {
			if r.opt.DynamicSampling && p.withoutAdvantage() {
				d.dropped++
				continue
			}
			d.kept = append(d.kept, p)
		}
		if len(d.kept) >= r.opt.Batch {
			d.kept = d.kept[:r.opt.Batch]
			r.state.Health.Underfilled = 0
			return d, nil
		}
		if d.rounds == r.opt.MaxSamplingRounds {
			return d, r.underfilled(d)
		}
	}
}

// drawBatch samples, scores and shapes the rollouts of the next batch of prompts.
func (r *optimization) drawBatch(ctx context.Context, d *drawing) ([]*rollout, error) {
	began := time.Now()
	var prompts []prompt
	for _, i := range r.opt.chosen(r.state.Draws, len(r.prompts)) {
		prompts = append(prompts, r.prompts[i])
	}
	seed := func(i, k int) uint64 { return r.opt.seed("sampling", r.state.Draws, i, k) }
	rollouts, err := r.answer(ctx, r.generator, prompts, r.opt.NumGenerations, r.opt.Sampling, seed)
	if err != nil {
		return nil, err
	}
	generated := time.Now()
	if err := r.score(ctx, rollouts); err != nil {
		return nil, err
	}
	r.shape(rollouts)
	d.rounds++
	d.generating += generated.Sub(began)
	d.scoring += time.Since(generated)
	r.state.Draws++
	return rollouts, nil
}

// chosen returns the prompts of a draw. Each epoch goes through all prompts in an order of its own,
// except for a remainder smaller than a batch.
func (o Options) chosen(draw, prompts int) []int {
	perEpoch := prompts / o.Batch
	order := o.stream("order", draw/perEpoch).Perm(prompts)
	at := draw % perEpoch * o.Batch
	return order[at : at+o.Batch]
}

// answer samples n responses to each prompt. seed returns the seed of response k to prompt i.
func (r *optimization) answer(
	ctx context.Context, generator *lm.Generator, prompts []prompt, n int, sampling lm.Sampling,
	seed func(i, k int) uint64,
) ([]*rollout, error) {
	end := r.Policy.EndTokens()
	rollouts := make([]*rollout, len(prompts))
	var requests []lm.Request
	for i, p := range prompts {
		rollouts[i] = &rollout{messages: p.messages, prompt: p.tokens, responses: make([]*response, n)}
		for k := range n {
			q := lm.Request{Prompt: p.tokens, MaxTokens: r.opt.MaxTokens, End: end, Sampling: sampling}
			q.Sampling.Seed = seed(i, k)
			if len(r.opt.Stop) > 0 {
				q.Stop = func(tokens []int32) bool {
					_, found := reward.CutAt(r.text(tokens), r.opt.Stop)
					return found
				}
			}
			requests = append(requests, q)
		}
	}
	args, err := r.Policy.GeneratorArguments()
	if err != nil {
		return nil, fmt.Errorf("rlhf: generating: %w", err)
	}
	err = generator.Run(ctx, args, requests, func(i int, s lm.Sequence) error {
		a := &response{tokens: s.Tokens, ended: s.Ended != lm.EndedByLength}
		a.text, _ = reward.CutAt(r.text(s.Tokens), r.opt.Stop)
		for _, x := range s.LogP {
			a.sampled = append(a.sampled, float64(x))
		}
		rollouts[i/n].responses[i%n] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rlhf: generating: %w", err)
	}
	return rollouts, nil
}

func (r *optimization) text(tokens []int32) string {
	return r.Policy.Tokenizer.Decode(tokens, true)
}

// shape sets the shaped rewards of scored rollouts, after adding their scores to the running
// moments.
func (r *optimization) shape(rollouts []*rollout) {
	for _, scores := range perResponse(rollouts, func(a *response) float64 { return a.score }) {
		r.state.Running.Add(scores)
	}
	for _, p := range rollouts {
		for _, a := range p.responses {
			a.shaped = r.opt.Shaping.Shape(a.score, a.tokens, a.ended, r.state.Running)
		}
	}
}
