package rewarder

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Rules by which several rewards become one.
const (
	Mean = "mean" // of the rewards
	Min  = "min"  // the least of them: a response must please every member (arXiv 2310.02743)
	LCB  = "lcb"  // mean − λ · standard deviation: a lower confidence bound
	Sum  = "sum"  // of the rewards, weighted beforehand; of terms, not of an ensemble's members
)

// EnsembleRules lists the rules of an [Ensemble].
func EnsembleRules() []string { return []string{Mean, Min, LCB} }

// A Rule makes one reward of several. The rewards are taken as they are: the members of Min and LCB
// are meant to be runs of one recipe with different seeds, whose rewards have one scale. A member
// of a larger scale would decide alone.
type Rule struct {
	Name   string
	Lambda float64 // counts for LCB alone
}

// Check returns an error unless an ensemble can be made by the rule.
func (r Rule) Check() error {
	if !slices.Contains(EnsembleRules(), r.Name) {
		return fmt.Errorf("rewarder: ensemble %q is not known: %s", r.Name,
			strings.Join(EnsembleRules(), ", "))
	}
	if !(r.Lambda >= 0) || math.IsInf(r.Lambda, 1) {
		return fmt.Errorf("rewarder: lambda is %v, wanted 0 or more", r.Lambda)
	}
	return nil
}

// NameOf names the ensemble of the models by the rule, or the first model where the rule has no
// name.
func (r Rule) NameOf(models []string) string {
	if r.Name == "" {
		return models[0]
	}
	return r.Name + " of " + strings.Join(models, ", ")
}

// Reduce returns the one reward of the members' rewards of a response. The standard deviation is
// the population's: its divisor is the number of members.
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
