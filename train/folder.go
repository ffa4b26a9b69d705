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

// A Folder is a run on disk (docs/format.md): manifest.json, metrics.jsonl, checkpoints/, best/ and, at the end, model/.
type Folder struct {
	Path    string
	metrics *os.File
}

// Names inside a run folder.
const (
	ManifestName = "manifest.json"
	MetricsName  = "metrics.jsonl"
	ModelName    = "model"
)

// Create makes a new run folder with its manifest; a folder that already holds a run is refused.
func Create(path string, manifest any) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(path, ManifestName)); err == nil {
		return nil, fmt.Errorf("train: %s holds a run already: continue it with -resume, or choose another folder", path)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("train: run folder: %w", err)
	}
	if err := writeJSON(filepath.Join(path, ManifestName), manifest); err != nil {
		return nil, fmt.Errorf("train: manifest: %w", err)
	}
	return &Folder{Path: path}, nil
}

// Resume opens the folder of a run that was stopped.
func Resume(path string) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(path, ManifestName)); err != nil {
		return nil, fmt.Errorf("train: %s is no run folder: %w", path, err)
	}
	if _, err := os.Stat(filepath.Join(path, ModelName)); err == nil {
		return nil, fmt.Errorf("train: %s is finished: its model is %s", path, filepath.Join(path, ModelName))
	}
	return &Folder{Path: path}, nil
}

func (f *Folder) join(name string) string { return filepath.Join(f.Path, name) }

// openMetrics opens metrics.jsonl for appending, after removing the lines of steps later than step: they are
// about to be made again. A last line cut off by a crash goes, too.
func (f *Folder) openMetrics(step int) error {
	path := f.join(MetricsName)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("train: metrics: %w", err)
	}
	var keep bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var at struct{ Step *int }
		if json.Unmarshal(lines.Bytes(), &at) == nil && at.Step != nil && *at.Step <= step {
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

// record appends one line to metrics.jsonl.
func (f *Folder) record(v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = f.metrics.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}

func (f *Folder) close() error {
	if f.metrics == nil {
		return nil
	}
	return f.metrics.Close()
}
