package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"haf/eval"
	"haf/launch"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

type evalCmd struct {
	Models    []string `arg:"" name:"model" help:"Run or model folder, GGUF file, Hugging Face id, or another of docs/reference/reward-sources.md; with several a matrix of models and data files is made."`
	Data      []string `help:"Preference file, or datasets/org/name/FILE on the hub; several are read in order. With -suite all: SUITE=FILE." sep:"none"`
	Limit     int      `range:"[0,inf)" help:"Only the first N groups."`
	Ties      bool     `help:"Keep pairs judged equal and measure them apart."`
	Rewards   []string `help:"score, implicit, implicit-normalized, combined (haf combine). Default: those of the heads that were trained."`
	Gate      float64  `range:"[0,1]" help:"Exit with code 3 if the first reward's accuracy is below this."`
	HeldOut   bool     `name:"held-out" help:"Leave out the prompts that the run was trained or validated on."`
	MaxLength int      `range:"[0,inf)" name:"max-length" help:"Tokens of prompt and longest response. Default: as trained."`
	readFlags
	sourceFlags
	pairFlags

	Details bool     `help:"Length bias, reliability, subsets, recall and the conflict of the heads, too."`
	Valid   []string `help:"Validation file that a temperature is fitted on, for the calibration." sep:"none"`
	Matrix  bool     `help:"Each data file is a set of its own."`
	Suite   string   `help:"Score a benchmark by its own rule: rewardbench, rewardbench2, rmbench, judgebench, rmb, llmbar, hhh, or all. Without -data its data set on the hub is taken."`
	Out     string   `help:"Write every comparison with its rewards to this new JSONL file."`

	RewardBenchOut string `name:"rewardbench-out" help:"Folder for result files as RewardBench writes them."`
}

func (c *evalCmd) options() pref.Options {
	opt := c.pairOptions()
	opt.Limit, opt.KeepTies = c.Limit, c.Ties
	opt.KeepUnpaired = true
	return opt
}

func (c *evalCmd) matrix() bool { return c.Matrix || len(c.Models) > 1 && c.Ensemble == "" }

// check looks at flags that do not go together before anything is loaded.
func (c *evalCmd) check() error {
	models := c.Models
	if c.Ensemble == "" && c.matrix() {
		models = models[:1]
	}
	if err := c.readFlags.check(models, c.Rewards...); err != nil {
		return err
	}
	if err := c.sourceFlags.check(c.Models...); err != nil {
		return err
	}
	switch {
	case c.Ensemble != "" && c.Matrix:
		return fmt.Errorf("%w: -ensemble makes one model of several, -matrix a row of each: "+
			"choose one", errUsage)
	case len(c.Data) == 0 && c.Suite == "":
		return fmt.Errorf("%w: name preferences with -data, or a benchmark with -suite", errUsage)
	case c.Suite != "" && c.Suite != eval.AllSuites && !slices.Contains(eval.Suites(), c.Suite):
		return fmt.Errorf("%w: -suite %q, wanted one of %v or %s", errUsage, c.Suite,
			eval.Suites(), eval.AllSuites)
	case c.matrix() && (c.Suite != "" || c.Gate > 0 || c.Details || len(c.Valid) > 0 ||
		c.Out != "" || c.Ties || c.HeldOut):
		return fmt.Errorf("%w: several models, or -matrix, make a table of accuracies: give "+
			"-suite, -gate, -details, -valid, -ties, -held-out and -out with one model and no "+
			"-matrix", errUsage)
	case c.Suite == eval.AllSuites && (c.Gate > 0 || c.Details || len(c.Valid) > 0 ||
		c.Out != "" || c.HeldOut):
		return fmt.Errorf("%w: -suite all makes one table: give -gate, -details, -valid, "+
			"-held-out and -out with a single suite", errUsage)
	case c.RewardBenchOut != "" && c.Suite != eval.SuiteRewardBench &&
		c.Suite != eval.SuiteRewardBench2:
		return fmt.Errorf("%w: -rewardbench-out goes with -suite rewardbench or rewardbench2",
			errUsage)
	}
	if c.Out != "" {
		if _, err := os.Stat(c.Out); err == nil {
			return fmt.Errorf("%w: %s exists: name a new file", errUsage, c.Out)
		}
	}
	return nil
}

