package main

import (
	"fmt"
	"io"
	"os"

	"haf/backend"
	"haf/internal/durable"
	"haf/recipe"
)

type initCmd struct {
	Data  string   `arg:"" help:"Preference file, or a data set on the hub: datasets/org/name."`
	Model string   `arg:"" help:"Base model: folder, GGUF file or Hugging Face id."`
	More  []string `name:"data" help:"Another file to train on; may be repeated." sep:"none"`
	Out   string   `help:"New file for the recipe. Required." required:""`
}

// Run inspects data and model and writes a recipe that fits the memory.
func (c *initCmd) Run(a *app) error {
	if _, err := os.Stat(c.Out); err == nil {
		return fmt.Errorf("%s exists already: choose another -out", c.Out)
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	available, err := backend.AvailableMemory()
	if err != nil {
		a.notef("%v: nothing to compare the need with", err)
	}
	d, err := recipe.NewDraft(a.ctx, client, append([]string{c.Data}, c.More...), c.Model,
		available.Bytes)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(c.Out, d.TOML()); err != nil {
		return fmt.Errorf("writing the recipe: %w", err)
	}
	return a.print(planOutput{d.Estimate, available.Source, d.Estimate.Run.Memory.Total()},
		func(w io.Writer) error {
			if err := d.Estimate.Write(w, available.Bytes, available.Source); err != nil {
				return err
			}
			_, err := fmt.Fprintf(w, "\nThe recipe is %s. Next: haf train %s\n", c.Out, c.Out)
			return err
		})
}
