package eval

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"haf/pref"
)

// Detectable is the true difference that a two-sided test at the level finds with a probability of
// 80 %, if the estimate has the given variance, by the normal approximation.
func Detectable(variance, level float64) float64 {
	normal := distuv.UnitNormal
	return (normal.Quantile(1-level/2) + normal.Quantile(0.8)) * math.Sqrt(variance)
}

// Among returns interval and p-value of an estimate that is one of several tests (Bonferroni). All
// their intervals hold together with a probability of 95 %, and p is below 0.05 if 0 is outside the
// interval.
func (e Estimate) Among(tests int) (low, high, p float64) {
	if e.StandardError == 0 {
		return e.Mean, e.Mean, e.P
	}
	t := distuv.StudentsT{Sigma: 1, Nu: e.DF}
	half := t.Quantile(1-0.025/float64(tests)) * e.StandardError
	return max(-1, e.Mean-half), min(1, e.Mean+half), min(1, float64(tests)*e.P)
}

// A Spread is the variance of one comparison's paired difference of credits between two methods, in
// three parts: the difference of comparison i between training s of each is μ + a_i + b_s + e_is.
type Spread struct {
	Comparisons float64 `json:"comparisons"` // of a
	Seeds       float64 `json:"seeds"`       // of b
	Rest        float64 `json:"rest"`        // of e
	Discordant  float64 `json:"discordant"`  // share of comparisons × seeds with different credits
}

// DifferenceSpread estimates the parts by the analysis of variance of a table of comparisons and
// seeds (Searle, Casella and McCulloch 1992, section 4.7). With one seed it sets the parts of seeds
// and rest to 0. It clusters comparisons of one prompt, as [Estimate]'s prompt error does.
func DifferenceSpread(groups []pref.Group, a, b [][][]float64) (Spread, error) {
	e, err := SeedDifference(groups, a, b)
	if err != nil {
		return Spread{}, err
	}
	n, seeds := float64(e.Comparisons), float64(len(a))
	if n < 2 {
		return Spread{}, errors.New("eval: the spread of one comparison")
	}
	var v Spread
	var residual float64
	for g, group := range groups {
		for _, c := range group.Comparisons {
			row := make([]float64, len(a))
			mean := 0.0
			for s := range a {
				row[s] = creditOf(a[s][g][c.Chosen]-a[s][g][c.Rejected]) -
					creditOf(b[s][g][c.Chosen]-b[s][g][c.Rejected])
				mean += row[s] / seeds
				if row[s] != 0 {
					v.Discordant += 1 / n / seeds
				}
			}
			for s := range row {
				d := row[s] - mean - e.BySeed[s] + e.Mean
				residual += d * d
			}
		}
	}
	if len(a) > 1 {
		_, std := meanStd(e.BySeed)
		v.Rest = residual / (n - 1) / (seeds - 1)
		v.Seeds = max(0, std*std-v.Rest/n)
	}
	v.Comparisons = max(0, e.PromptError*e.PromptError*n-v.Rest/seeds)
	return v, nil
}

// standardError is that of an [Estimate] of n comparisons and as many seeds, and its degrees of
// freedom: the rest is in both of its parts.
func (v Spread) standardError(n, seeds float64) (standardError, df float64) {
	prompts := (v.Comparisons + v.Rest/seeds) / n
	df = max(1, n-1)
	between := 0.0
	if seeds > 1 {
		between = (v.Seeds + v.Rest/n) / seeds
	}
	if between > 0 {
		df = (prompts + between) * (prompts + between) / (prompts*prompts/df +
			between*between/(seeds-1))
	}
	return math.Sqrt(prompts + between), df
}

// Power is the probability that [Estimate.Among], as one of this number of tests, finds a true
// difference with n comparisons and this number of seeds. It uses Student's distribution shifted by
// the difference.
func (v Spread) Power(difference float64, n, seeds, tests int) float64 {
	standardError, df := v.standardError(float64(n), float64(seeds))
	if standardError == 0 {
		return 1
	}
	t := distuv.StudentsT{Sigma: 1, Nu: df}
	return t.CDF(math.Abs(difference)/standardError - t.Quantile(1-0.025/float64(tests)))
}

// maxNeeded bounds the comparisons that [Spread.Needed] looks for.
const maxNeeded = 10_000_000

// Needed is the smallest number of comparisons with a power of 80 %, with this number of seeds. ok
// is false if no number up to ten million has this power, because seeds differ too much.
func (v Spread) Needed(difference float64, seeds, tests int) (n int, ok bool) {
	const wanted = 0.8
	if difference == 0 || v.Power(difference, maxNeeded, seeds, tests) < wanted {
		return 0, false
	}
	low, high := 1, maxNeeded
	for low+1 < high {
		middle := low + (high-low)/2
		if v.Power(difference, middle, seeds, tests) < wanted {
			low = middle
		} else {
			high = middle
		}
	}
	return high, true
}
