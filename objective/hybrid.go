// Package objective holds every loss as a graph function beside its float64 twin, under its equation.
package objective

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// A Hybrid is the objective of HaF-RM (arXiv 2407.04185): a reward loss on the score head and a policy loss on
// the policy head of one decoder, on the same comparisons.
//
//	L = w · mean ℓ_reward + α · mean ℓ_policy
//
// Baseline is α = 0; DPO is w = 0, and its reward is the implicit one.
type Hybrid struct {
	RewardWeight float64 // w
	PolicyWeight float64 // α
	Policy       string  // DPO or SFT
	Beta         float64 // β of DPO
}

// Default is the paper's: w 1, α 0.2, β 0.1.
func Default() Hybrid { return Hybrid{RewardWeight: 1, PolicyWeight: 0.2, Policy: DPO, Beta: 0.1} }

// Check returns an error that names the first setting out of range.
func (h Hybrid) Check() error {
	weight := func(x float64) bool { return x >= 0 && x < math.Inf(1) }
	switch {
	case !weight(h.RewardWeight) || !weight(h.PolicyWeight) || !h.UsesScore() && !h.UsesPolicy():
		return fmt.Errorf("reward_weight is %g and policy_weight %g: neither may be negative, one must be positive", h.RewardWeight, h.PolicyWeight)
	case !(h.Beta > 0 && h.Beta < math.Inf(1)):
		return fmt.Errorf("beta is %g, a positive number is wanted", h.Beta)
	}
	return CheckPolicy(h.Policy)
}

// UsesScore says whether the score head has a part in the loss.
func (h Hybrid) UsesScore() bool { return h.RewardWeight != 0 }

// UsesPolicy says whether the policy head has a part in the loss.
func (h Hybrid) UsesPolicy() bool { return h.PolicyWeight != 0 }

// UsesReference says whether the loss needs the reference's log-probabilities.
func (h Hybrid) UsesReference() bool { return h.UsesPolicy() && h.Policy == DPO }

// FirstLoss is the value that the loss must have at the first step, when all scores are zero and the policy is the
// reference: (w + α) ln 2. ok is false where the objective has no such value.
func (h Hybrid) FirstLoss() (loss float64, ok bool) {
	if h.UsesPolicy() && h.Policy != DPO {
		return 0, false
	}
	return (h.RewardWeight + h.PolicyWeight) * math.Ln2, true
}

// Readout is what the losses read: S response slots, C comparisons. All are float32 but the two indices.
type Readout struct {
	ScoreS, LogpS, RefS, TokensS *Node // reward, Σ log π, Σ log π_ref, number of tokens; a head that is not used is nil
	ChosenC, RejectedC           *Node // int32: response slots
	WeightC                      *Node // what each comparison's loss is multiplied by: 1 over the step's comparisons, 0 at padding
}

// Losses is what the objective gives: scalars, and the margins [C] that they come from (zero for an unused head).
type Losses struct {
	Total, Reward, Policy          *Node
	RewardMarginC, LogRatioMarginC *Node
}

// Loss builds the objective. A weighted sum, so that the losses of a step's micro-batches add up to the step's.
func (h Hybrid) Loss(in Readout) Losses {
	zero := ScalarZero(in.WeightC.Graph(), dtypes.Float32)
	out := Losses{Total: zero, Reward: zero, Policy: zero, RewardMarginC: ZerosLike(in.WeightC), LogRatioMarginC: ZerosLike(in.WeightC)}
	weighted := func(lossC *Node) *Node { return ReduceAllSum(Mul(in.WeightC, lossC)) }
	if h.UsesScore() {
		out.RewardMarginC = difference(in.ScoreS, in.ChosenC, in.RejectedC)
		out.Reward = weighted(BradleyTerry(out.RewardMarginC))
		out.Total = Add(out.Total, MulScalar(out.Reward, h.RewardWeight))
	}
	if h.UsesPolicy() {
		switch h.Policy {
		case SFT:
			out.LogRatioMarginC = difference(in.LogpS, in.ChosenC, in.RejectedC)
			out.Policy = weighted(Supervised(at(in.LogpS, in.ChosenC), MaxScalar(at(in.TokensS, in.ChosenC), 1.0)))
		default:
			out.LogRatioMarginC = difference(Sub(in.LogpS, in.RefS), in.ChosenC, in.RejectedC)
			out.Policy = weighted(DirectPreference(out.LogRatioMarginC, h.Beta))
		}
		out.Total = Add(out.Total, MulScalar(out.Policy, h.PolicyWeight))
	}
	return out
}

func at(xS, indexC *Node) *Node { return Gather(xS, ExpandAxes(indexC, -1)) }

func difference(xS, chosenC, rejectedC *Node) *Node { return Sub(at(xS, chosenC), at(xS, rejectedC)) }

// A Comparison holds the numbers of one comparison for [Hybrid.Value].
type Comparison struct {
	ChosenScore, RejectedScore     float64
	ChosenLogp, RejectedLogp       float64
	ChosenRefLogp, RejectedRefLogp float64
	ChosenTokens                   int
}

// Value is the float64 twin of [Hybrid.Loss] over the mean of the comparisons.
func (h Hybrid) Value(comparisons []Comparison) (total, reward, policy float64) {
	n := float64(len(comparisons))
	for _, c := range comparisons {
		if h.UsesScore() {
			reward += BradleyTerryValue(c.ChosenScore-c.RejectedScore) / n
		}
		switch {
		case !h.UsesPolicy():
		case h.Policy == SFT:
			policy += SupervisedValue(c.ChosenLogp, c.ChosenTokens) / n
		default:
			policy += DirectPreferenceValue((c.ChosenLogp-c.ChosenRefLogp)-(c.RejectedLogp-c.RejectedRefLogp), h.Beta) / n
		}
	}
	return h.RewardWeight*reward + h.PolicyWeight*policy, reward, policy
}
