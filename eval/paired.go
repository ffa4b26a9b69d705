package eval

import (
	"fmt"

	"gonum.org/v1/gonum/stat/distuv"

	"haf/pref"
)

// A Paired result compares two sets of rewards, a and b, on the same comparisons.
type Paired struct {
	Groups      int     `json:"groups"`
	Prompts     int     `json:"prompts"`
	Comparisons int     `json:"comparisons"`
	AccuracyA   float64 `json:"accuracy_a"`
	AccuracyB   float64 `json:"accuracy_b"`
	Difference  float64 `json:"difference"` // AccuracyA − AccuracyB
	// Low and High are the 95 % bootstrap interval of the difference, each draw resampling prompts for
	// a and b together. It has no width if every prompt has the same difference, and is [−1, 1] for a
	// single prompt.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// of the difference, clustered by prompt; 0 for a single prompt
	StandardError float64 `json:"standard_error"`
	// comparisons where a has more credit: right versus tied or wrong, or tied versus wrong
	BetterA int `json:"better_a"`
	BetterB int `json:"better_b"`
	// McNemarP is the two-sided p-value of the exact McNemar test (McNemar 1947), computed as the sign
	// test on BetterA and BetterB, which takes ties of rewards into account. It assumes independent
	// comparisons. If prompts have many comparisons, trust the interval instead.
	McNemarP float64 `json:"mcnemar_p"`
}

// Compare tests whether rewards a order the comparisons of groups better than rewards b. Errors are
// those of [Comparisons].
func Compare(groups []pref.Group, a, b [][]float64) (Paired, error) {
	if err := checkGroups(groups); err != nil {
		return Paired{}, err
	}
	if err := checkRewards(groups, a, 0); err != nil {
		return Paired{}, fmt.Errorf("eval: rewards a: %w", err)
	}
	if err := checkRewards(groups, b, 0); err != nil {
		return Paired{}, fmt.Errorf("eval: rewards b: %w", err)
	}
	p := Paired{Groups: len(groups)}
	clusters := newClusters(groups)
	var sumA, sumB float64
	for g, group := range groups {
		for _, c := range group.Comparisons {
			ca, cb := creditOf(a[g][c.Chosen]-a[g][c.Rejected]), creditOf(b[g][c.Chosen]-b[g][c.Rejected])
			clusters.add(g, ca-cb)
			sumA, sumB = sumA+ca, sumB+cb
			switch {
			case ca > cb:
				p.BetterA++
			case cb > ca:
				p.BetterB++
			}
			p.Comparisons++
		}
	}
	n := float64(p.Comparisons)
	p.Prompts = clusters.len()
	p.AccuracyA, p.AccuracyB, p.Difference = sumA/n, sumB/n, (sumA-sumB)/n
	p.StandardError = clusters.clusteredError()
	p.Low, p.High, _ = clusters.bootstrap()
	if p.Prompts == 1 {
		p.Low, p.High = -1, 1
	}
	p.McNemarP = signTest(p.BetterA, p.BetterB)
	return p, nil
}

// signTest is the two-sided exact p-value of a successes against b under equal odds:
// min(1, 2·P(X ≤ min(a, b))), X ~ Binomial(a+b, ½).
func signTest(a, b int) float64 {
	if a == b { // also none at all
		return 1
	}
	x := distuv.Binomial{N: float64(a + b), P: 0.5}
	return min(1, 2*x.CDF(float64(min(a, b))))
}

// String returns the comparison in one line.
func (p Paired) String() string {
	return fmt.Sprintf("accuracy %.4f against %.4f: difference %+.4f [%+.4f, %+.4f] on %d "+
		"comparisons of %d prompts, better on %d, worse on %d, McNemar p %.3g",
		p.AccuracyA, p.AccuracyB, p.Difference, p.Low, p.High, p.Comparisons, p.Prompts, p.BetterA,
		p.BetterB, p.McNemarP)
}
