package main

import (
	"encoding/json"
	"fmt"

	"haf/curate"
	"haf/launch"
	"haf/pref"
	"haf/reward"
	"haf/rewarder"
)

type scoreCmd struct {
	Models   []string `arg:"" name:"model" help:"Run or model folder, GGUF file, Hugging Face id, or another of docs/reference/reward-sources.md; several with -ensemble."`
	Prompt   string   `help:"One prompt."`
	Response string   `help:"The response to it."`
	In       string   `help:"File of samples, one {prompt, response} per line; prompts as text or messages."`
	Out      string   `new:"" help:"New JSONL file for the samples with their rewards; needs little memory for any number of rows. Rerun the same command to resume from FILE.part. Default: standard output."`
	shardFlags
	Reward    string `help:"score, implicit, implicit-normalized or combined (haf combine). Default: that of the head that was trained."`
	MaxLength int    `range:"[0,inf)" name:"max-length" help:"Tokens of prompt and response. Default: as trained."`
	columnFlags
	readFlags
	sourceFlags
}

// scoreBatch is the number of samples scored at a time.
const scoreBatch = 256

// Run prints rewards.
func (c *scoreCmd) Run(a *app) error {
	if err := c.readFlags.check(c.Models, c.Reward); err != nil {
		return err
	}
	if err := c.sourceFlags.check(c.Models...); err != nil {
		return err
	}
	if c.Out != "" && c.In == "" {
		return fmt.Errorf("%w: -out goes with -in FILE", errUsage)
	}
	part, done, err := c.part(a, c.Out, c.In)
	if err != nil || done {
		return err
	}
	var samples []pref.Sample
	if c.Out == "" {
		if samples, err = c.samples(a); err != nil {
			return err
		}
	}
	r, err := c.open(a, c.Models, launch.SourceReading{
		Options: reward.Options{MaxLength: c.MaxLength}, SourceSettings: c.settings(),
		Once: true, Batch: scoreBatch,
	})
	if err != nil {
		return err
	}
	opt := rewarder.SampleOptions{Name: c.name(c.Models), Reward: c.Reward, Warnf: a.notef}
	if c.Out != "" {
		return launch.CloseWith(r, c.write(a, r, opt, part))
	}
	rows, err := rewarder.ScoreSamples(a.ctx, r, samples, opt)
	if err = launch.CloseWith(r, err); err != nil {
		return err
	}
	for _, row := range rows {
		if a.json {
			err = json.NewEncoder(a.stdout).Encode(row)
		} else {
			err = row.Write(a.stdout)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write scores the file's samples into a new file.
func (c *scoreCmd) write(
	a *app, r pref.Rewarder, opt rewarder.SampleOptions, part curate.Part,
) error {
	files, err := a.data([]string{c.In})
	if err != nil {
		return err
	}
	out, err := curate.Score(a.ctx, r, files, curate.ScoreOptions{SampleOptions: opt,
		Columns: c.Columns, Out: c.Out, Part: part, Reporter: a.reporter()})
	if err != nil {
		return err
	}
	return a.done(out, "done: %s", out)
}

// samples returns the samples of the flags.
func (c *scoreCmd) samples(a *app) ([]pref.Sample, error) {
	switch {
	case c.In != "" && c.Prompt == "" && c.Response == "":
		return a.samples(c.In, c.columnFlags)
	case c.In == "" && c.Prompt != "" && c.Response != "":
		return []pref.Sample{{Prompt: []pref.Message{{Role: pref.User, Content: c.Prompt}},
			Response: c.Response}}, nil
	}
	return nil, fmt.Errorf("%w: give -prompt and -response, or -in FILE; -prompt is %q, -response %q",
		errUsage, c.Prompt, c.Response)
}

// samples reads the samples of a file.
func (a *app) samples(named string, columns columnFlags) ([]pref.Sample, error) {
	files, err := a.data([]string{named})
	if err != nil {
		return nil, err
	}
	return pref.LoadSamples(files, pref.Options{Columns: columns.Columns})
}
