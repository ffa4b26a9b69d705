package report

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"

	"haf/eval"
	"haf/internal/wholefile"
	"haf/run"
)

// A Run is the content of a run folder: its manifest, its records and, if stored, its eval.json and
// pairs.jsonl.
type Run struct {
	Name     string // name of the folder
	Manifest *run.Manifest[map[string]map[string]any]
	run.Records
	Eval     *Evaluation // nil: none is stored
	Pairs    *Pairs      // nil: none are stored
	Finished bool        // the folder has a model
}

// An Evaluation is the output of haf -json eval.
type Evaluation struct {
	Model   string                 `json:"model"`
	Data    []string               `json:"data"`
	Rewards map[string]eval.Result `json:"rewards"`
	// Length is the effect of length on every reward.
	Length map[string]eval.LengthControl `json:"length"`
}

// evalName is the file in a run folder for the output of haf -json eval.
const evalName = "eval.json"

// ReadRuns reads run folders with [ReadRun].
func ReadRuns(dirs []string) ([]*Run, error) {
	var runs []*Run
	for _, dir := range dirs {
		r, err := ReadRun(dir)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// ReadRun reads a run folder, also of a run that is still running or was stopped. Without a
// manifest the error wraps fs.ErrNotExist.
func ReadRun(dir string) (*Run, error) {
	r := &Run{Name: shown(filepath.Base(filepath.Clean(dir))), Finished: run.Finished(dir)}
	var err error
	if r.Manifest, err = run.ReadManifest[map[string]map[string]any](dir, nil); err != nil {
		return nil, err
	}
	if r.Records, err = run.ReadRecords(dir, r.Manifest.Verb); err != nil {
		return nil, err
	}
	if r.Pairs, err = readPairs(filepath.Join(dir, pairsName)); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, evalName)
	data, err := wholefile.Read(path, wholefile.Vocabulary)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r.Eval = &Evaluation{}
	if err := wholefile.Unmarshal(data, r.Eval); err != nil {
		return nil, fmt.Errorf("report: %s: %w: want what haf -json eval prints", path, err)
	}
	return r, nil
}

// shown returns a name with a mark in place of characters that a page cannot show: control
// characters, and those that change the direction of text.
func shown(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, name)
}
