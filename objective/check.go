package objective

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

func weight(x float64) bool { return x >= 0 && x < math.Inf(1) }

// Check returns an error that names the first setting out of range, or one that no chosen loss
// reads.
func (h Hybrid) Check() error {
	if !weight(h.RewardWeight) || !weight(h.PolicyWeight) || !h.UsesScore() && !h.UsesPolicy() {
		return fmt.Errorf("reward_weight is %g and policy_weight %g: neither may be negative, one must "+
			"be positive", h.RewardWeight, h.PolicyWeight)
	}
	reward, err := parseMix("reward", h.Reward, rewardLosses)
	if err != nil {
		return err
	}
	policy, err := parseMix("policy", h.Policy, policyLosses)
	if err != nil {
		return err
	}
	if err := h.checkRanges(); err != nil {
		return err
	}
	if err := h.link(true).Check(); err != nil {
		return err
	}
	if err := h.Schedule.Check(); err != nil {
		return err
	}
	if err := h.checkUses(slices.Concat(reward, policy)); err != nil {
		return err
	}
	return h.checkTogether(reward, policy)
}

func (h Hybrid) checkRanges() error {
	type setting struct {
		key   string
		value float64
	}
	for _, s := range []setting{{"beta", h.Beta}, {"margin", h.Margin}, {"eta", h.Eta},
		{"desirable_weight", h.DesirableWeight}, {"undesirable_weight", h.UndesirableWeight}} {
		if !positive(s.value) {
			return fmt.Errorf("%s is %g, want a positive number", s.key, s.value)
		}
	}
	for _, s := range []setting{{"smoothing", h.Smoothing}, {"noise_rate", h.NoiseRate}} {
		if !(s.value >= 0 && s.value < 0.5) {
			return fmt.Errorf("%s is %g, want a share of wrong labels from 0 to below 0.5", s.key,
				s.value)
		}
	}
	for _, s := range []setting{{"gamma", h.Gamma}, {"center", h.Center}, {"batch_sum", h.BatchSum},
		{"l2", h.L2}} {
		if !weight(s.value) {
			return fmt.Errorf("%s is %g, want 0 or more", s.key, s.value)
		}
	}
	sources := []string{ExplicitData, ExplicitScore, ExplicitJoint}
	switch {
	case !(h.TieRate > 0 && h.TieRate < 1):
		return fmt.Errorf("tie_rate is %g, want a probability between 0 and 1", h.TieRate)
	case !slices.Contains(sources, h.Explicit):
		return fmt.Errorf("explicit %q is not known: there are %s", h.Explicit,
			strings.Join(sources, ", "))
	}
	return nil
}

// checkUses refuses settings that were changed for nothing. A loss that is named but has no weight
// counts: the same recipe is run with other weights.
func (h Hybrid) checkUses(named []share) error {
	d := Default()
	changed := []struct {
		key string
		is  bool
		got any
	}{
		{"link", h.Link != d.Link, h.Link}, {"link_scale", h.LinkScale != d.LinkScale, h.LinkScale},
		{"learn_scale", h.LearnScale, h.LearnScale}, {"margin", h.Margin != d.Margin, h.Margin},
		{"gamma", h.Gamma != d.Gamma, h.Gamma},
		{"smoothing", h.Smoothing != 0, h.Smoothing}, {"noise_rate", h.NoiseRate != 0, h.NoiseRate},
		{"tie_rate", h.TieRate != d.TieRate, h.TieRate},
		{"eta", h.Eta != d.Eta, h.Eta}, {"explicit", h.Explicit != d.Explicit, h.Explicit},
		{"desirable_weight", h.DesirableWeight != d.DesirableWeight, h.DesirableWeight},
		{"undesirable_weight", h.UndesirableWeight != d.UndesirableWeight, h.UndesirableWeight},
	}
	for _, c := range changed {
		if c.is && !slices.ContainsFunc(named, func(s share) bool { return uses(s.loss, c.key) }) {
			return fmt.Errorf("%s is %v, but reward %q and policy %q do not read it: those that do are %s",
				c.key, c.got, h.Reward, h.Policy, readers(c.key))
		}
	}
	return nil
}

func uses(l loss, key string) bool { return slices.Contains(strings.Fields(l.uses), key) }

// readers names the losses that read a setting.
func readers(key string) string {
	var parts []string
	for head, table := range map[string][]loss{"reward": rewardLosses, "policy": policyLosses} {
		of := slices.DeleteFunc(slices.Clone(table), func(l loss) bool { return !uses(l, key) })
		if len(of) > 0 {
			parts = append(parts, head+" "+namesOf(of))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// checkTogether refuses settings that exclude each other.
func (h Hybrid) checkTogether(reward, policy []share) error {
	if err := h.checkRegression(reward, policy); err != nil {
		return err
	}
	wantsScore := slices.ContainsFunc(policy, func(s share) bool { return s.explicit }) &&
		h.Explicit != ExplicitData
	switch {
	case h.UsesPolicy() && wantsScore && !h.UsesScore():
		return fmt.Errorf("explicit is %q but reward_weight is 0: the score head that policy %q is "+
			"drawn to would not be trained", h.Explicit, h.Policy)
	case (h.Kind == Alternate || h.Kind == Elastic) && (!h.UsesScore() || !h.UsesPolicy()):
		return fmt.Errorf("schedule %q alternates two losses, but reward_weight is %g and policy_weight "+
			"%g: both must be positive", h.Kind, h.RewardWeight, h.PolicyWeight)
	case h.Kind == Complement && h.PolicyWeight > 1:
		return fmt.Errorf(
			"schedule is complement, 1 − α and α, but policy_weight is %g: want at most 1",
			h.PolicyWeight)
	case h.Kind == Ramp && !h.UsesPolicy():
		return fmt.Errorf("schedule is ramp, but policy_weight, where it leads, is 0: give it a " +
			"positive one")
	}
	return nil
}

// checkRegression refuses what reads one reward of a score head that has an output for each
// attribute.
func (h Hybrid) checkRegression(reward, policy []share) error {
	ofAttributes := func(s share) bool { return s.over == overAttributes }
	if !h.UsesScore() || !slices.ContainsFunc(reward, ofAttributes) {
		return nil
	}
	readsScore := func(s share) bool { return s.explicit && h.Explicit != ExplicitData }
	switch {
	case len(reward) > 1:
		return fmt.Errorf("reward is %q: regression gives the score head an output for each attribute, "+
			"the other losses read one reward: name it alone", h.Reward)
	case len(h.regularizers()) > 0:
		return fmt.Errorf("reward is regression, which states the rewards themselves: center, l2 and " +
			"batch_sum have nothing to draw them to, leave them 0")
	case h.UsesPolicy() && slices.ContainsFunc(policy, readsScore):
		return fmt.Errorf("explicit is %q, but reward is regression: its score head has an output for "+
			"each attribute and not one reward: set explicit to data", h.Explicit)
	}
	return nil
}
