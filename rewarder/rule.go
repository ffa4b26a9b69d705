package rewarder

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Rules for combining several rewards.
const (
	Mean = "mean" // of the rewards
	Min  = "min"  // the least of them: every member must rate the response high (arXiv 2310.02743)
	LCB  = "lcb"  // mean − λ · standard deviation: a lower confidence bound
	Sum  = "sum"  // of the rewards, weighted beforehand; for terms, not for members of an ensemble
)

// EnsembleRules lists the rules of an [Ensemble].
func EnsembleRules() []string { return []string{Mean, Min, LCB} }

// A Rule combines several rewards into one. It does not rescale the rewards. So the members of Min
// and LCB should be runs of one recipe with different seeds, whose rewards have one scale. A member
// with a larger scale would decide alone.
type Rule struct {
	Name   string
	Lambda float64 // used by LCB only
}

// Check returns an error unless the rule can make an ensemble.
func (r Rule) Check() error {
	if !slices.Contains(EnsembleRules(), r.Name) {
		return fmt.Errorf("rewarder: ensemble %q is not known: %s", r.Name,
			strings.Join(EnsembleRules(), ", "))
	}
	if !(r.Lambda >= 0) || math.IsInf(r.Lambda, 1) {
		return fmt.Errorf("rewarder: lambda is %v, want 0 or more", r.Lambda)
	}
	return nil
}

// NameOf returns the name of the models' ensemble by the rule, or the first model if the rule has
// no name.
func (r Rule) NameOf(models []string) string {
	if r.Name == "" {
		return models[0]
	}
	return r.Name + " of " + strings.Join(models, ", ")
}

// Reduce combines the members' rewards of a response. The standard deviation is the population's,
// with the number of members as divisor.
func (r Rule) Reduce(members []float64) float64 {
	sum, squares, n := 0.0, 0.0, float64(len(members))
	for _, x := range members {
		sum += x
	}
	mean := sum / n
	for _, x := range members {
		squares += (x - mean) * (x - mean)
	}
	switch r.Name {
	case Mean:
		return mean
	case Min:
		return slices.Min(members)
	case LCB:
		return mean - r.Lambda*math.Sqrt(squares/n)
	default:
		return sum
	}
}
