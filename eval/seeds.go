package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"haf/pref"
)

// An Estimate is a mean over several trainings that differ only in their seed, on the same
// comparisons: an accuracy, or the difference of two. Its standard error has two parts,
//
//	SE² = E_prompts² + s²/S
//
// the error clustered by prompt of the mean over seeds, and the sample variance s² of the S seeds'
// means. The interval and the p-value are Student's, with the degrees of freedom of Satterthwaite
// 1946. With two or three seeds that disagree the degrees of freedom are few, so the interval is
// wide. With one seed the second part is missing, and the result holds for that training alone.
type Estimate struct {
	Mean          float64   `json:"mean"`
	Low           float64   `json:"low"` // 95 % interval
	High          float64   `json:"high"`
	StandardError float64   `json:"standard_error"`
	PromptError   float64   `json:"prompt_error"`
	BySeed        []float64 `json:"by_seed"` // each training's mean
	DF            float64   `json:"df"`
	// two-sided, of the hypothesis that the mean is 0: for differences
	P           float64 `json:"p"`
	Prompts     int     `json:"prompts"`
	Comparisons int     `json:"comparisons"`
}

// SeedAccuracy is the accuracy of rewards[seed][g][k] on the comparisons of groups.
func SeedAccuracy(groups []pref.Group, rewards [][][]float64) (Estimate, error) {
	e, err := overSeeds(groups, rewards, nil)
	if err != nil {
		return e, err
	}
	if e.PromptError == 0 { // all prompts agree: as for one reward
		low, high := wilson(e.Mean, float64(e.Prompts))
		e.PromptError = (high - low) / 2 / z95
	}
	e.close()
	e.Low = max(0, e.Low)
	return e, nil
}

// SeedDifference is the accuracy of a minus that of b on the same comparisons. Training s of a is
// paired with training s of b.
func SeedDifference(groups []pref.Group, a, b [][][]float64) (Estimate, error) {
	if len(a) != len(b) {
		return Estimate{}, fmt.Errorf("eval: %d trainings against %d, want as many", len(a), len(b))
	}
	e, err := overSeeds(groups, a, b)
	if err == nil {
		e.close()
	}
	return e, err
}

func overSeeds(groups []pref.Group, a, b [][][]float64) (Estimate, error) {
	if len(a) == 0 {
		return Estimate{}, errors.New("eval: no training to measure")
	}
	for _, of := range slices.Concat(a, b) {
		if err := check(groups, of); err != nil {
			return Estimate{}, err
		}
	}
	e := Estimate{BySeed: make([]float64, len(a))}
	clusters := newClusters(groups)
	for g, group := range groups {
		for _, c := range group.Comparisons {
			sum := 0.0
			for s := range a {
				credit := creditOf(a[s][g][c.Chosen] - a[s][g][c.Rejected])
				if b != nil {
					credit -= creditOf(b[s][g][c.Chosen] - b[s][g][c.Rejected])
				}
				e.BySeed[s] += credit
				sum += credit
			}
			clusters.add(g, sum/float64(len(a)))
			e.Comparisons++
		}
	}
	for s := range e.BySeed {
		e.BySeed[s] /= float64(e.Comparisons)
	}
	e.Prompts, e.PromptError = clusters.len(), clusters.clusteredError()
	return e, nil
}

// close fills in what follows from BySeed, PromptError and Prompts.
func (e *Estimate) close() {
	mean, std := meanStd(e.BySeed)
	seeds := float64(len(e.BySeed))
	prompts, between := e.PromptError*e.PromptError, std*std/seeds
	e.Mean, e.StandardError = mean, math.Sqrt(prompts+between)
	e.DF = float64(max(1, e.Prompts-1))
	if between > 0 {
		e.DF = (prompts + between) * (prompts + between) / (prompts*prompts/e.DF +
			between*between/(seeds-1))
	}
	t := distuv.StudentsT{Sigma: 1, Nu: e.DF}
	half := t.Quantile(0.975) * e.StandardError
	e.Low, e.High, e.P = max(-1, mean-half), min(1, mean+half), 1
	if e.StandardError > 0 {
		e.P = 2 * t.CDF(-math.Abs(mean)/e.StandardError)
	}
}

// MeanEstimate is the mean of estimates over different sets, with equal weights and equal numbers
// of seeds. Prompts of different sets are independent. Seeds are not, because one training was
// measured on all sets. So the seeds' part comes from the seeds' means over the sets.
func MeanEstimate(of []Estimate) (Estimate, error) {
	if len(of) == 0 {
		return Estimate{}, errors.New("eval: the mean of no estimates")
	}
	e := Estimate{BySeed: make([]float64, len(of[0].BySeed))}
	n := float64(len(of))
	for _, part := range of {
		if len(part.BySeed) != len(e.BySeed) {
			return e, fmt.Errorf("eval: estimates of %d and %d seeds have no mean", len(e.BySeed),
				len(part.BySeed))
		}
		for s, mean := range part.BySeed {
			e.BySeed[s] += mean / n
		}
		e.PromptError += part.PromptError * part.PromptError
		e.Prompts, e.Comparisons = e.Prompts+part.Prompts, e.Comparisons+part.Comparisons
	}
	e.PromptError = math.Sqrt(e.PromptError) / n
	e.close()
	return e, nil
}

// Holm adjusts p-values for their number (Holm 1979). A hypothesis is rejected at 5 % if its
// adjusted p is below 0.05, and the probability of rejecting any true one stays below 5 %.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return 0
	})
	out := make([]float64, len(p))
	largest := 0.0
	for rank, i := range order {
		largest = max(largest, min(1, float64(len(p)-rank)*p[i]))
		out[i] = largest
	}
	return out
}
