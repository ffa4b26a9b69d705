package reward

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"haf/internal/wholefile"
)

// CombinationName is the file of a model folder that holds its [Combination].
const CombinationName = "combination.json"

// A Combination makes one reward of both heads, Score · score + Implicit · implicit reward. Its
// weights were fitted by logistic regression on comparisons that had no part in training, so that σ
// of a margin is a probability.
type Combination struct {
	Score    float64 `json:"score"`
	Implicit float64 `json:"implicit"`
	// Split names the comparisons of the fit, Comparisons is their number, and LogLikelihood is the
	// combination's mean of log σ(margin) on them.
	Split         string  `json:"split"`
	Comparisons   int     `json:"comparisons"`
	LogLikelihood float64 `json:"log_likelihood"`
}

// Of returns the combination of a response's score and implicit reward.
func (c Combination) Of(score,
	implicit float64) float64 {
	return c.Score*score + c.Implicit*implicit
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

// Combination returns the combination that is stored beside the model. Without one the error wraps
// fs.ErrNotExist.
func (m *Model) Combination() (Combination, error) {
	var c Combination
	path := filepath.Join(m.Dir, CombinationName)
	data, err := wholefile.Read(path, wholefile.Settings)
	if err != nil {
		if !m.combinable() || errors.Is(err, fs.ErrNotExist) {
			return c,
				fmt.Errorf("reward: %s has no weights of its two heads (%s): fit them with haf "+
					"combine: %w", m.Dir, CombinationName, fs.ErrNotExist)
		}
		return c, fmt.Errorf("reward: %w", err)
	}
	if err = wholefile.Unmarshal(data, &c); err == nil {
		err = c.check()
	}
	if err != nil {
		return c, fmt.Errorf("reward: %s: %w: fit it again with haf combine", path, err)
	}
	return c, nil
}

// SetCombination stores the weights beside the model, and replaces earlier ones.
func (m *Model) SetCombination(c Combination) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("reward: combination of %s: %w", m.Dir, err)
	}
	if !m.combinable() {
		return fmt.Errorf("reward: %s is a file, beside which nothing of the model's own can be "+
			"stored: save the model as a folder first", m.Dir)
	}
	if err := writeJSON(filepath.Join(m.Dir, CombinationName), c); err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	return nil
}

// combinable reports whether the model is a folder.
func (m *Model) combinable() bool {
	info, err := os.Stat(m.Dir)
	return err == nil && info.IsDir()
}
