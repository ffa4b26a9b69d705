package main

import (
	"fmt"

	"haf/internal/progress"
	"haf/launch"
	"haf/pref"
	"haf/reward"
)

type explainCmd struct {
	Models    []string `arg:"" name:"model" help:"Run or model folder, GGUF file or Hugging Face id; with two, both explain the same responses."`
	Prompt    string   `help:"One prompt."`
	Response  []string `help:"A response to it; twice for two responses." sep:"none"`
	In        string   `help:"File of samples, one {prompt, response} per line; prompts as text or messages."`
	MaxLength int      `range:"[0,inf)" name:"max-length" help:"Tokens of prompt and response. Default: as trained."`
	columnFlags
	columnFlag
	dtypeFlag
	chatFlags
}

// Run prints the rewards of responses and each token's contribution to the implicit reward.
func (c *explainCmd) Run(a *app) error {
	samples, err := c.samples(a)
	if err != nil {
		return err
	}
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	out, err := launch.Explain(a.ctx, a.openModel, c.Models, samples, reward.Options{
		Chat: chat, Column: c.Column, DType: c.DType, MaxLength: c.MaxLength,
	}, a.p.Logf)
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(a, out)
	}
	colour, width := progress.Terminal(a.stdout)
	return reward.WriteExplained(a.stdout, out, reward.TextOptions{Colour: colour, Width: width})
}

// samples returns the samples of the flags.
func (c *explainCmd) samples(a *app) ([]pref.Sample, error) {
	switch {
	case c.In != "" && c.Prompt == "" && len(c.Response) == 0:
		return a.samples(c.In, c.columnFlags)
	case c.In == "" && c.Prompt != "" && len(c.Response) > 0:
		g := pref.Group{Prompt: []pref.Message{{Role: pref.User, Content: c.Prompt}},
			Responses: c.Response}
		return g.Samples(), nil
	}
	return nil, fmt.Errorf("%w: give -prompt and -response, or -in FILE; -prompt is %q, -response %q",
		errUsage, c.Prompt, c.Response)
}
