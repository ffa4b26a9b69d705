package ui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"haf/eval"
	"haf/internal/wholefile"
	"haf/paper"
	"haf/run"
)

// Names of files with results, in run folders and beside them.
const (
	evalFiles = "eval*.json"
	gridFile  = "results.jsonl"
)

// A resultFile is a file with results, in a run folder or beside runs.
type resultFile struct{ Run, Name, Path string }

// contents are the contents of the named paths.
type contents struct {
	runs     []folder
	evals    []resultFile // output of haf -json eval
	grids    []resultFile // results of haf paper
	problems []string     // errors of unreadable paths
}

// look searches the named paths: run folders, folders of these, and files.
func look(named []string) (c contents) {
	taken := map[string]bool{}
	add := func(name, dir string) {
		if taken[name] {
			name = filepath.ToSlash(filepath.Clean(dir))
		}
		if taken[name] || len(c.runs) >= maxRuns {
			return
		}
		taken[name] = true
		c.runs = append(c.runs, folder{name, dir})
		c.evals = append(c.evals, evalsOf(folder{name, dir})...)
	}
	for _, root := range named {
		if run.Exists(root) {
			add(baseName(root), root)
			continue
		}
		start := root
		if info, err := os.Stat(root); err == nil && info.IsDir() {
			start += string(filepath.Separator) // the folder itself, if root is a link to it
		}
		err := filepath.WalkDir(start, func(path string, d fs.DirEntry, err error) error {
			if path == start {
				path = root
			}
			switch {
			case err != nil && path == root:
				return err
			case err != nil:
				return nil // skip unreadable entries below
			case d.Type()&fs.ModeSymlink != 0 && run.Exists(path): // other links are not followed
				add(relative(root, path), path)
				return nil
			case !d.IsDir():
				c.file(root, path, d)
				return nil
			case path != root && strings.HasPrefix(d.Name(), "."):
				return fs.SkipDir
			case run.Exists(path):
				add(relative(root, path), path)
				return fs.SkipDir
			case strings.Count(relative(root, path), "/") >= maxDepth-1 && path != root:
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			c.problems = append(c.problems, fmt.Sprintf("%s cannot be read: %v", root,
				errors.Unwrap(err)))
		}
	}
	return c
}

// file adds a file that is outside of run folders, or named itself.
func (c *contents) file(root, path string, d fs.DirEntry) {
	of := resultFile{Name: relative(root, path), Path: path}
	if path == root {
		of.Name = filepath.Base(path)
	}
	evaluation, _ := filepath.Match(evalFiles, d.Name())
	switch {
	case !d.Type().IsRegular():
	case evaluation, path == root && filepath.Ext(path) == ".json":
		c.evals = append(c.evals, of)
	case d.Name() == gridFile && isGrid(path):
		c.grids = append(c.grids, of)
	}
}

// isGrid reports whether a file begins like results of haf paper.
func isGrid(path string) bool {
	f, err := wholefile.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	begin, _ := bufio.NewReader(f).Peek(64) // a shorter file does not match
	return bytes.HasPrefix(begin, []byte(`{"kind":"grid",`))
}

func evalsOf(f folder) (files []resultFile) {
	for _, name := range filesOf(f.Dir, evalFiles) {
		files = append(files, resultFile{f.Name, name, filepath.Join(f.Dir, name)})
	}
	return files
}

// An evaluationRow is one reward of one model on one data set.
type evaluationRow struct {
	Model  string // name of the run, else the model's name in the file
	IsRun  bool
	Data   string // short but unique
	Reward string
	File   string
	eval.Result
	Length *eval.LengthControl

	paths []string // of the data files
}

// evaluations reads files of evaluations. runs are all runs that pages can name.
func evaluations(files []resultFile, runs []folder) (rows []evaluationRow, problems []string) {
	for _, file := range files {
		read, err := readEvaluation(file, runs)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", strings.TrimPrefix(
				file.Run+"/"+file.Name, "/"), err))
			continue
		}
		rows = append(rows, read...)
	}
	short := shortest(rows)
	for i := range rows {
		var names []string
		for _, path := range rows[i].paths {
			names = append(names, short[path])
		}
		rows[i].Data = strings.Join(names, ", ")
	}
	return rows, problems
}

// maxEvaluation limits a file that is read whole, in bytes.
const maxEvaluation = 64 << 20

