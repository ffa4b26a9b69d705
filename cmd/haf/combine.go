package main

import (
	"fmt"
	"io"

	"haf/launch"
	"haf/reward"
)

type combineCmd struct {
	Model string   `arg:"" help:"Run folder whose both heads were trained."`
	Valid []string `help:"Preference file to fit on, which must not be a test file. Default: the run's own validation data." sep:"none"`
	rowFlags
	chatFlags
}

// Run fits the weights of both heads and stores them beside the model.
func (c *combineCmd) Run(a *app) error {
	groups, split, err := launch.CombinationData(c.Model, c.Valid, a.data, c.rowOptions())
	if err != nil {
		return err
	}
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	r, err := a.sources().OpenRewarder(a.ctx, []string{c.Model}, launch.SourceReading{
		Options: reward.Options{Chat: chat}, Once: true,
	})
	if err != nil {
		return err
	}
	here, ok := r.(*reward.Reader)
	if !ok {
		return launch.CloseWith(r, fmt.Errorf("%w: the weights are stored beside a model: name a "+
			"run or model folder", errUsage))
	}
	fit, err := here.FitCombination(a.ctx, groups, split)
	if err = launch.CloseWith(r, err); err != nil {
		return err
	}
	return a.print(fit, func(w io.Writer) error {
		err := fit.Write(w)
		a.p.Logf("done: the weights are in %s. Use them: haf eval -rewards combined, haf score "+
			"-reward combined. The table is on the data of the fit, so its accuracy is too high.", fit.File)
		return err
	})
}
