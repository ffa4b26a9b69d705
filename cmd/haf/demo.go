package main

import (
	"context"
	"errors"
	"os"

	"haf/launch"
	"haf/run"
)

type demoCmd struct {
	Out  string `new:"" help:"Keep everything in this new folder. Default: a temporary one, removed at the end."`
	Seed uint64 `default:"1" help:"Random seed of the world, the weights and the order."`
}

// Run trains Baseline, DPO and HaF on the built-in world and prints their accuracies on held-out
// prompts.
func (c *demoCmd) Run(a *app) (err error) {
	dir := c.Out
	if dir == "" {
		if dir, err = os.MkdirTemp("", "haf-demo-"); err != nil {
			return err
		}
		defer func() {
			if errors.Is(err, run.ErrInterrupted) {
				err = context.Canceled // the checkpoint is removed with the folder
			}
			err = errors.Join(err, os.RemoveAll(dir))
		}()
	}
	env, err := a.env()
	if err != nil {
		return err
	}
	result, err := launch.Demo(a.ctx, env, dir, c.Seed)
	if err != nil {
		return err
	}
	return a.print(result, result.Write)
}
