package main

import (
	"time"

	"haf/compare"
	"haf/paper"
)

type compareCmd struct {
	Data  string        `arg:"" help:"Preference file, folder or id of a data set; demo is the built-in one."`
	Model string        `arg:"" help:"Base model: folder or Hugging Face id; demo is the built-in one."`
	Test  string        `help:"Held-out pairs to test on. Default: the test split of the data, else a part of it, split by prompt."`
	Out   string        `help:"Folder for the results, the page and the chosen model. Default: runs/compare- and the data's name."`
	Time  time.Duration `default:"2h" range:"(0,inf)" help:"Time budget of all trainings, after which they stop. The same command resumes."`
	Alpha []float64     `range:"(0,1e6]" help:"A weight α of HaF's policy loss to try; may be repeated. Default: as many as the budget allows."`
	LR    []float64     `name:"lr" range:"(0,1e30]" help:"A learning rate to try; may be repeated. Default: up to three that fit the model's size."`
	Set   []string      `help:"Override a key of the recipe: lora.rank=8." sep:"none"`
}

// Run compares Baseline, HaF and DPO on the data within the time budget.
func (c *compareCmd) Run(a *app) error {
	client, err := a.hub()
	if err != nil {
		return err
	}
	answer, err := compare.Run(a.ctx, compare.Options{
		Data: c.Data, Test: c.Test, Model: c.Model, Out: c.Out, Time: c.Time, Alphas: c.Alpha,
		LearningRates: c.LR, Set: c.Set, Hub: client,
		Runner: &paper.Local{Open: a.env}, Logf: a.p.Logf,
	})
	if err != nil {
		return err
	}
	return a.print(answer, answer.Write)
}
