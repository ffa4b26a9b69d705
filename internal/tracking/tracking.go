// Package tracking sends the records of a run to the trackers that teams use: TensorBoard, MLflow
// and Weights & Biases. metrics.jsonl remains the source, so a tracker can be filled from it later.
package tracking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of the trackers.
const (
	TensorBoard = "tensorboard"
	MLflow      = "mlflow"
	WandB       = "wandb"
)

// Names lists the trackers.
func Names() []string { return []string{TensorBoard, MLflow, WandB} }

// A Status is the outcome of a run.
type Status int

// The outcomes of a run.
const (
	Finished    Status = iota
	Failed             // with an error
	Interrupted        // stopped with a checkpoint, to be resumed
)

// A Run is the description of a run for trackers.
type Run struct {
	Dir     string            // folder of the run, which also holds tracking.json
	Project string            // W&B's project and MLflow's experiment
	Name    string            // display name
	Params  map[string]string // the recipe, by dotted keys
	Started time.Time
	URI     string // of the MLflow server; "": no MLflow
	// Timeout limits a request to a server; 0 is ten seconds.
	Timeout time.Duration
}

// A sink is one tracker for one run. One goroutine calls it, in the order of the run.
type sink interface {
	log(point) error
	finish(Status) error
}

// A point has the numbers of one record.
type point struct {
	step   int
	at     time.Time
	values []value // sorted by name
}

type value struct {
	name string
	x    float64
}

// A Tracker passes the records of a run to several trackers.
type Tracker struct {
	sinks  map[string]sink
	warnf  func(format string, args ...any)
	broken map[string]bool
	clock  func() time.Time
	last   time.Time // time of the last point
}

// Open returns a Tracker for the named trackers. An unreachable server, an unknown name or a file
// that cannot be written is an error. warnf gets a warning about trackers that fail later, because
// a tracker never stops a run.
func Open(
	ctx context.Context, run Run, names []string, warnf func(format string, args ...any),
) (*Tracker, error) {
	t := &Tracker{sinks: map[string]sink{}, warnf: warnf, broken: map[string]bool{},
		clock: time.Now, last: run.Started}
	for _, name := range names {
		s, err := open(ctx, name, run, warnf)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("tracking: %s: %w", name, err), t.Finish(Failed))
		}
		t.sinks[name] = s
	}
	return t, nil
}

func open(
	ctx context.Context, name string, run Run, warnf func(string, ...any),
) (sink, error) {
	switch name {
	case TensorBoard:
		return newTensorBoard(run)
	case MLflow:
		return newMLflow(ctx, run, warnf)
	case WandB:
		return newWandB(run)
	}
	return nil, fmt.Errorf("no such tracker, want one of %s", strings.Join(Names(), ", "))
}

// Replay adds a line of metrics.jsonl from an earlier start of the run. Its time is the previous
// line's time plus the seconds of the record. It reports whether the line is a record.
func (t *Tracker) Replay(line []byte) bool {
	p, seconds, err := read(line)
	if err != nil {
		t.warnf("warning: tracking: a line of metrics.jsonl is left out: %v", err)
		return false
	}
	t.last = t.last.Add(time.Duration(seconds * float64(time.Second)))
	p.at = t.last
	t.log(p)
	return true
}

// Record adds a line of metrics.jsonl that the run has just written.
func (t *Tracker) Record(line []byte) {
	p, _, err := read(line)
	if err != nil {
		t.warnf("warning: tracking: a record is left out: %v", err)
		return
	}
	p.at = t.clock()
	t.last = p.at
	t.log(p)
}

func (t *Tracker) log(p point) {
	for _, name := range slices.Sorted(maps.Keys(t.sinks)) {
		if t.broken[name] {
			continue
		}
		if err := t.sinks[name].log(p); err != nil {
			t.broken[name] = true
			t.warnf("warning: tracking: %s gets nothing more: %v; metrics.jsonl has every record", name, err)
		}
	}
}

// Finish tells the trackers the outcome of the run, and waits until everything is sent.
func (t *Tracker) Finish(status Status) error {
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(t.sinks)) {
		if err := t.sinks[name].finish(status); err != nil && !t.broken[name] {
			failed = append(failed, fmt.Errorf("tracking: %s: %w", name, err))
		}
	}
	t.sinks = nil
	return errors.Join(failed...)
}

// read returns the numbers in a line of metrics.jsonl, named train/KEY or eval/KEY, and its
// seconds. Keys of objects are joined: eval/rewards/score/accuracy.
func read(line []byte) (point, float64, error) {
	var record map[string]any
	if err := json.Unmarshal(line, &record); err != nil {
		return point{}, 0, err
	}
	step, ok := record["step"].(float64)
	kind, named := record["kind"].(string)
	if !ok || !named {
		return point{}, 0, fmt.Errorf("it has no step or kind: %.80q", line)
	}
	seconds, _ := record["seconds"].(float64)
	delete(record, "step")
	delete(record, "kind")
	prefix := "train"
	if kind == "eval" {
		prefix = "eval"
	}
	values := appendNumbers(nil, prefix, record)
	slices.SortFunc(values, func(a, b value) int { return strings.Compare(a.name, b.name) })
	return point{step: int(step), values: values}, seconds, nil
}

func appendNumbers(values []value, name string, v any) []value {
	switch v := v.(type) {
	case float64:
		return append(values, value{name, v})
	case bool:
		if v {
			return append(values, value{name, 1})
		}
		return append(values, value{name, 0})
	case map[string]any:
		for key, inner := range v {
			values = appendNumbers(values, name+"/"+key, inner)
		}
	case []any:
		for i, inner := range v {
			values = appendNumbers(values, name+"/"+strconv.Itoa(i), inner)
		}
	}
	return values // text is in the recipe
}
