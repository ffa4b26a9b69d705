package launch

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"haf/eval"
	"haf/internal/durable"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

// An Evaluation sets which rewards haf eval measures, on which preferences and how.
type Evaluation struct {
	Models   []string
	Ensemble string   // rule that combines the models' rewards; "" is none
	Name     string   // of the model or the ensemble
	Rewards  []string // none: the models' defaults
	Data     []string // files or ids; for all suites SUITE=FILE
	Valid    []string // files or ids that a temperature is fitted on
	Reading  pref.Options

	Matrix  bool    // each data file is a separate set
	Details bool    // see [eval.Evaluation.Describe]
	HeldOut bool    // leave out the prompts that the models have seen
	Gate    float64 // minimum accuracy of the first reward
	Suite   string  // benchmark, [eval.AllSuites] or ""
	Out     string  // new file of every comparison with its rewards; "" is none
	// RewardBenchOut is a folder for result files in RewardBench's form; "" is none.
	RewardBenchOut string

	Files eval.Files // resolves paths and ids to files
	// Open opens one model, or the ensemble of several.
	Open func(models []string) (pref.Rewarder, error)
	Logf func(format string, args ...any)
}

// A Measurement is the result of an [Evaluation].
type Measurement interface {
	Write(w io.Writer) error
}

// EachModel reports whether every model is measured separately, so that the result is a matrix.
func (e Evaluation) EachModel() bool {
	return e.Ensemble == "" && (e.Matrix || len(e.Models) > 1)
}

// check finds conflicting settings before anything is loaded.
func (e Evaluation) check() error {
	switch {
	case e.Ensemble != "" && e.Matrix:
		return fmt.Errorf("%w: -ensemble makes one model of several, -matrix a row of each: "+
			"choose one", ErrUsage)
	case len(e.Data) == 0 && e.Suite == "":
		return fmt.Errorf("%w: name preferences with -data, or a benchmark with -suite", ErrUsage)
	case e.Suite != "" && e.Suite != eval.AllSuites && !slices.Contains(eval.Suites(), e.Suite):
		return fmt.Errorf("%w: -suite %q, want one of %v or %s", ErrUsage, e.Suite,
			eval.Suites(), eval.AllSuites)
	case e.EachModel() && (e.Suite != "" || e.Gate > 0 || e.Details || len(e.Valid) > 0 ||
		e.Out != "" || e.Reading.KeepTies || e.HeldOut):
		return fmt.Errorf("%w: several models, or -matrix, make a table of accuracies: give "+
			"-suite, -gate, -details, -valid, -ties, -held-out and -out with one model and no "+
			"-matrix", ErrUsage)
	case e.Suite == eval.AllSuites && (e.Gate > 0 || e.Details || len(e.Valid) > 0 ||
		e.Out != "" || e.HeldOut):
		return fmt.Errorf("%w: -suite all makes one table: give -gate, -details, -valid, "+
			"-held-out and -out with a single suite", ErrUsage)
	case e.RewardBenchOut != "" && e.Suite != eval.SuiteRewardBench &&
		e.Suite != eval.SuiteRewardBench2:
		return fmt.Errorf("%w: -rewardbench-out goes with -suite rewardbench or rewardbench2",
			ErrUsage)
	}
	var made []string
	if e.Out != "" {
		made = append(made, e.Out)
	}
	if e.RewardBenchOut != "" {
		results, scores := eval.RewardBenchPaths(e.RewardBenchOut, e.label())
		made = append(made, results, scores)
	}
	for _, path := range made {
		if err := durable.CheckNew(path); err != nil {
			return err
		}
	}
	return nil
}

// label names the model in RewardBench's files.
func (e Evaluation) label() string {
	label := filepath.Base(filepath.Clean(e.Models[0]))
	if e.Ensemble != "" {
		return e.Ensemble + "-of-" + label
	}
	return label
}

