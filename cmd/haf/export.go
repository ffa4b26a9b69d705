package main

import (
	"haf/backend"
	"haf/publish"
	"haf/reward"
)

type exportCmd struct {
	Policy string `required:"" help:"Run or model folder, or a Hugging Face id, whose policy head is exported."`
	Out    string `new:"" required:"" help:"New folder for the causal language model."`
	columnFlag
	chatFlags
}

// Run writes the policy head as a causal language model.
func (c *exportCmd) Run(a *app) error {
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	device, err := backend.Open("go") // the device computes nothing
	if err != nil {
		return err
	}
	model, err := a.openModelOn(device, c.Policy, reward.Options{Chat: chat, Column: c.Column})
	if err != nil {
		return err
	}
	defer model.Close()
	model.Finish = publish.CardOf("", c.Out)
	if err := model.SavePolicy(c.Out); err != nil {
		return err
	}
	return a.done(map[string]string{"model": c.Out},
		"done: the policy head of %s is the causal language model in %s", c.Policy, c.Out)
}
