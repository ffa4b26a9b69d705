package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"haf/pref"
)

// Rules of an [Ensemble].
const (
	EnsembleMean = "mean" // of the members' rewards
	EnsembleMin  = "min"  // the least of them: a response must please every member (arXiv 2310.02743)
	EnsembleLCB  = "lcb"  // mean − λ · standard deviation: a lower confidence bound
)

// EnsembleRules lists the rules.
func EnsembleRules() []string { return []string{EnsembleMean, EnsembleMin, EnsembleLCB} }

// An Ensemble makes one Scorer of several. The rewards are taken as they are: the members of "min" and "lcb" are meant to be
// runs of one recipe with different seeds, whose rewards have one scale, whereas a member of a larger scale would decide alone.
type Ensemble struct {
	members []pref.Scorer
	rule    string
	lambda  float64
}

// NewEnsemble returns the ensemble of two or more members; lambda counts for "lcb" alone.
func NewEnsemble(rule string, lambda float64, members ...pref.Scorer) (*Ensemble, error) {
	if err := CheckEnsemble(rule, lambda); err != nil {
		return nil, err
	}
	if len(members) < 2 {
		return nil, fmt.Errorf("reward: an ensemble of %d, wanted two models or more", len(members))
	}
	return &Ensemble{members, rule, lambda}, nil
}

// CheckEnsemble returns an error unless the rule is known and λ is 0 or more.
func CheckEnsemble(rule string, lambda float64) error {
	if !slices.Contains(EnsembleRules(), rule) {
		return fmt.Errorf("reward: ensemble %q is not known: %s", rule, strings.Join(EnsembleRules(), ", "))
	}
	if !(lambda >= 0) || math.IsInf(lambda, 1) {
		return fmt.Errorf("reward: lambda is %v, wanted 0 or more", lambda)
	}
	return nil
}

// Score implements [pref.Scorer].
func (e *Ensemble) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	all := make([][]float64, len(e.members))
	for i, member := range e.members {
		var err error
		if all[i], err = member.Score(ctx, samples); err != nil {
			return nil, fmt.Errorf("reward: member %d of the ensemble: %w", i+1, err)
		}
		if len(all[i]) != len(samples) {
			return nil, fmt.Errorf("reward: member %d of the ensemble gave %d rewards for %d samples", i+1, len(all[i]), len(samples))
		}
	}
	return ReduceEnsemble(e.rule, e.lambda, all)
}

// ReduceEnsemble returns the ensemble's reward of each sample from the members' rewards, all[member][sample]. The deviation is
// that of the members as they are (the divisor is their number).
func ReduceEnsemble(rule string, lambda float64, all [][]float64) ([]float64, error) {
	if err := CheckEnsemble(rule, lambda); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("reward: an ensemble without members")
	}
	out := make([]float64, len(all[0]))
	n := float64(len(all))
	for i := range out {
		sum, least := 0.0, math.Inf(1)
		for _, of := range all {
			sum, least = sum+of[i], min(least, of[i])
		}
		mean, squares := sum/n, 0.0
		for _, of := range all {
			squares += (of[i] - mean) * (of[i] - mean)
		}
		switch rule {
		case EnsembleMean:
			out[i] = mean
		case EnsembleMin:
			out[i] = least
		case EnsembleLCB:
			out[i] = mean - lambda*math.Sqrt(squares/n)
		}
	}
	return out, nil
}
