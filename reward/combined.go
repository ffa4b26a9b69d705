package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"haf/pref"
)

// ByCombined names the reward of both heads together: see [Combination].
const ByCombined = "combined"

// CombinationName is the file of a model folder that holds its [Combination].
const CombinationName = "combination.json"

// A Combination makes one reward of both heads, Score · score + Implicit · implicit reward. Its weights were fitted by logistic
// regression on comparisons that had no part in training, so that σ of a margin is a probability.
type Combination struct {
	Score    float64 `json:"score"`
	Implicit float64 `json:"implicit"`
	// Split says which comparisons the weights were fitted on, Comparisons how many there were, and LogLikelihood the mean
	// of log σ(margin) that the combination has on them.
	Split         string  `json:"split"`
	Comparisons   int     `json:"comparisons"`
	LogLikelihood float64 `json:"log_likelihood"`
}

// Of returns the combination of the heads' rewards, indexed [group][response].
func (c Combination) Of(scores, implicit [][]float64) [][]float64 {
	out := make([][]float64, len(scores))
	for g := range scores {
		out[g] = make([]float64, len(scores[g]))
		for k := range scores[g] {
			out[g][k] = c.Score*scores[g][k] + c.Implicit*implicit[g][k]
		}
	}
	return out
}

func (c Combination) check() error {
	for _, w := range []float64{c.Score, c.Implicit} {
		if math.IsNaN(w) || math.IsInf(w, 0) {
			return fmt.Errorf("a weight is %v", w)
		}
	}
	if c.Score == 0 && c.Implicit == 0 {
		return errors.New("both weights are 0")
	}
	return nil
}

// Combination returns the one that is stored beside the model; without one the error wraps fs.ErrNotExist.
func (m *Model) Combination() (Combination, error) {
	var c Combination
	path := filepath.Join(m.Dir, CombinationName)
	data, err := os.ReadFile(path)
	if err != nil {
		if !m.combinable() || errors.Is(err, fs.ErrNotExist) {
			return c, fmt.Errorf("reward: %s has no weights of its two heads (%s): fit them with haf combine: %w", m.Dir, CombinationName, fs.ErrNotExist)
		}
		return c, fmt.Errorf("reward: %w", err)
	}
	if err = json.Unmarshal(data, &c); err == nil {
		err = c.check()
	}
	if err != nil {
		return c, fmt.Errorf("reward: %s: %w: fit it again with haf combine", path, err)
	}
	return c, nil
}

// SetCombination stores the weights beside the model, in the place of earlier ones.
func (m *Model) SetCombination(c Combination) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("reward: combination of %s: %w", m.Dir, err)
	}
	if !m.combinable() {
		return fmt.Errorf("reward: %s is a file, beside which nothing of the model's own can be stored: save the model as a folder first", m.Dir)
	}
	if err := writeJSON(filepath.Join(m.Dir, CombinationName), c); err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	return nil
}

// combinable says whether the model is a folder.
func (m *Model) combinable() bool {
	info, err := os.Stat(m.Dir)
	return err == nil && info.IsDir()
}

// Combined is the Scorer of a [Combination].
type Combined struct {
	Weights  Combination
	Implicit *Implicit // not normalized
}

// Score implements [pref.Scorer]; both heads are read in one pass.
func (s *Combined) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	m := s.Implicit.Model
	groups, at, err := m.encodeSamples(samples)
	if err != nil {
		return nil, err
	}
	scores, logps, _, err := m.read(ctx, groups, ScoreHead|PolicyHead, m.requests(), nil)
	if err != nil {
		return nil, err
	}
	refs, _, err := s.Implicit.Reference.LogProbs(ctx, groups, nil, nil)
	if err != nil {
		return nil, err
	}
	return scatter(at, s.Weights.Of(scores, ImplicitRewards(groups, logps, refs, s.Implicit.Beta, false))), nil
}
