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
	In        string   `help:"File of samples, {prompt, response} a line; prompts as text or messages."`
	MaxLength int      `range:"[0,inf)" name:"max-length" help:"Tokens of prompt and response. Default: as trained."`
	columnFlags
	columnFlag
	chatFlags
}

// Run prints the rewards of responses and the part that each token has in the implicit one.
func (c *explainCmd) Run(a *app) error {
	samples, err := c.samples(a)
	if err != nil {
		return err
	}
	var out []reward.Explained
	for _, name := range c.Models {
		r, err := c.open(a, name)
		if err != nil {
			return err
		}
		explained, err := r.Explain(a.ctx, samples)
		if err = launch.CloseWith(r, err); err != nil {
			return err
		}
		for i, e := range explained {
			out = append(out, reward.Explained{Model: name, Sample: samples[i], Explanation: e})
		}
	}
	if a.json {
		return printJSON(a, out)
	}
	colour, width := progress.Terminal(a.stdout)
	return reward.WriteExplained(a.stdout, out, reward.TextOptions{Colour: colour, Width: width})
}

func (c *explainCmd) open(a *app, name string) (*reward.Reader, error) {
	chat, err := c.chatFlags.options()
	if err != nil {
		return nil, err
	}
	cache, err := launch.CacheDir()
	if err != nil {
		return nil, err
	}
	model, err := a.openModel(a.ctx, name, reward.Options{
		Chat: chat, Column: c.Column, MaxLength: c.MaxLength,
	})
	if err != nil {
		return nil, err
	}
	return model.Reader(reward.ReaderOptions{CacheDir: cache, Log: a.p.Logf}), nil
}

// samples are those of the flags.
func (c *explainCmd) samples(a *app) ([]pref.Sample, error) {
	switch {
	case c.In != "" && c.Prompt == "" && len(c.Response) == 0:
		return a.samples(c.In, c.columnFlags)
	case c.In == "" && c.Prompt != "" && len(c.Response) > 0:
		g := pref.Group{Prompt: []pref.Message{{Role: pref.User, Content: c.Prompt}},
			Responses: c.Response}
		return g.Samples(), nil
	}
	return nil, fmt.Errorf("%w: give -prompt and -response, or -in FILE", errUsage)
}
