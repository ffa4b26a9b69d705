package rlhf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"haf/pref"
	"haf/run"
)

// A Reward is one of the rewards of a [Task]. The policy is optimized for the weighted sum of all.
type Reward struct {
	Name   string // in metrics; unique
	Weight float64
	Scorer pref.Scorer
}

// checkRewards returns an error that names the first unusable reward.
func checkRewards(rewards []Reward) error {
	if len(rewards) == 0 {
		return errors.New("rlhf: there is no reward: name at least one in rlhf.rewards")
	}
	for i, r := range rewards {
		same := func(other Reward) bool { return other.Name == r.Name }
		switch {
		case r.Name == "":
			return fmt.Errorf("rlhf: reward %d has no name: set its key name", i+1)
		case slices.ContainsFunc(rewards[:i], same):
			return fmt.Errorf("rlhf: two rewards are named %q: give each a name of its own", r.Name)
		case r.Weight == 0 || math.IsNaN(r.Weight) || math.IsInf(r.Weight, 0):
			return fmt.Errorf("rlhf: the weight of reward %q is %g, want a finite number other than 0",
				r.Name, r.Weight)
		}
	}
	return nil
}

// score asks every scorer for the rewards of the responses and sets their weighted sums.
func (r *optimization) score(ctx context.Context, rollouts []*rollout) error {
	var samples []pref.Sample
	var responses []*response
	for _, p := range rollouts {
		for _, a := range p.responses {
			samples = append(samples, pref.Sample{Prompt: p.messages, Response: a.text})
			responses = append(responses, a)
		}
	}
	for _, from := range r.Rewards {
		values, err := from.Scorer.Score(ctx, samples)
		if err != nil {
			return fmt.Errorf("rlhf: reward %q: %w", from.Name, err)
		}
		if len(values) != len(samples) {
			return fmt.Errorf("rlhf: reward %q: %d values of %d responses, want one for each",
				from.Name, len(values), len(samples))
		}
		for i, x := range values {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("rlhf: reward %q is %v of the response %.60q, want a finite number: "+
					"look at the reward model, its dtype, or the rule that computes the reward",
					from.Name, x, samples[i].Response)
			}
			responses[i].rewards = append(responses[i].rewards, x)
			responses[i].score += from.Weight * x
		}
	}
	return nil
}

// rewardStats returns the moments of each reward over the responses, by name.
func rewardStats(rewards []Reward, rollouts []*rollout) map[string]run.RewardStats {
	out := map[string]run.RewardStats{}
	for i, from := range rewards {
		mean, std, _ := moments(perResponse(rollouts, func(a *response) float64 {
			return a.rewards[i]
		}))
		out[from.Name] = run.RewardStats{Mean: mean, Std: std}
	}
	return out
}

// perResponse lists one value of every response, by rollout.
func perResponse(rollouts []*rollout, of func(*response) float64) [][]float64 {
	out := make([][]float64, len(rollouts))
	for i, p := range rollouts {
		for _, a := range p.responses {
			out[i] = append(out[i], of(a))
		}
	}
	return out
}

// withoutAdvantage reports whether all shaped rewards of a rollout are equal. RLOO and GRPO compare
// the responses to a prompt with each other, so they learn only the KL from such a rollout.
func (p *rollout) withoutAdvantage() bool {
	return equal(perResponse([]*rollout{p}, func(a *response) float64 { return a.shaped }))
}

// equal reports whether all numbers of non-empty lists are the same.
func equal(lists [][]float64) bool {
	for _, list := range lists {
		for _, x := range list {
			if x != lists[0][0] {
				return false
			}
		}
	}
	return true
}
