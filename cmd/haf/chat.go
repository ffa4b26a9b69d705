package main

import (
	"fmt"

	"haf/reward"
)

// chatFlags set how conversations become a model's tokens, for models that haf did not train.
type chatFlags struct {
	Template    string   `help:"Chat template: model, plain, phi-2, mistral, or a Jinja file. Default: as trained, else the model's own."`
	TemplateArg []string `name:"template-arg" help:"Variable of the template, NAME=VALUE with a JSON value, such as enable_thinking=false; may be repeated." sep:"none"`
	Date        string   `help:"Day that the template writes, YYYY-MM-DD. Default: that of training, else 2024-07-26."`
	Read        string   `help:"Where the reward is read: last (the last token that is not padding, as transformers), end (the last end-of-turn token)."`
	BOS         string   `name:"bos" help:"Beginning-of-sequence tokens: template (as it writes them), once, twice or none."`
}

// options returns the options of the flags.
func (f chatFlags) options() (reward.ChatOptions, error) {
	args, err := reward.ParseTemplateArgs(f.TemplateArg)
	if err != nil {
		return reward.ChatOptions{}, fmt.Errorf("%w: -template-arg %w", errUsage, err)
	}
	opt := reward.ChatOptions{
		Template: f.Template, Args: args, Date: f.Date, Read: f.Read, BOS: f.BOS,
	}
	if err := opt.Check(); err != nil {
		return opt, fmt.Errorf("%w: %w", errUsage, err)
	}
	return opt, nil
}
