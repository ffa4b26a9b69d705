package paper

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"haf/internal/durable"
	"haf/internal/filelock"
	"haf/internal/wholefile"
	"haf/pref"
	"haf/recipe"
)

// A Journal keeps the results of a grid's cells as they finish. Its file results.jsonl has a JSON
// line for the grid, one for each test set and one for each cell, each with a checksum. The page
// needs nothing else, so a machine with this file alone can continue the work and make the page.
type Journal struct {
	path   string
	file   *durable.File // nil: read-only
	lock   *filelock.Lock
	origin origin
	tests  map[string]TestSet
	cells  map[string]*Result // by the hash of [Cell]
	groups map[string][]pref.Group
}

// An origin is everything besides the recipes that a journal's results depend on.
type origin struct {
	Format int               `json:"format"`
	Title  string            `json:"title"`
	Data   Data              `json:"data"`
	Bases  map[string]string `json:"bases"` // hashes of the base models, by [modelKey]
}

const journalFormat = 1

// Kinds of lines in a journal.
const (
	kindOrigin = "grid"
	kindTest   = "test"
	kindCell   = "cell"
)

// A journalLine is a line of a journal. The checksum covers kind and value.
type journalLine struct {
	Kind  string          `json:"kind"`
	Value json.RawMessage `json:"value"`
	Sum   string          `json:"crc32c"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (l journalLine) sum() string {
	sum := crc32.Checksum([]byte(l.Kind), castagnoli)
	return fmt.Sprintf("%08x", crc32.Update(sum, castagnoli, l.Value))
}

const journalName = "results.jsonl"

// ReadJournal reads the journal in a folder. If there is none, the error wraps fs.ErrNotExist.
func ReadJournal(folder string) (*Journal, error) {
	j := &Journal{path: filepath.Join(folder, journalName), tests: map[string]TestSet{},
		cells: map[string]*Result{}}
	data, err := wholefile.Read(j.path, wholefile.Records)
	if err != nil {
		return nil, fmt.Errorf("paper: results: %w", err)
	}
	if _, err := j.read(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("paper: %s: %w", j.path, err)
	}
	return j, nil
}

// openJournal is [Grid.OpenJournal].
func openJournal(folder string, of origin, tests []TestSet) (*Journal, error) {
	if err := durable.MkdirAll(folder); err != nil {
		return nil, fmt.Errorf("paper: results: %w", err)
	}
	j := &Journal{path: filepath.Join(folder, journalName), tests: map[string]TestSet{},
		cells: map[string]*Result{}}
	var err error
	if j.lock, err = filelock.Acquire(j.path + ".lock"); errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("paper: %s is in use by another process: wait until it ends, or name "+
			"another folder", j.path)
	} else if err != nil {
		return nil, fmt.Errorf("paper: results: %w", err)
	}
	if err := j.open(of, tests); err != nil {
		return nil, errors.Join(fmt.Errorf("paper: %s: %w", j.path, err), j.Close())
	}
	return j, nil
}

func (j *Journal) open(of origin, tests []TestSet) (err error) {
	if j.file, err = durable.OpenFile(j.path, os.O_RDWR|os.O_CREATE); err != nil {
		return err
	}
	whole, err := j.read(j.file)
	if err == nil {
		err = j.file.Truncate(whole)
	}
	if err == nil {
		_, err = j.file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return err
	}
	if whole > 0 {
		return j.extend(of, tests)
	}
	j.origin = of
	if err := j.put(kindOrigin, of); err != nil {
		return err
	}
	for _, t := range tests {
		j.tests[t.Name] = t
		if err := j.put(kindTest, t); err != nil {
			return err
		}
	}
	return nil
}

// extend checks that results of the origin may be added, and records new bases.
func (j *Journal) extend(of origin, tests []TestSet) error {
	was := map[string]string{}
	for _, part := range j.origin.Data.Parts {
		was[part.Set] = part.Hash
	}
	added := false
	for _, part := range of.Data.Parts {
		switch {
		case was[part.Set] == "":
			added = true
		case was[part.Set] != part.Hash:
			return fmt.Errorf("it has results of another set %s (%s, now %s): its files or settings have "+
				"changed; name another folder of results", part.Set, was[part.Set], part.Hash)
		}
	}
	j.origin.Data = of.Data
	for _, t := range tests {
		if _, ok := j.tests[t.Name]; !ok {
			j.tests[t.Name] = t
			if err := j.put(kindTest, t); err != nil {
				return err
			}
		}
	}
	for key, base := range of.Bases {
		switch was := j.origin.Bases[key]; {
		case was == "":
			j.origin.Bases[key], added = base, true
		case was != base:
			return fmt.Errorf("it has results of another base model: %s, now %s; name another folder of "+
				"results", was, base)
		}
	}
	if !added {
		return nil
	}
	return j.put(kindOrigin, j.origin)
}

// read reads the lines and returns the number of bytes of complete lines. A later line for a cell
// or the grid replaces an earlier one.
func (j *Journal) read(from io.Reader) (whole int64, err error) {
	in := bufio.NewReader(from)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil // without a line end it was cut off
		}
		if err != nil {
			return whole, err
		}
		var line journalLine
		if err := json.Unmarshal(text, &line); err != nil || line.Sum != line.sum() {
			return whole, fmt.Errorf("line %d is damaged: remove it to have its cell trained again", n)
		}
		if err := j.take(line); err != nil {
			return whole, fmt.Errorf("line %d: %w", n, err)
		}
		if n == 1 && line.Kind != kindOrigin {
			return whole, errors.New("line 1 is not that of a grid: it is no file of results")
		}
		whole += int64(len(text))
	}
}

func (j *Journal) take(line journalLine) error {
	switch line.Kind {
	case kindOrigin:
		if err := json.Unmarshal(line.Value, &j.origin); err != nil {
			return err
		}
		if j.origin.Format != journalFormat {
			return fmt.Errorf("it is of format %d, and this program reads %d", j.origin.Format,
				journalFormat)
		}
	case kindTest:
		var t TestSet
		if err := json.Unmarshal(line.Value, &t); err != nil {
			return err
		}
		if err := t.check(); err != nil {
			return err
		}
		j.tests[t.Name] = t
	case kindCell:
		r := &Result{}
		if err := json.Unmarshal(line.Value, r); err != nil {
			return err
		}
		j.cells[hashOf(r.ID)] = r
	default:
		return fmt.Errorf("kind %q is not known", line.Kind)
	}
	return nil
}

// put appends a line and waits until it is on disk.
func (j *Journal) put(kind string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	line := journalLine{Kind: kind, Value: data}
	line.Sum = line.sum()
	text, err := json.Marshal(line)
	if err == nil {
		err = j.file.Append(append(text, '\n'))
	}
	if err == nil {
		err = j.file.Sync()
	}
	return err
}

// add appends the result of a cell.
func (j *Journal) add(r *Result) error {
	if err := j.put(kindCell, r); err != nil {
		return fmt.Errorf("paper: %s: %w", j.path, err)
	}
	j.cells[hashOf(r.ID)] = r
	return nil
}

// Result returns the result of a cell, or nil if the cell is not trained, or not read on one of its
// tests.
func (j *Journal) Result(c *Cell) *Result {
	if j == nil {
		return nil
	}
	r := j.cells[c.hash()]
	for _, set := range c.Tests {
		if r != nil && r.Tests[set] == nil {
			return nil
		}
	}
	return r
}

// testGroups returns groups that stand in for a test set's comparisons.
func (j *Journal) testGroups(test string) []pref.Group {
	if j.groups[test] == nil {
		if j.groups == nil {
			j.groups = map[string][]pref.Group{}
		}
		j.groups[test] = j.tests[test].groups()
	}
	return j.groups[test]
}

// Results returns the journal's results, unordered.
func (j *Journal) Results() []*Result { return slices.Collect(maps.Values(j.cells)) }

// Close releases the journal. A read-only journal needs no Close.
func (j *Journal) Close() error {
	var err error
	if j.file != nil {
		err = j.file.Close()
	}
	if j.lock != nil {
		err = errors.Join(err, j.lock.Remove())
	}
	return err
}

// data is the split of the grid's sets, without the groups.
func (j *Journal) data() *Data {
	d := j.origin.Data
	d.Parts = slices.Clone(d.Parts)
	return &d
}

// base returns a function for the hash of a recipe's base model when the results were made, "" if
// the journal has no result with it.
func (j *Journal) base(p *Grid) func(*recipe.Recipe) (string, error) {
	return func(r *recipe.Recipe) (string, error) {
		key, err := p.modelKey(r)
		return j.origin.Bases[key], err
	}
}

// missing reports whether an error means that there is no journal.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
