package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"haf/internal/wholefile"
)

// Records are the lines of a metrics.jsonl. Steps and Validations are those of haf train,
// PolicySteps and PolicyEvals those of haf rlhf. Stops are the errors that ended either.
type Records struct {
	Steps       []TrainStep
	Validations []Validation
	PolicySteps []PolicyStep
	PolicyEvals []PolicyEval
	Stops       []Stop
}

// ReadRecords reads metrics.jsonl of the run in dir, which the verb made. A missing file has no
// records. A last line that is cut off is ignored, because the run may still be writing it.
func ReadRecords(dir string, verb Verb) (Records, error) {
	var r Records
	path := filepath.Join(dir, MetricsName)
	data, err := readFile(dir, MetricsName, wholefile.Records)
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

// add decodes a line. It ignores other kinds of records.
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
	case at.Kind == KindStop:
		return decode(line, &r.Stops)
	}
	return nil
}

func decode[T any](line []byte, list *[]T) error {
	var record T
	err := json.Unmarshal(line, &record)
	*list = append(*list, record)
	return err
}

// Best returns the validation that selected the weights, and the name of the reward that it was
// selected by. ok is false without a validation.
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

// A Choice is the validation that selected a run's weights, with counts that show how far it was
// chance.
type Choice struct {
	Step        int // of the best validation
	Selection       // of that validation
	Comparisons int
	Others      int // number of other validations
	Within      int // number of these with an accuracy in the interval of the best
}

// Choice returns how the weights were selected. ok is false if no accuracy selected them.
func (r Records) Choice() (c Choice, ok bool) {
	best, name, ok := r.Best()
	if !ok || name == ByLoss {
		return c, false
	}
	c = Choice{Step: best.Step, Selection: best.Selected(), Others: len(r.Validations) - 1,
		Comparisons: best.Rewards[name].Comparisons}
	for _, v := range r.Validations {
		if v.Step != best.Step && v.Selected().Accuracy >= c.Low {
			c.Within++
		}
	}
	return c, true
}

// ByChance reports whether most other validations do not differ from the best beyond chance.
func (c Choice) ByChance() bool { return 2*c.Within > c.Others }

// String names the best validation, with its interval.
func (c Choice) String() string {
	return fmt.Sprintf("step %d has the best validation: accuracy %.4f [%.4f, %.4f] of %s; %d of the "+
		"%d other validations are within that interval", c.Step, c.Accuracy, c.Low, c.High, c.Name,
		c.Within, c.Others)
}

// BestPolicy returns the evaluation with the highest reward, the earliest of equal ones. ok is
// false without an evaluation.
func (r Records) BestPolicy() (best PolicyEval, ok bool) {
	for _, e := range r.PolicyEvals {
		if !ok || e.Reward > best.Reward {
			best, ok = e, true
		}
	}
	return best, ok
}
