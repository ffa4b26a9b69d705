package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// A Folder is a run on disk (docs/reference/run-folder.md): manifest.json, metrics.jsonl, checkpoints/, best/ and, at the end, model/.
type Folder struct {
	Path    string
	metrics *os.File
}

// Names inside a run folder.
const (
	ManifestName = "manifest.json"
	MetricsName  = "metrics.jsonl"
	ModelName    = "model"
	// CheckpointsName is the folder of [SaveCheckpoint].
	CheckpointsName = "checkpoints"
)

// Create makes a new run folder with its manifest; a folder that already holds a run is refused.
func Create(path string, manifest any) (*Folder, error) {
	if err := Vacant(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("train: run folder: %w", err)
	}
	if err := writeJSON(filepath.Join(path, ManifestName), manifest); err != nil {
		return nil, fmt.Errorf("train: manifest: %w", err)
	}
	return &Folder{Path: path}, nil
}

// Vacant returns an error if a new run cannot have the folder, because it holds a run or something of one.
func Vacant(path string) error {
	if _, err := os.Stat(filepath.Join(path, ManifestName)); err == nil {
		return fmt.Errorf("train: %s holds a run already: continue it with -resume %s, or choose another folder", path, path)
	}
	for _, name := range []string{ModelName, CheckpointsName, bestName, MetricsName} {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return fmt.Errorf("train: %s has a %s but no run to continue: choose another folder", path, name)
		}
	}
	return nil
}

// Resume opens the folder of a run that was stopped.
func Resume(path string) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(path, ManifestName)); err != nil {
		return nil, fmt.Errorf("train: %s is no run folder: %w", path, err)
	}
	if _, err := os.Stat(filepath.Join(path, ModelName)); err == nil {
		return nil, fmt.Errorf("train: %s is finished: its model is %s; train into a new folder to go further", path, filepath.Join(path, ModelName))
	}
	// What a crash left half-written.
	for _, pattern := range []string{temporaryPrefix + "*", "." + ModelName + "-*", filepath.Join(CheckpointsName, temporaryPrefix+"*")} {
		left, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		for _, name := range left {
			if err := os.RemoveAll(name); err != nil {
				return nil, fmt.Errorf("train: removing what a crash left: %w", err)
			}
		}
	}
	return &Folder{Path: path}, nil
}

func (f *Folder) join(name string) string { return filepath.Join(f.Path, name) }

// OpenMetrics opens metrics.jsonl for appending, after removing the lines of steps later than step, and if validationDue
// the validation of step, too: they are about to be made again. A last line cut off by a crash goes, too.
func (f *Folder) OpenMetrics(step int, validationDue bool) error {
	path := f.join(MetricsName)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("train: metrics: %w", err)
	}
	var keep bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var at struct {
			Kind string
			Step *int
		}
		again := func() bool { return *at.Step > step || validationDue && at.Kind == "eval" && *at.Step == step }
		if json.Unmarshal(lines.Bytes(), &at) == nil && at.Step != nil && !again() {
			keep.Write(lines.Bytes())
			keep.WriteByte('\n')
		}
	}
	if err := renameio.WriteFile(path, keep.Bytes(), 0o644); err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	f.metrics, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}

// Record appends one line to metrics.jsonl.
func (f *Folder) Record(v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = f.metrics.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}

// Sync puts what was recorded on the disk: a checkpoint must not be newer than the metrics it follows.
func (f *Folder) Sync() error {
	if err := f.metrics.Sync(); err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}

// Close closes metrics.jsonl.
func (f *Folder) Close() error {
	if f.metrics == nil {
		return nil
	}
	return f.metrics.Close()
}
