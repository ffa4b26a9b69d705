package rlhf

import (
	"errors"
	"fmt"
)

// A Record is a line of metrics.jsonl after a step. What is of tokens is a mean over the tokens of all responses, what is of
// responses a mean over them; the losses are means over the optimizer steps.
type Record struct {
	Kind   string  `json:"kind"` // "step"
	Step   int     `json:"step"`
	Reward float64 `json:"reward"`        // the scorer's
	Std    float64 `json:"reward_std"`    // of it over responses
	Shaped float64 `json:"reward_shaped"` // normalized, clipped, less the costs and, where it is in the reward, the KL

	KL            float64   `json:"kl"`           // k1, nats of a response
	KLEstimate    float64   `json:"kl_estimate"`  // the estimator's, of a response
	Estimator     Estimator `json:"kl_estimator"` // its name
	KLCoefficient float64   `json:"kl_coefficient"`
	Entropy       float64   `json:"entropy"` // nats of a token

	Length float64 `json:"length"` // tokens of a response
	Ended  float64 `json:"ended"`  // share of responses that were not cut

	Loss         float64 `json:"loss"` // with the KL where it is in the loss
	PolicyLoss   float64 `json:"policy_loss"`
	ValueLoss    float64 `json:"value_loss"`
	ClipFraction float64 `json:"clip_fraction"`
	Moved        float64 `json:"policy_kl"`          // k3 from the policy that drew the responses, nats of a token
	Explained    float64 `json:"explained_variance"` // of the returns by the values
	GradNorm     float64 `json:"grad_norm"`          // before clipping
	CriticNorm   float64 `json:"critic_grad_norm,omitempty"`
	LR           float64 `json:"lr"`

	Tokens          int     `json:"tokens"` // of responses
	Seconds         float64 `json:"seconds"`
	GenerateSeconds float64 `json:"generate_seconds"`
	ScoreSeconds    float64 `json:"score_seconds"`
}

// add takes in an optimizer step, weighted.
func (c *Record) add(p pass, weight float64) {
	c.Loss += weight * p.Total
	c.PolicyLoss += weight * p.Policy
	c.ValueLoss += weight * p.Value
	c.ClipFraction += weight * p.Clipped
	c.Moved += weight * p.Moved
	c.GradNorm += weight * p.norm
	c.CriticNorm += weight * p.criticNorm
}

// measure says what the rollouts are like.
func (r *run) measure(rollouts []*rollout) Record {
	c := Record{Kind: "step", Estimator: r.opt.Estimator}
	var scores, returns, errs [][]float64
	responses := 0.0
	for _, p := range rollouts {
		for _, a := range p.responses {
			responses++
			scores = append(scores, []float64{a.score})
			c.Shaped += a.shaped
			c.Tokens += len(a.tokens)
			if a.ended {
				c.Ended++
			}
			for t := range a.tokens {
				estimate := r.opt.Estimator.Of(a.logps[t], a.refs[t])
				c.KL += K1.Of(a.logps[t], a.refs[t])
				c.KLEstimate += estimate
				c.Entropy += a.entropies[t]
				if !r.opt.KLInLoss {
					c.Shaped -= r.state.KL * estimate
				}
			}
			if a.values != nil {
				off := make([]float64, len(a.returns))
				for t := range off {
					off[t] = a.returns[t] - a.values[t]
				}
				returns, errs = append(returns, a.returns), append(errs, off)
			}
		}
	}
	c.Reward, c.Std, _ = moments(scores)
	c.Length, c.Entropy = float64(c.Tokens)/responses, c.Entropy/float64(c.Tokens)
	for _, x := range []*float64{&c.Shaped, &c.Ended, &c.KL, &c.KLEstimate} {
		*x /= responses
	}
	if _, spread, n := moments(returns); n > 1 && spread > 0 {
		_, left, _ := moments(errs)
		c.Explained = 1 - left*left/(spread*spread)
	}
	return c
}

// shortSteps is how many steps in a row of short responses bring a warning.
const shortSteps = 3

// ErrRunaway is wrapped by the error of a policy that has left its reference.
var ErrRunaway = errors.New("the policy has left its reference")

// errNotFinite is wrapped where the KL or the entropy of rollouts is NaN or infinite.
var errNotFinite = errors.New("the policy's log-probabilities are not finite")

// guard looks at the rollouts before they are learned from.
func (r *run) guard(c *Record) error {
	if !(c.KL-c.KL == 0 && c.Entropy-c.Entropy == 0) {
		return fmt.Errorf("rlhf: %w: the KL is %g and the entropy %g: lower train.lr or set train.clip, and start from an earlier checkpoint", errNotFinite, c.KL, c.Entropy)
	}
	if limit := r.opt.KLLimit; limit > 0 && c.KL > limit {
		return fmt.Errorf("rlhf: %w: the KL of a response is %.1f nats, the limit %.1f (rlhf.kl_limit): raise rlhf.kl_coefficient or set rlhf.kl_target, lower train.lr, or raise the limit if that is wanted", ErrRunaway, c.KL, limit)
	}
	if c.Length >= r.opt.MinLength {
		r.state.Short = 0
		return nil
	}
	if r.state.Short++; r.state.Short == shortSteps {
		r.progress.Say("warning: for %d steps responses have had fewer than %g tokens (now %.1f): the reward favours short ones; look at them, lower rlhf.length_cost, raise rlhf.kl_coefficient, or lower rlhf.min_length if that is wanted", shortSteps, r.opt.MinLength, c.Length)
	}
	return nil
}
