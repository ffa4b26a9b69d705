package main

import (
	"fmt"
	"io"
	"slices"

	"haf/curate"
	"haf/eval"
	"haf/pref"
	"haf/report"
	"haf/rewarder/source"
)

type rankCmd struct {
	Models  []string `arg:"" name:"model" help:"Reward model: run or model folder, GGUF file, Hugging Face id, or another of docs/reference/reward-sources.md; several with -ensemble."`
	Prompts []string `help:"File of prompts, {prompt} a line, or of preferences; may be repeated." sep:"none"`
	Samples string   `help:"Rank the samples of this file, {prompt, response} a line, in place of new ones."`
	Limit   int      `help:"Only the first N prompts."`
	Policy  string   `help:"Model that generates. Default: the reward model's own policy head."`
	Reward  string   `help:"score, implicit, implicit-normalized or combined. Default: that of the head that was trained."`
	Out     string   `required:"" help:"New JSONL file: a prompt with all its samples and rewards a line."`
	Report  string   `help:"Folder for best-of-n.md, best-of-n.html and the plots of the curve." placeholder:"DIR"`
	Rows    int      `default:"8" help:"Sequences that are generated side by side."`
	columnFlags
	samplingFlags
	serverFlags
	readFlags
	goldFlags // larger or trained apart, for the curve

	PolicyChat chatFlags `embed:"" prefix:"policy-"`
}

// ranked is what -json prints.
type ranked struct {
	Out     string        `json:"out"`
	Prompts int           `json:"prompts"`
	Curve   []eval.BestOf `json:"curve"`
	// Recall is that of the gold reward's best among the reward's top k.
	Recall *eval.Recall `json:"recall,omitempty"`
}

// Run ranks samples of prompts by reward.
func (c *rankCmd) Run(a *app) error {
	if (len(c.Prompts) == 0) == (c.Samples == "") {
		return fmt.Errorf("%w: give -prompts, or -samples FILE", errUsage)
	}
	if err := c.check(c.Models, c.Reward); err != nil {
		return err
	}
	if c.Samples == "" && c.Policy == "" && c.URL == "" && (c.Ensemble != "" || !source.IsModel(c.Models[0])) {
		return fmt.Errorf("%w: %s has no policy head that could generate here: name a model with -policy, a server of one with -url, or give -samples", errUsage, c.name(c.Models))
	}
	if err := a.reach(c.sourceFlags, slices.Concat(c.Models, c.Gold)...); err != nil { // before samples are generated
		return err
	}
	samples, journal, err := c.samples(a)
	if err != nil {
		return err
	}
	defer func() { _ = journal.Close() }() // of no effect once finished
	from, err := c.open(a, c.Models, reading{sources: c.sourceFlags})
	if err != nil {
		return err
	}
	scorer, err := a.scorer(from, c.name(c.Models), c.Reward)
	if err != nil {
		return err
	}
	defer scorer.close(a)
	var gold pref.Scorer
	if by, err := c.openGold(a); err != nil {
		return err
	} else if by != nil {
		defer by.close(a)
		gold = by
	}
	samples, err = keepAccepted(a, samples, "prompts with their samples", func(s []curate.Sample) []pref.Message { return s[0].Prompt }, scorer, gold)
	if err != nil {
		return err
	}
	rows, err := curate.Rank(a.ctx, samples, scorer, gold, a.pass("scoring"))
	if err != nil {
		return err
	}
	out := ranked{Out: c.Out, Prompts: len(rows)}
	if out.Curve, out.Recall, err = curate.Measure(rows); err != nil {
		return err
	}
	if err := curate.Finish(journal, rows); err != nil {
		return err
	}
	if c.Report != "" {
		page, err := report.BestOf(out.Curve, out.Recall != nil, eval.CurveTable(out.Curve, out.Recall))
		if err != nil {
			return err
		}
		if err := page.Write(c.Report, "best-of-n"); err != nil {
			return err
		}
	}
	return a.print(out, func(w io.Writer) error {
		err := eval.WriteTable(w, eval.CurveTable(out.Curve, out.Recall))
		fmt.Fprintf(a.stderr, "done: %d prompts with their samples and rewards are in %s\n", len(rows), c.Out)
		return err
	})
}

// samples reads or generates what is ranked.
func (c *rankCmd) samples(a *app) ([][]curate.Sample, *curate.Journal, error) {
	if c.Samples != "" {
		files, err := a.data([]string{c.Samples})
		if err != nil {
			return nil, nil, err
		}
		samples, err := curate.ReadSamples(files, pref.Options{Limit: c.Limit, Columns: c.Columns})
		if err != nil {
			return nil, nil, err
		}
		hash, err := curate.Hash(samples)
		if err != nil {
			return nil, nil, err
		}
		journal, err := curate.OpenJournal(c.Out, map[string]any{"samples": hash})
		return samples, journal, err
	}
	sampling, err := c.sampling()
	if err != nil {
		return nil, nil, err
	}
	prompts, err := a.prompts(c.Prompts, c.Limit, c.columnFlags)
	if err != nil {
		return nil, nil, err
	}
	policy, of := c.Policy, c.PolicyChat
	if policy == "" {
		policy, of = c.Models[0], c.chatFlags
	}
	chat, err := of.options()
	if err != nil {
		return nil, nil, err
	}
	generator, name, free, err := a.generator(policy, c.Rows, chat, c.serverFlags)
	if err != nil {
		return nil, nil, err
	}
	defer free()
	if prompts, err = keepAccepted(a, prompts, "prompts", ofPrompt, generator); err != nil {
		return nil, nil, err
	}
	return a.sample(generator, name, prompts, sampling, c.Out)
}
