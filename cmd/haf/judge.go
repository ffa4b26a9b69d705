package main

import (
	"fmt"
	"io"
	"path/filepath"

	"haf/curate"
	"haf/eval"
	"haf/pref"
	"haf/remote"
)

// judgeFlags say who judges: a server's model or a reward model.
type judgeFlags struct {
	serverFlags
	goldFlags           // judges in the place of -url
	Criterion   string  `help:"What better means, for a language model. Default: helpful, correct, harmless, to the point."`
	JudgeTokens int     `name:"judge-tokens" default:"1024" help:"Tokens that the judge may write."`
	PriceIn     float64 `name:"price-in" help:"Price of a million prompt tokens, for the cost."`
	PriceOut    float64 `name:"price-out" help:"Price of a million written tokens."`
}

// judge opens the judge; name identifies it in a journal's settings.
func (f judgeFlags) judge(a *app) (j pref.Judge, name string, free func(), err error) {
	if f.URL != "" {
		client, err := f.client(a)
		if err != nil {
			return nil, "", nil, err
		}
		return remote.Judge{Client: client, Criterion: f.Criterion, MaxTokens: f.JudgeTokens}, client.Model(), func() {}, nil
	}
	gold, err := f.openGold(a)
	if err != nil {
		return nil, "", nil, err
	}
	return curate.ByScorer{Scorer: gold}, gold.name, func() { gold.close(a) }, nil
}

func (f judgeFlags) cost(u pref.Usage) float64 {
	return (f.PriceIn*float64(u.PromptTokens) + f.PriceOut*float64(u.CompletionTokens)) / 1e6
}

// contest has trials judged, with a journal for the result at out, which the caller finishes. With
// drop, trials that a gold model's template refuses are left out.
func (f judgeFlags) contest(a *app, trials []pref.Trial, drop bool, seed uint64, out string, settings map[string]any) ([]curate.Judged, pref.Usage, string, *curate.Journal, error) {
	judge, name, free, err := f.judge(a)
	if err != nil {
		return nil, pref.Usage{}, "", nil, err
	}
	defer free()
	if by, ok := judge.(curate.ByScorer); ok && drop {
		if trials, err = keepAccepted(a, trials, "prompts", func(t pref.Trial) []pref.Message { return t.Prompt }, by.Scorer); err != nil {
			return nil, pref.Usage{}, "", nil, err
		}
	}
	hash, err := curate.Hash(trials)
	if err != nil {
		return nil, pref.Usage{}, "", nil, err
	}
	settings["judge"], settings["criterion"], settings["trials"], settings["seed"] = name, f.Criterion, hash, seed
	journal, err := curate.OpenJournal(out, settings)
	if err != nil {
		return nil, pref.Usage{}, "", nil, err
	}
	rows, used, err := curate.Contest(a.ctx, judge, trials, seed, journal, a.pass("judging"))
	if err != nil {
		_ = journal.Close() // it is gone on with; the first error says more
		return nil, used, "", nil, fmt.Errorf("%w; run it again to go on", err)
	}
	return rows, used, name, journal, nil
}

type judgeCmd struct {
	Outputs []string `arg:"" help:"Two or more files of {prompt, response} rows, matched by prompt."`
	Out     string   `required:"" help:"New JSONL file of the verdicts. Stopped work is gone on with from FILE.part."`
	Limit   int      `help:"Only the first N prompts."`
	Seed    uint64   `help:"Of the order in which more than two responses are shown."`
	columnFlags
	judgeFlags
}

// judgement is what -json prints.
type judgement struct {
	Out       string          `json:"out"`
	Judge     string          `json:"judge"`
	Outputs   []string        `json:"outputs"`
	Prompts   int             `json:"prompts"`
	Missing   int             `json:"missing"` // samples without a match in all files
	WinRate   *eval.WinRate   `json:"win_rate,omitempty"`
	Standings []eval.Standing `json:"standings,omitempty"`
	Usage     pref.Usage      `json:"usage"`
	Cost      float64         `json:"cost,omitempty"`
}

// Run judges outputs.
func (c *judgeCmd) Run(a *app) error {
	switch {
	case len(c.Outputs) < 2:
		return fmt.Errorf("%w: give two or more files of outputs", errUsage)
	case (c.URL == "") == (len(c.Gold) == 0):
		return fmt.Errorf("%w: give -url of a judge, or -gold", errUsage)
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
	trials, missing := curate.Align(outputs)
	if len(trials) == 0 {
		return fmt.Errorf("%v have no prompt in common: outputs of the same prompts are wanted", c.Outputs)
	}
	if c.Limit > 0 {
		trials = trials[:min(c.Limit, len(trials))]
	}
	rows, used, name, journal, err := c.contest(a, trials, true, c.Seed, c.Out, map[string]any{})
	if err != nil {
		return err
	}
	defer func() { _ = journal.Close() }() // of no effect once finished
	out := judgement{Out: c.Out, Judge: name, Outputs: eval.ShortNames(c.Outputs), Prompts: len(rows), Missing: missing, Usage: used, Cost: c.cost(used)}
	if len(outputs) == 2 {
		w, err := eval.NewWinRate(curate.Matchups(rows))
		if err != nil {
			return err
		}
		out.WinRate = &w
	} else if out.Standings, err = eval.Standings(curate.Rankings(rows)); err != nil {
		return err
	}
	if err := curate.Finish(journal, rows); err != nil {
		return err
	}
	return out.print(a)
}

// print writes the win rate or the standings, and says what it cost.
func (j judgement) print(a *app) error {
	return a.print(j, func(w io.Writer) error {
		var err error
		if j.WinRate != nil {
			_, err = fmt.Fprintf(w, "%s against %s, judged by %s: %s\n", j.Outputs[0], j.Outputs[1], filepath.Base(j.Judge), j.WinRate)
		} else {
			err = eval.WriteTable(w, eval.StandingsTable(j.Outputs, j.Standings))
		}
		cost := ""
		if j.Cost > 0 {
			cost = fmt.Sprintf(", cost %.4f", j.Cost)
		}
		fmt.Fprintf(a.stderr, "done: %d prompts are judged in %s; %d samples had no match; %d tokens read, %d written%s\n",
			j.Prompts, j.Out, j.Missing, j.Usage.PromptTokens, j.Usage.CompletionTokens, cost)
		return err
	})
}
