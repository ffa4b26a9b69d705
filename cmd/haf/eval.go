package main

import (
	"haf/launch"
	"haf/pref"
	"haf/reward"
)

type evalCmd struct {
	Models    []string `arg:"" name:"model" help:"Run or model folder, GGUF file, Hugging Face id, or another of docs/reference/reward-sources.md; several make a matrix of models and data files."`
	Data      []string `help:"Preference file, or datasets/org/name/FILE on the hub; several are read in order. With -suite all: SUITE=FILE." sep:"none"`
	Limit     int      `range:"[0,inf)" help:"Only the first N groups."`
	Ties      bool     `help:"Keep pairs judged equal and measure them separately."`
	Rewards   []string `help:"score, implicit, implicit-normalized, combined (haf combine). Default: those of the heads that were trained."`
	Gate      float64  `range:"[0,1]" help:"Exit with code 3 if the first reward's accuracy is below this."`
	HeldOut   bool     `name:"held-out" help:"Leave out the prompts that the run was trained or validated on."`
	MaxLength int      `range:"[0,inf)" name:"max-length" help:"Tokens of prompt and longest response. Default: as trained."`
	readFlags
	sourceFlags
	pairFlags

	Details bool     `help:"Also report length bias, reliability, subsets, recall and the conflict of the heads."`
	Valid   []string `help:"Validation file for fitting the temperature of the calibration." sep:"none"`
	Matrix  bool     `help:"Treat each data file as a separate set."`
	Suite   string   `help:"Score a benchmark by its own rule: rewardbench, rewardbench2, rmbench, judgebench, rmb, llmbar, hhh, or all. Without -data haf uses its data set on the hub."`
	Out     string   `new:"" help:"Write every comparison with its rewards to this new JSONL file."`

	RewardBenchOut string `name:"rewardbench-out" help:"Folder for result files in RewardBench's form."`
}

// Run evaluates models' rewards on preferences.
func (c *evalCmd) Run(a *app) error {
	e := c.evaluation(a)
	models := c.Models
	if e.EachModel() {
		models = models[:1]
	}
	if err := c.readFlags.check(models, c.Rewards...); err != nil {
		return err
	}
	if err := c.sourceFlags.check(c.Models...); err != nil {
		return err
	}
	out, err := e.Run(a.ctx)
	if out == nil {
		return err
	}
	if failed := a.print(out, out.Write); failed != nil {
		return failed
	}
	return err
}

// evaluation returns the evaluation that the flags describe.
func (c *evalCmd) evaluation(a *app) launch.Evaluation {
	reading := c.pairOptions()
	reading.Limit, reading.KeepTies, reading.KeepUnpaired = c.Limit, c.Ties, true
	return launch.Evaluation{
		Models: c.Models, Ensemble: c.Ensemble, Name: c.name(c.Models), Rewards: c.Rewards,
		Data: c.Data, Valid: c.Valid, Reading: reading, Matrix: c.Matrix, Details: c.Details,
		HeldOut: c.HeldOut, Gate: c.Gate, Suite: c.Suite, Out: c.Out,
		RewardBenchOut: c.RewardBenchOut, Files: a.data, Logf: a.p.Logf,
		Open: func(models []string) (pref.Rewarder, error) {
			return c.open(a, models, launch.SourceReading{
				Options:        reward.Options{MaxLength: c.MaxLength, Outputs: len(c.Attributes) > 0},
				SourceSettings: c.settings(), Once: true,
			})
		},
	}
}
