package objective

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
)

// A loss is a row of the tables below: a name, what it needs, the graph, and the float64 reference.
type loss struct {
	name string
	uses string // its settings, by their keys in a recipe
	// What it reads beside the rewards or log-probabilities.
	reference bool // π_ref
	margins   bool // the margins that the data states
	variances bool // the variance head
	ties      bool // comparisons that are ties; other losses leave them out
	explicit  bool // the explicit rewards that Hybrid.Explicit names
	group     bool // all responses of a group at once
	absolute  bool // log π itself, so that its first value is not known before
	unbounded bool // may be negative; all others are 0 or more

	over       unit // what it is a mean over
	mismatched bool // responses to other prompts, see ReferencePoint

	graph func(h Hybrid, t terms) *Node // [C], [S] of labels, [S, A] of attributes
	value func(h Hybrid, p pair) float64
	// labelValue, of a loss over labels, is the float64 reference of one response.
	labelValue func(h Hybrid, r labelled) float64
	// batch, where value is nil, is the float64 reference's sum over the comparisons of all groups.
	batch func(h Hybrid, groups []Group) float64
}

// A unit is what a loss is a mean over.
type unit int

const (
	overComparisons unit = iota
	overLabels           // labelled responses
	overAttributes       // responses whose attributes are stated
)

const labelWeights = "desirable_weight undesirable_weight"

const linked = "link link_scale link_df learn_scale"

var rewardLosses = []loss{
	{name: "bradley-terry", uses: linked,
		graph: func(h Hybrid, t terms) *Node { return BradleyTerry(t.scoreMargin(), t.link) },
		value: func(h Hybrid, p pair) float64 { return BradleyTerryValue(p.scoreMargin(), p.link) }},
	{name: "margin", uses: linked, margins: true,
		graph: func(h Hybrid, t terms) *Node { return Margin(t.scoreMargin(), t.MarginC, t.link) },
		value: func(h Hybrid, p pair) float64 { return MarginValue(p.scoreMargin(), p.margin, p.link) }},
	{name: "scaled", uses: linked, margins: true,
		graph: func(h Hybrid, t terms) *Node { return Scaled(t.scoreMargin(), t.MarginC, t.link) },
		value: func(h Hybrid, p pair) float64 { return ScaledValue(p.scoreMargin(), p.margin, p.link) }},
	{name: "smoothed", uses: linked + " smoothing",
		graph: func(h Hybrid, t terms) *Node {
			return Smoothed(t.scoreMargin(), t.set.Smoothing, t.link)
		},
		value: func(h Hybrid, p pair) float64 {
			return SmoothedValue(p.scoreMargin(), h.Smoothing, p.link)
		}},
	{name: "robust", uses: linked + " noise_rate", unbounded: true,
		graph: func(h Hybrid, t terms) *Node { return Robust(t.scoreMargin(), t.set.NoiseRate, t.link) },
		value: func(h Hybrid, p pair) float64 {
			return RobustValue(p.scoreMargin(), h.NoiseRate, p.link)
		}},
	{name: "hinge", uses: "margin",
		graph: func(h Hybrid, t terms) *Node { return Hinge(t.scoreMargin(), t.set.Margin) },
		value: func(h Hybrid, p pair) float64 { return HingeValue(p.scoreMargin(), h.Margin) }},
	{name: "norm-bt", uses: linked,
		graph: func(h Hybrid, t terms) *Node {
			return Normalized(t.chosen(t.ScoreS), t.rejected(t.ScoreS), t.link)
		},
		value: func(h Hybrid, p pair) float64 {
			return NormalizedValue(p.chosen.score, p.rejected.score, p.link)
		}},
	{name: "eurus", uses: linked,
		graph: func(h Hybrid, t terms) *Node {
			return Eurus(t.chosen(t.ScoreS), t.rejected(t.ScoreS), t.link)
		},
		value: func(h Hybrid, p pair) float64 {
			return EurusValue(p.chosen.score, p.rejected.score, p.link)
		}},
	{name: "uncertain", uses: linked, variances: true,
		graph: func(h Hybrid, t terms) *Node {
			return Uncertain(t.scoreMargin(), t.chosen(t.LogVarS), t.rejected(t.LogVarS), t.link)
		},
		value: func(h Hybrid, p pair) float64 {
			return UncertainValue(p.scoreMargin(), p.chosen.logVar, p.rejected.logVar, p.link)
		}},
	{name: "plackett-luce",
		graph: func(h Hybrid, t terms) *Node {
			return PlackettLuce(t.ScoreS, t.ChosenC, t.RejectedC, t.validC)
		},
		batch: func(h Hybrid, groups []Group) float64 {
			return overGroups(groups, func(g Group) float64 {
				var all [][2]int
				for _, c := range g.decided() {
					all = append(all, [2]int{c.Chosen, c.Rejected})
				}
				return PlackettLuceValue(g.Scores, all)
			})
		}},
	{name: "rao-kupper", uses: "tie_rate", ties: true,
		graph: func(h Hybrid, t terms) *Node { return RaoKupper(t.scoreMargin(), t.TieC, h.TieRate) },
		value: func(h Hybrid, p pair) float64 {
			return RaoKupperValue(p.scoreMargin(), p.tie, h.TieRate)
		}},
	{name: "davidson", uses: "tie_rate", ties: true,
		graph: func(h Hybrid, t terms) *Node { return Davidson(t.scoreMargin(), t.TieC, h.TieRate) },
		value: func(h Hybrid, p pair) float64 {
			return DavidsonValue(p.scoreMargin(), p.tie, h.TieRate)
		}},
	{name: "bce", uses: linked, over: overLabels,
		graph: func(h Hybrid, t terms) *Node {
			return BinaryCrossEntropy(t.ScoreS, t.LabelS, t.link)
		},
		labelValue: func(h Hybrid, r labelled) float64 {
			return BinaryCrossEntropyValue(r.score, r.label, r.link)
		}},
	{name: Regression, over: overAttributes,
		graph: func(h Hybrid, t terms) *Node { return SquaredError(t.outputs(), t.AttributeSA) },
		batch: regressionSum},
}

