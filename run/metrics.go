package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Records are the lines of a metrics.jsonl. Steps and validations of haf train are in Steps and
// Validations, those of haf rlhf in PolicySteps and PolicyEvals.
type Records struct {
	Steps       []TrainStep
	Validations []Validation
	PolicySteps []PolicyStep
	PolicyEvals []PolicyEval
}

// ReadRecords reads metrics.jsonl of the run in dir, which was made by the verb. Without the file
// there are no records. A last line that is cut off is left out, because the run may still be
// going.
func ReadRecords(dir string, verb Verb) (Records, error) {
	var r Records
	path := filepath.Join(dir, MetricsName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("run: metrics: %w", err)
	}
	lines := newLines(data[:bytes.LastIndexByte(data, '\n')+1])
	for n := 1; lines.Scan(); n++ {
		if err := r.add(lines.Bytes(), verb); err != nil {
			return r, fmt.Errorf("run: %s:%d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return r, fmt.Errorf("run: %s: %w", path, err)
	}
	return r, nil
}

// add decodes a line. Other kinds of records are left out.
func (r *Records) add(line []byte, verb Verb) error {
	var at struct{ Kind string }
	if err := json.Unmarshal(line, &at); err != nil {
		return err
	}
	switch {
	case at.Kind == KindEval && verb == VerbRLHF:
		return decode(line, &r.PolicyEvals)
	case at.Kind == KindEval:
		return decode(line, &r.Validations)
	case at.Kind == KindStep && verb == VerbRLHF:
		return decode(line, &r.PolicySteps)
	case at.Kind == KindStep:
		return decode(line, &r.Steps)
	}
	return nil
}

func decode[T any](line []byte, list *[]T) error {
	var record T
	err := json.Unmarshal(line, &record)
	*list = append(*list, record)
	return err
}

// Best returns the validation that selected the weights and the name of the reward that did; ok is
// false where there was none.
func (r Records) Best() (best Validation, name string, ok bool) {
	var so *Best
	for _, v := range r.Validations {
		if by := v.Selected(); so.Improves(by.Accuracy, v.Loss) {
			so = &Best{Step: v.Step, Accuracy: by.Accuracy, Loss: v.Loss}
			best, name, ok = v, by.Name, true
		}
	}
	return best, name, ok
}

// BestPolicy returns the evaluation of the highest reward, the earliest of equal ones; ok is false
// where there was none.
func (r Records) BestPolicy() (best PolicyEval, ok bool) {
	for _, e := range r.PolicyEvals {
		if !ok || e.Reward > best.Reward {
			best, ok = e, true
		}
	}
	return best, ok
}
