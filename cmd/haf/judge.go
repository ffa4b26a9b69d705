package main

import (
	"fmt"
	"io"

	"haf/curate"
	"haf/pref"
	"haf/remote"
)

// judgeFlags select the judge: a server's model or a reward model.
type judgeFlags struct {
	serverFlags
	goldFlags           // judges instead of -url
	Criterion   string  `help:"Criterion for a language model. Default: helpful, correct, harmless, to the point."`
	JudgeTokens int     `range:"[1,inf)" name:"judge-tokens" default:"1024" help:"Tokens that the judge may write."`
	PriceIn     float64 `range:"[0,inf)" name:"price-in" help:"Price of a million prompt tokens."`
	PriceOut    float64 `range:"[0,inf)" name:"price-out" help:"Price of a million completion tokens."`
}

// judge opens the judge.
func (f judgeFlags) judge(a *app) (curate.OpenJudge, error) {
	if f.URL != "" {
		client, err := remote.New(a.ctx, f.serverFlags.options(a))
		if err != nil {
			return curate.OpenJudge{}, err
		}
		judge := remote.Judge{Client: client, Criterion: f.Criterion, MaxTokens: f.JudgeTokens}
		return curate.OpenJudge{By: judge, Name: client.Model(), Close: func() {}}, nil
	}
	gold, err := f.openGold(a)
	if err != nil {
		return curate.OpenJudge{}, err
	}
	return curate.OpenJudge{
		By: curate.ByScorer{Scorer: gold}, Name: gold.From(), Close: gold.Close,
	}, nil
}

// options returns the options of the flags.
func (f judgeFlags) options(a *app, out string, seed uint64) curate.JudgeOptions {
	return curate.JudgeOptions{
		Out: out, Criterion: f.Criterion, Seed: seed,
		Price: curate.Price{In: f.PriceIn, Out: f.PriceOut}, Reporter: a.reporter(),
	}
}

type judgeCmd struct {
	Outputs []string `arg:"" help:"Two or more files of {prompt, response} rows, matched by prompt."`
	Out     string   `new:"" required:"" help:"New JSONL file for the verdicts. Rerun the same command to resume from FILE.part."`
	Limit   int      `range:"[0,inf)" help:"Only the first N prompts."`
	Seed    uint64   `help:"Random seed of the order in which more than two responses are shown."`
	shardFlags
	columnFlags
	judgeFlags
}

// Run judges outputs.
func (c *judgeCmd) Run(a *app) error {
	switch {
	case len(c.Outputs) < 2:
		return fmt.Errorf("%w: give two or more files of outputs", errUsage)
	case (c.URL == "") == (len(c.Gold) == 0):
		return fmt.Errorf("%w: give -url of a judge, or -gold", errUsage)
	}
	if err := c.sourceFlags.check(c.Gold...); err != nil {
		return err
	}
	part, done, err := c.part(a, c.Out, c.Outputs...)
	if err != nil || done {
		return err
	}
	if err := a.reach(c.sourceFlags, c.Gold...); err != nil {
		return err
	}
	var outputs [][]pref.Sample
	for _, named := range c.Outputs {
		samples, err := a.samples(named, c.columnFlags)
		if err != nil {
			return err
		}
		outputs = append(outputs, samples)
	}
	open := func() (curate.OpenJudge, error) { return c.judge(a) }
	opt := c.options(a, c.Out, c.Seed)
	opt.Part = part
	out, err := curate.JudgeOutputs(a.ctx, c.Outputs, outputs, c.Limit, open, opt)
	if err != nil {
		return err
	}
	return a.print(out, func(w io.Writer) error {
		err := out.Write(w)
		a.p.Logf("done: %s", out)
		return err
	})
}
