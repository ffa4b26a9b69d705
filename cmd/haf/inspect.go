package main

import "haf/reward"

type inspectCmd struct {
	Model string `arg:"" help:"Run, model or adapter folder, GGUF file or Hugging Face id."`
	chatFlags
}

// Run describes a model without opening a device.
func (c *inspectCmd) Run(a *app) error {
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	model, err := client.Model(a.ctx, c.Model)
	if err != nil {
		return err
	}
	in, err := reward.Inspect(model.Paths[0], chat)
	if err != nil {
		return err
	}
	return a.print(in, in.Write)
}
