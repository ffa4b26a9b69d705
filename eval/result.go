// Package eval measures rewards: how often the preferred response has the higher reward, by how
// much, how well σ(margin) is calibrated, the influence of length, and the uncertainty of each
// number.
//
// The unit of resampling is the prompt. Comparisons that share a prompt are not independent, and
// treating them as independent would make every interval too narrow.
package eval

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"

	"haf/pref"
)

// A Result has the measures of rewards on comparisons. A comparison's margin is m = r_chosen −
// r_rejected, and σ(m) is the model's probability of the stated preference (Bradley and Terry
// 1952). Every mean is over comparisons, each with weight 1. A rate without comparisons is 0.
type Result struct {
	Groups      int `json:"groups"`
	Prompts     int `json:"prompts"`     // distinct ones, the unit of resampling
	Comparisons int `json:"comparisons"` // n
	Correct     int `json:"correct"`     // m > 0
	Ties        int `json:"ties"`        // m = 0

	Accuracy     float64 `json:"accuracy"`     // (Correct + Ties/2) / n
	AccuracyLow  float64 `json:"accuracy_low"` // 95 % interval; see bootstrap
	AccuracyHigh float64 `json:"accuracy_high"`
	// StandardError is that of the accuracy, clustered by prompt; see clusteredError. If all prompts
	// agree, it would be 0, so it is the half-width of the Wilson interval over 1.96.
	StandardError float64 `json:"standard_error"`

	Margin    float64 `json:"margin"`     // mean of m
	MarginStd float64 `json:"margin_std"` // sample standard deviation of m, 0 for one comparison

	LogLikelihood float64 `json:"log_likelihood"` // mean of log σ(m), nats; −ln 2 for constant rewards
	// mean of (1 − σ(m))² (Brier 1950); ¼ for constant rewards
	Brier float64 `json:"brier"`
	ECE   float64 `json:"ece"` // see calibrationError

	// comparisons whose chosen response has more bytes
	ChosenLonger  int `json:"chosen_longer"`
	ChosenShorter int `json:"chosen_shorter"` // … fewer bytes
	// ChosenLonger / (ChosenLonger + ChosenShorter)
	ChosenLongerRate float64 `json:"chosen_longer_rate"`
	// of the same comparisons, how often the longer response has the higher reward; a tie counts half
	RewardLongerRate float64 `json:"reward_longer_rate"`
	AccuracyLonger   float64 `json:"accuracy_longer"` // on the ChosenLonger comparisons
	// on the ChosenShorter ones; far below AccuracyLonger means length bias
	AccuracyShorter float64 `json:"accuracy_shorter"`

	RewardMean float64 `json:"reward_mean"` // over all responses
	RewardStd  float64 `json:"reward_std"`  // sample standard deviation, 0 for one response
}

// Comparisons measures rewards against the comparisons of groups: rewards[g][k] is the reward of
// response k of group g. It is an error when the shapes differ, a reward is not finite, a
// comparison names a response that is not there, or there is no comparison at all.
func Comparisons(groups []pref.Group, rewards [][]float64) (Result, error) {
	if err := checkGroups(groups); err != nil {
		return Result{}, err
	}
	if err := checkRewards(groups, rewards, 0); err != nil {
		return Result{}, fmt.Errorf("eval: %w", err)
	}
	r := Result{Groups: len(groups)}
	clusters := newClusters(groups)
	var margins, all []float64
	var longer, shorter, toLonger float64 // credits
	for g, group := range groups {
		all = append(all, rewards[g]...)
		for _, c := range group.Comparisons {
			m := rewards[g][c.Chosen] - rewards[g][c.Rejected]
			credit := creditOf(m)
			margins = append(margins, m)
			clusters.add(g, credit)
			switch credit {
			case 1:
				r.Correct++
			case 0.5:
				r.Ties++
			}
			switch d := len(group.Responses[c.Chosen]) - len(group.Responses[c.Rejected]); {
			case d > 0:
				r.ChosenLonger++
				longer += credit
				toLonger += credit
			case d < 0:
				r.ChosenShorter++
				shorter += credit
				toLonger += 1 - credit
			}
		}
	}
	r.Prompts, r.Comparisons = clusters.len(), len(margins)
	r.Accuracy = (float64(r.Correct) + float64(r.Ties)/2) / float64(r.Comparisons)
	r.StandardError = clusters.clusteredError()
	var flat bool
	r.AccuracyLow, r.AccuracyHigh, flat = clusters.bootstrap()
	if flat {
		r.AccuracyLow, r.AccuracyHigh = wilson(r.Accuracy, float64(r.Prompts))
		r.StandardError = (r.AccuracyHigh - r.AccuracyLow) / 2 / z95
	}
	r.Margin, r.MarginStd = meanStd(margins)
	r.RewardMean, r.RewardStd = meanStd(all)
	r.LogLikelihood, r.Brier, r.ECE = logLikelihood(margins), brier(margins), calibrationError(margins)
	r.ChosenLongerRate = ratio(float64(r.ChosenLonger), r.ChosenLonger+r.ChosenShorter)
	r.RewardLongerRate = ratio(toLonger, r.ChosenLonger+r.ChosenShorter)
	r.AccuracyLonger = ratio(longer, r.ChosenLonger)
	r.AccuracyShorter = ratio(shorter, r.ChosenShorter)
	return r, nil
}