// DPO is the paper's policy loss. SFT is the one that needs neither a reference nor preferences.
// Regression is the reward loss of a score head with an output for each attribute.
const (
	DPO        = "dpo"
	SFT        = "sft"
	Regression = "regression"
)

var policyLosses = []loss{
	{name: DPO, uses: "link link_df", reference: true,
		graph: func(h Hybrid, t terms) *Node { return DirectPreference(t.h(), t.set.Beta, t.link) },
		value: func(h Hybrid, p pair) float64 { return DirectPreferenceValue(p.h(), h.Beta, p.link) }},
	{name: "dpo-free", uses: "link link_df", absolute: true,
		graph: func(h Hybrid, t terms) *Node {
			return DirectPreference(t.difference(t.LogpS), t.set.Beta, t.link)
		},
		value: func(h Hybrid, p pair) float64 {
			return DirectPreferenceValue(p.chosen.logp-p.rejected.logp, h.Beta, p.link)
		}},
	{name: "dpo-norm", uses: "link link_df", reference: true,
		graph: func(h Hybrid, t terms) *Node {
			return DirectPreference(t.difference(t.mean(t.ratio())), t.set.Beta, t.link)
		},
		value: func(h Hybrid, p pair) float64 {
			return DirectPreferenceValue(
				p.chosen.ratio()/p.chosen.tokens-p.rejected.ratio()/p.rejected.tokens, h.Beta, p.link)
		}},
	{name: "cdpo", uses: "link link_df smoothing", reference: true,
		graph: func(h Hybrid, t terms) *Node {
			return Smoothed(Mul(t.h(), t.set.Beta), t.set.Smoothing, t.link)
		},
		value: func(h Hybrid, p pair) float64 {
			return SmoothedValue(h.Beta*p.h(), h.Smoothing, p.link)
		}},
	{name: "robust", uses: "link link_df noise_rate", reference: true, unbounded: true,
		graph: func(h Hybrid, t terms) *Node {
			return Robust(Mul(t.h(), t.set.Beta), t.set.NoiseRate, t.link)
		},
		value: func(h Hybrid, p pair) float64 { return RobustValue(h.Beta*p.h(), h.NoiseRate, p.link) }},
	{name: "hinge", uses: "margin", reference: true,
		graph: func(h Hybrid, t terms) *Node { return Hinge(Mul(t.h(), t.set.Beta), t.set.Margin) },
		value: func(h Hybrid, p pair) float64 { return HingeValue(h.Beta*p.h(), h.Margin) }},
	{name: "ipo", reference: true,
		graph: func(h Hybrid, t terms) *Node { return IdentityPreference(t.h(), t.set.Beta) },
		value: func(h Hybrid, p pair) float64 { return IdentityPreferenceValue(p.h(), h.Beta) }},
	{name: "ipo-sqrt", reference: true,
		graph: func(h Hybrid, t terms) *Node { return IdentityPreferenceSqrt(t.h(), t.set.Beta) },
		value: func(h Hybrid, p pair) float64 { return IdentityPreferenceSqrtValue(p.h(), h.Beta) }},
	{name: "ipo-full", reference: true,
		graph: func(h Hybrid, t terms) *Node { return IdentityPreferenceFull(t.h(), t.set.Beta) },
		value: func(h Hybrid, p pair) float64 { return IdentityPreferenceFullValue(p.h(), h.Beta) }},
	// The rank calibration of SLiC-HF (arXiv 2305.10425, equation 1) without its regularizer, which "+
	// 0.1 sft" adds.
	{name: "slic", uses: "margin", absolute: true,
		graph: func(h Hybrid, t terms) *Node {
			return Hinge(Mul(t.difference(t.LogpS), t.set.Beta), t.set.Margin)
		},
		value: func(h Hybrid, p pair) float64 {
			return HingeValue(h.Beta*(p.chosen.logp-p.rejected.logp), h.Margin)
		}},
	{name: SFT, absolute: true,
		graph: func(h Hybrid, t terms) *Node {
			return Supervised(t.chosen(t.LogpS), MaxScalar(t.chosen(t.TokensS), 1.0))
		},
		value: func(h Hybrid, p pair) float64 { return SupervisedValue(p.chosen.logp, p.chosen.tokens) }},
	{name: "sft-sum", absolute: true,
		graph: func(h Hybrid, t terms) *Node { return SupervisedSum(t.chosen(t.LogpS)) },
		value: func(h Hybrid, p pair) float64 { return SupervisedSumValue(p.chosen.logp) }},
	{name: "simpo", uses: "link link_df gamma", absolute: true,
		graph: func(h Hybrid, t terms) *Node {
			return SimplePreference(t.difference(t.mean(t.LogpS)), t.set.Beta, t.set.Gamma, t.link)
		},
		value: func(h Hybrid, p pair) float64 {
			return SimplePreferenceValue(p.chosen.logp/p.chosen.tokens-p.rejected.logp/p.rejected.tokens,
				h.Beta, h.Gamma, p.link)
		}},
	{name: "kto-pair", reference: true,
		graph: func(h Hybrid, t terms) *Node {
			return PairKTO(t.chosen(t.ratio()), t.rejected(t.ratio()), Mul(t.WeightC, t.validC),
				t.set.Beta)
		},
		batch: func(h Hybrid, groups []Group) float64 {
			var chosen, rejected []float64
			for _, p := range decidedPairs(groups) {
				chosen, rejected = append(chosen, p.chosen.ratio()), append(rejected, p.rejected.ratio())
			}
			if len(chosen) == 0 {
				return 0
			}
			return float64(len(chosen)) * PairKTOValue(chosen, rejected, h.Beta)
		}},
	{name: "dpo-rao-kupper", uses: "tie_rate", reference: true, ties: true,
		graph: func(h Hybrid, t terms) *Node {
			return RaoKupper(Mul(t.h(), t.set.Beta), t.TieC, h.TieRate)
		},
		value: func(h Hybrid, p pair) float64 { return RaoKupperValue(h.Beta*p.h(), p.tie, h.TieRate) }},
	{name: "dpo-davidson", uses: "tie_rate", reference: true, ties: true,
		graph: func(h Hybrid, t terms) *Node {
			return Davidson(Mul(t.h(), t.set.Beta), t.TieC, h.TieRate)
		},
		value: func(h Hybrid, p pair) float64 { return DavidsonValue(h.Beta*p.h(), p.tie, h.TieRate) }},
	{name: "kto", uses: labelWeights, reference: true, over: overLabels, mismatched: true,
		graph: func(h Hybrid, t terms) *Node {
			return KahnemanTversky(t.ratio(), t.point(), t.LabelS, t.set.Beta, t.set.DesirableWeight,
				t.set.UndesirableWeight)
		},
		labelValue: func(h Hybrid, r labelled) float64 {
			return KahnemanTverskyValue(r.ratio(), r.point, r.label, h.Beta, h.DesirableWeight,
				h.UndesirableWeight)
		}},
	{name: "apo-zero", uses: labelWeights, reference: true, over: overLabels,
		graph: func(h Hybrid, t terms) *Node {
			return KahnemanTversky(t.ratio(), ZerosLike(t.RefS), t.LabelS, t.set.Beta,
				t.set.DesirableWeight, t.set.UndesirableWeight)
		},
		labelValue: func(h Hybrid, r labelled) float64 {
			return KahnemanTverskyValue(r.ratio(), 0, r.label, h.Beta, h.DesirableWeight,
				h.UndesirableWeight)
		}},
	rewardAware("rpo-sq", squared), rewardAware("rpo-bwd-kl", backward),
	rewardAware("rpo-fwd-kl", forward),
	rewardAwareGroup("rpo-sq-group", squared), rewardAwareGroup("rpo-bwd-kl-group", backward),
	rewardAwareGroup("rpo-fwd-kl-group", forward),
}

