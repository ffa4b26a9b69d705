package eval

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// A BestOf is the result of choosing the best of n samples by reward, on average over prompts and
// over the n-subsets of each prompt's samples.
type BestOf struct {
	N int `json:"n"`
	// log n − (n−1)/n, from the policy that was sampled (an upper bound: arXiv 2401.01879)
	KL     float64 `json:"kl"`
	Reward float64 `json:"reward"` // of the chosen sample
	Error  float64 `json:"reward_error"`
	Gold   float64 `json:"gold"` // of the chosen sample; 0 without gold rewards
	// GoldError and Error are standard errors over prompts.
	GoldError float64 `json:"gold_error"`
}

// BestOfN measures the best of 1 to N samples, where N is the smallest number of samples of a
// prompt. gold may be nil. From N samples, the expected best of n is Σ_i w_i·x_(i), samples sorted
// by reward, w_i = C(i−1, n−1)/C(N, n) the share of subsets in which the i-th is the largest (the
// unbiased estimator of arXiv 2112.09332); equal rewards share their weights.
func BestOfN(rewards, gold [][]float64) ([]BestOf, error) {
	if len(rewards) == 0 {
		return nil, fmt.Errorf("eval: best of n: no prompt")
	}
	if gold != nil && len(gold) != len(rewards) {
		return nil, fmt.Errorf("eval: best of n: gold rewards of %d prompts, rewards of %d", len(gold),
			len(rewards))
	}
	most := math.MaxInt
	for i, r := range rewards {
		most = min(most, len(r))
		if gold != nil && len(gold[i]) != len(r) {
			return nil, fmt.Errorf("eval: best of n: prompt %d has %d rewards and %d gold rewards", i+1,
				len(r), len(gold[i]))
		}
	}
	if most == 0 {
		return nil, fmt.Errorf("eval: best of n: a prompt without samples")
	}
	var curve []BestOf
	for n := 1; n <= most; n++ {
		b := BestOf{N: n, KL: math.Log(float64(n)) - float64(n-1)/float64(n)}
		var chosen, chosenGold []float64
		for i, r := range rewards {
			chosen = append(chosen, bestOf(n, r, r))
			if gold != nil {
				chosenGold = append(chosenGold, bestOf(n, r, gold[i]))
			}
		}
		b.Reward, b.Error = meanError(chosen)
		b.Gold, b.GoldError = meanError(chosenGold)
		curve = append(curve, b)
	}
	return curve, nil
}

// bestOf is the expected value of the sample with the highest reward among n drawn without
// replacement.
func bestOf(n int, rewards, values []float64) float64 {
	order := make([]int, len(rewards))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return sign(rewards[a] - rewards[b]) })
	// within[i] is the probability that all n are among the i lowest: C(i, n)/C(N, n).
	within := func(i int) float64 {
		p := 1.0
		for k := range n {
			p *= float64(max(0, i-k)) / float64(len(order)-k)
		}
		return p
	}
	expected := 0.0
	for from := 0; from < len(order); {
		to, sum := from, 0.0
		for to < len(order) && rewards[order[to]] == rewards[order[from]] {
			sum += values[order[to]]
			to++
		}
		expected += (within(to) - within(from)) * sum / float64(to-from)
		from = to
	}
	return expected
}

// meanError returns the mean and its standard error, 0 for fewer than two.
func meanError(x []float64) (mean, deviation float64) {
	if len(x) == 0 {
		return 0, 0
	}
	for _, v := range x {
		mean += v / float64(len(x))
	}
	if len(x) < 2 {
		return mean, 0
	}
	for _, v := range x {
		deviation += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(deviation / float64(len(x)-1) / float64(len(x)))
}

// CurveTable returns the best-of-n curve and, if not nil, the recall as cells of a table, by n and
// k.
func CurveTable(curve []BestOf, recall *Recall) [][]string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }
	head := []string{"n", "KL", "reward", "±"}
	if recall != nil {
		head = append(head, "gold", "±", "recall at n", "by chance")
	}
	cells := [][]string{head}
	for i, b := range curve {
		line := []string{strconv.Itoa(b.N), number(b.KL), number(b.Reward), number(b.Error)}
		if recall != nil {
			line = append(line, number(b.Gold), number(b.GoldError), number(recall.At[i]),
				number(recall.Random[i]))
		}
		cells = append(cells, line)
	}
	return cells
}
