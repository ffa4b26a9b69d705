// Package objective holds every loss as a graph function with its equation, beside a float64
// reference; the tables of losses from which a recipe chooses; and the [Hybrid] objective that
// combines them.
package objective

import (
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// A Hybrid is the objective of HaF-RM (arXiv 2407.04185): a reward loss on the score head and a
// policy loss on the policy head of one decoder, on the same comparisons.
//
//	L = w · mean (ℓ_reward + regularizers) + α · mean ℓ_policy
//
// Losses of labelled responses and of attributes are means over those responses.
//
// Baseline is α = 0; DPO is w = 0, and its reward is the implicit one. The keys of a recipe's
// [objective] are the fields' names in small letters with underscores.
type Hybrid struct {
	RewardWeight float64 // w
	PolicyWeight float64 // α at the end of its schedule
	Reward       string  // one of RewardLosses, or several with weights: "bradley-terry + 0.5 hinge"
	Policy       string  // the same of PolicyLosses
	Beta         float64 // β of the implicit reward

	Link       string  // of the link of both heads
	LinkScale  float64 // of the score head's link: the policy head's is 1/β
	LinkDF     float64 // degrees of freedom of Student-t
	LearnScale bool    // the scale is trained, from LinkScale on

	Margin    float64 // width of the hinge losses
	Gamma     float64 // target margin of simpo
	Smoothing float64 // ε of smoothed and cdpo, below ½
	NoiseRate float64 // ε of robust, below ½
	TieRate   float64 // probability of a tie between equals
	Eta       float64 // η, the scale of RPO's explicit rewards
	Explicit  string  // their source: ExplicitData, ExplicitScore or ExplicitJoint

	DesirableWeight   float64 // λ_D and λ_U of kto and apo-zero
	UndesirableWeight float64

	Center   float64 // weights of Centring, BatchSum and RewardNorm
	BatchSum float64
	L2       float64

	Schedule `json:"Schedule"`
}

// Sources of the explicit rewards of RPO.
const (
	ExplicitData  = "data"  // a scores or margin column
	ExplicitScore = "score" // the model's own score head, without gradient
	ExplicitJoint = "joint" // the same with gradient, so each head moves towards the other
)

// Default returns the paper's objective: w 1, α 0.2, β 0.1.
func Default() Hybrid {
	return Hybrid{
		RewardWeight: 1, PolicyWeight: 0.2, Reward: "bradley-terry", Policy: DPO, Beta: 0.1,
		Link: LogisticLink, LinkScale: 1, LinkDF: 3,
		Margin: 1, TieRate: 1.0 / 3, Eta: 1, Explicit: ExplicitData, DesirableWeight: 1,
		UndesirableWeight: 1,
		Schedule:          Schedule{Kind: Constant, Share: 0.5, Steps: 1},
	}
}

// UsesScore reports whether the loss reads the score head.
func (h Hybrid) UsesScore() bool { return h.RewardWeight != 0 }

// UsesPolicy reports whether the loss reads the policy head.
func (h Hybrid) UsesPolicy() bool { return h.PolicyWeight != 0 }

// active are the losses of both heads that have a weight.
func (h Hybrid) active() (reward, policy []share) {
	if h.UsesScore() {
		reward, _ = parseMix("reward", h.Reward, rewardLosses)
	}
	if h.UsesPolicy() {
		policy, _ = parseMix("policy", h.Policy, policyLosses)
	}
	return reward, policy
}

func (h Hybrid) anyActive(is func(loss) bool) bool {
	reward, policy := h.active()
	return slices.ContainsFunc(slices.Concat(reward, policy), func(s share) bool { return is(s.loss) })
}

// UsesReference reports whether the loss needs the reference's log-probabilities.
func (h Hybrid) UsesReference() bool {
	return h.anyActive(func(l loss) bool { return l.reference })
}

// UsesTies reports whether the loss reads pairs that were judged equal.
func (h Hybrid) UsesTies() bool { return h.anyActive(func(l loss) bool { return l.ties }) }

// UsesMargins reports whether the data must state margins (or scores).
func (h Hybrid) UsesMargins() bool {
	return h.anyActive(h.readsMargins)
}

// readsMargins reports whether a loss reads the margins that the data states. It is a mean over the
// comparisons that have one.
func (h Hybrid) readsMargins(l loss) bool {
	return l.margins || l.explicit && !l.group && h.Explicit == ExplicitData
}

// UsesTargets reports whether the data must state a reward for every response.
func (h Hybrid) UsesTargets() bool {
	return h.anyActive(func(l loss) bool { return l.group && h.Explicit == ExplicitData })
}

// UsesVariance reports whether the loss needs a variance head.
func (h Hybrid) UsesVariance() bool { return h.anyActive(func(l loss) bool { return l.variances }) }

// UsesComparisons reports whether the loss reads comparisons.
func (h Hybrid) UsesComparisons() bool { return h.anyOver(overComparisons) }

// UsesLabels reports whether the loss reads labelled responses.
func (h Hybrid) UsesLabels() bool { return h.anyOver(overLabels) }

// UsesAttributes reports whether the loss reads attributes. The score head then has an output for
// each.
func (h Hybrid) UsesAttributes() bool { return h.anyOver(overAttributes) }

// UsesMismatched reports whether the loss needs responses to other prompts: see [ReferencePoint].
func (h Hybrid) UsesMismatched() bool {
	return h.anyActive(func(l loss) bool { return l.mismatched })
}

func (h Hybrid) anyOver(u unit) bool {
	return h.anyActive(func(l loss) bool { return l.over == u })
}

// Learns reports whether the objective has its own parameter, the logarithm of the link's scale.
func (h Hybrid) Learns() bool { return h.LearnScale && h.UsesScore() }

// link is the preference link of the score head; without the scale it is the policy head's.
func (h Hybrid) link(scaled bool) Link {
	l := Link{Name: h.Link, Scale: h.LinkScale, DF: h.LinkDF}
	if !scaled {
		l.Scale = 1
	}
	return l
}

func (h Hybrid) stopped(score *Node) *Node {
	if h.Explicit == ExplicitScore {
		return StopGradient(score)
	}
	return score
}

// Loss builds the objective. It is a weighted sum, so the losses of a step's packed batches add up
// to the step's loss.
func (h Hybrid) Loss(in Readout) Losses {
	zero := ScalarZero(in.WeightC.Graph(), dtypes.Float32)
	zeroC := ZerosLike(in.WeightC)
	out := Losses{Total: zero, Reward: zero, Policy: zero, RewardMarginC: zeroC,
		LogRatioChosenC: zeroC, LogRatioRejectedC: zeroC}
	if in.TieC == nil {
		in.TieC = zeroC
	}
	present := Where(GreaterThan(in.WeightC, zeroC), OnesLike(zeroC), zeroC)
	t := terms{Readout: in, set: h.nodes(in), link: h.link(true),
		validC: Mul(present, OneMinus(in.TieC))}
	t.link.scale, t.link.logScale = t.set.LinkScale, in.LogScale
	if h.UsesLabels() {
		out.LabelReward, out.LabelPolicy, out.Point, out.RatioS = zero, zero, zero, ZerosLike(in.LabelS)
	}
	reward, policy := h.active()
	if len(reward) > 0 {
		if !h.UsesAttributes() {
			out.RewardMarginC = t.scoreMargin()
		}
		for i, s := range reward {
			part := s.weighted(h, t, t.set.Reward[i])
			out.Reward = Add(out.Reward, part)
			if s.over == overLabels {
				out.LabelReward = Add(out.LabelReward, part)
			}
		}
		for _, r := range h.regularizers() {
			lossC := r.graph(t.chosen(in.ScoreS), t.rejected(in.ScoreS), in.WeightC)
			out.Reward = Add(out.Reward, Mul(ReduceAllSum(Mul(in.WeightC, lossC)), r.node(t.set)))
		}
		out.Total = Add(out.Total, Mul(out.Reward, in.RewardWeight))
	}
	if len(policy) > 0 {
		ratioS := in.LogpS
		if h.UsesReference() {
			ratioS = t.ratio()
		}
		out.LogRatioChosenC, out.LogRatioRejectedC = t.chosen(ratioS), t.rejected(ratioS)
		t.link = h.link(false)
		if h.UsesLabels() && h.UsesReference() {
			out.RatioS = t.ratio()
		}
		if h.UsesMismatched() {
			out.Point = ReferencePoint(t.ratio(), t.MismatchedS)
		}
		for i, s := range policy {
			part := s.weighted(h, t, t.set.Policy[i])
			out.Policy = Add(out.Policy, part)
			if s.over == overLabels {
				out.LabelPolicy = Add(out.LabelPolicy, part)
			}
		}
		out.Total = Add(out.Total, Mul(out.Policy, in.PolicyWeight))
	}
	return out
}

// weighted is the loss with its weight, a node of the graph, summed over the units of its kind by
// their weights.
func (s share) weighted(h Hybrid, t terms, by *Node) *Node {
	loss, weight := s.graph(h, t), t.WeightC
	switch {
	case s.over == overLabels:
		weight = t.LabelWeightS
	case s.over == overAttributes:
		weight = t.AttributeWeightSA
	case !s.ties:
		loss = Mul(loss, OneMinus(t.TieC))
	}
	if h.readsMargins(s.loss) && t.MarginWeightC != nil {
		weight = t.MarginWeightC
	}
	return Mul(ReduceAllSum(Mul(weight, loss)), by)
}

// A regularizer of the rewards, with its weight. Ties are regularized, too.
type regularizer struct {
	weight float64
	node   func(settings[*Node]) *Node // the weight in a graph
	graph  func(chosenC, rejectedC, weightC *Node) *Node
	value  func(chosen, rejected []float64) float64 // the mean
}

// regularizers lists those that have a weight.
func (h Hybrid) regularizers() []regularizer {
	type mean = func(chosen, rejected []float64) float64
	each := func(value func(chosen, rejected float64) float64) mean {
		return func(chosen, rejected []float64) float64 {
			total := 0.0
			for i := range chosen {
				total += value(chosen[i], rejected[i])
			}
			return total / max(1, float64(len(chosen)))
		}
	}
	all := []regularizer{
		{h.Center, func(s settings[*Node]) *Node { return s.Center },
			func(c, r, _ *Node) *Node { return Centring(c, r) }, each(CentringValue)},
		{h.L2, func(s settings[*Node]) *Node { return s.L2 },
			func(c, r, _ *Node) *Node { return RewardNorm(c, r) }, each(RewardNormValue)},
		{h.BatchSum, func(s settings[*Node]) *Node { return s.BatchSum }, BatchSum, BatchSumValue},
	}
	return slices.DeleteFunc(all, func(r regularizer) bool { return r.weight == 0 })
}

// Value is the float64 reference of [Hybrid.Loss] over the mean of the groups' comparisons, with
// the weights at the end of their schedule.
func (h Hybrid) Value(groups []Group) (total, reward, policy float64) {
	w, alpha := h.Final(h.RewardWeight, h.PolicyWeight)
	return h.value(groups, w, alpha)
}

func (h Hybrid) value(groups []Group, w, alpha float64) (total, reward, policy float64) {
	var chosen, rejected []float64
	for _, g := range groups {
		for _, c := range g.Comparisons {
			chosen, rejected = append(chosen, g.side(c.Chosen).score),
				append(rejected, g.side(c.Rejected).score)
		}
	}
	units := map[unit]int{
		overComparisons: len(chosen), overLabels: countLabels(groups), overAttributes: countRated(groups),
	}
	mean := func(s share, link Link) float64 {
		n := units[s.over]
		if h.readsMargins(s.loss) {
			n -= countNoMargin(groups)
		}
		return s.weight * s.sum(h, groups, link) / max(1, float64(n))
	}
	rewards, policies := h.active()
	for _, s := range rewards {
		reward += mean(s, h.link(true))
	}
	if len(rewards) > 0 {
		for _, r := range h.regularizers() {
			reward += r.weight * r.value(chosen, rejected)
		}
	}
	for _, s := range policies {
		policy += mean(s, h.link(false))
	}
	return w*reward + alpha*policy, reward, policy
}

// countNoMargin counts the comparisons without a margin.
func countNoMargin(groups []Group) int {
	n := 0
	for _, g := range groups {
		for _, c := range g.Comparisons {
			if c.NoMargin {
				n++
			}
		}
	}
	return n
}

// FirstLoss is the value that the loss must have at the first of this number of steps, when all
// scores are zero and the policy is the reference. It reads only the groups' numbers from the data.
// ok is false if the objective has no such value, because it depends on log π itself. For the
// paper's losses it is (w + α) ln 2.
func (h Hybrid) FirstLoss(groups []Group, steps int) (loss float64, ok bool) {
	_, policy := h.active()
	w, alpha := h.Weights(h.RewardWeight, h.PolicyWeight, 0, steps)
	if alpha != 0 && slices.ContainsFunc(policy, func(s share) bool { return s.absolute }) {
		return 0, false
	}
	fresh := make([]Group, len(groups))
	for i, g := range groups {
		zeros := make([]float64, len(g.Tokens))
		fresh[i] = g
		fresh[i].Scores, fresh[i].Logps, fresh[i].RefLogps, fresh[i].LogVars = zeros, zeros, zeros, nil
		fresh[i].Outputs = make([][]float64, len(g.Attributes))
		for k := range g.Attributes {
			fresh[i].Outputs[k] = make([]float64, len(g.Attributes[k]))
		}
	}
	loss, _, _ = h.value(fresh, w, alpha)
	return loss, !math.IsNaN(loss)
}

// Bounded reports whether the loss is always 0 or more. A lower value then shows an error in the
// data or the program. For example, a negative margin reverses the sign of a loss that is scaled by
// it.
func (h Hybrid) Bounded() bool { return !h.anyActive(func(l loss) bool { return l.unbounded }) }

// Plain reports whether the first loss is (w + α) ln 2 for all data, because both losses are
// negative log-likelihoods of comparisons alone.
func (h Hybrid) Plain() bool {
	return h.Kind == Constant && strings.TrimSpace(h.Reward) == "bradley-terry" &&
		strings.TrimSpace(h.Policy) == DPO
}
