package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"haf/reward"
)

// chatFlags say how conversations become a model's tokens, for models that haf did not train.
type chatFlags struct {
	Template    string   `help:"Chat template: model, plain, phi-2, mistral, or a Jinja file. Default: as trained, else the model's own."`
	TemplateArg []string `name:"template-arg" help:"Variable of the template, NAME=VALUE with a JSON value, such as enable_thinking=false; may be repeated." sep:"none"`
	Date        string   `help:"Day that the template writes, YYYY-MM-DD. Default: that of training, else 2024-07-26."`
	Read        string   `help:"Where the reward is read: last (the last token that is not padding, as transformers), end (the last end-of-turn token)."`
	BOS         string   `name:"bos" help:"Beginning-of-sequence tokens: template (as it writes them), once, twice or none."`
}

// options are those that the flags set.
func (f chatFlags) options() (reward.ChatOptions, error) {
	args, err := templateArgs(f.TemplateArg)
	opt := reward.ChatOptions{Template: f.Template, Args: args, Date: f.Date, Read: f.Read, BOS: f.BOS}
	if err == nil {
		err = opt.Check()
	}
	if err != nil {
		return opt, fmt.Errorf("%w: %w", errUsage, err)
	}
	return opt, nil
}

// templateArgs reads NAME=VALUE.
func templateArgs(flags []string) (map[string]json.RawMessage, error) {
	var args map[string]json.RawMessage
	for _, flag := range flags {
		name, value, ok := strings.Cut(flag, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("-template-arg %q, want NAME=VALUE, such as enable_thinking=false", flag)
		}
		if !json.Valid([]byte(value)) {
			return nil, fmt.Errorf("-template-arg %q: the value is not JSON: want true, false, null, a number, "+
				"a text in double quotes, a list or an object, such as enable_thinking=false", flag)
		}
		if args == nil {
			args = map[string]json.RawMessage{}
		}
		args[name] = json.RawMessage(value)
	}
	return args, nil
}
