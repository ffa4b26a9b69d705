package curate

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"haf/eval"
	"haf/pref"
)

// An OpenJudge is a judge opened for one flow.
type OpenJudge struct {
	By    pref.Judge
	Name  string // in the journal and in labels
	Close func()
}

// A Price is the cost of a million tokens read and written.
type Price struct{ In, Out float64 }

// Of returns the cost of the usage.
func (p Price) Of(u pref.Usage) float64 {
	return (p.In*float64(u.PromptTokens) + p.Out*float64(u.CompletionTokens)) / 1e6
}

// JudgeOptions set how [JudgeOutputs] and [Relabel] have trials judged.
type JudgeOptions struct {
	Out       string // new file of the result
	Criterion string // what better means, for the journal
	Seed      uint64 // for the order in which more than two responses are shown
	Price     Price
	Part      Part
	Reporter
}

// A Judgement is the result of [JudgeOutputs].
type Judgement struct {
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

// JudgeOutputs compares the samples of two or more files, outputs[file], prompt by prompt, and
// writes the verdicts. limit, if not 0, is the number of prompts to take. It opens the judge once
// there is something to judge. It leaves out prompts that a reward model as judge refuses.
func JudgeOutputs(
	ctx context.Context, files []string, outputs [][]pref.Sample, limit int,
	open func() (OpenJudge, error), opt JudgeOptions,
) (Judgement, error) {
	trials, missing := Align(outputs)
	if len(trials) == 0 {
		return Judgement{}, fmt.Errorf("%v have no prompt in common: outputs of the same prompts are "+
			"wanted", files)
	}
	if limit > 0 {
		trials = trials[:min(limit, len(trials))]
	}
	trials, err := take(&opt.Part, trials)
	if err != nil {
		return Judgement{}, err
	}
	c, err := contest(ctx, open, trials, true, nil, opt)
	if err != nil {
		return Judgement{}, err
	}
	defer func() { _ = c.journal.Close() }() // does nothing after finish
	out := Judgement{
		Out: opt.Out, Judge: c.judge, Outputs: eval.ShortNames(files), Prompts: len(c.rows),
		Missing: missing, Usage: c.used, Cost: opt.Price.Of(c.used),
	}
	if len(outputs) == 2 {
		w, err := eval.NewWinRate(Matchups(c.rows))
		if err != nil {
			return out, err
		}
		out.WinRate = &w
	} else if out.Standings, err = eval.Standings(Rankings(c.rows)); err != nil {
		return out, err
	}
	return out, Finish(c.journal, c.rows)
}

// A contested is a finished contest. Its journal must be finished or closed.
type contested struct {
	rows    []Judged
	used    pref.Usage
	judge   string
	journal *Journal
}

// contest opens the judge and has trials judged. With drop, it leaves out trials that a reward
// model as judge refuses. settings go into the journal beside the contest's own.
func contest(
	ctx context.Context, open func() (OpenJudge, error), trials []pref.Trial, drop bool,
	settings map[string]any, opt JudgeOptions,
) (contested, error) {
	judge, err := open()
	if err != nil {
		return contested{}, err
	}
	defer judge.Close()
	if by, ok := judge.By.(ByScorer); ok && drop {
		trials, err = keepAccepted(opt.Reporter, trials, "prompts",
			func(t pref.Trial) []pref.Message { return t.Prompt }, by.Scorer)
		if err != nil {
			return contested{}, err
		}
	}
	hash, err := Hash(trials)
	if err != nil {
		return contested{}, err
	}
	all := map[string]any{
		"judge": judge.Name, "criterion": opt.Criterion, "trials": hash, "seed": opt.Seed,
	}
	for key, value := range settings {
		all[key] = value
	}
	journal, err := openJournal(opt.Out, all, &opt.Part)
	if err != nil {
		return contested{}, err
	}
	rows, used, err := Contest(ctx, judge.By, trials, opt.Seed, journal, opt.pass("judging"))
	if err != nil {
		_ = journal.Close() // stays for resuming; the first error says more
		return contested{}, fmt.Errorf("%w; run the same command again to resume", err)
	}
	return contested{rows, used, judge.Name, journal}, nil
}

// Write writes the win rate or the standings.
func (j Judgement) Write(w io.Writer) error {
	if j.WinRate == nil {
		return eval.WriteTable(w, eval.StandingsTable(j.Outputs, j.Standings))
	}
	_, err := fmt.Fprintf(w, "%s against %s, judged by %s: %s\n", j.Outputs[0], j.Outputs[1],
		filepath.Base(j.Judge), j.WinRate)
	return err
}

// String is a line about the verdicts and their cost.
func (j Judgement) String() string {
	cost := ""
	if j.Cost > 0 {
		cost = fmt.Sprintf(", cost %.4f", j.Cost)
	}
	return fmt.Sprintf("%d prompts are judged in %s; %d samples had no match; %d tokens read, %d "+
		"written%s", j.Prompts, j.Out, j.Missing, j.Usage.PromptTokens, j.Usage.CompletionTokens,
		cost)
}
