package run

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

	"haf/internal/durable"
	"haf/internal/wholefile"
)

// A State is the common beginning of every checkpoint's state.json. A training loop embeds it in
// its own state.
type State struct {
	Step        int    `json:"step"`        // completed steps
	Fingerprint string `json:"fingerprint"` // of recipe, model and data
	// metrics.jsonl when the state was saved; zero in checkpoints written before 2026-11-29
	Metrics Written `json:"metrics,omitzero"`
}

func (s *State) common() *State { return s }

// A Stater is a pointer to a struct that embeds [State].
type Stater interface{ common() *State }

// ErrNoCheckpoint is wrapped by the error for a run that has checkpoints, none of them intact.
var ErrNoCheckpoint = errors.New("no checkpoint is intact")

const (
	stateName       = "state.json"
	stepPrefix      = "step-"
	temporaryPrefix = ".writing-"

	keptCheckpoints = 2
)

// SaveCheckpoint writes a checkpoint at the state's step and flushes the metrics first. save fills
// the folder with everything but the state. The checkpoint appears whole or not at all. It then
// removes all but the newest two checkpoints.
func (f *Folder) SaveCheckpoint(state Stater, save func(dir string) error) error {
	if err := f.sync(); err != nil {
		return err
	}
	state.common().Metrics = f.written
	err := writeFolder(f.CheckpointPath(state.common().Step), func(temporary string) error {
		if err := save(temporary); err != nil {
			return err
		}
		return writeJSON(filepath.Join(temporary, stateName), state)
	})
	if err != nil {
		return fmt.Errorf("run: checkpoint: %w", err)
	}
	names, err := f.checkpoints()
	if err != nil {
		return err
	}
	for _, old := range names[:max(0, len(names)-keptCheckpoints)] {
		if err := durable.RemoveAll(f.Join(CheckpointsName, old)); err != nil {
			return fmt.Errorf("run: removing an old checkpoint: %w", err)
		}
	}
	return nil
}

// CheckpointPath is the folder of a step's checkpoint.
func (f *Folder) CheckpointPath(step int) string {
	return f.Join(CheckpointsName, checkpointName(step))
}

func checkpointName(step int) string { return fmt.Sprintf("%s%06d", stepPrefix, step) }

// ReadState reads the state of the newest intact checkpoint and returns the checkpoint's folder.
// Without a checkpoint it leaves the state as it is and returns "". It skips newer checkpoints
// whose files have changed since they were written, and reports them to logf. If none is intact,
// the error wraps [ErrNoCheckpoint]. It refuses a checkpoint whose fingerprint differs from the
// state's.
func (f *Folder) ReadState(
	state Stater, logf func(format string, args ...any),
) (path string, err error) {
	names, err := f.checkpoints()
	if err != nil || len(names) == 0 {
		return "", err
	}
	var damaged []error
	for _, name := range slices.Backward(names) {
		path = f.Join(CheckpointsName, name)
		err := CheckSums(path)
		if err == nil {
			break
		}
		damaged = append(damaged, fmt.Errorf("%s: %w", path, err))
	}
	if len(damaged) == len(names) {
		return "", fmt.Errorf("run: %w: %w; start over in another folder", ErrNoCheckpoint,
			errors.Join(damaged...))
	}
	for _, err := range damaged {
		logf("warning: a checkpoint is damaged: %v", err)
	}
	if len(damaged) > 0 {
		logf("warning: the run goes back to %s, the newest intact checkpoint", path)
	}
	name := filepath.Join(path, stateName)
	data, err := wholefile.Read(name, wholefile.Records)
	if err != nil {
		return "", fmt.Errorf("run: checkpoint: %w", err)
	}
	want := state.common().Fingerprint
	if err := json.Unmarshal(data, state); err != nil {
		return "", fmt.Errorf("run: %s: %w", name, err)
	}
	if state.common().Fingerprint != want {
		return "", fmt.Errorf("run: %s was made by another recipe, model or data: resume with those "+
			"of the run's start, or choose another folder", path)
	}
	return path, nil
}

// checkpoints lists the names of the checkpoints, oldest first.
func (f *Folder) checkpoints() ([]string, error) {
	entries, err := os.ReadDir(f.Join(CheckpointsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), stepPrefix) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { // by number: names grow at step 1,000,000
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return names, nil
}

// Best is the best validation of a run so far.
type Best struct {
	Step     int     `json:"step"`
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"`
}

// Improves reports whether a validation beats b, which may be nil: with higher accuracy, or with
// the same accuracy and a lower loss.
func (b *Best) Improves(accuracy, loss float64) bool {
	return b == nil || accuracy > b.Accuracy || accuracy == b.Accuracy && loss < b.Loss
}

// A BestPolicy is the best evaluation of a run of haf rlhf so far.
type BestPolicy struct {
	Step   int     `json:"step"`
	Reward float64 `json:"reward"` // mean over the held-out prompts
}

// ReadBestState reads the value that the last [Folder.SaveBest] stored. It reports whether there
// was one.
func (f *Folder) ReadBestState(best any) (bool, error) {
	name := f.Join(BestName, stateName)
	data, err := wholefile.Read(name, wholefile.Records)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, best)
	}
	if err != nil {
		return false, fmt.Errorf("run: %s: %w", name, err)
	}
	return true, nil
}

// SaveBest replaces the folder of the best validation by one that save fills. It stores best, a
// [Best] or a [BestPolicy], beside the weights.
func (f *Folder) SaveBest(best any, save func(dir string) error) error {
	err := writeFolder(f.Join(BestName), func(temporary string) error {
		if err := save(temporary); err != nil {
			return err
		}
		return writeJSON(filepath.Join(temporary, stateName), best)
	})
	if err != nil {
		return fmt.Errorf("run: saving the best weights: %w", err)
	}
	return nil
}

// ReadBest checks the folder with the weights of the best validation and returns its path. If there
// is none, the error wraps fs.ErrNotExist.
func (f *Folder) ReadBest(best Best) (string, error) {
	path := f.Join(BestName)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("run: the weights of the best validation: %w", err)
	}
	err := CheckSums(path)
	if err == nil {
		var saved Best
		var data []byte
		if data, err = wholefile.Read(filepath.Join(path, stateName), wholefile.Records); err == nil {
			err = json.Unmarshal(data, &saved)
		}
		if err == nil && saved.Step != best.Step {
			err = fmt.Errorf("it holds the weights of step %d", saved.Step)
		}
	}
	if err != nil {
		return "", fmt.Errorf("run: %s, the weights of step %d, is damaged: %w; remove the "+
			"folder to keep the weights of the last step instead", path, best.Step, err)
	}
	return path, nil
}

// writeFolder lets write fill a temporary folder, adds checksums, and renames the folder to path.
// Readers skip names that begin with a dot.
func writeFolder(path string, write func(temporary string) error) error {
	return durable.WriteFolder(path, temporaryPrefix, func(temporary string) error {
		if err := write(temporary); err != nil {
			return err
		}
		return writeSums(temporary)
	})
}
