package main

import (
	"time"

	"haf/launch"
)

// sourceFlags are settings of reward sources other than local models.
type sourceFlags struct {
	SourceTokenizer   string        `name:"source-tokenizer" help:"Folder or Hugging Face id of the model behind an sglang+ or openrlhf+ source, for its template and tokenizer." placeholder:"MODEL"`
	SourceTimeout     time.Duration `range:"(0,inf)" name:"source-timeout" default:"2m" help:"Longest wait for an answer of a reward source."`
	SourceConcurrency int           `range:"[1,inf)" name:"source-concurrency" default:"8" help:"Concurrent requests to a reward source."`
	JudgePrompt       string        `name:"judge-prompt" help:"Prompt of a judge+ source, with the marks {{conversation}} and {{response}}." placeholder:"FILE"`
}

// check returns an error if a flag is set that none of the named sources uses.
func (f sourceFlags) check(named ...string) error { return f.settings().Check(named...) }

// settings returns the settings of the flags.
func (f sourceFlags) settings() launch.SourceSettings {
	return launch.SourceSettings{
		Tokenizer: f.SourceTokenizer, Timeout: f.SourceTimeout,
		Concurrency: f.SourceConcurrency, JudgePrompt: f.JudgePrompt,
	}
}
