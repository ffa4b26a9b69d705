package eval

import (
	"context"
	"errors"
	"fmt"
	"io"

	"haf/pref"
)

// MeasureOptions are the options of [Measure].
type MeasureOptions struct {
	Model   string   // name of the model
	Rewards []string // none: the model's default ones
	Details bool     // see [Evaluation.Describe]
	// the rewards of the score head and of the policy head, for the conflict in the details
	Heads       [2]string
	Suite       string // score it by the rule of this benchmark; "": of none
	Out         string // new file for every comparison with its rewards; "": none
	RewardBench RewardBenchOut
	Logf        func(format string, args ...any)
}

// A RewardBenchOut names the folder and files for the first reward's results in RewardBench's
// format.
type RewardBenchOut struct {
	Dir      string // "": nowhere
	Label    string // name of the files
	Template string // the model's chat template
}

// Measure reads the model's rewards on preferences and measures them. It fits a temperature to
// valid, if there is any.
func Measure(
	ctx context.Context, m pref.Rewarder, data SuiteData, valid []pref.Group, opt MeasureOptions,
) (Evaluation, error) {
	r, err := m.Read(ctx, data.Groups, opt.Rewards)
	if err != nil {
		return Evaluation{}, err
	}
	out, err := Evaluate(r)
	if err != nil {
		return out, err
	}
	out.Model, out.Data, out.Read = opt.Model, data.Named, data.Read
	if opt.Details || len(valid) > 0 {
		var fitted *pref.Readings
		if len(valid) > 0 {
			of, err := m.Read(ctx, valid, r.Names)
			if err != nil {
				return out, fmt.Errorf("validation data: %w", err)
			}
			fitted = &of
		}
		if err := out.Describe(r, fitted, opt.Heads[0], opt.Heads[1]); err != nil {
			return out, err
		}
	}
	if opt.Suite != "" {
		if err := out.ScoreSuite(opt.Suite, data.Groups, r, opt.Logf); err != nil {
			return out, err
		}
	}
	if opt.RewardBench.Dir != "" {
		if err := opt.RewardBench.write(out, data.Groups, r); err != nil {
			return out, err
		}
	}
	if opt.Out == "" {
		return out, nil
	}
	return out, WriteNew(opt.Out, func(w io.Writer) error {
		return WriteExamples(w, out.Model, r.Groups, r.Rewards)
	})
}

func (o RewardBenchOut) write(e Evaluation, groups []pref.Group, r pref.Readings) error {
	first := r.Names[0]
	f, err := NewRewardBenchFile(e.Suite[first], o.Label, o.Template, WholeGroups(groups, r),
		r.Rewards[first])
	if err != nil {
		return err
	}
	return f.Write(o.Dir, o.Label)
}

// First returns the accuracy of the first reward that was read, and its name.
func (e Evaluation) First() (name string, accuracy float64) {
	return e.names[0], e.Accuracy(e.names[0])
}

// A MatrixEvaluation is a matrix, with the counts of each set by the name of its file.
type MatrixEvaluation struct {
	Read   map[string]string `json:"read"`
	Matrix Matrix            `json:"matrix"`
}

// Write writes the matrix as text.
func (e MatrixEvaluation) Write(w io.Writer) error { return e.Matrix.Write(w) }

// MeasureMatrix reads the rewards of every model on every set. open opens a model; MeasureMatrix
// closes it before it opens the next.
func MeasureMatrix(
	ctx context.Context, models []string, open func(model string) (pref.Rewarder, error),
	sets []SuiteData, names []string, logf func(format string, args ...any),
) (MatrixEvaluation, error) {
	out := MatrixEvaluation{Read: map[string]string{}}
	var files, rows []string
	for _, set := range sets {
		files = append(files, set.Named...)
		out.Read[set.Named[0]] = set.Read
	}
	var readings [][]Reading
	for _, named := range models {
		of, err := readSets(ctx, named, open, sets, names, logf)
		if err != nil {
			return out, fmt.Errorf("%s: %w", named, err)
		}
		for _, name := range of[0].Names {
			row := make([]Reading, len(sets))
			for j, r := range of {
				row[j] = ReadingOf(r, name)
			}
			rows, readings = append(rows, named+" "+name), append(readings, row)
		}
	}
	var err error
	out.Matrix, err = NewMatrix(rows, ShortNames(files), readings)
	return out, err
}

// readSets reads one model's rewards on every set.
func readSets(
	ctx context.Context, named string, open func(model string) (pref.Rewarder, error),
	sets []SuiteData, names []string, logf func(format string, args ...any),
) (out []pref.Readings, err error) {
	r, err := open(named)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for _, set := range sets {
		logf("model: %s on %s", named, set.Named[0])
		read, err := r.Read(ctx, set.Groups, names)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", set.Named[0], err)
		}
		out = append(out, read)
	}
	return out, nil
}
