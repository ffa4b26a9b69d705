package main

import (
	"context"
	"fmt"
	"time"

	"haf/recipe"
	"haf/reward"
	"haf/rewarder/source"
)

// sourceFlags are settings of reward sources other than models that are opened here.
type sourceFlags struct {
	SourceTokenizer   string        `name:"source-tokenizer" help:"Folder or Hugging Face id of the model behind an sglang+ or openrlhf+ source, for its template and tokenizer." placeholder:"MODEL"`
	SourceTimeout     time.Duration `range:"(0,inf)" name:"source-timeout" default:"2m" help:"Longest wait for one answer of a reward source."`
	SourceConcurrency int           `range:"[1,inf)" name:"source-concurrency" default:"8" help:"Requests to a reward source at once."`
	JudgePrompt       string        `name:"judge-prompt" help:"Prompt of a judge+ source, with the marks {{conversation}} and {{response}}." placeholder:"FILE"`
}

// check returns an error where a flag is set and none of the named sources reads it.
func (f sourceFlags) check(named ...string) error {
	var renders, judges bool
	for _, name := range named {
		s, err := source.Parse(name)
		if err != nil {
			return err
		}
		renders, judges = renders || s.Uses().Tokenizer, judges || s.Uses().Judge
	}
	switch {
	case f.SourceTokenizer != "" && !renders:
		return fmt.Errorf("%w: -source-tokenizer is for sglang+ and openrlhf+ sources, and none is "+
			"named: leave it out", errUsage)
	case f.JudgePrompt != "" && !judges:
		return fmt.Errorf("%w: -judge-prompt is for judge+ sources, and none is named: leave it out",
			errUsage)
	}
	return nil
}

// apply sets the flags in the options; chat says how a template renders.
func (f sourceFlags) apply(a *app, chat reward.ChatOptions, opt *source.Options) {
	opt.Timeout, opt.Concurrency, opt.JudgePrompt = f.SourceTimeout, f.SourceConcurrency, f.JudgePrompt
	if f.SourceTokenizer == "" {
		return
	}
	opt.Tokenizer = func(ctx context.Context) (source.Renderer, error) {
		client, err := a.hub()
		if err != nil {
			return nil, err
		}
		found, err := client.Tokenizer(ctx, f.SourceTokenizer)
		if err != nil {
			return nil, err
		}
		return reward.OpenEncoder(found.Paths[0], chat)
	}
}

// sourcesOf are the flags that the settings of a recipe amount to.
func sourcesOf(r recipe.Reward) sourceFlags {
	return sourceFlags{
		SourceTokenizer: r.Tokenizer, JudgePrompt: r.JudgePrompt,
		SourceTimeout:     time.Duration(r.Timeout * float64(time.Second)),
		SourceConcurrency: r.Concurrency,
	}
}