func rewardAware(name, distance string) loss {
	return loss{name: name, uses: "eta explicit", reference: true, explicit: true,
		graph: func(h Hybrid, t terms) *Node {
			explicitC := t.MarginC
			if h.Explicit != ExplicitData {
				explicitC = h.stopped(t.scoreMargin())
			}
			return RewardAware(Mul(t.h(), t.set.Beta), Mul(explicitC, t.set.Eta), distance)
		},
		value: func(h Hybrid, p pair) float64 {
			explicit := p.margin
			if h.Explicit != ExplicitData {
				explicit = p.scoreMargin()
			}
			return RewardAwareValue(h.Beta*p.h(), h.Eta*explicit, distance)
		}}
}

func rewardAwareGroup(name, distance string) loss {
	return loss{name: name, uses: "eta explicit", reference: true, explicit: true, group: true,
		graph: func(h Hybrid, t terms) *Node {
			explicitS := t.TargetS
			if h.Explicit != ExplicitData {
				explicitS = h.stopped(t.ScoreS)
			}
			return RewardAwareGroup(Mul(t.ratio(), t.set.Beta), Mul(explicitS, t.set.Eta), t.GroupS,
				t.ChosenC, t.validC, distance)
		},
		batch: func(h Hybrid, groups []Group) float64 {
			return overGroups(groups, func(g Group) float64 {
				if len(g.decided()) == 0 {
					return 0
				}
				implicit, explicit := make([]float64, len(g.Logps)), make([]float64, len(g.Logps))
				for k := range implicit {
					s := g.side(k)
					implicit[k], explicit[k] = h.Beta*s.ratio(), h.Eta*s.score
					if h.Explicit == ExplicitData {
						explicit[k] = h.Eta * g.Targets[k]
					}
				}
				return RewardAwareGroupValue(implicit, explicit, distance)
			})
		}}
}

