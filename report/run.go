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

// A Run is what a run folder says of a training: its manifest, its records and, where they were
// kept, its eval.json and pairs.jsonl.
type Run struct {
	Name     string // of the folder
	Manifest *run.Manifest[map[string]map[string]any]
	run.Records
	Eval     *Evaluation // nil: none was kept
	Pairs    *Pairs      // nil: none were kept
	Finished bool        // the folder has a model
}

// An Evaluation is what haf -json eval prints.
type Evaluation struct {
	Model   string                 `json:"model"`
	Data    []string               `json:"data"`
	Rewards map[string]eval.Result `json:"rewards"`
	// Length is the part of length in every reward.
	Length map[string]eval.LengthControl `json:"length"`
}

// evalName is the file in which a user keeps what haf -json eval prints.
const evalName = "eval.json"

// ReadRuns reads run folders by [ReadRun].
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

// ReadRun reads a run folder. A run that is still going, or was stopped, is read as far as it has
// come; without a manifest the error wraps fs.ErrNotExist.
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

// shown is a name with a mark in place of what no page can hold: control characters, and marks that
// turn the direction of a text.
func shown(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, name)
}
