package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"haf/eval"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

type evalCmd struct {
	Models    []string `arg:"" name:"model" help:"Run or model folder, GGUF file, Hugging Face id or URL of a server; with several a matrix of models and data files is made."`
	Data      []string `required:"" help:"Preference file, or datasets/org/name/FILE on the hub; several are read in order." sep:"none"`
	Format    string   `default:"auto" help:"auto, hh, pairs, groups, or a published set's: see docs/reference/data-formats.md."`
	Choose    string   `help:"Which label decides: safer or better (pku), or an attribute (helpsteer2, ultrafeedback)."`
	Subset    []string `help:"Only groups of this subset; may be repeated." sep:"none"`
	MaxChars  int      `name:"max-chars" help:"Drop groups of more characters."`
	First     int      `help:"Only the first N groups."`
	SkipBad   int      `name:"skip-bad" help:"Tolerate this many bad rows."`
	Ties      bool     `help:"Keep pairs judged equal and measure them apart."`
	Rewards   []string `help:"score, implicit, implicit-normalized, combined (haf combine). Default: those of the heads that were trained."`
	Gate      float64  `help:"Exit with code 3 if the first reward's accuracy is below this."`
	HeldOut   bool     `name:"held-out" help:"Leave out the prompts that the run was trained or validated on."`
	MaxLength int      `name:"max-length" help:"Tokens of prompt and longest response. Default: as trained."`
	columnFlag
	chatFlags
	ensembleFlags

	Details bool     `help:"Length bias, reliability, subsets, recall and the conflict of the heads, too."`
	Valid   []string `help:"Validation file that a temperature is fitted on, for the calibration." sep:"none"`
	Matrix  bool     `help:"Each data file is a set of its own."`
	Suite   string   `help:"Score a benchmark by its own rule: rewardbench, rewardbench2, rmbench, judgebench, rmb, llmbar, hhh."`
	Out     string   `help:"Write every comparison with its rewards to this new JSONL file."`

	RewardBenchOut string `name:"rewardbench-out" help:"Folder for result files as RewardBench writes them."`
}

// evalOutput is what -json prints.
type evalOutput struct {
	Model   string                      `json:"model"`
	Data    []string                    `json:"data"`
	Read    string                      `json:"read"`
	Tokens  string                      `json:"tokens"`
	Rewards map[string]eval.Result      `json:"rewards"`
	Details map[string]eval.Details     `json:"details,omitempty"`
	Suite   map[string]eval.SuiteResult `json:"suite,omitempty"`
}

func (c *evalCmd) options() pref.Options {
	return pref.Options{Format: c.Format, Choose: c.Choose, Subsets: c.Subset, MaxChars: c.MaxChars, First: c.First, SkipBad: c.SkipBad, KeepTies: c.Ties}
}

func (c *evalCmd) matrix() bool { return c.Matrix || len(c.Models) > 1 && c.Ensemble == "" }

