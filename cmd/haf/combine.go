package main

import (
	"fmt"
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
	Heads map[string]eval.Result `json:"heads"` // of each head and of the combination, on the data of the fit
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
	model, err := a.openModel(c.Model, reward.Options{Chat: chat})
	if err != nil {
		return err
	}
	defer model.Close()
	p := newProgress(a.stderr)
	weights, r, err := combine(a, model, groups, split, p)
	if err != nil {
		return err
	}
	out := combineOutput{File: filepath.Join(model.Dir, reward.CombinationName), Combination: weights, Heads: map[string]eval.Result{}}
	var rows []eval.Row
	for _, name := range []string{reward.ByScore, reward.ByImplicit, reward.ByCombined} {
		if out.Heads[name], err = eval.Comparisons(r.groups, r.rewards[name]); err != nil {
			return err
		}
		rows = append(rows, eval.Row{Name: name, Result: out.Heads[name]})
	}
	if a.json {
		return printJSON(a, out)
	}
	fmt.Fprintf(a.stdout, "%.6g · score + %.6g · implicit, fitted on %d comparisons: %s\n\n", weights.Score, weights.Implicit, weights.Comparisons, weights.Split)
	if err := eval.Table(a.stdout, rows); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "done: the weights are in %s; -rewards combined and -reward combined name them. The table is of the data of the fit: it flatters.\n", out.File)
	return nil
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
		return nil, "", fmt.Errorf("%s was trained without validation data: name the data of the fit with -valid FILE", c.Model)
	}
	return valid, "the run's validation data, which chose the checkpoint, too", nil
}

// combine fits the weights of the model's heads on groups and stores them; the reading has the rewards of the fit.
func combine(a *app, model *reward.Model, groups []pref.Group, split string, p *progress) (reward.Combination, *reading, error) {
	none := reward.Combination{}
	r, err := read(a, model, groups, []string{reward.ByScore, reward.ByImplicit}, p)
	if err != nil {
		return none, nil, err
	}
	c, combined, err := fitHeads(r.groups, r.rewards, split)
	if err != nil {
		return none, nil, err
	}
	r.rewards[reward.ByCombined] = combined
	return c, r, model.SetCombination(c)
}

// fitHeads fits the weights of the score head's and the implicit reward on groups, and combines them there.
func fitHeads(groups []pref.Group, rewards map[string][][]float64, split string) (reward.Combination, [][]float64, error) {
	score, implicit := rewards[reward.ByScore], rewards[reward.ByImplicit]
	w, err := eval.FitWeights(groups, score, implicit)
	if err != nil {
		return reward.Combination{}, nil, err
	}
	c := reward.Combination{Score: w[0], Implicit: w[1], Split: split}
	combined := c.Of(score, implicit)
	fit, err := eval.Comparisons(groups, combined)
	c.Comparisons, c.LogLikelihood = fit.Comparisons, fit.LogLikelihood
	return c, combined, err
}
