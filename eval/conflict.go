package eval

import (
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/integrate"
	"gonum.org/v1/gonum/stat"

	"haf/pref"
)

// A Conflict measures the disagreement of two rewards of one model, such as its score head and its
// policy head, and whether it predicts the errors of the first (arXiv 2512.09212).
type Conflict struct {
	Prompts int `json:"prompts"` // groups of two or more responses
	// Distance is the mean over groups of Kendall's tau distance between the two rankings of the
	// group's responses: the share of the pairs of responses that they order differently. A tie in one
	// ranking or both counts half.
	Distance  float64 `json:"distance"`
	Disagree  int     `json:"disagree"`   // comparisons that the two rewards order differently
	BothRight int     `json:"both_right"` // comparisons
	BothWrong int     `json:"both_wrong"`
	MeanPACS  float64 `json:"mean_pacs"` // mean of |PACS| over responses
	// The AUCs are the probability that a comparison that the first reward gets wrong has a larger
	// conflict than one that it gets right; ½ means that conflict predicts nothing. Conflict is the
	// distance of the group, or that of the two responses, |PACS_chosen − PACS_rejected|. AUCMargin
	// uses the first reward's own doubt instead, −|margin|. The AUCs are 0 if all comparisons are
	// right or all are wrong. Ties of the first reward are left out.
	AUCDistance float64 `json:"auc_distance"`
	AUCPACS     float64 `json:"auc_pacs"`
	AUCMargin   float64 `json:"auc_margin"`
}

// PACS is the proxy-policy alignment conflict score of each response of one prompt: the z-score of
// its reward among the prompt's responses minus the z-score of its policy value. If one of the two
// does not vary, its z-scores are 0.
func PACS(reward, policy []float64) []float64 {
	a, b := zScores(reward), zScores(policy)
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] - b[i]
	}
	return out
}

// zScores are by the population's standard deviation.
func zScores(x []float64) []float64 {
	out := centred(x)
	deviation := stat.PopStdDev(x, nil)
	for i := range out {
		if deviation > 0 {
			out[i] /= deviation
		} else {
			out[i] = 0
		}
	}
	return out
}

// KendallDistance is the share of pairs that two rankings order differently, (1 − τ_a)/2. A tie in
// either ranking counts half. It is 0 for fewer than two values.
func KendallDistance(x, y []float64) float64 {
	if len(x) < 2 {
		return 0
	}
	return (1 - kendall(x, y)) / 2
}

// kendall is τ_a: concordant less discordant pairs over all pairs. gonum's has no place for ties.
func kendall(x, y []float64) float64 {
	sum := 0
	for i := range x {
		for j := range i {
			sum += sign(x[i]-x[j]) * sign(y[i]-y[j])
		}
	}
	return float64(sum) / (float64(len(x)) * float64(len(x)-1) / 2)
}

func sign(x float64) int {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// Conflicts compares the rewards of two heads on the same groups. Conflict predicts the errors of
// the first.
func Conflicts(groups []pref.Group, score, policy [][]float64) (Conflict, error) {
	if err := check(groups, score); err != nil {
		return Conflict{}, err
	}
	if err := checkRewards(groups, policy, 0); err != nil {
		return Conflict{}, fmt.Errorf("eval: the second head's: %w", err)
	}
	var c Conflict
	var wrong []bool
	var byDistance, byPACS, byMargin []float64
	responses := 0
	for g, group := range groups {
		if len(group.Responses) < 2 {
			continue
		}
		c.Prompts++
		distance, pacs := KendallDistance(score[g], policy[g]), PACS(score[g], policy[g])
		c.Distance += distance
		for _, p := range pacs {
			c.MeanPACS += math.Abs(p)
			responses++
		}
		for _, pair := range group.Comparisons {
			m := score[g][pair.Chosen] - score[g][pair.Rejected]
			other := policy[g][pair.Chosen] - policy[g][pair.Rejected]
			switch {
			case m > 0 && other > 0:
				c.BothRight++
			case m < 0 && other < 0:
				c.BothWrong++
			case m*other < 0:
				c.Disagree++
			}
			if m != 0 {
				wrong = append(wrong, m < 0)
				byDistance = append(byDistance, distance)
				byPACS = append(byPACS, math.Abs(pacs[pair.Chosen]-pacs[pair.Rejected]))
				byMargin = append(byMargin, -math.Abs(m))
			}
		}
	}
	c.Distance, c.MeanPACS = ratio(c.Distance, c.Prompts), ratio(c.MeanPACS, responses)
	c.AUCDistance, c.AUCPACS, c.AUCMargin = AUC(byDistance, wrong), AUC(byPACS, wrong),
		AUC(byMargin, wrong)
	return c, nil
}

// AUC is the area under the receiver operating characteristic of a predictor: the probability that
// a positive has a larger value than a negative. A tie counts half. It is 0 without positives or
// without negatives.
func AUC(values []float64, positive []bool) float64 {
	n := 0
	for _, p := range positive {
		if p {
			n++
		}
	}
	if n == 0 || n == len(positive) {
		return 0
	}
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return values[order[a]] < values[order[b]] })
	sorted, classes := make([]float64, len(values)), make([]bool, len(values))
	for i, o := range order {
		sorted[i], classes[i] = values[o], positive[o]
	}
	truePositive, falsePositive, _ := stat.ROC(nil, sorted, classes, nil)
	return integrate.Trapezoidal(falsePositive, truePositive)
}
