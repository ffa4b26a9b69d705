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
	"slices"
	"strings"

	"haf/internal/durable"
	"haf/internal/filelock"
	"haf/internal/wholefile"
)

// A Folder is a run on disk (docs/reference/run-folder.md): manifest.json, metrics.jsonl,
// checkpoints/, best/ and, at the end, model/. It is locked until Close.
type Folder struct {
	Path    string
	metrics *durable.File
	written Written // in metrics
	lock    *filelock.Lock
	replay  func(line []byte)
	follow  func(line []byte)
}

// Names inside a run folder.
const (
	ManifestName    = "manifest.json"
	MetricsName     = "metrics.jsonl"
	ModelName       = "model"
	CheckpointsName = "checkpoints"
	BestName        = "best"
)

// Create makes a new run folder with its manifest. It refuses a folder that holds a run already, or
// in which another process works.
func Create(path string, manifest any) (*Folder, error) {
	if err := checkVacant(path); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(path); err != nil {
		return nil, fmt.Errorf("run: folder: %w", err)
	}
	locked, err := lock(path)
	if err != nil {
		return nil, err
	}
	f := &Folder{Path: path, lock: locked}
	if err := checkVacant(path); err != nil { // again, because another process may have come first
		return nil, errors.Join(err, f.Close())
	}
	err = writeJSON(filepath.Join(path, ManifestName), manifest)
	if err == nil {
		err = f.writeFileSums(ManifestName)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("run: manifest: %w", err), f.Close())
	}
	return f, nil
}

// checkVacant returns an error if the folder holds a run or a part of one.
func checkVacant(path string) error {
	if Exists(path) {
		return fmt.Errorf("run: %s holds a run already: resume it with -resume %s, "+
			"or choose another folder", path, path)
	}
	for _, name := range []string{ModelName, CheckpointsName, BestName, MetricsName} {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return fmt.Errorf("run: %s has a %s but no run to resume: choose another folder", path, name)
		}
	}
	return nil
}

// Exists reports whether the folder holds a run, finished or not.
func Exists(path string) bool { return exists(filepath.Join(path, ManifestName)) }

// Finished reports whether the folder holds a run's final model.
func Finished(path string) bool { return exists(filepath.Join(path, ModelName)) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Open opens the folder of a stopped run and removes files that a crash left half-written. It
// refuses a folder in which another process works.
func Open(path string) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(path, ManifestName)); err != nil {
		return nil, fmt.Errorf("run: %s is no run folder: %w", path, err)
	}
	if Finished(path) {
		return nil, fmt.Errorf("run: %s is finished: its model is %s; to train further, "+
			"choose another folder", path, filepath.Join(path, ModelName))
	}
	locked, err := lock(path)
	if err != nil {
		return nil, err
	}
	f := &Folder{Path: path, lock: locked}
	for dir, prefixes := range map[string][]string{
		path:                    {temporaryPrefix, "." + ModelName + "-"},
		f.Join(CheckpointsName): {temporaryPrefix},
	} {
		if err := removeWithPrefix(dir, prefixes); err != nil {
			return nil, errors.Join(fmt.Errorf("run: removing what a crash left: %w", err), f.Close())
		}
	}
	return f, nil
}

// removeWithPrefix removes the entries of a folder whose names begin with one of the prefixes.
func removeWithPrefix(dir string, prefixes []string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		has := func(prefix string) bool { return strings.HasPrefix(e.Name(), prefix) }
		if !slices.ContainsFunc(prefixes, has) {
			continue
		}
		if err := durable.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Join returns the path of a file or folder of the run.
func (f *Folder) Join(names ...string) string {
	return filepath.Join(append([]string{f.Path}, names...)...)
}

// Follow registers two functions for the lines of metrics.jsonl: replay gets the lines of an
// earlier start that [Folder.OpenMetrics] keeps, follow each line that the run has written.
func (f *Folder) Follow(replay, follow func(line []byte)) { f.replay, f.follow = replay, follow }

// OpenMetrics opens metrics.jsonl for appending after the records of a state. It first removes the
// records that the run will repeat: those of later steps and, if validationDue, the validation of
// the state's step. It also removes a last line that a crash cut off. Any other line that is no
// record is an error, and so are records that have changed since the state was saved.
func (f *Folder) OpenMetrics(state Stater, validationDue bool) error {
	path := f.Join(MetricsName)
	data, err := wholefile.Read(path, wholefile.Records)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("run: metrics: %w", err)
	}
	if err := state.common().Metrics.check(data); err != nil {
		return fmt.Errorf("run: %s %w", path, err)
	}
	keep, err := keepRecords(data, state.common().Step, validationDue)
	if err != nil {
		return fmt.Errorf("run: %s: %w", path, err)
	}
	// A run that failed at its very end has checksums that later records make invalid.
	if sums := f.Join(sumsName); exists(sums) {
		if err := f.writeFileSums(ManifestName); err != nil {
			return fmt.Errorf("run: checksums: %w", err)
		}
	}
	f.written = writtenOf(keep)
	if err := writeFile(path, keep); err != nil {
		return fmt.Errorf("run: metrics: %w", err)
	}
	f.metrics, err = durable.OpenFile(path, os.O_APPEND|os.O_WRONLY)
	if err != nil {
		return fmt.Errorf("run: metrics: %w", err)
	}
	if f.replay != nil {
		for line := range bytes.Lines(keep) {
			f.replay(line)
		}
	}
	return nil
}

// keepRecords returns the lines of metrics.jsonl that [Folder.OpenMetrics] keeps.
func keepRecords(data []byte, step int, validationDue bool) ([]byte, error) {
	var keep bytes.Buffer
	for n, line := range bytes.SplitAfter(data, []byte{'\n'}) {
		if !bytes.HasSuffix(line, []byte{'\n'}) {
			break // the last line, cut off or empty
		}
		var at struct {
			Kind string
			Step *int
		}
		if err := json.Unmarshal(line, &at); err != nil || at.Step == nil {
			return nil, fmt.Errorf("line %d is damaged: the file has changed since the run wrote it; "+
				"remove the line to resume without its record", n+1)
		}
		repeated := *at.Step > step || validationDue && at.Kind == KindEval && *at.Step == step
		if !repeated {
			keep.Write(line)
		}
	}
	return keep.Bytes(), nil
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
		data = append(data, '\n')
		err = f.metrics.Append(data)
	}
	if err != nil {
		return fmt.Errorf("run: metrics: %w", err)
	}
	f.written = f.written.and(data)
	if f.follow != nil {
		f.follow(data[:len(data)-1])
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

// Close closes metrics.jsonl and releases the folder.
func (f *Folder) Close() error {
	var err error
	if f.metrics != nil {
		err = f.metrics.Close()
		f.metrics = nil
	}
	if f.lock != nil {
		err = errors.Join(err, f.lock.Remove())
		f.lock = nil
	}
	return err
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'))
}

// writeFile replaces a file by data, whole or not at all.
func writeFile(path string, data []byte) error { return durable.WriteFile(path, data) }
