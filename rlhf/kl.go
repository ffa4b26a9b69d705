package rlhf

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// An Estimator names an estimate of KL(π‖π_ref) from a token drawn by π, with d = log π(token) −
// log π_ref(token) (J. Schulman, "Approximating KL divergence", 2020):
//
//	k1 = d                   unbiased, of either sign
//	k2 = d²/2                biased, never negative, of low variance
//	k3 = exp(−d) − 1 + d     unbiased, never negative
type Estimator string

// The estimators.
const (
	K1 Estimator = "k1"
	K2 Estimator = "k2"
	K3 Estimator = "k3"
)

func (e Estimator) check() error {
	if e != K1 && e != K2 && e != K3 {
		return fmt.Errorf("rlhf: KL estimator %q is not known: k1, k2 or k3", string(e))
	}
	return nil
}

// Of returns the estimate for a token from its log-probabilities under policy and reference.
func (e Estimator) Of(logp, ref float64) float64 {
	d := logp - ref
	switch e {
	case K2:
		return d * d / 2
	case K3:
		return math.Expm1(-d) + d
	}
	return d
}

// OfN is [Estimator.Of] as a graph function over tokens.
func (e Estimator) OfN(logpN, refN *Node) *Node {
	d := Sub(logpN, refN)
	switch e {
	case K2:
		return MulScalar(Mul(d, d), 0.5)
	case K3:
		// expm1 is precise near 0 but has no gradient; exp minus its own value adds the gradient.
		exp := Exp(Neg(d))
		return Add(Add(StopGradient(Expm1(Neg(d))), Sub(exp, StopGradient(exp))), d)
	}
	return d
}

// A Coefficient is the weight of the KL in the reward or the loss: fixed, or adapted so that the
// mean KL of a response comes near a target (arXiv 1909.08593):
//
//	β ← β (1 + clip(KL/target − 1, −0.2, 0.2) · responses/horizon)
type Coefficient struct {
	Start   float64
	Target  float64 // nats per response; 0 fixes the coefficient
	Horizon float64 // responses
}

func (c Coefficient) check() error {
	switch {
	case !(c.Start >= 0 && c.Start < math.Inf(1)):
		return fmt.Errorf("rlhf: KL coefficient is %g, want 0 or more", c.Start)
	case !(c.Target >= 0 && c.Target < math.Inf(1)):
		return fmt.Errorf("rlhf: KL target is %g nats, want 0 (a fixed coefficient) or more", c.Target)
	case c.Target > 0 && !(c.Horizon >= 1):
		return fmt.Errorf("rlhf: KL horizon is %g responses, want at least 1", c.Horizon)
	case c.Target > 0 && c.Start == 0:
		return fmt.Errorf("rlhf: KL coefficient 0 cannot be adapted to the target %g: start above 0",
			c.Target)
	}
	return nil
}

// Next returns the coefficient after responses whose mean KL is kl, in nats.
func (c Coefficient) Next(now, kl float64, responses int) float64 {
	if c.Target == 0 {
		return now
	}
	off := min(max(kl/c.Target-1, -0.2), 0.2)
	return now * max(0, 1+off*float64(responses)/c.Horizon)
}
