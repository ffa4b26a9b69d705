package main

import (
	"fmt"
	"io"
	"slices"

	"haf/curate"
	"haf/eval"
	"haf/launch"
	"haf/pref"
	"haf/report"
	"haf/rewarder/source"
)

type rankCmd struct {
	Models  []string `arg:"" name:"model" help:"Reward model: run or model folder, GGUF file, Hugging Face id, or another of docs/reference/reward-sources.md; several with -ensemble."`
	Prompts []string `help:"File of prompts, one {prompt} per line, or of preferences; may be repeated." sep:"none"`
	Samples string   `help:"Rank the samples in this file, one {prompt, response} per line, instead of sampling."`
	Limit   int      `range:"[0,inf)" help:"Only the first N prompts."`
	Policy  string   `help:"Model that generates. Default: the reward model's own policy head."`
	Reward  string   `help:"score, implicit, implicit-normalized or combined. Default: that of the head that was trained."`
	Out     string   `new:"" required:"" help:"New JSONL file with a line for each prompt, its samples and their rewards."`
	Report  string   `help:"Folder for best-of-n.md, best-of-n.html and the plots of the curve." placeholder:"DIR"`
	Rows    int      `range:"[1,inf)" default:"8" help:"Sequences generated in parallel."`
	shardFlags
	columnFlags
	samplingFlags
	serverFlags
	readFlags
	goldFlags // a gold reward model draws the curve: a larger one, or one trained separately

	PolicyChat chatFlags `embed:"" prefix:"policy-"`
}

// Run ranks samples of prompts by reward.
func (c *rankCmd) Run(a *app) error {
	if (len(c.Prompts) == 0) == (c.Samples == "") {
		return fmt.Errorf("%w: give -prompts, or -samples FILE", errUsage)
	}
	if err := c.readFlags.check(c.Models, c.Reward); err != nil {
		return err
	}
	if err := c.sourceFlags.check(slices.Concat(c.Models, c.Gold)...); err != nil {
		return err
	}
	if c.Samples == "" && c.Policy == "" && c.URL == "" &&
		(c.Ensemble != "" || !source.IsModel(c.Models[0])) {
		return fmt.Errorf("%w: %s has no policy head that could generate here: name a model with "+
			"-policy, a server of one with -url, or give -samples", errUsage, c.name(c.Models))
	}
	part, done, err := c.part(a, c.Out, slices.Concat(c.Prompts, []string{c.Samples})...)
	if err != nil || done {
		return err
	}
	// before samples are generated
	if err := a.reach(c.sourceFlags, slices.Concat(c.Models, c.Gold)...); err != nil {
		return err
	}
	samples, err := c.samples(a, part)
	if err != nil {
		return err
	}
	defer func() { _ = samples.Close() }() // does nothing after Rank
	from, err := c.open(a, c.Models, launch.SourceReading{SourceSettings: c.settings()})
	if err != nil {
		return err
	}
	scorer, err := a.scorer(from, c.name(c.Models), c.Reward)
	if err != nil {
		return err
	}
	defer scorer.Close()
	var gold pref.Scorer
	if by, err := c.openGold(a); err != nil {
		return err
	} else if by != nil {
		defer by.Close()
		gold = by
	}
	out, err := samples.Rank(a.ctx, scorer, gold, a.reporter(), func(out curate.Ranking) error {
		if c.Report == "" {
			return nil
		}
		page, err := report.BestOf(out.Curve, out.Recall != nil, out.Table())
		if err != nil {
			return err
		}
		return page.Write(c.Report, "best-of-n")
	})
	if err != nil {
		return err
	}
	return a.print(out, func(w io.Writer) error {
		err := eval.WriteTable(w, out.Table())
		a.p.Logf("done: %s", out)
		return err
	})
}

// samples reads or generates the samples to rank.
func (c *rankCmd) samples(a *app, part curate.Part) (*curate.SampleSet, error) {
	if c.Samples != "" {
		files, err := a.data([]string{c.Samples})
		if err != nil {
			return nil, err
		}
		return curate.OpenSamples(files, pref.Options{Limit: c.Limit, Columns: c.Columns}, c.Out, part)
	}
	sampling, err := c.sampling()
	if err != nil {
		return nil, err
	}
	prompts, err := a.prompts(c.Prompts, c.Limit, c.columnFlags)
	if err != nil {
		return nil, err
	}
	policy, of := c.Policy, c.PolicyChat
	if policy == "" {
		policy, of = c.Models[0], c.chatFlags
	}
	chat, err := of.options()
	if err != nil {
		return nil, err
	}
	generator, err := launch.Generation{
		Server: c.serverFlags.options(a), Model: policy, Chat: chat, Rows: c.Rows, Open: a.openModel,
	}.Generator(a.ctx)
	if err != nil {
		return nil, err
	}
	defer generator.Close()
	return curate.Generate(a.ctx, generator, prompts, curate.GenerateOptions{
		Sampling: sampling, Generator: generator.Name, Out: c.Out, Part: part, Reporter: a.reporter(),
	})
}
