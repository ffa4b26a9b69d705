package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"haf/internal/wholefile"
	"haf/run"
)

// A metricsFile is an index of a metrics.jsonl: the offsets of its steps, and its evaluations. It
// grows with the file. Steps are decoded on demand. A line that cannot be read is recorded and left
// out, so that it hides nothing else.
type metricsFile struct {
	mu      sync.Mutex
	path    string
	verb    run.Verb
	size    int64 // indexed bytes
	lines   int   // indexed lines
	steps   []stepLine
	records run.Records
	tail    []byte         // the last indexed bytes, at most one line
	inLong  bool           // the indexed bytes end inside a line of more than maxLine bytes
	bad     map[int]string // errors of unreadable lines, by number from 1
	changed time.Time
}

// A stepLine is the location of a step's line.
type stepLine struct {
	at   int64 // offset of its beginning, bytes
	line int   // number in the file, from 1
}

// maxLine is the largest length of a line in bytes; no record of haf is longer.
const maxLine = 1 << 20

// metrics returns the index of a run's metrics.jsonl, updated.
func (a *App) metrics(dir string) (*metricsFile, error) {
	a.mu.Lock()
	m := a.indexes[dir]
	if m == nil {
		head, err := run.ReadManifest[any](dir, nil)
		if err != nil {
			a.mu.Unlock()
			return nil, err
		}
		m = &metricsFile{path: filepath.Join(dir, run.MetricsName), verb: head.Verb,
			bad: map[int]string{}}
		a.indexes[dir] = m
	}
	a.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m, m.renew()
}

// renew indexes the new part of the file. If the file was cut or replaced, as when a run is
// resumed, it indexes the whole file.
func (m *metricsFile) renew() error {
	f, err := wholefile.Open(m.path)
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
	m.size, m.lines, m.steps, m.records, m.tail = 0, 0, nil, run.Records{}, nil
	m.inLong, m.bad = false, map[int]string{}
}

// problems describes the unreadable lines, the first few by number.
func (m *metricsFile) problems() (list []string) {
	const named = 5
	for _, n := range slices.Sorted(maps.Keys(m.bad)) {
		if len(list) == named {
			return append(list, fmt.Sprintf("%s: %d more lines could not be read", run.MetricsName,
				len(m.bad)-named))
		}
		list = append(list, fmt.Sprintf("%s, line %d: %s", run.MetricsName, n, m.bad[n]))
	}
	return list
}

// index reads the complete lines after the indexed ones.
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
			m.add(data[:end], at)
			m.tail = append(m.tail[:0], data[max(0, end-maxLine):end+1]...)
			data, at = data[end+1:], at+int64(end)+1
			m.size = at
		}
		if len(data) > maxLine { // skip the rest of it too
			m.inLong = true
			m.tail = append(m.tail[:0], data[len(data)-64:]...)
			at += int64(len(data))
			m.size, data = at, nil
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil // a last line without an end is still being written
			}
			return fmt.Errorf("ui: metrics: %w", err)
		}
		kept = copy(buffer, data)
	}
}

var stepPrefix = []byte(`{"kind":"step"`)

// add indexes a line, or records why it could not be read.
func (m *metricsFile) add(line []byte, at int64) {
	m.lines++
	if m.inLong || len(line) > maxLine {
		m.inLong = false
		m.bad[m.lines] = fmt.Sprintf("more than %d bytes, want a record of haf", maxLine)
		return
	}
	if bytes.HasPrefix(line, stepPrefix) {
		m.steps = append(m.steps, stepLine{at, m.lines})
		return
	}
	var head struct{ Kind string }
	err := json.Unmarshal(line, &head)
	switch {
	case err != nil:
	case head.Kind == run.KindStep:
		m.steps = append(m.steps, stepLine{at, m.lines})
	case head.Kind == run.KindEval && m.verb == run.VerbRLHF:
		err = decode(line, &m.records.PolicyEvals)
	case head.Kind == run.KindEval:
		err = decode(line, &m.records.Validations)
	}
	if err != nil {
		m.bad[m.lines] = err.Error()
	}
}

func decode[T any](line []byte, list *[]T) error {
	var record T
	if err := json.Unmarshal(line, &record); err != nil {
		return err
	}
	*list = append(*list, record)
	return nil
}

// A point has the values of one step.
type point struct {
	step   int
	values map[string]float64
}

// last decodes the last readable step.
func (m *metricsFile) last() (p point, ok bool, err error) {
	for i := len(m.steps) - 1; i >= 0 && !ok; i-- {
		if p, ok, err = m.one(i); err != nil {
			return p, false, err
		}
	}
	return p, ok, nil
}

// one decodes one step. ok is false if its line cannot be read.
func (m *metricsFile) one(i int) (p point, ok bool, err error) {
	if m.bad[m.steps[i].line] != "" {
		return p, false, nil
	}
	points, err := m.read([]int{i})
	if err != nil || len(points) == 0 {
		return p, false, err
	}
	return points[0], true, nil
}

// read decodes the lines with the given ascending indices. It records unreadable ones and leaves
// them out.
func (m *metricsFile) read(at []int) ([]point, error) {
	f, err := wholefile.Open(m.path)
	if err != nil {
		return nil, fmt.Errorf("ui: metrics: %w", err)
	}
	defer f.Close()
	out := make([]point, 0, len(at))
	for _, i := range at {
		begin, end := m.steps[i].at, m.size
		if i+1 < len(m.steps) {
			end = m.steps[i+1].at
		}
		line := make([]byte, min(end-begin, maxLine))
		if _, err := f.ReadAt(line, begin); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("ui: metrics: %w", err)
		}
		line, _, _ = bytes.Cut(line, []byte("\n"))
		p, err := decodeStep(line, m.verb)
		if err != nil {
			m.bad[m.steps[i].line] = err.Error()
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

// sample decodes at most n steps, evenly spread from one step to another; 0, 0 means all. It takes
// one of every `every` steps.
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
		at = append(at, high-1) // always include the newest
	}
	points, err = m.read(at)
	return points, every, err
}

// search returns the index of the first line with at least the given step.
func (m *metricsFile) search(step int) (int, error) {
	low, high := 0, len(m.steps)
	for low < high {
		middle := (low + high) / 2
		at := middle // the first readable line from the middle on
		var p point
		for ok := false; at < high; at++ {
			var err error
			if p, ok, err = m.one(at); err != nil {
				return 0, err
			}
			if ok {
				break
			}
		}
		if at < high && p.step < step {
			low = at + 1
		} else {
			high = middle
		}
	}
	return low, nil
}
