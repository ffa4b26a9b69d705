package run

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

// A Folder is a run on disk (docs/reference/run-folder.md): manifest.json, metrics.jsonl,
// checkpoints/, best/ and, at the end, model/.
type Folder struct {
	Path    string
	metrics *os.File
}

// Names inside a run folder.
const (
	ManifestName    = "manifest.json"
	MetricsName     = "metrics.jsonl"
	ModelName       = "model"
	CheckpointsName = "checkpoints"
	BestName        = "best"
)

// Create makes a new run folder with its manifest. It refuses a folder that already holds a run.
func Create(path string, manifest any) (*Folder, error) {
	if err := checkVacant(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("run: folder: %w", err)
	}
	if err := writeJSON(filepath.Join(path, ManifestName), manifest); err != nil {
		return nil, fmt.Errorf("run: manifest: %w", err)
	}
	return &Folder{Path: path}, nil
}

// checkVacant returns an error if the folder holds a run or a part of one.
func checkVacant(path string) error {
	if Exists(path) {
		return fmt.Errorf("run: %s holds a run already: resume it with -resume %s, "+
			"or choose another folder", path, path)
	}
	for _, name := range []string{ModelName, CheckpointsName, BestName, MetricsName} {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return fmt.Errorf("run: %s has a %s but no run to resume: choose another folder",
				path, name)
		}
	}
	return nil
}

// Exists reports whether the folder holds a run, finished or not.
func Exists(path string) bool {
	_, err := os.Stat(filepath.Join(path, ManifestName))
	return err == nil
}

// Finished reports whether the folder holds a run's final model.
func Finished(path string) bool {
	_, err := os.Stat(filepath.Join(path, ModelName))
	return err == nil
}

// Open opens the folder of a run that was stopped, and removes what a crash left half-written.
func Open(path string) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(path, ManifestName)); err != nil {
		return nil, fmt.Errorf("run: %s is no run folder: %w", path, err)
	}
	if Finished(path) {
		return nil, fmt.Errorf("run: %s is finished: its model is %s; to train further, "+
			"choose another folder", path, filepath.Join(path, ModelName))
	}
	for _, pattern := range []string{
		temporaryPrefix + "*",
		"." + ModelName + "-*",
		filepath.Join(CheckpointsName, temporaryPrefix+"*"),
	} {
		left, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil {
			return nil, fmt.Errorf("run: %w", err)
		}
		for _, name := range left {
			if err := os.RemoveAll(name); err != nil {
				return nil, fmt.Errorf("run: removing what a crash left: %w", err)
			}
		}
	}
	return &Folder{Path: path}, nil
}

// Join returns the path of a file or folder of the run.
func (f *Folder) Join(names ...string) string {
	return filepath.Join(append([]string{f.Path}, names...)...)
}

// OpenMetrics opens metrics.jsonl for appending. It first removes the records of steps later than
// step and, if validationDue, the validation of that step, because the run makes them again; and a
// last line that a crash cut off.
func (f *Folder) OpenMetrics(step int, validationDue bool) error {
	path := f.Join(MetricsName)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("run: metrics: %w", err)
	}
	var keep bytes.Buffer
	lines := newLines(data)
	for lines.Scan() {
		var at struct {
			Kind string
			Step *int
		}
		if json.Unmarshal(lines.Bytes(), &at) != nil || at.Step == nil {
			continue
		}
		repeated := *at.Step > step || validationDue && at.Kind == KindEval && *at.Step == step
		if !repeated {
			keep.Write(lines.Bytes())
			keep.WriteByte('\n')
		}
	}
	if err := renameio.WriteFile(path, keep.Bytes(), 0o644); err != nil {
		return fmt.Errorf("run: metrics: %w", err)
	}
	f.metrics, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("run: metrics: %w", err)
	}
	return nil
}

func newLines(data []byte) *bufio.Scanner {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<24)
	return lines
}

// Record appends one line to metrics.jsonl.
func (f *Folder) Record(r Record) error {
	data, err := json.Marshal(r)
	if err == nil {
		_, err = f.metrics.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("run: metrics: %w", err)
	}
	return nil
}

// sync flushes the records to disk, because a checkpoint must not be newer than its metrics.
func (f *Folder) sync() error {
	if err := f.metrics.Sync(); err != nil {
		return fmt.Errorf("run: metrics: %w", err)
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

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, append(data, '\n'), 0o644)
}
