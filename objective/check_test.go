package objective_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"haf/objective"
)

// TestCheck has what is refused, and what the message says.
func TestCheck(t *testing.T) {
	for name, h := range cases() {
		// cases sets all settings at once
		if err := h.Check(); err != nil && !strings.Contains(err.Error(), "do not read it") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := objective.Default().Check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*objective.Hybrid){
		`policy loss "ppo" is not known: there are dpo, dpo-free,`:                                                                     func(h *objective.Hybrid) { h.Policy = "ppo" },
		`reward loss "bt" is not known: there are bradley-terry, margin,`:                                                              func(h *objective.Hybrid) { h.Reward = "bt" },
		`policy is "dpo +", want a loss, or several with weights as in "dpo + 0.1 dpo-free"`:                                           func(h *objective.Hybrid) { h.Policy = "dpo +" },
		`policy is "dpo + dpo": dpo stands in it twice`:                                                                                func(h *objective.Hybrid) { h.Policy = "dpo + dpo" },
		`the weight "-1" is no positive number`:                                                                                        func(h *objective.Hybrid) { h.Policy = "dpo + -1 sft" },
		`link "normal" is not known: there are logistic, gaussian, laplace, cauchy, student-t`:                                         func(h *objective.Hybrid) { h.Link = "normal" },
		`link_df is 0, want 0.5 to 100`:                                                                                                func(h *objective.Hybrid) { h.Link, h.LinkDF = "student-t", 0 },
		`schedule "step" is not known: there are constant, ramp, alternate, complement, elastic`:                                       func(h *objective.Hybrid) { h.Kind = "step" },
		`smoothing is 0.1, but reward "bradley-terry" and policy "dpo" do not read it: those that do are policy cdpo; reward smoothed`: func(h *objective.Hybrid) { h.Smoothing = 0.1 },
		`link_scale is 2, but reward "hinge"`:                                                                                          func(h *objective.Hybrid) { h.Reward, h.LinkScale = "hinge", 2 },
		`noise_rate is 0.5, want a share of wrong labels`:                                                                              func(h *objective.Hybrid) { h.Reward, h.NoiseRate = "robust", 0.5 },
		`explicit "judge" is not known: there are data, score, joint`:                                                                  func(h *objective.Hybrid) { h.Policy, h.Explicit = "rpo-sq", "judge" },
		`the score head that policy "rpo-sq" is drawn to would not be trained`:                                                         func(h *objective.Hybrid) { h.RewardWeight, h.Policy, h.Explicit = 0, "rpo-sq", "score" },
		`schedule "alternate" alternates two losses`:                                                                                   func(h *objective.Hybrid) { h.PolicyWeight, h.Kind = 0, "alternate" },
		`beta is 0, want a positive number`:                                                                                            func(h *objective.Hybrid) { h.Beta = 0 },
		`undesirable_weight is 2, but reward "bce" and policy "dpo" do not read it: those that do are policy kto, apo-zero`: func(h *objective.Hybrid) {
			h.Reward, h.UndesirableWeight = "bce", 2
		},
		`desirable_weight is 0, want a positive number`: func(h *objective.Hybrid) {
			h.Policy,
				h.DesirableWeight = "kto", 0
		},
		`regression gives the score head an output for each`: func(h *objective.Hybrid) {
			h.Reward = "bradley-terry + regression"
		},
		`center, l2 and batch_sum have nothing to draw them to`: func(h *objective.Hybrid) {
			h.Reward,
				h.L2 = "regression", 1
		},
		`explicit is "score", but reward is regression`: func(h *objective.Hybrid) {
			h.Reward, h.Policy,
				h.Explicit = "regression", "rpo-sq", "score"
		},
		`neither may be negative, one must be positive`: func(h *objective.Hybrid) {
			h.RewardWeight,
				h.PolicyWeight = 0, 0
		},
	} {
		h := with(change)
		if err := h.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestUses has what each objective asks of data and reference.
func TestUses(t *testing.T) {
	for _, c := range []struct {
		reward, policy                    string
		reference, ties, margins, targets bool
	}{
		{"bradley-terry", "dpo", true, false, false, false}, {"margin", "sft", false, false, true, false},
		{"davidson", "simpo", false, true, false, false},
		{"scaled + rao-kupper", "slic", false, true, true, false},
		{"hinge", "rpo-sq + sft", true, false, true, false}, {"hinge", "rpo-sq-group", true, false, false,
			true},
	} {
		h := with(func(h *objective.Hybrid) { h.Reward, h.Policy = c.reward, c.policy })
		if h.UsesReference() != c.reference || h.UsesTies() != c.ties || h.UsesMargins() != c.margins ||
			h.UsesTargets() != c.targets {
			t.Errorf("%s and %s: reference %v, ties %v, margins %v, targets %v", c.reward, c.policy,
				h.UsesReference(), h.UsesTies(), h.UsesMargins(), h.UsesTargets())
		}
		h.PolicyWeight = 0
		if h.UsesReference() || h.UsesTargets() {
			t.Errorf("%s: a policy loss without weight asks for something", c.policy)
		}
	}
}

// TestBounded draws values at random: a loss that is called bounded is never negative, and the
// others are so for some.
func TestBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 0))
	set := map[string]func(h *objective.Hybrid, name string){
		objective.RewardLosses(): func(h *objective.Hybrid, name string) {
			h.Reward,
				h.PolicyWeight = name, 0
		},
		objective.PolicyLosses(): func(h *objective.Hybrid, name string) {
			h.Policy,
				h.RewardWeight = name, 0
		},
	}
	for names, choose := range set {
		for _, name := range strings.Split(names, ", ") {
			h := with(func(h *objective.Hybrid) { choose(h, name); h.NoiseRate, h.Smoothing = 0.2, 0.1 })
			least := math.Inf(1)
			for i := range 200 {
				groups := newGroups(random, float64(1+i%10))
				for _, g := range groups {
					for k := range g.Logps { // of probabilities
						g.Logps[k], g.RefLogps[k] = min(0, g.Logps[k]), min(0, g.RefLogps[k])
					}
				}
				loss, _, _ := h.Value(groups)
				least = math.Min(least, loss)
			}
			if h.Bounded() != (least > -1e-9) {
				t.Errorf("%s: bounded %v, but the least value is %g", name, h.Bounded(), least)
			}
		}
	}
}

// TestUsesOfSingles has what the losses of single responses ask for.
func TestUsesOfSingles(t *testing.T) {
	for _, c := range []struct {
		reward, policy                                         string
		comparisons, labels, attributes, mismatched, reference bool
	}{
		{"bradley-terry", "dpo", true, false, false, false, true},
		{"bce", "kto", false, true, false, true, true},
		{"bce", "apo-zero", false, true, false, false, true},
		{"bradley-terry + bce", "sft", true, true, false, false, false},
		{"regression", "dpo", true, false, true, false, true},
	} {
		h := with(func(h *objective.Hybrid) { h.Reward, h.Policy = c.reward, c.policy })
		got := []bool{h.UsesComparisons(), h.UsesLabels(), h.UsesAttributes(), h.UsesMismatched(),
			h.UsesReference()}
		want := []bool{c.comparisons, c.labels, c.attributes, c.mismatched, c.reference}
		if !slices.Equal(got, want) {
			t.Errorf("%s and %s: comparisons, labels, attributes, mismatched, reference are %v, want %v",
				c.reward, c.policy, got, want)
		}
	}
}
