package main

import (
	"fmt"

	"haf/backend"
	"haf/reward"
)

type mergeCmd struct {
	Model string `arg:"" help:"Run or adapter folder, or a Hugging Face id."`
	Out   string `required:"" help:"New folder for the merged model."`
	columnFlag
}

// Run merges an adapter.
func (c *mergeCmd) Run(a *app) error {
	device, err := backend.Open("go") // nothing is computed on the device
	if err != nil {
		return err
	}
	model, err := a.openModelOn(device, c.Model, reward.Options{Column: c.column()})
	if err != nil {
		return err
	}
	defer model.Close()
	if model.Adapter() == nil && !model.Merged {
		return fmt.Errorf("%s has no adapter to merge: its weights are whole, use %s as it is", c.Model, model.Dir)
	}
	if err := model.SaveMerged(c.Out); err != nil {
		return err
	}
	if a.json {
		return printJSON(a, map[string]string{"model": c.Out})
	}
	fmt.Fprintf(a.stderr, "done: the merged model is in %s\n", c.Out)
	return nil
}