// Run measures. It can return a measurement together with an error: for a missed gate, or for a
// suite that failed.
func (e Evaluation) Run(ctx context.Context) (Measurement, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	switch {
	case e.EachModel():
		return e.matrix(ctx)
	case e.Suite == eval.AllSuites:
		return e.suites(ctx)
	}
	data, valid, err := e.load()
	if err != nil {
		return nil, err
	}
	m, err := e.Open(e.Models)
	if err != nil {
		return nil, err
	}
	out, err := eval.Measure(ctx, m, data, valid, e.measureOptions(m))
	if err = CloseWith(m, err); err != nil {
		return nil, err
	}
	if first, got := out.First(); got < e.Gate {
		err = fmt.Errorf("accuracy %.4f of %s is below the gate %.4f: %w", got, first, e.Gate, ErrGate)
	}
	return out, err
}

// measureOptions returns the options for an open model.
func (e Evaluation) measureOptions(m pref.Rewarder) eval.MeasureOptions {
	opt := eval.MeasureOptions{
		Model: e.Name, Rewards: e.Rewards, Details: e.Details,
		Heads: [2]string{reward.ByScore, reward.ByImplicit}, Suite: e.Suite, Out: e.Out, Logf: e.Logf,
	}
	if e.RewardBenchOut == "" {
		return opt
	}
	opt.RewardBench = eval.RewardBenchOut{Dir: e.RewardBenchOut, Label: e.label()}
	if here, ok := m.(*reward.Reader); ok {
		opt.RewardBench.Template = here.Model().Meta.Template.Name
	}
	return opt
}

// matrix measures every model on every data file.
func (e Evaluation) matrix(ctx context.Context) (Measurement, error) {
	var sets []eval.SuiteData
	for _, path := range e.Data {
		set, err := eval.LoadData([]string{path}, e.Files, e.Reading)
		if err != nil {
			return nil, err
		}
		e.Logf("data: %s: %s", path, set.Read)
		sets = append(sets, set)
	}
	open := func(model string) (pref.Rewarder, error) { return e.Open([]string{model}) }
	out, err := eval.MeasureMatrix(ctx, e.Models, open, sets, e.Rewards, e.Logf)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// suites makes one table of all suites.
func (e Evaluation) suites(ctx context.Context) (Measurement, error) {
	given, err := eval.SuiteFiles(e.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	r, err := e.Open(e.Models)
	if err != nil {
		return nil, err
	}
	load := func(suite string) (eval.SuiteData, error) {
		return eval.LoadSuite(suite, given[suite], e.Files, e.Reading)
	}
	table, err := eval.RunSuites(ctx, r, e.Rewards, load, e.Logf)
	if err = CloseWith(r, err); err != nil {
		return nil, err
	}
	table.Model = e.Name
	return table, table.Err()
}

// load reads the preferences, and the validation data for fitting a temperature.
func (e Evaluation) load() (data eval.SuiteData, valid []pref.Group, err error) {
	if e.Suite != "" {
		data, err = eval.LoadSuite(e.Suite, e.Data, e.Files, e.Reading)
	} else {
		data, err = eval.LoadData(e.Data, e.Files, e.Reading)
	}
	if err != nil {
		return data, nil, err
	}
	e.Logf("data: %s", data.Read)
	if e.HeldOut {
		for _, model := range e.Models {
			if data.Groups, err = recipe.HeldOut(model, data.Groups); err != nil {
				return data, nil, err
			}
		}
		e.Logf("held out: %d groups whose prompt the run has not seen", len(data.Groups))
	}
	compared := func(g pref.Group) bool { return len(g.Comparisons) > 0 }
	if (e.Details || len(e.Valid) > 0 || e.Suite != "" || e.Out != "") &&
		!slices.ContainsFunc(data.Groups, compared) {
		return data, nil, fmt.Errorf("%w: -details, -valid, -suite and -out are of comparisons, but "+
			"the data has none: leave them out", ErrUsage)
	}
	if len(e.Valid) == 0 {
		return data, nil, nil
	}
	opt := e.Reading
	opt.Limit, opt.KeepTies = 0, false
	of, err := eval.LoadData(e.Valid, e.Files, opt)
	return data, of.Groups, err
}

// CloseWith closes a Rewarder whose use ended with err.
func CloseWith(r pref.Rewarder, err error) error {
	if failed := r.Close(); err == nil {
		err = failed
	}
	return err
}