// readEvaluation reads the output of haf -json eval: for one model, for a suite, or for several
// models and sets.
func readEvaluation(file resultFile, runs []folder) ([]evaluationRow, error) {
	info, err := os.Stat(file.Path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxEvaluation {
		return nil, fmt.Errorf("%d bytes, want what haf -json eval prints", info.Size())
	}
	data, err := wholefile.Read(file.Path, maxEvaluation)
	if err != nil {
		return nil, err
	}
	var of struct {
		eval.Evaluation
		Matrix *eval.Matrix    `json:"matrix"`
		Read   json.RawMessage `json:"read"` // text, or of a matrix by data file
	}
	if err := json.Unmarshal(data, &of); err != nil {
		return nil, fmt.Errorf("%w: want what haf -json eval prints", err)
	}
	switch {
	case of.Matrix != nil:
		var read map[string]string
		if err := json.Unmarshal(of.Read, &read); err != nil {
			return nil, fmt.Errorf("read: %w: want what haf -json eval prints", err)
		}
		return ofMatrix(file, *of.Matrix, slices.Sorted(maps.Keys(read)), runs)
	case len(of.Rewards) == 0 && len(of.Labels) == 0:
		return nil, errors.New("no result of a reward: want what haf -json eval prints")
	}
	model, isRun := file.Run, true
	if model == "" {
		model, isRun = runOf(of.Model, runs)
	}
	var rows []evaluationRow
	for _, name := range sortedKeys(of.Rewards) {
		row := evaluationRow{Model: model, IsRun: isRun, Reward: name, File: file.Name,
			Result: of.Rewards[name], paths: of.Data}
		if c, ok := of.Length[name]; ok {
			row.Length = &c
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// ofMatrix makes rows of several models on several sets. paths are those of the data files, which
// the matrix names without folders if that is unique.
func ofMatrix(
	file resultFile, m eval.Matrix, paths []string, runs []folder,
) (rows []evaluationRow, err error) {
	if len(m.Cells) != len(m.Models) {
		return nil, fmt.Errorf("%d models and results of %d: want what haf -json eval prints",
			len(m.Models), len(m.Cells))
	}
	for i, named := range m.Models {
		if len(m.Cells[i]) != len(m.Sets) {
			return nil, fmt.Errorf("%d sets and %d results of %s: want what haf -json eval prints",
				len(m.Sets), len(m.Cells[i]), named)
		}
		at := strings.LastIndexByte(named, ' ') // "MODEL REWARD"
		model, isRun := runOf(named[:max(0, at)], runs)
		for j, set := range m.Sets {
			path := set
			for _, p := range paths {
				if filepath.Base(p) == set {
					path = p
				}
			}
			rows = append(rows, evaluationRow{Model: model, IsRun: isRun, Reward: named[at+1:],
				File: file.Name, Result: m.Cells[i][j].Result, paths: []string{path}})
		}
	}
	return rows, nil
}

// runOf returns the name of the run with a model's folder. ok is false if it is in no run of the
// list.
func runOf(model string, runs []folder) (name string, ok bool) {
	of := absolute(model)
	for _, f := range runs {
		if dir := absolute(f.Dir); of == dir || of == filepath.Join(dir, "model") {
			return f.Name, true
		}
	}
	return model, false
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}

// shortest names every data file of rows by its base name and as few parent folders as make it
// unique.
func shortest(rows []evaluationRow) map[string]string {
	short := map[string]string{}
	var open []string
	for _, r := range rows {
		for _, path := range r.paths {
			if _, ok := short[path]; !ok {
				short[path] = path
				open = append(open, path)
			}
		}
	}
	for k := 1; len(open) > 0; k++ {
		count := map[string]int{}
		for path := range short {
			count[ending(path, k)]++
		}
		open = slices.DeleteFunc(open, func(path string) bool {
			name := ending(path, k)
			if count[name] == 1 {
				short[path] = name
			}
			return count[name] == 1 || name == path
		})
	}
	return short
}

// ending returns the last k parts of a path.
func ending(path string, k int) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	if k >= len(parts) {
		return path
	}
	return strings.Join(parts[len(parts)-k:], "/")
}

// mostGridRows is the largest number of rows in a grid's map.
const mostGridRows = 300

// A knownGrid is the map of a file, with the file's state when it was read.
type knownGrid struct {
	heatMap
	size    int64
	changed time.Time
}

// gridMap returns the map for results of haf paper.
func (a *App) gridMap(file resultFile) (heatMap, error) {
	info, err := os.Stat(file.Path)
	if err != nil {
		return heatMap{}, err
	}
	a.reading.Lock()
	defer a.reading.Unlock()
	if known, ok := a.grids[file.Path]; ok && known.size == info.Size() &&
		known.changed.Equal(info.ModTime()) {
		return known.heatMap, nil
	}
	journal, err := paper.ReadJournal(filepath.Dir(file.Path))
	if err != nil {
		return heatMap{}, err
	}
	accuracies, err := journal.Accuracies()
	if err != nil {
		return heatMap{}, err
	}
	m := heatMap{Title: journal.Title(), File: file.Name, Data: journal.Tests()}
	for _, of := range accuracies {
		m.add(heatEntry{Model: of.Label, Trained: strings.Join(of.Train, ", "), Reward: of.Reward,
			Data: of.Test, Accuracy: of.Mean, Low: of.Low, High: of.High, N: of.Comparisons,
			Seeds: of.Seeds})
	}
	if more := len(m.Rows) - mostGridRows; more > 0 {
		m.Rows, m.More = m.Rows[:mostGridRows], more
	}
	a.grids[file.Path] = knownGrid{m, info.Size(), info.ModTime()}
	return m, nil
}
