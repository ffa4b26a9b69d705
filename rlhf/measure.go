package rlhf

import (
	"errors"
	"fmt"

	"haf/run"
)

// addUpdate adds the losses and norms of an optimizer step, weighted, to the record of its step.
func addUpdate(c *run.PolicyStep, u updateMetrics, weight float64) {
	c.Loss += weight * u.Total
	c.PolicyLoss += weight * u.Policy
	c.ValueLoss += weight * u.Value
	c.ClipFraction += weight * u.Clipped
	c.ApproxKL += weight * u.Moved
	c.GradNorm += weight * u.norm
	c.CriticNorm += weight * u.criticNorm
}

// measure computes the record of a step from its rollouts.
func (r *optimization) measure(rollouts []*rollout) run.PolicyStep {
	c := run.PolicyStep{Kind: run.KindStep, Estimator: string(r.opt.Estimator)}
	var scores, returns, errs [][]float64
	responses := 0.0
	for _, p := range rollouts {
		for _, a := range p.responses {
			responses++
			scores = append(scores, []float64{a.score})
			c.Shaped += a.shaped
			c.Tokens += len(a.tokens)
			if a.ended {
				c.EOSRate++
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
	for _, x := range []*float64{&c.Shaped, &c.EOSRate, &c.KL, &c.KLEstimate} {
		*x /= responses
	}
	if _, spread, n := moments(returns); n > 1 && spread > 0 {
		_, left, _ := moments(errs)
		c.Explained = 1 - left*left/(spread*spread)
	}
	return c
}

// shortSteps is the number of steps in a row with short responses after which a warning comes.
const shortSteps = 3

// ErrRunaway is wrapped by the error of a policy that has left its reference.
var ErrRunaway = errors.New("the policy has left its reference")

// errNotFinite is wrapped where the KL or the entropy of rollouts is NaN or infinite.
var errNotFinite = errors.New("the policy's log-probabilities are not finite")

// guard checks the rollouts before they are learned from.
func (r *optimization) guard(c *run.PolicyStep) error {
	if !(c.KL-c.KL == 0 && c.Entropy-c.Entropy == 0) {
		return fmt.Errorf("rlhf: %w: the KL is %g and the entropy %g: lower train.lr or set train.clip, "+
			"and start from an earlier checkpoint", errNotFinite, c.KL, c.Entropy)
	}
	if limit := r.opt.KLLimit; limit > 0 && c.KL > limit {
		return fmt.Errorf("rlhf: %w: the KL of a response is %.1f nats, the limit %.1f (rlhf.kl_limit): "+
			"raise rlhf.kl_coefficient or set rlhf.kl_target, lower train.lr, or raise the limit if "+
			"that is wanted", ErrRunaway, c.KL, limit)
	}
	if c.Length >= r.opt.MinLength {
		r.state.Short = 0
		return nil
	}
	if r.state.Short++; r.state.Short == shortSteps {
		r.progress.Logf("warning: for %d steps responses have had fewer than %g tokens (now %.1f): the "+
			"reward favours short ones; look at them, lower rlhf.length_cost, raise "+
			"rlhf.kl_coefficient, or lower rlhf.min_length if that is wanted",
			shortSteps, r.opt.MinLength, c.Length)
	}
	return nil
}
