package main

import (
	"fmt"
	"io"
	"strings"

	"haf/launch"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

type combineCmd struct {
	Model string   `arg:"" help:"Run folder whose both heads were trained."`
	Valid []string `help:"Preference file to fit on, which must be no test file. Default: the run's own validation data." sep:"none"`
	rowFlags
	chatFlags
}

// Run fits the weights of both heads and stores them beside the model.
func (c *combineCmd) Run(a *app) error {
	groups, split, err := c.groups(a)
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
		return closed(r, fmt.Errorf("%w: the weights are stored beside a model: name a run or model "+
			"folder", errUsage))
	}
	fit, err := here.FitCombination(a.ctx, groups, split)
	if err = closed(r, err); err != nil {
		return err
	}
	return a.print(fit, func(w io.Writer) error {
		err := fit.Write(w)
		a.p.Logf("done: the weights are in %s; -rewards combined and -reward combined name them. The "+
			"table is of the data of the fit: it flatters.", fit.File)
		return err
	})
}

// groups reads the data of the fit and says which it is.
func (c *combineCmd) groups(a *app) ([]pref.Group, string, error) {
	if len(c.Valid) == 0 {
		groups, err := recipe.ValidationGroups(c.Model)
		if err != nil {
			err = fmt.Errorf("%w; name the data of the fit with -valid FILE", err)
		}
		return groups, "the run's validation data, which chose the checkpoint, too", err
	}
	files, err := a.data(c.Valid)
	if err != nil {
		return nil, "", err
	}
	groups, _, err := pref.Load(files, c.rowOptions())
	return groups, "the file " + strings.Join(c.Valid, ", "), err
}
