package main

import (
	"haf/launch"
	"haf/run"
)

type rlhfCmd struct {
	Recipe string   `arg:"" optional:"" help:"TOML file with a table rlhf, or a name that haf recipes lists; without one everything comes from -set."`
	Out    string   `help:"Run folder. Default: runs/ and the recipe's name."`
	Set    []string `help:"Override a key of the recipe: rlhf.algorithm=grpo." sep:"none"`
	Resume string   `help:"Resume the run in this folder."`
}

// Run optimizes a policy by a recipe, or resumes a stopped run.
func (c *rlhfCmd) Run(a *app) error {
	request := launch.Request{Recipe: c.Recipe, Out: c.Out, Set: c.Set, Resume: c.Resume}
	s, r, err := request.Session(run.VerbRLHF)
	if err != nil {
		return err
	}
	env, err := a.env()
	if err != nil {
		return err
	}
	result, err := launch.RLHF(a.ctx, env, s, r, a.sources())
	if err != nil {
		return err
	} else if !a.json {
		return a.path(s.Folder.Join(run.ModelName))
	}
	return printJSON(a, launch.SummarizeRLHF(s, result))
}