// Run evaluates models' rewards on preferences.
func (c *evalCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.matrix() {
		return c.runMatrix(a)
	}
	if c.Suite == eval.AllSuites {
		return c.runSuites(a)
	}
	data, valid, err := c.data(a)
	if err != nil {
		return err
	}
	m, err := c.openModels(a, c.Models)
	if err != nil {
		return err
	}
	out, err := eval.Measure(a.ctx, m, data, valid, c.measureOptions(a, m))
	if err = closed(m, err); err != nil {
		return err
	}
	if err := a.print(out, out.Write); err != nil {
		return err
	}
	if first, got := out.First(); got < c.Gate {
		return fmt.Errorf("accuracy %.4f of %s is below the gate %.4f: %w", got, first, c.Gate,
			errGate)
	}
	return nil
}

// measureOptions are those that the flags set, for a model.
func (c *evalCmd) measureOptions(a *app, m pref.Rewarder) eval.MeasureOptions {
	opt := eval.MeasureOptions{
		Model: c.name(c.Models), Rewards: c.Rewards, Details: c.Details,
		Heads: [2]string{reward.ByScore, reward.ByImplicit}, Suite: c.Suite, Out: c.Out,
		Logf: a.p.Logf,
	}
	if c.RewardBenchOut == "" {
		return opt
	}
	label := filepath.Base(filepath.Clean(c.Models[0]))
	if c.Ensemble != "" {
		label = c.Ensemble + "-of-" + label
	}
	opt.RewardBench = eval.RewardBenchOut{Dir: c.RewardBenchOut, Label: label}
	if here, ok := m.(*reward.Reader); ok {
		opt.RewardBench.Template = here.Model().Meta.Template.Name
	}
	return opt
}

// runMatrix evaluates every model on every data file.
func (c *evalCmd) runMatrix(a *app) error {
	var sets []eval.SuiteData
	for _, path := range c.Data {
		set, err := eval.LoadData([]string{path}, a.data, c.options())
		if err != nil {
			return err
		}
		a.p.Logf("data: %s: %s", path, set.Read)
		sets = append(sets, set)
	}
	open := func(model string) (pref.Rewarder, error) {
		return c.openModels(a, []string{model})
	}
	out, err := eval.MeasureMatrix(a.ctx, c.Models, open, sets, c.Rewards, a.p.Logf)
	if err != nil {
		return err
	}
	return a.print(out, out.Matrix.Write)
}

// runSuites makes one table of all suites. A suite that failed is an error after it.
func (c *evalCmd) runSuites(a *app) error {
	given, err := eval.SuiteFiles(c.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	r, err := c.openModels(a, c.Models)
	if err != nil {
		return err
	}
	load := func(suite string) (eval.SuiteData, error) {
		return eval.LoadSuite(suite, given[suite], a.data, c.options())
	}
	table, err := eval.RunSuites(a.ctx, r, c.Rewards, load, a.p.Logf)
	if err = closed(r, err); err != nil {
		return err
	}
	table.Model = c.name(c.Models)
	if err := a.print(table, table.Write); err != nil {
		return err
	}
	return table.Err()
}

func (c *evalCmd) openModels(a *app, models []string) (pref.Rewarder, error) {
	return c.open(a, models, launch.SourceReading{
		Options:        reward.Options{MaxLength: c.MaxLength, Outputs: len(c.Attributes) > 0},
		SourceSettings: c.settings(), Once: true,
	})
}

// data reads the preferences, and the validation data that a temperature is fitted on.
func (c *evalCmd) data(a *app) (data eval.SuiteData, valid []pref.Group, err error) {
	if c.Suite != "" {
		data, err = eval.LoadSuite(c.Suite, c.Data, a.data, c.options())
	} else {
		data, err = eval.LoadData(c.Data, a.data, c.options())
	}
	if err != nil {
		return data, nil, err
	}
	a.p.Logf("data: %s", data.Read)
	if c.HeldOut {
		for _, model := range c.Models {
			if data.Groups, err = recipe.HeldOut(model, data.Groups); err != nil {
				return data, nil, err
			}
		}
		a.p.Logf("held out: %d groups whose prompt the run has not seen", len(data.Groups))
	}
	compared := func(g pref.Group) bool { return len(g.Comparisons) > 0 }
	if (c.Details || len(c.Valid) > 0 || c.Suite != "" || c.Out != "") &&
		!slices.ContainsFunc(data.Groups, compared) {
		return data, nil, fmt.Errorf("%w: -details, -valid, -suite and -out are of comparisons, but "+
			"the data has none: leave them out", errUsage)
	}
	if len(c.Valid) == 0 {
		return data, nil, nil
	}
	opt := c.options()
	opt.Limit, opt.KeepTies = 0, false
	of, err := eval.LoadData(c.Valid, a.data, opt)
	return data, of.Groups, err
}
