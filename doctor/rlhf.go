package doctor

import "haf/run"

// checkOptimization examines the steps of haf rlhf.
func (r *Report) checkOptimization(steps []run.PolicyStep) {
	r.checked("KL", klOf(steps)...)
	r.checked("equal rewards", equalRewards(steps)...)
	r.checked("truncated answers", truncated(steps)...)
	r.checked("reward drift", drift(steps)...)
}

// klOf finds a negative mean KL, which samples of the policy cannot have, and a policy that has
// moved far from its reference.
func klOf(steps []run.PolicyStep) []Finding {
	if len(steps) < 10 {
		return nil
	}
	last := steps[len(steps)-len(steps)/5-1:]
	switch kl := median(last, func(s run.PolicyStep) float64 { return s.KL }); {
	case kl < -0.1:
		return []Finding{problem("sample at temperature 1 without top-p and top-k, or compare with the "+
			"sampled distribution", "the KL from the reference is %.3g nats of a response at the end, "+
			"and a mean KL is not negative: the responses are not samples of the policy", kl)}
	case kl > 50:
		return []Finding{warning("raise rlhf.kl_coefficient, or make fewer steps",
			"the KL from the reference is "+
				"%.3g nats of a response at the end: the reward model sees texts unlike its training", kl)}
	}
	return nil
}

// equalRewards finds steps in which all responses had equal rewards.
func equalRewards(steps []run.PolicyStep) []Finding {
	equal := 0
	for _, s := range steps {
		if s.Std == 0 {
			equal++
		}
	}
	if 10*equal > len(steps) {
		return []Finding{problem("score two different responses by hand: haf score",
			"all rewards are equal in %d of %d steps: the policy learns nothing there", equal, len(steps))}
	}
	return nil
}

// truncated finds responses that mostly reach the length limit.
func truncated(steps []run.PolicyStep) []Finding {
	if len(steps) == 0 {
		return nil
	}
	last := steps[len(steps)-len(steps)/5-1:]
	if ended := median(last, func(s run.PolicyStep) float64 { return s.EOSRate }); ended < 0.5 {
		return []Finding{warning("raise rlhf.max_tokens, or set rlhf.missing_eos_penalty",
			"only %.0f %% of the responses end before the limit", 100*ended)}
	}
	return nil
}

// drift finds a reward that rises while responses grow, usually because the reward model prefers
// long responses.
func drift(steps []run.PolicyStep) []Finding {
	if len(steps) < 20 {
		return nil
	}
	fifth := len(steps) / 5
	first, last := steps[:fifth], steps[len(steps)-fifth:]
	length := func(list []run.PolicyStep) float64 {
		return median(list, func(s run.PolicyStep) float64 { return s.Length })
	}
	reward := func(list []run.PolicyStep) float64 {
		return median(list, func(s run.PolicyStep) float64 { return s.Reward })
	}
	if reward(last) > reward(first) && length(last) > 2*length(first) {
		return []Finding{warning("measure how much the reward depends on length with: haf eval",
			"the reward rose from %.3g to %.3g while responses grew from %.0f to %.0f tokens",
			reward(first), reward(last), length(first), length(last))}
	}
	return nil
}
