package rlhf

import (
	"math"

	"haf/run"
)

// addUpdate adds the losses and norms of an optimizer step, times weight, to a record.
func addUpdate(c *run.PolicyStep, u updateMetrics, weight float64) {
	c.Loss += weight * u.Total
	c.PolicyLoss += weight * u.Policy
	c.ValueLoss += weight * u.Value
	c.ClipFraction += weight * u.Clipped
	c.ApproxKL += weight * u.Moved
	c.GradNorm += weight * u.norm
	c.CriticNorm += weight * u.criticNorm
}

// measure computes the record of a step from its drawing.
func (r *optimization) measure(d drawing) run.PolicyStep {
	c := run.PolicyStep{
		Kind: run.KindStep, Estimator: string(r.opt.Estimator), Rewards: rewardStats(r.Rewards, d.all),
		Groups: len(d.kept), GroupsDropped: d.dropped, SamplingRounds: d.rounds,
		GenerateSeconds: d.generating.Seconds(), ScoreSeconds: d.scoring.Seconds(),
	}
	c.Reward, c.Std, _ = moments(perResponse(d.all, func(a *response) float64 { return a.score }))
	c.ZeroStd = zeroStd(d.all)
	r.measureTokens(&c, d.kept)
	c.KL, c.KLError = meanError(perResponse(d.kept, (*response).kl))
	return c
}

// zeroStd is the share of rollouts with several responses whose shaped rewards are all equal.
func zeroStd(rollouts []*rollout) float64 {
	equal := 0
	for _, p := range rollouts {
		if len(p.responses) > 1 && p.withoutAdvantage() {
			equal++
		}
	}
	return float64(equal) / float64(len(rollouts))
}

// kl is the k1 estimate of a response's KL to the reference.
func (a *response) kl() (sum float64) {
	for t := range a.tokens {
		sum += K1.Of(a.logps[t], a.refs[t])
	}
	return sum
}

// meanError returns the mean of all numbers and its standard error, s/√n.
func meanError(lists [][]float64) (mean, standardError float64) {
	mean, std, n := moments(lists)
	return mean, std / math.Sqrt(float64(max(1, n)))
}

// measureTokens computes the values that come from tokens of the rollouts that the policy learns
// from.
func (r *optimization) measureTokens(c *run.PolicyStep, rollouts []*rollout) {
	var returns, errs [][]float64
	responses := 0.0
	for _, p := range rollouts {
		for _, a := range p.responses {
			responses++
			c.Shaped += a.shaped
			c.Tokens += len(a.tokens)
			if a.ended {
				c.EOSRate++
			}
			if r.opt.Shaping.Overlong.Of(len(a.tokens)) > 0 {
				c.Overlong++
			}
			for t := range a.tokens {
				estimate := r.opt.Estimator.Of(a.logps[t], a.refs[t])
				c.KLEstimate += estimate
				c.Entropy += a.entropies[t]
				c.LogpDifference += math.Abs(a.logps[t] - a.sampled[t])
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
	c.Length = float64(c.Tokens) / responses
	for _, x := range []*float64{&c.Shaped, &c.EOSRate, &c.Overlong, &c.KLEstimate} {
		*x /= responses
	}
	for _, x := range []*float64{&c.Entropy, &c.LogpDifference} {
		*x /= float64(c.Tokens)
	}
	if _, spread, n := moments(returns); n > 1 && spread > 0 {
		_, left, _ := moments(errs)
		c.Explained = 1 - left*left/(spread*spread)
	}
}
