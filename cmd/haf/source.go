package main

import (
	"context"
	"time"

	"haf/recipe"
	"haf/reward"
	"haf/rewarder/source"
)

// sourceFlags are settings of reward sources other than models that are opened here.
type sourceFlags struct {
	SourceTokenizer   string        `name:"source-tokenizer" help:"Folder or Hugging Face id of the model behind an sglang+ or openrlhf+ source, for its template and tokenizer." placeholder:"MODEL"`
	SourceTimeout     time.Duration `name:"source-timeout" default:"2m" help:"Longest wait for one answer of a reward source."`
	SourceConcurrency int           `name:"source-concurrency" default:"8" help:"Requests to a reward source at once."`
	JudgePrompt       string        `name:"judge-prompt" help:"Prompt of a judge+ source, with the marks {{conversation}} and {{response}}." placeholder:"FILE"`
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
