package train

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"haf/lm"
)

// State is what a checkpoint holds besides tensors: where the run stands.
type State struct {
	Step        int    `json:"step"`        // optimizer steps made
	Fingerprint string `json:"fingerprint"` // of recipe and data: a checkpoint of another run is refused
	Packing     string `json:"packing"`     // of the data: what the steps' groups depend on, and may change between versions
	Best        *Best  `json:"best"`        // of the validations so far
	Bad         int    `json:"bad"`         // validations since the best
	// Checkpointing of the activations, which was chosen for the memory that there was.
	Checkpointing lm.Checkpointing `json:"checkpointing"`
	// ValidationDue says that the run was stopped before the validation of this step was through.
	ValidationDue bool `json:"validation_due,omitempty"`
}

// Best is the best validation so far.
type Best struct {
	Step     int     `json:"step"`
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"`
}

// better says whether a validation is better: more accurate, or as accurate with a smaller loss.
func (b *Best) better(accuracy, loss float64) bool {
	return b == nil || accuracy > b.Accuracy || accuracy == b.Accuracy && loss < b.Loss
}

const (
	stateName  = "state.json"
	stepPrefix = "step-"

	bestName        = "best"
	temporaryPrefix = ".writing-"
)

// SaveCheckpoint lets write fill the checkpoint of a step under dir, which appears whole or not at all, and removes all but the
// newest two.
func SaveCheckpoint(dir string, step int, write func(temporary string) error) error {
	if err := atomically(filepath.Join(dir, checkpointName(step)), write); err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	steps, err := checkpoints(dir)
	if err != nil {
		return err
	}
	for _, old := range steps[:max(0, len(steps)-2)] {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			return fmt.Errorf("train: removing an old checkpoint: %w", err)
		}
	}
	return nil
}

// NewestCheckpoint returns the folder of the newest checkpoint under dir, "" where there is none.
func NewestCheckpoint(dir string) (string, error) {
	names, err := checkpoints(dir)
	if err != nil || len(names) == 0 {
		return "", err
	}
	return filepath.Join(dir, names[len(names)-1]), nil
}

// saveCheckpoint writes the state under dir.
func (s *stepper) saveCheckpoint(dir string, state State) error {
	return SaveCheckpoint(dir, state.Step, func(temporary string) error {
		if err := s.Save(temporary); err != nil {
			return err
		}
		if err := s.writeElastic(temporary); err != nil {
			return err
		}
		return writeJSON(filepath.Join(temporary, stateName), state)
	})
}

func checkpointName(step int) string { return fmt.Sprintf("%s%06d", stepPrefix, step) }

// saveBest keeps the trained weights of the best validation at path.
func (s *stepper) saveBest(path string, best Best) error {
	err := atomically(path, func(temporary string) error {
		if err := s.SaveWeights(temporary); err != nil {
			return err
		}
		return writeJSON(filepath.Join(temporary, stateName), best)
	})
	if err != nil {
		return fmt.Errorf("train: keeping the best weights: %w", err)
	}
	return nil
}

// atomically lets write fill a temporary folder that then takes path's place.
func atomically(path string, write func(temporary string) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(path), temporaryPrefix)
	if err != nil {
		return err
	}
	err = write(temporary)
	if err == nil {
		err = os.Chmod(temporary, 0o755)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temporary))
	}
	// A folder cannot replace another in one step: the old one steps aside, and readers skip names with a dot.
	aside := ""
	if _, err := os.Stat(path); err == nil {
		aside = temporary + "-old"
		if err := os.Rename(path, aside); err != nil {
			return err
		}
	}
	if err := os.Rename(temporary, path); err != nil {
		if aside != "" {
			err = errors.Join(err, os.Rename(aside, path))
		}
		return err
	}
	if aside != "" {
		if err := os.RemoveAll(aside); err != nil {
			return err
		}
	}
	return syncFolder(filepath.Dir(path))
}

// checkpoints lists the checkpoints' names under dir, oldest first.
func checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), stepPrefix) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return names, nil
}

// loadCheckpoint restores the tensors of a checkpoint.
func (s *stepper) loadCheckpoint(path string) error {
	if err := s.Load(path); err != nil {
		return err
	}
	return s.readElastic(path)
}

// syncFolder makes renames in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, append(data, '\n'), 0o644)
}
