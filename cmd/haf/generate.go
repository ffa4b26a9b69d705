package main

import (
	"fmt"
	"io"
	"time"

	"haf/curate"
	"haf/launch"
	"haf/pref"
	"haf/remote"
)

// samplingFlags are shared by the verbs that sample.
type samplingFlags struct {
	N                 int      `range:"[1,inf)" short:"n" default:"1" help:"Samples per prompt."`
	MaxTokens         int      `range:"[1,inf)" name:"max-tokens" default:"256" help:"Maximum tokens of a response."`
	Temperature       float64  `range:"[0,inf)" default:"1" help:"0 is greedy."`
	TemperatureTo     float64  `range:"[0,inf)" name:"temperature-to" help:"Draw each sample's temperature uniformly between -temperature and this."`
	TopK              int      `range:"[0,inf)" name:"top-k" help:"Only the k most probable tokens; 0 is all."`
	TopP              float64  `range:"[0,1]" name:"top-p" help:"Only the most probable tokens that reach this probability; 0 is all."`
	MinP              float64  `range:"[0,1]" name:"min-p" help:"Only tokens of at least this share of the largest probability."`
	RepetitionPenalty float64  `range:"[0,inf)" name:"repetition-penalty" help:"Above 1, tokens that occurred before become less likely."`
	Stop              []string `help:"Text that ends a response; may be repeated." sep:"none"`
	Seed              uint64   `help:"Random seed for sampling."`
	Protocol          string   `help:"paper4 or paper8: 4 or 8 samples, top-p 0.85, temperatures 0.5 to 1.2, 512 tokens, instead of the flags above."`
}

func (f samplingFlags) sampling() (curate.Sampling, error) {
	s, err := curate.Protocol(f.Protocol)
	if err != nil {
		return s, fmt.Errorf("%w: -protocol %w", errUsage, err)
	}
	if f.Protocol == "" {
		s = curate.Sampling{N: f.N, TemperatureTo: f.TemperatureTo, Sampling: pref.Sampling{
			MaxTokens: f.MaxTokens, Temperature: f.Temperature, TopK: f.TopK, TopP: f.TopP,
			MinP: f.MinP, RepetitionPenalty: f.RepetitionPenalty, Stop: f.Stop,
		}}
	}
	s.Seed = f.Seed
	if err := s.Check(); err != nil {
		return s, fmt.Errorf("%w: %w", errUsage, err)
	}
	return s, nil
}

// serverFlags select an OpenAI-compatible server.
type serverFlags struct {
	URL         string        `name:"url" help:"OpenAI-compatible server, such as http://127.0.0.1:8000/v1; its key is in HAF_API_KEY or OPENAI_API_KEY."`
	RemoteModel string        `name:"remote-model" help:"Name of the model on the server. Default: the first listed."`
	Concurrency int           `range:"[1,inf)" default:"8" help:"Concurrent requests to the server."`
	Timeout     time.Duration `range:"(0,inf)" default:"2m" help:"Time limit of one attempt."`
	Retries     int           `range:"[0,inf)" default:"5" help:"Retries of a failed request."`
}

// options returns the options for the server's client.
func (f serverFlags) options(a *app) remote.Options {
	retries := f.Retries
	if retries == 0 {
		retries = -1 // none, because 0 means the client's default
	}
	return remote.Options{
		URL: f.URL, Model: f.RemoteModel, Key: chatKey(), Concurrency: f.Concurrency,
		Timeout: f.Timeout, Retries: retries,
		Say: func(line string) { fmt.Fprintln(a.stderr, "haf: "+line) },
	}
}

type generateCmd struct {
	Model   string   `arg:"" optional:"" help:"Model or run folder, GGUF file or Hugging Face id; or give -url."`
	Prompt  string   `help:"One prompt, whose response is printed."`
	Prompts []string `help:"File of prompts, one {prompt} per line, or of preferences; may be repeated." sep:"none"`
	Limit   int      `range:"[0,inf)" help:"Only the first N prompts."`
	columnFlags
	Out  string `new:"" help:"New JSONL file for the samples. Rerun the same command to resume from FILE.part."`
	Rows int    `range:"[1,inf)" default:"8" help:"Sequences generated in parallel."`
	shardFlags
	chatFlags
	samplingFlags
	serverFlags
}

// Run generates responses.
func (c *generateCmd) Run(a *app) error {
	switch {
	case (c.Model == "") == (c.URL == ""):
		return fmt.Errorf("%w: give a model, or -url", errUsage)
	case (c.Prompt == "") == (len(c.Prompts) == 0):
		return fmt.Errorf("%w: give -prompt, or -prompts FILE; -prompt is %q", errUsage, c.Prompt)
	case len(c.Prompts) > 0 && c.Out == "":
		return fmt.Errorf("%w: -prompts goes with -out FILE", errUsage)
	}
	sampling, err := c.sampling()
	if err != nil {
		return err
	}
	part, done, err := c.part(a, c.Out, c.Prompts...)
	if err != nil || done {
		return err
	}
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	var prompts [][]pref.Message
	if c.Prompt == "" {
		if prompts, err = a.prompts(c.Prompts, c.Limit, c.columnFlags); err != nil {
			return err
		}
	}
	generator, err := launch.Generation{
		Server: c.serverFlags.options(a), Model: c.Model, Chat: chat, Rows: c.Rows, Open: a.openModel,
	}.Generator(a.ctx)
	if err != nil {
		return err
	}
	defer generator.Close()
	if c.Prompt != "" {
		prompt := []pref.Message{{Role: pref.User, Content: c.Prompt}}
		return curate.Each(a.ctx, generator, prompt, sampling, func(s curate.Sample) error {
			return a.print(s, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, s.Text)
				return err
			})
		})
	}
	samples, err := curate.Generate(a.ctx, generator, prompts, curate.GenerateOptions{
		Sampling: sampling, Generator: generator.Name, Out: c.Out, Part: part, Reporter: a.reporter(),
	})
	if err != nil {
		return err
	}
	defer func() { _ = samples.Close() }() // does nothing after Write
	out, err := samples.Write()
	if err != nil {
		return err
	}
	return a.done(out, "done: %s", out)
}

// prompts reads files of prompts.
func (a *app) prompts(
	named []string, limit int, columns columnFlags,
) ([][]pref.Message, error) {
	files, err := a.data(named)
	if err != nil {
		return nil, err
	}
	prompts, repeated, err := pref.LoadPrompts(files, pref.Options{
		Limit: limit, Columns: columns.Columns,
	})
	if err == nil {
		a.p.Logf("prompts: %d, %d repeated ones left out", len(prompts), repeated)
	}
	return prompts, err
}

// reporter reports the progress of package curate to the user.
func (a *app) reporter() curate.Reporter {
	return curate.Reporter{Notef: a.notef, Progress: a.p.Passes()}
}
