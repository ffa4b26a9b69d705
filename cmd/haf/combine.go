package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"haf/eval"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

type combineCmd struct {
	Model string   `arg:"" help:"Run folder whose both heads were trained."`
	Valid []string `help:"Preference file to fit on, which must be no test file. Default: the run's own validation data." sep:"none"`
	chatFlags
}

// combineOutput is what -json prints.
type combineOutput struct {
	File string `json:"file"`
	reward.Combination
	// of each head and of the combination, on the data of the fit
	Heads map[string]eval.Result `json:"heads"`

	rows []eval.Row // the same
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
	r, err := a.openRewarder(c.Model, reading{Options: reward.Options{Chat: chat}, once: true})
	if err != nil {
		return err
	}
	out, err := combine(a, r, groups, split)
	if err = closed(r, err); err != nil {
		return err
	}
	note := "done: the weights are in %s; -rewards combined and -reward combined name them. The " +
		"table is of the data of the fit: it flatters.\n"
	return a.print(out, func(w io.Writer) error {
		fmt.Fprintf(w, "%.6g · score + %.6g · implicit, fitted on %d comparisons: %s\n\n",
			out.Score, out.Implicit, out.Comparisons, out.Split)
		err := eval.Table(w, out.rows)
		fmt.Fprintf(a.stderr, note, out.File)
		return err
	})
}

// combine fits the weights of the model's heads on groups and stores them.
func combine(a *app, r pref.Rewarder, groups []pref.Group, split string) (combineOutput, error) {
	here, ok := r.(*reward.Reader)
	if !ok {
		return combineOutput{},
			fmt.Errorf("%w: the weights are stored beside a model: name a run or model folder",
				errUsage)
	}
	read, err := r.Read(a.ctx, groups, []string{reward.ByScore, reward.ByImplicit})
	if err != nil {
		return combineOutput{}, err
	}
	weights, err := reward.FitCombination(&read, split)
	if err != nil {
		return combineOutput{}, err
	}
	if err := here.Model().SetCombination(weights); err != nil {
		return combineOutput{}, err
	}
	e, err := eval.Evaluate(read)
	return combineOutput{filepath.Join(here.Model().Dir, reward.CombinationName), weights,
		e.Rewards, e.Rows()}, err
}

// groups reads the data of the fit and says which it is.
func (c *combineCmd) groups(a *app) ([]pref.Group, string, error) {
	if len(c.Valid) > 0 {
		files, err := a.data(c.Valid)
		if err != nil {
			return nil, "", err
		}
		groups, _, err := pref.Load(files, pref.Options{})
		return groups, "the file " + strings.Join(c.Valid, ", "), err
	}
	manifest, err := recipe.ReadManifest(c.Model)
	if err != nil {
		return nil, "", fmt.Errorf("%w; name the data of the fit with -valid FILE", err)
	}
	_, valid, _, err := manifest.Recipe.Groups()
	if err != nil {
		return nil, "", err
	}
	if len(valid) == 0 {
		return nil, "",
			fmt.Errorf("%s was trained without validation data: name the data of the fit with "+
				"-valid FILE", c.Model)
	}
	return valid, "the run's validation data, which chose the checkpoint, too", nil
}
