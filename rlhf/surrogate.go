package rlhf

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// A Surrogate is the loss of the policy, and of the value head if there is one, on the tokens of
// rollouts. With a token's ratio ρ = exp(log π − log π_old), advantage A, return R, value V and
// weight w:
//
//	policy = Σ w max(−A ρ, −A clip(ρ, 1 − ε, 1 + ε))
//	value  = Σ w ½ max((V − R)², (V_old + clip(V − V_old, −ε_v, ε_v) − R)²)
//	loss   = policy + c_v value + β Σ w KL(π, π_ref)
//
// as in PPO (arXiv 1707.06347) and InstructGPT (arXiv 2203.02155). β is 0 where the KL is in the
// reward.
type Surrogate struct {
	Clip      float64   // ε
	ValueClip float64   // ε_v; 0 clips no values
	ValueCoef float64   // c_v
	Estimator Estimator // of the KL in the loss
}

// A Token has the loss's inputs for a token of a response.
type Token struct {
	// log-probabilities under the policy, the sampling policy, and the reference
	Logp, Old, Ref float64
	Advantage      float64
	Value          float64
	OldValue       float64
	Return         float64
	Weight         float64
}

// Losses are the parts of a [Surrogate]: numbers on the host, or scalar nodes of the graph (*Node).
// Clipped is the weighted share of tokens at which the clipped ratio decides. Moved is the weighted
// mean of the k3 estimate of KL(π_old‖π).
type Losses[T any] struct {
	Total, Policy, Value, KL, Clipped, Moved T
}

// fields lists all losses, in the order of the gradient program's output.
func (l *Losses[T]) fields() []*T {
	return []*T{&l.Total, &l.Policy, &l.Value, &l.KL, &l.Clipped, &l.Moved}
}

// Of returns the losses of tokens. Without a value head the value loss is 0. kl is β.
func (s Surrogate) Of(tokens []Token, value bool, kl float64) Losses[float64] {
	var out Losses[float64]
	for _, t := range tokens {
		ratio := math.Exp(t.Logp - t.Old)
		plain, clipped := -t.Advantage*ratio, -t.Advantage*min(max(ratio, 1-s.Clip), 1+s.Clip)
		out.Policy += t.Weight * max(plain, clipped)
		if clipped > plain {
			out.Clipped += t.Weight
		}
		out.Moved += t.Weight * K3.Of(t.Old, t.Logp)
		out.KL += t.Weight * s.Estimator.Of(t.Logp, t.Ref)
		if value {
			off := t.Value - t.Return
			squares := off * off
			if s.ValueClip > 0 {
				near := t.OldValue + min(max(t.Value-t.OldValue, -s.ValueClip), s.ValueClip) - t.Return
				squares = max(squares, near*near)
			}
			out.Value += t.Weight * squares / 2
		}
	}
	out.Total = out.Policy + s.ValueCoef*out.Value + kl*out.KL
	return out
}

// Readout are the inputs of [Surrogate.Graph]: float32 [N], and KL, a scalar. Padding has weight 0.
// ValueN is nil without a value head; then OldValueN and ReturnN are unused.
type Readout struct {
	LogpN, OldN, RefN, AdvantageN, ValueN, OldValueN, ReturnN, WeightN *Node
	KL                                                                 *Node
}

// Graph is [Surrogate.Of] as a graph function.
func (s Surrogate) Graph(r Readout) Losses[*Node] {
	sum := func(x *Node) *Node { return ReduceAllSum(Mul(r.WeightN, x)) }
	ratio := Exp(Sub(r.LogpN, r.OldN))
	plain := Neg(Mul(r.AdvantageN, ratio))
	clipped := Neg(Mul(r.AdvantageN, ClipScalar(ratio, 1-s.Clip, 1+s.Clip)))
	decides := GreaterThan(clipped, plain)
	out := Losses[*Node]{
		// Max would halve the gradient where both are equal, which they are inside the clip range. There
		// the plain ratio gets the whole gradient.
		Policy:  sum(Where(decides, clipped, plain)),
		Clipped: sum(ConvertDType(decides, ratio.DType())),
		Moved:   sum(K3.OfN(r.OldN, r.LogpN)),
		KL:      sum(s.Estimator.OfN(r.LogpN, r.RefN)),
	}
	out.Value = ZerosLike(out.Policy)
	if r.ValueN != nil {
		out.Value = s.valueLoss(r)
	}
	out.Total = Add(out.Policy, Add(MulScalar(out.Value, s.ValueCoef), Mul(r.KL, out.KL)))
	return out
}

// valueLoss is the loss of the value head alone, a scalar.
func (s Surrogate) valueLoss(r Readout) *Node {
	off := Sub(r.ValueN, r.ReturnN)
	squares := Mul(off, off)
	if s.ValueClip > 0 {
		near := Sub(Add(r.OldValueN, ClipScalar(Sub(r.ValueN, r.OldValueN), -s.ValueClip, s.ValueClip)),
			r.ReturnN)
		far := Mul(near, near)
		squares = Where(GreaterThan(far, squares), far, squares)
	}
	return MulScalar(ReduceAllSum(Mul(r.WeightN, squares)), 0.5)
}
