package reward

import (
	"haf/eval"
	"haf/pref"
)

// FitCombination fits the weights of the score and the implicit reward to the comparisons of
// readings that have both, and adds the combined reward to them. split says which comparisons these
// are.
func FitCombination(r *pref.Readings, split string) (Combination, error) {
	score, implicit := r.Rewards[ByScore], r.Rewards[ByImplicit]
	w, err := eval.FitWeights(r.Groups, score, implicit)
	if err != nil {
		return Combination{}, err
	}
	c := Combination{Score: w[0], Implicit: w[1], Split: split}
	c.AddTo(r)
	fit, err := eval.Comparisons(r.Groups, r.Rewards[ByCombined])
	c.Comparisons, c.LogLikelihood = fit.Comparisons, fit.LogLikelihood
	return c, err
}

// AddTo adds the combined reward to readings of the score and the implicit reward.
func (c Combination) AddTo(r *pref.Readings) {
	combined := make([][]float64, len(r.Groups))
	for g := range combined {
		combined[g] = make([]float64, len(r.Groups[g].Responses))
		for k := range combined[g] {
			combined[g][k] = c.Of(r.Rewards[ByScore][g][k], r.Rewards[ByImplicit][g][k])
		}
	}
	r.Names, r.Rewards[ByCombined] = append(r.Names[:len(r.Names):len(r.Names)], ByCombined),
		combined
}
