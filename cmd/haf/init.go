package main

import (
	"fmt"
	"io"

	"haf/launch"
)

type initCmd struct {
	Data  string   `arg:"" help:"Preference file, or a data set on the hub: datasets/org/name."`
	Model string   `arg:"" help:"Base model: folder, GGUF file or Hugging Face id."`
	More  []string `name:"data" help:"Another file to train on; may be repeated." sep:"none"`
	Out   string   `new:"" help:"New file for the recipe." required:""`
}

// Run inspects data and model and writes a recipe that fits into memory.
func (c *initCmd) Run(a *app) error {
	client, err := a.hub()
	if err != nil {
		return err
	}
	e, err := launch.WriteRecipe(a.ctx, client, c.Out, append([]string{c.Data}, c.More...), c.Model,
		a.notef)
	if err != nil {
		return err
	}
	return a.print(e, func(w io.Writer) error {
		if err := e.Write(w); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "\nThe recipe is %s. Next: haf train %s\n", c.Out, c.Out)
		return err
	})
}
