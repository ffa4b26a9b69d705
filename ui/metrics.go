package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"haf/run"
)

// A metricsFile is an index of a metrics.jsonl: where its lines of steps begin, and its
// evaluations. It grows with the file. Steps are decoded when they are asked for.
type metricsFile struct {
	mu      sync.Mutex
	path    string
	verb    run.Verb
	size    int64   // indexed bytes
	steps   []int64 // offset of each line of a step
	records run.Records
	tail    []byte // the last indexed line
	changed time.Time
}

// maxLine bounds a line: a longer one is no record of haf.
const maxLine = 1 << 20

// metrics returns the index of a run's metrics.jsonl, renewed.
func (a *App) metrics(dir string) (*metricsFile, error) {
	a.mu.Lock()
	m := a.indexes[dir]
	if m == nil {
		head, err := run.ReadManifest[any](dir, nil)
		if err != nil {
			a.mu.Unlock()
			return nil, err
		}
		m = &metricsFile{path: filepath.Join(dir, run.MetricsName), verb: head.Verb}
		a.indexes[dir] = m
	}
	a.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m, m.renew()
}

// renew indexes what the file has more than before; of a file that was cut or replaced, as resuming
// a run does, all of it.
func (m *metricsFile) renew() error {
	f, err := openRegular(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		m.reset()
		return nil
	}
	if err != nil {
		return fmt.Errorf("ui: metrics: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("ui: metrics: %w", err)
	}
	m.changed = info.ModTime()
	before := make([]byte, len(m.tail))
	if _, err := f.ReadAt(before, m.size-int64(len(m.tail))); err != nil || info.Size() < m.size ||
		!bytes.Equal(before, m.tail) {
		m.reset()
	}
	return m.index(f)
}

func (m *metricsFile) reset() {
	m.size, m.steps, m.records, m.tail = 0, nil, run.Records{}, nil
}

// index reads the complete lines behind those that are indexed.
func (m *metricsFile) index(f io.ReaderAt) error {
	buffer := make([]byte, 4*maxLine)
	kept := 0 // bytes of an incomplete line at the buffer's beginning
	for at := m.size; ; {
		n, err := f.ReadAt(buffer[kept:], at+int64(kept))
		data := buffer[:kept+n]
		for {
			end := bytes.IndexByte(data, '\n')
			if end < 0 {
				break
			}
			if err := m.add(data[:end], at); err != nil {
				return fmt.Errorf("ui: %s: byte %d: %w", m.path, at, err)
			}
			m.tail = append(m.tail[:0], data[:end+1]...)
			data, at = data[end+1:], at+int64(end)+1
			m.size = at
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil // a last line without its end is still being written
			}
			return fmt.Errorf("ui: metrics: %w", err)
		}
		if len(data) > maxLine {
			return fmt.Errorf("ui: %s: byte %d: a line of more than %d bytes, want a record of haf",
				m.path, at, maxLine)
		}
		kept = copy(buffer, data)
	}
}

var stepPrefix = []byte(`{"kind":"step"`)

// add indexes a line.
func (m *metricsFile) add(line []byte, at int64) error {
	if bytes.HasPrefix(line, stepPrefix) {
		m.steps = append(m.steps, at)
		return nil
	}
	var head struct{ Kind string }
	if err := json.Unmarshal(line, &head); err != nil {
		return err
	}
	switch {
	case head.Kind == run.KindStep:
		m.steps = append(m.steps, at)
	case head.Kind == run.KindEval && m.verb == run.VerbRLHF:
		return decode(line, &m.records.PolicyEvals)
	case head.Kind == run.KindEval:
		return decode(line, &m.records.Validations)
	}
	return nil
}

func decode[T any](line []byte, list *[]T) error {
	var record T
	if err := json.Unmarshal(line, &record); err != nil {
		return err
	}
	*list = append(*list, record)
	return nil
}

// A point is the values of one step.
type point struct {
	step   int
	values map[string]float64
}

// last decodes the last step.
func (m *metricsFile) last() (p point, ok bool, err error) {
	if len(m.steps) == 0 {
		return p, false, nil
	}
	points, err := m.read([]int{len(m.steps) - 1})
	if err != nil {
		return p, false, err
	}
	return points[0], true, nil
}

// read decodes the lines of the given indices, which rise.
func (m *metricsFile) read(at []int) ([]point, error) {
	f, err := openRegular(m.path)
	if err != nil {
		return nil, fmt.Errorf("ui: metrics: %w", err)
	}
	defer f.Close()
	out := make([]point, 0, len(at))
	for _, i := range at {
		end := m.size
		if i+1 < len(m.steps) {
			end = m.steps[i+1]
		}
		line := make([]byte, min(end-m.steps[i], maxLine))
		if _, err := f.ReadAt(line, m.steps[i]); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("ui: metrics: %w", err)
		}
		line, _, _ = bytes.Cut(line, []byte("\n"))
		p, err := decodeStep(line, m.verb)
		if err != nil {
			return nil, fmt.Errorf("ui: %s: byte %d: %w", m.path, m.steps[i], err)
		}
		out = append(out, p)
	}
	return out, nil
}

// sample decodes at most n steps, evenly spread over those from one step to another; 0, 0 is all.
// every says that one of so many steps was taken.
func (m *metricsFile) sample(from, to, n int) (points []point, every int, err error) {
	low, high := 0, len(m.steps)
	if to > 0 {
		if low, err = m.search(from); err != nil {
			return nil, 0, err
		}
		if high, err = m.search(to + 1); err != nil {
			return nil, 0, err
		}
	}
	every = max(1, (high-low+n-1)/max(1, n))
	var at []int
	for i := low; i < high; i += every {
		at = append(at, i)
	}
	if high > low && at[len(at)-1] != high-1 {
		at = append(at, high-1) // the newest is always shown
	}
	points, err = m.read(at)
	return points, every, err
}

// search is the index of the first line whose step is not before the given one.
func (m *metricsFile) search(step int) (int, error) {
	low, high := 0, len(m.steps)
	for low < high {
		middle := (low + high) / 2
		points, err := m.read([]int{middle})
		if err != nil {
			return 0, err
		}
		if points[0].step < step {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

// openRegular opens a file. Whatever else stands in its place, such as a pipe that nobody writes
// to, is an error.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return os.Open(path)
}
