package main

import (
	"cmp"
	"fmt"

	"haf/launch"
	"haf/run"
)

type trainCmd struct {
	Recipe string   `arg:"" optional:"" help:"TOML file, or a name that haf recipes lists; without one everything comes from -set."`
	Out    string   `help:"Run folder. Default: runs/ and the recipe's name."`
	Set    []string `help:"Override a key of the recipe: train.lr=1e-5." sep:"none"`
	Resume string   `help:"Resume the run in this folder."`
	Plan   bool     `help:"Estimate what the run needs, above all memory, without running it; exit code 3 if it does not fit into memory."`
}

// Run trains from a recipe, or resumes a stopped run.
func (c *trainCmd) Run(a *app) error {
	if c.Plan {
		if c.Resume != "" || c.Out != "" || c.Recipe == "" && len(c.Set) == 0 {
			return fmt.Errorf("%w: -plan takes a recipe or -set, neither -out nor -resume: "+
				"nothing is run", errUsage)
		}
		client, err := a.hub()
		if err != nil {
			return err
		}
		e, err := launch.EstimateTraining(a.ctx, client, c.Recipe, c.Set, a.notef)
		if err != nil {
			return err
		}
		return cmp.Or(a.print(e, e.Write), e.Err())
	}
	request := launch.Request{Recipe: c.Recipe, Out: c.Out, Set: c.Set, Resume: c.Resume}
	s, r, err := request.Session(run.VerbTrain)
	if err != nil {
		return err
	}
	env, err := a.env()
	if err != nil {
		return err
	}
	result, err := launch.Train(a.ctx, env, s, r)
	if err != nil {
		return err
	} else if !a.json {
		return a.path(s.Folder.Join(run.ModelName))
	}
	return printJSON(a, launch.SummarizeTraining(s, result))
}
