package reward

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gomlx/compute/dtypes"

	"haf/weights"
)

// The variance head is a matrix [1, H] beside the score head, in a file of its own: what other
// programs read of a saved model is the same with it and without (docs/dev/decisions/0025).
const (
	varianceName = "variance.weight"
	varianceFile = "variance_head.safetensors"
)

// addVariance adds the variance head of the folder; where there is none and one is wanted, a fresh
// one, by which all variances are equal. One that is not wanted in training is left out: it would
// say something about rewards that are no longer the model's.
func (m *Model) addVariance(dir string, opt Options) error {
	wanted := opt.Head.Variance
	if opt.trains() && !wanted {
		return nil
	}
	path := filepath.Join(dir, varianceFile)
	_, err := os.Stat(path)
	switch {
	case err == nil && !weights.IsGGUF(dir):
		file, err := weights.OpenFile(path)
		if err != nil {
			return fmt.Errorf("reward: the variance head: %w", err)
		}
		defer file.Close()
		a, err := file.ReadShape(varianceName, 1, m.Config.Hidden)
		if err == nil {
			err = checkFinite(a)
		}
		if err != nil {
			return fmt.Errorf("reward: the variance head: %w", err)
		}
		m.HasVariance = true
		return m.add(a, dtypes.Float32)
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !weights.IsGGUF(dir):
		return fmt.Errorf("reward: %w", err)
	case wanted:
		m.HasVariance = true
		return m.add(weights.Array{Name: varianceName, Shape: []int{1, m.Config.Hidden},
			Data: make([]float32, m.Config.Hidden)}, dtypes.Float32)
	}
	return nil
}

// writeVariance writes the variance head, where the model has one.
func (m *Model) writeVariance(dir string) error {
	for _, p := range m.params {
		if p.Name == varianceName {
			return weights.WriteFile(filepath.Join(dir, varianceFile), []weights.LazyArray{p.Source()},
				weights.WriteOptions{})
		}
	}
	return nil
}
