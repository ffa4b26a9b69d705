package rlhf

import (
	"haf/encode"
	"haf/pack"
	"haf/pref"
)

// A response is a sampled response to a prompt, with everything computed for it.
type response struct {
	tokens []int32
	text   string
	ended  bool // with an end token or a stop text, not cut

	rewards []float64 // in the order of Task.Rewards
	score   float64   // their weighted sum
	shaped  float64   // the optimized reward, without the KL

	sampled []float64 // log-probability of each token when it was sampled

	// By token:
	logps, refs, entropies []float64 // under the sampling policy, and under the reference
	values                 []float64 // PPO's
	advantages, returns    []float64
}

// A rollout is a prompt with its responses.
type rollout struct {
	messages  []pref.Message
	prompt    []int32
	responses []*response
}

// groups returns the rollouts as groups for packing.
func groups(rollouts []*rollout) []encode.Group {
	out := make([]encode.Group, len(rollouts))
	for i, r := range rollouts {
		out[i] = encode.Group{Prompt: r.prompt, Index: i}
		for _, a := range r.responses {
			out[i].Responses = append(out[i].Responses, encode.Answer(a.tokens))
		}
	}
	return out
}

// packed packs the rollouts into shapes rounded up to powers of two, so that later steps find their
// programs compiled.
func packed(rollouts []*rollout, positions int) ([]*pack.Batch, error) {
	plan, err := pack.New(groups(rollouts), pack.Options{Positions: positions, MaxLengths: 1,
		PowerOfTwoSizes: true})
	if err != nil {
		return nil, err
	}
	batches := make([]*pack.Batch, len(plan.Batches))
	for i := range plan.Batches {
		batches[i] = plan.Batch(i)
	}
	return batches, nil
}

// eachToken calls f with every predicted token of a packed batch: its index n in the batch, its
// response, and its index t in the response.
func eachToken(b *pack.Batch, rollouts []*rollout, f func(n int, r *response, t int)) {
	n := 0
	for _, g := range b.Groups { // in the order of the batch's tokens
		for _, r := range rollouts[g].responses {
			for t := range r.tokens {
				f(n, r, t)
				n++
			}
		}
	}
}

// advantages sets the advantage of every token. kl is the KL coefficient in the rewards.
func (o Options) advantages(rollouts []*rollout, kl float64) {
	if o.KLInLoss {
		kl = 0
	}
	if o.hasValues() {
		o.estimate(rollouts, kl)
		return
	}
	for _, r := range rollouts {
		rewards := make([]float64, len(r.responses))
		for k, a := range r.responses {
			for _, x := range tokenRewards(a.shaped, len(a.tokens), a.logps, a.refs, o.Estimator, kl) {
				rewards[k] += x
			}
		}
		values := LeaveOneOut(rewards)
		if o.Algorithm == GRPO {
			values = GroupRelative(rewards, o.ScaleGroup)
		}
		for k, a := range r.responses {
			a.advantages = make([]float64, len(a.tokens))
			for t := range a.advantages {
				a.advantages[t] = values[k]
			}
		}
	}
	o.whitenAdvantages(rollouts)
}

// estimate sets PPO's advantages and returns.
func (o Options) estimate(rollouts []*rollout, kl float64) {
	var rewards [][]float64
	for _, r := range rollouts {
		for _, a := range r.responses {
			rewards = append(rewards, tokenRewards(a.shaped, len(a.tokens), a.logps, a.refs, o.Estimator,
				kl))
		}
	}
	if o.WhitenRewards {
		Whiten(rewards, true)
	}
	for _, r := range rollouts {
		for _, a := range r.responses {
			a.advantages, a.returns = GAE(rewards[0], a.values, o.Gamma, o.Lambda)
			rewards = rewards[1:]
		}
	}
	o.whitenAdvantages(rollouts)
}

func (o Options) whitenAdvantages(rollouts []*rollout) {
	if !o.WhitenAdvantages {
		return
	}
	var all [][]float64
	for _, r := range rollouts {
		for _, a := range r.responses {
			all = append(all, a.advantages)
		}
	}
	Whiten(all, false)
}

// weights returns the weight of each response's tokens in the mean over the rollouts of an
// optimizer step.
func (o Options) weights(rollouts []*rollout) func(r *response) float64 {
	tokens, responses := 0, 0
	for _, r := range rollouts {
		for _, a := range r.responses {
			tokens += len(a.tokens)
			responses++
		}
	}
	if o.LossAggregation == AggregateBySequence {
		return func(r *response) float64 { return 1 / float64(responses*len(r.tokens)) }
	}
	return func(*response) float64 { return 1 / float64(tokens) }
}