// check looks at flags that do not go together before anything is loaded.
func (c *evalCmd) check() error {
	if !(c.Gate >= 0 && c.Gate <= 1) {
		return fmt.Errorf("%w: -gate %g, wanted an accuracy from 0 to 1", errUsage, c.Gate)
	}
	for _, name := range c.Rewards {
		if err := reward.CheckReward(name); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	if c.Ensemble != "" {
		if err := c.ensembleFlags.check(len(c.Models)); err != nil {
			return err
		}
	}
	switch {
	case c.Ensemble != "" && c.Matrix:
		return fmt.Errorf("%w: -ensemble makes one model of several, -matrix a row of each: choose one", errUsage)
	case c.Suite != "" && !slices.Contains(eval.Suites(), c.Suite):
		return fmt.Errorf("%w: -suite %q, wanted one of %v", errUsage, c.Suite, eval.Suites())
	case c.matrix() && (c.Suite != "" || c.Gate > 0 || c.Details || len(c.Valid) > 0 || c.Out != "" || c.Ties || c.HeldOut):
		return fmt.Errorf("%w: several models, or -matrix, make a table of accuracies: give -suite, -gate, -details, -valid, -ties, -held-out and -out with one model and no -matrix", errUsage)
	case c.RewardBenchOut != "" && c.Suite != eval.SuiteRewardBench && c.Suite != eval.SuiteRewardBench2:
		return fmt.Errorf("%w: -rewardbench-out goes with -suite rewardbench or rewardbench2", errUsage)
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
	files, err := a.data(c.Data)
	if err != nil {
		return err
	}
	groups, counts, err := pref.Load(files, c.options())
	if err != nil {
		return err
	}
	if c.HeldOut {
		for _, model := range c.Models {
			if groups, err = recipe.HeldOut(model, groups); err != nil {
				return err
			}
		}
	}
	valid, err := c.validation(a)
	if err != nil {
		return err
	}
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	model, err := c.open(a, c.Models, reward.Options{Chat: chat, MaxLength: c.MaxLength, Column: c.column()})
	if err != nil {
		return err
	}
	defer model.Close()
	p := newProgress(a.stderr)
	p.Logf("data: %s", counts)
	if c.HeldOut {
		p.Logf("held out: %d groups whose prompt the run has not seen", len(groups))
	}
	r, err := model.read(a, groups, c.Rewards, p)
	if err != nil {
		return err
	}
	out, err := results(r)
	if err != nil {
		return err
	}
	out.Model, out.Data, out.Read = c.name(c.Models), c.Data, counts.String()
	if c.Details || len(valid) > 0 {
		if err := c.describe(a, &out, model, r, valid, p); err != nil {
			return err
		}
	}
	if c.Suite != "" {
		if err := c.runSuite(&out, model, groups, r, p); err != nil {
			return err
		}
	}
	if c.Out != "" {
		if err := writeNew(c.Out, func(w io.Writer) error { return eval.WriteExamples(w, c.name(c.Models), r.groups, r.rewards) }); err != nil {
			return err
		}
	}
	if err := c.print(a, out, r.names); err != nil {
		return err
	}
	if got := out.Rewards[r.names[0]].Accuracy; got < c.Gate {
		return fmt.Errorf("accuracy %.4f of %s is below the gate %.4f: %w", got, r.names[0], c.Gate, errGate)
	}
	return nil
}

// results measures every reward of a reading.
func results(r *reading) (evalOutput, error) {
	out := evalOutput{Tokens: r.tokens, Rewards: map[string]eval.Result{}}
	for _, name := range r.names {
		var err error
		if out.Rewards[name], err = eval.Comparisons(r.groups, r.rewards[name]); err != nil {
			return out, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

// evaluate reads the named rewards (none: those of the trained heads) of the groups.
func evaluate(a *app, model *reward.Model, groups []pref.Group, names []string, p *progress) (evalOutput, []string, error) {
	r, err := read(a, model, groups, names, p)
	if err != nil {
		return evalOutput{}, nil, err
	}
	out, err := results(r)
	return out, r.names, err
}

// validation reads the groups that a temperature is fitted on.
func (c *evalCmd) validation(a *app) ([]pref.Group, error) {
	if len(c.Valid) == 0 {
		return nil, nil
	}
	opt := c.options()
	opt.First, opt.KeepTies = 0, false
	files, err := a.data(c.Valid)
	if err != nil {
		return nil, err
	}
	valid, _, err := pref.Load(files, opt)
	return valid, err
}

// describe adds the details of every reward; those of the score head hold its conflict with the policy head.
func (c *evalCmd) describe(a *app, out *evalOutput, model subject, r *reading, valid []pref.Group, p *progress) error {
	out.Details = map[string]eval.Details{}
	var fitted *reading
	if len(valid) > 0 {
		var err error
		if fitted, err = model.read(a, valid, r.names, p); err != nil {
			return fmt.Errorf("validation data: %w", err)
		}
	}
	for _, name := range r.names {
		var margins []float64
		if fitted != nil {
			margins = eval.Margins(fitted.groups, fitted.rewards[name])
		}
		d, err := eval.Describe(r.groups, r.rewards[name], margins)
		if err != nil {
			return err
		}
		if policy, ok := r.rewards[reward.ByImplicit]; ok && name == reward.ByScore {
			conflict, err := eval.Conflicts(r.groups, r.rewards[name], policy)
			if err != nil {
				return err
			}
			d.Conflict = &conflict
		}
		out.Details[name] = d
	}
	return nil
}

// print writes the tables, or all of it as JSON.
func (c *evalCmd) print(a *app, out evalOutput, names []string) error {
	if a.json {
		return printJSON(a, out)
	}
	rows := make([]eval.Row, len(names))
	for i, name := range names {
		rows[i] = eval.Row{Name: name, Result: out.Rewards[name]}
	}
	if err := eval.Table(a.stdout, rows); err != nil {
		return err
	}
	for _, name := range names {
		if s, ok := out.Suite[name]; ok {
			fmt.Fprintf(a.stdout, "\n%s\n", name)
			if err := eval.WriteTable(a.stdout, s.Lines()); err != nil {
				return err
			}
		}
		if d, ok := out.Details[name]; ok {
			fmt.Fprintf(a.stdout, "\n%s\n", name)
			for _, line := range d.Lines() {
				fmt.Fprintln(a.stdout, line)
			}
		}
	}
	return nil
}

// writeNew writes a file that must not be there yet, under a temporary name first.
func writeNew(path string, write func(io.Writer) error) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s exists: name a new file", path)
	}
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer f.Cleanup() // of no effect once replaced
	if err := write(f); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}