// creditOf a margin: 1 right, 0 wrong, ½ a tie.
func creditOf(m float64) float64 {
	switch {
	case m > 0:
		return 1
	case m < 0:
		return 0
	}
	return 0.5
}

func ratio(sum float64, n int) float64 {
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

func meanStd(x []float64) (mean, std float64) {
	mean, std = stat.MeanStdDev(x, nil)
	if len(x) < 2 { // gonum divides by n − 1
		std = 0
	}
	return mean, std
}

// checkGroups looks for what a hand-made group can have wrong, before rewards are paid for.
func checkGroups(groups []pref.Group) error {
	n := 0
	for g, group := range groups {
		k := len(group.Responses)
		for i, c := range group.Comparisons {
			if min(c.Chosen, c.Rejected) < 0 || max(c.Chosen, c.Rejected) >= k {
				return fmt.Errorf("eval: %s: comparison %d is of responses %d and %d, want 0 to %d",
					name(group, g), i, c.Chosen, c.Rejected, k-1)
			}
		}
		n += len(group.Comparisons)
	}
	if n == 0 {
		return fmt.Errorf("eval: no comparison in %d groups, want at least one: %w", len(groups),
			ErrNoComparisons)
	}
	return nil
}

// ErrNoComparisons is wrapped if there is nothing to measure.
var ErrNoComparisons = errors.New("nothing to measure")

// maxReward bounds a reward, so that squares of margins stay finite.
const maxReward = 1e100

// checkRewards checks the rewards of groups, the first of which is number first of the whole set.
func checkRewards(groups []pref.Group, rewards [][]float64, first int) error {
	if len(rewards) != len(groups) {
		return fmt.Errorf("rewards of %d groups, want those of %d", len(rewards), len(groups))
	}
	for g, group := range groups {
		if len(rewards[g]) != len(group.Responses) {
			return fmt.Errorf("%s: %d rewards, want one for each of the %d responses",
				name(group, first+g), len(rewards[g]), len(group.Responses))
		}
		for k, r := range rewards[g] {
			if !(math.Abs(r) <= maxReward) { // also NaN
				return fmt.Errorf("%s: response %d has the reward %v, want a finite number within ±%g: look "+
					"at the model's weights and dtype",
					name(group, first+g), k, r, maxReward)
			}
		}
	}
	return nil
}

// name says which group is meant: where it was read, else its number counted from 0.
func name(group pref.Group, g int) string {
	if group.Source.File != "" {
		return group.Source.String()
	}
	return fmt.Sprintf("group %d", g)
}

// String returns the main numbers in one line.
func (r Result) String() string {
	return fmt.Sprintf("accuracy %.4f [%.4f, %.4f] on %d comparisons of %d prompts (%d ties), margin "+
		"%.4f ± %.4f, log-likelihood %.4f, brier %.4f, ece %.4f, accuracy with the chosen response "+
		"longer %.4f (%d), shorter %.4f (%d)",
		r.Accuracy, r.AccuracyLow, r.AccuracyHigh, r.Comparisons, r.Prompts, r.Ties, r.Margin,
		r.MarginStd,
		r.LogLikelihood, r.Brier, r.ECE, r.AccuracyLonger, r.ChosenLonger, r.AccuracyShorter,
		r.ChosenShorter)
}
