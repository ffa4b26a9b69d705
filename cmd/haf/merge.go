package main

import (
	"fmt"

	"haf/backend"
	"haf/publish"
	"haf/reward"
)

type mergeCmd struct {
	Models  []string `arg:"" name:"model" help:"Run or adapter folder, or a Hugging Face id; with -average several models trained from one base."`
	Out     string   `new:"" required:"" help:"New folder for the merged model."`
	Average bool     `help:"Write the mean of the models' weights, adapters merged (WARM)."`
	columnFlag
	chatFlags
}

// Run merges an adapter, or averages models.
func (c *mergeCmd) Run(a *app) error {
	switch {
	case c.Average && len(c.Models) < 2:
		return fmt.Errorf("%w: -average of one model, want two or more", errUsage)
	case !c.Average && len(c.Models) > 1:
		return fmt.Errorf("%w: %d models to merge: name one, or -average them", errUsage, len(c.Models))
	}
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	device, err := backend.Open("go") // the device computes nothing
	if err != nil {
		return err
	}
	var models []*reward.Model
	for _, named := range c.Models {
		model, err := a.openModelOn(device, named, reward.Options{Chat: chat, Column: c.Column})
		if err != nil {
			return err
		}
		defer model.Close()
		models = append(models, model)
	}
	what := "merged"
	if model := models[0]; c.Average {
		what = "averaged"
		model.Finish = publish.CardOf("", c.Out) // a run's metrics do not apply to an average
		err = reward.SaveAverage(c.Out, models...)
	} else if model.Adapter() == nil && !model.Merged {
		err = fmt.Errorf("%s has no adapter to merge: its weights are whole, use %s as it is",
			c.Models[0], model.Dir)
	} else {
		model.Finish = publish.CardOf(c.Models[0], c.Out)
		err = model.SaveMerged(c.Out)
	}
	if err != nil {
		return err
	}
	return a.done(map[string]string{"model": c.Out}, "done: the %s model is in %s", what, c.Out)
}
