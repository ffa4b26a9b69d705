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

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/google/renameio/v2"

	"haf/lm"
)

// State is what a checkpoint holds besides tensors: where the run stands.
type State struct {
	Step        int    `json:"step"`        // optimizer steps made
	Fingerprint string `json:"fingerprint"` // of recipe and data: a checkpoint of another run is refused
	Best        *Best  `json:"best"`        // of the validations so far
	Bad         int    `json:"bad"`         // validations since the best
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
	stateName   = "state.json"
	weightsName = "trained.safetensors" // the trained weights, float32
	momentsName = "moments.safetensors" // the optimizer's, under "m." and "v."
	stepPrefix  = "step-"

	checkpointsName = "checkpoints"
	bestName        = "best"
	temporaryPrefix = ".writing-"
)

// saveCheckpoint writes the state under dir and removes all but the newest two.
func (s *stepper) saveCheckpoint(dir string, state State) error {
	path := filepath.Join(dir, checkpointName(state.Step))
	err := atomically(path, func(temporary string) error {
		if err := s.writeWeights(temporary); err != nil {
			return err
		}
		if err := s.writeMoments(temporary); err != nil {
			return err
		}
		if err := s.writeElastic(temporary); err != nil {
			return err
		}
		return writeJSON(filepath.Join(temporary, stateName), state)
	})
	if err != nil {
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

func checkpointName(step int) string { return fmt.Sprintf("%s%06d", stepPrefix, step) }

// saveBest keeps the trained weights of the best validation at path.
func (s *stepper) saveBest(path string, best Best) error {
	err := atomically(path, func(temporary string) error {
		if err := s.writeWeights(temporary); err != nil {
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

func (s *stepper) writeWeights(dir string) error {
	sources := make([]lm.Source, len(s.params))
	for i, p := range s.params {
		sources[i] = p.Source()
	}
	return lm.WriteSafetensors(filepath.Join(dir, weightsName), sources, lm.WriteOptions{})
}

// moments are the optimizer's, by the prefix of their names in a checkpoint.
func (s *stepper) moments() map[string][]*tensors.Tensor {
	return map[string][]*tensors.Tensor{"m.": s.m, "v.": s.v}
}

func (s *stepper) writeMoments(dir string) error {
	return s.writeTables(filepath.Join(dir, momentsName), s.moments())
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

// loadCheckpoint restores the newest checkpoint under dir; without one it returns the zero State.
func (s *stepper) loadCheckpoint(dir, fingerprint string) (State, error) {
	var state State
	names, err := checkpoints(dir)
	if err != nil || len(names) == 0 {
		return state, err
	}
	path := filepath.Join(dir, names[len(names)-1])
	data, err := os.ReadFile(filepath.Join(path, stateName))
	if err != nil {
		return state, fmt.Errorf("train: checkpoint: %w", err)
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, fmt.Errorf("train: %s: %w", filepath.Join(path, stateName), err)
	}
	if state.Fingerprint != fingerprint {
		return state, fmt.Errorf("train: %s was made by another recipe, model or data: resume with those it was started with, or train into a new folder", path)
	}
	if err := s.readWeights(path); err != nil {
		return state, err
	}
	if err := s.readTables(filepath.Join(path, momentsName), s.moments()); err != nil {
		return state, err
	}
	return state, s.readElastic(path)
}

// readWeights puts the trained weights saved in dir into the model.
func (s *stepper) readWeights(dir string) error {
	ck, err := lm.OpenSafetensors(filepath.Join(dir, weightsName))
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	defer ck.Close()
	for _, p := range s.params {
		if p.Value.DType() != dtypes.Float32 {
			return fmt.Errorf("train: %s is trained in %s, float32 is wanted", p.Name, p.Value.DType())
		}
		a, err := ck.ReadShape(p.Name, p.Shape...)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		if err := s.model.Set(p, a); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	return nil
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