func overGroups(groups []Group, value func(Group) float64) float64 {
	total := 0.0
	for _, g := range groups {
		total += value(g)
	}
	return total
}

// decided lists a group's comparisons that are no ties.
func (g Group) decided() []Comparison {
	var out []Comparison
	for _, c := range g.Comparisons {
		if !c.Tie {
			out = append(out, c)
		}
	}
	return out
}

func decidedPairs(groups []Group) []pair {
	var out []pair
	for _, g := range groups {
		for _, c := range g.decided() {
			out = append(out, g.pair(c, Link{}))
		}
	}
	return out
}

// sum is the float64 reference of the loss, summed over the comparisons of all groups.
func (l loss) sum(h Hybrid, groups []Group, link Link) float64 {
	if l.batch != nil {
		return l.batch(h, groups)
	}
	if l.over == overLabels {
		return l.labelSum(h, groups, link)
	}
	return overGroups(groups, func(g Group) float64 {
		total := 0.0
		for _, c := range g.Comparisons {
			if (!c.Tie || l.ties) && !(c.NoMargin && h.readsMargins(l)) {
				total += l.value(h, g.pair(c, link))
			}
		}
		return total
	})
}

// A share is a loss with its weight in a mix.
type share struct {
	loss
	weight float64
}

// parseMix reads what a recipe says of a head's losses: "dpo", or several with weights as in "dpo +
// 0.1 sft".
func parseMix(key, mix string, table []loss) ([]share, error) {
	var out []share
	for term := range strings.SplitSeq(mix, "+") {
		words := strings.Fields(strings.ReplaceAll(term, "*", " "))
		weight := 1.0
		if len(words) == 2 {
			var err error
			if weight, err = strconv.ParseFloat(words[0], 64); err != nil || !positive(weight) {
				return nil, fmt.Errorf("%s is %q: the weight %q is no positive number", key, mix, words[0])
			}
			words = words[1:]
		}
		if len(words) != 1 {
			return nil, fmt.Errorf(
				`%s is %q, want a loss, or several with weights as in "%s + 0.1 %s": there are %s`, key, mix,
				table[0].name, table[1].name, namesOf(table))
		}
		i := slices.IndexFunc(table, func(l loss) bool { return l.name == words[0] })
		if i < 0 {
			return nil, fmt.Errorf("%s loss %q is not known: there are %s", key, words[0], namesOf(table))
		}
		if slices.ContainsFunc(out, func(s share) bool { return s.name == words[0] }) {
			return nil, fmt.Errorf("%s is %q: %s stands in it twice", key, mix, words[0])
		}
		out = append(out, share{table[i], weight})
	}
	return out, nil
}

func namesOf(table []loss) string {
	names := make([]string, len(table))
	for i, l := range table {
		names[i] = l.name
	}
	return strings.Join(names, ", ")
}

// RewardLosses names the losses of the score head, PolicyLosses those of the policy head.
func RewardLosses() string { return namesOf(rewardLosses) }

// PolicyLosses names the losses of the policy head.
func PolicyLosses() string { return namesOf(policyLosses) }
