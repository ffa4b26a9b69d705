package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"haf/eval"
)

// A Run is what a run folder says of a training: its manifest.json, metrics.jsonl and, where there is one, eval.json.
type Run struct {
	Name     string // of the folder
	Manifest Manifest
	Steps    []Step
	Valid    []Validation
	Eval     *Evaluation // nil: none was kept
	Finished bool        // the folder has a model
}

// Manifest is the part of manifest.json that a page shows.
type Manifest struct {
	Verb    string                    `json:"verb"` // "" is haf train, or "rlhf"
	Created string                    `json:"created"`
	Recipe  map[string]map[string]any `json:"recipe"`
	Origin  map[string]string         `json:"origin"` // of each dotted key: "default", "file" or "set"
	Device  string                    `json:"device"`
	Base    string                    `json:"base"`
	Report  []string                  `json:"report"` // what was read, kept, dropped
	Models  []struct {
		Served string `json:"served"` // by a server: the reward and its name of the model
	} `json:"models"`
}

// A Step is a line of metrics.jsonl after an optimizer step.
type Step struct {
	Step       int     `json:"step"`
	Loss       float64 `json:"loss"`
	RewardLoss float64 `json:"reward_loss"`
	PolicyLoss float64 `json:"policy_loss"`
	Tokens     int     `json:"tokens"`
	Seconds    float64 `json:"seconds"`

	// Of haf rlhf: means over the responses of the step.
	Reward  float64 `json:"reward"`
	KL      float64 `json:"kl"`
	Entropy float64 `json:"entropy"`
	Length  float64 `json:"length"`
	Ended   float64 `json:"ended"`
}

// A Validation is a line of metrics.jsonl after a validation.
type Validation struct {
	Step    int                    `json:"step"`
	Loss    float64                `json:"loss"`
	Rewards map[string]eval.Result `json:"rewards"`
}

// An Evaluation is what haf -json eval prints.
type Evaluation struct {
	Model   string                 `json:"model"`
	Data    []string               `json:"data"`
	Rewards map[string]eval.Result `json:"rewards"`
}

// ReadRun reads a run folder. A run that goes on still, or was stopped, is read as far as it has come; without a manifest the
// error wraps fs.ErrNotExist.
func ReadRun(dir string) (*Run, error) {
	r := &Run{Name: filepath.Base(filepath.Clean(dir))}
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, fmt.Errorf("report: %s is no run folder: %w", dir, err)
	}
	if err := json.Unmarshal(data, &r.Manifest); err != nil {
		return nil, fmt.Errorf("report: %s: %w", filepath.Join(dir, "manifest.json"), err)
	}
	if err := r.readMetrics(filepath.Join(dir, "metrics.jsonl")); err != nil {
		return nil, err
	}
	if data, err = os.ReadFile(filepath.Join(dir, "eval.json")); err == nil {
		r.Eval = &Evaluation{}
		if err := json.Unmarshal(data, r.Eval); err != nil {
			return nil, fmt.Errorf("report: %s: %w: wanted what haf -json eval prints", filepath.Join(dir, "eval.json"), err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("report: %w", err)
	}
	_, err = os.Stat(filepath.Join(dir, "model"))
	r.Finished = err == nil
	return r, nil
}

// readMetrics reads metrics.jsonl; its last line may be cut off where the run goes on or was killed.
func (r *Run) readMetrics(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	lines := bufio.NewScanner(bytes.NewReader(whole))
	lines.Buffer(nil, 1<<24)
	for n := 1; lines.Scan(); n++ {
		var at struct{ Kind string }
		var step Step
		var valid Validation
		err := json.Unmarshal(lines.Bytes(), &at)
		switch {
		case err != nil:
		case at.Kind == "step":
			err = json.Unmarshal(lines.Bytes(), &step)
			r.Steps = append(r.Steps, step)
		case at.Kind == "eval":
			err = json.Unmarshal(lines.Bytes(), &valid)
			r.Valid = append(r.Valid, valid)
		}
		if err != nil {
			return fmt.Errorf("report: %s:%d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("report: %s: %w", path, err)
	}
	return nil
}

// Best is the validation that chose the weights: of the reward that selects (the score head's, where there is one), the first of
// the highest accuracy, and among equal ones of the least loss. ok is false where there was none.
func (r *Run) Best() (best Validation, name string, ok bool) {
	for _, v := range r.Valid {
		selects := v.selects()
		if selects == "" {
			continue
		}
		a, b := v.Rewards[selects].Accuracy, best.Rewards[name].Accuracy
		if !ok || a > b || a == b && v.Loss < best.Loss {
			best, name, ok = v, selects, true
		}
	}
	return best, name, ok
}

// selects names the reward by which the trainer chooses.
func (v Validation) selects() string {
	for _, name := range []string{"score", "implicit", "log-probability"} {
		if _, ok := v.Rewards[name]; ok {
			return name
		}
	}
	return ""
}
