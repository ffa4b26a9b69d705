package reward

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"haf/eval"
	"haf/pref"
)

// FitCombination fits the weights of the score and the implicit reward to the comparisons of
// readings that have both, and adds the combined reward to them. split names these comparisons.
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

// A Fit is a fitted combination that is stored beside a model.
type Fit struct {
	File string `json:"file"`
	Combination
	// of each head and of the combination, on the data of the fit
	Heads map[string]eval.Result `json:"heads"`

	rows []eval.Row // the same
}

// FitCombination fits the weights of the model's two heads to the comparisons of groups and stores
// them beside the model. split names the groups, see [Combination].
func (r *Reader) FitCombination(
	ctx context.Context, groups []pref.Group, split string,
) (Fit, error) {
	read, err := r.Read(ctx, groups, []string{ByScore, ByImplicit})
	if err != nil {
		return Fit{}, err
	}
	weights, err := FitCombination(&read, split)
	if err != nil {
		return Fit{}, err
	}
	if err := r.model.SetCombination(weights); err != nil {
		return Fit{}, err
	}
	e, err := eval.Evaluate(read)
	file := filepath.Join(r.model.Dir, CombinationName)
	return Fit{file, weights, e.Rewards, e.Rows()}, err
}

// Write writes the weights, and a table of the accuracy of each reward on the data of the fit.
func (f Fit) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%.6g · score + %.6g · implicit, fitted on %d comparisons: %s\n\n",
		f.Score, f.Implicit, f.Comparisons, f.Split)
	if err != nil {
		return err
	}
	return eval.Table(w, f.rows)
}
