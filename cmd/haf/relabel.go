package main

import (
	"fmt"
	"os"
	"slices"

	"haf/curate"
	"haf/eval"
	"haf/pref"
	"haf/reward"
	"haf/rewarder"
)

type relabelCmd struct {
	Models    []string `arg:"" name:"model" help:"Reward model: run or model folder, GGUF file, Hugging Face id, or another of docs/reference/reward-sources.md; several with -ensemble."`
	Data      []string `required:"" help:"Preferences, or groups such as haf rank writes; several are read in order." sep:"none"`
	Out       string   `required:"" help:"New JSONL file of labelled pairs, or with -strategy scores of groups."`
	Strategy  string   `default:"pairs" enum:"pairs,best-worst,scores,conflict,random,margin" help:"pairs: every comparison by the model's reward; best-worst: a pair of each group; scores: every group with the rewards of its responses; conflict, random, margin: select -budget pairs and have -url or -gold label those alone."`
	Threshold float64  `help:"Leave out pairs whose rewards differ by less."`
	Budget    int      `default:"100" help:"Pairs that are labelled, of those selected."`
	Reward    string   `help:"score, implicit, implicit-normalized or combined. Default: that of the head that was trained."`
	Seed      uint64   `help:"Of what chance decides in selecting."`
	Limit     int      `help:"Only the first N groups."`
	SkipBad   int      `name:"skip-bad" help:"Tolerate this many bad rows."`
	rowFlags
	judgeFlags
	readFlags
}

// relabelled is what -json prints.
type relabelled struct {
	Out      string        `json:"out"`
	Strategy string        `json:"strategy"`
	Counts   curate.Counts `json:"counts"`
	Recall   *eval.Recall  `json:"recall,omitempty"` // of -gold's best response among the reward's top k
	Usage    *pref.Usage   `json:"usage,omitempty"`
	Cost     float64       `json:"cost,omitempty"`
}

// selects says whether pairs are selected for a labeller.
func (c *relabelCmd) selects() bool {
	return c.Strategy != "pairs" && c.Strategy != "best-worst" && c.Strategy != "scores"
}

// Run labels preferences.
func (c *relabelCmd) Run(a *app) error {
	switch {
	case c.selects() && (c.URL == "") == (len(c.Gold) == 0):
		return fmt.Errorf("%w: -strategy %s wants a labeller: -url or -gold", errUsage, c.Strategy)
	case c.selects() && c.Budget < 1:
		return fmt.Errorf("%w: -budget %d, wanted at least 1", errUsage, c.Budget)
	case !c.selects() && c.URL != "":
		return fmt.Errorf("%w: -strategy %s labels by the model's own reward: leave out -url", errUsage, c.Strategy)
	case c.Strategy == "scores" && (len(c.Gold) > 0 || c.Threshold != 0):
		return fmt.Errorf("%w: -strategy scores writes what MODEL says of every response: leave out -gold and -threshold", errUsage)
	case !(c.Threshold >= 0):
		return fmt.Errorf("%w: -threshold %g, wanted 0 or more", errUsage, c.Threshold)
	}
	if err := c.readFlags.check(c.Models, c.Reward); err != nil {
		return err
	}
	if _, err := os.Stat(c.Out); err == nil {
		return fmt.Errorf("%s exists: name a new file or remove it", c.Out)
	}
	if err := a.reach(c.sourceFlags, slices.Concat(c.Models, c.Gold)...); err != nil { // before anything is scored
		return err
	}
	files, err := a.data(c.Data)
	if err != nil {
		return err
	}
	opt := c.rowOptions()
	opt.Limit, opt.SkipBad, opt.KeepTies = c.Limit, c.SkipBad, true
	groups, counts, err := pref.Load(files, opt)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "data: %s\n", counts)
	if c.selects() {
		return c.selected(a, groups)
	}
	journal, err := curate.OpenJournal(c.Out, map[string]string{"strategy": c.Strategy})
	if err != nil {
		return err
	}
	defer func() { _ = journal.Close() }() // of no effect once finished
	own, err := c.own(a, &groups, c.Reward)
	if err != nil {
		return err
	}
	if c.Strategy == "scores" {
		rows, made := curate.ByScores(groups, own[0], c.name(c.Models))
		return finishRows(a, journal, rows, "groups", relabelled{Out: c.Out, Strategy: c.Strategy, Counts: made})
	}
	label := curate.ByRewards
	if c.Strategy == "best-worst" {
		label = curate.BestWorst
	}
	rows, made, err := label(groups, own[0], c.name(c.Models), c.Threshold)
	if err != nil {
		return err
	}
	out := relabelled{Out: c.Out, Strategy: c.Strategy, Counts: made}
	if len(c.Gold) > 0 {
		by, err := c.openGold(a)
		if err != nil {
			return err
		}
		gold, err := a.scoreGroups(by.Scorer, groups)
		by.close(a)
		if err != nil {
			return err
		}
		most := 0
		for _, g := range groups {
			most = max(most, len(g.Responses))
		}
		if out.Recall, err = curate.Recall(groups, own[0], gold, most); err != nil {
			return err
		}
	}
	return c.finish(a, journal, rows, out)
}

// own reads rewards of the model on every response of the groups, "" that of the head that was
// trained: [reward][group][response]. Groups that the model's template refuses are left out.
func (c *relabelCmd) own(a *app, groups *[]pref.Group, names ...string) (out [][][]float64, err error) {
	from, err := c.open(a, c.Models, reading{sources: c.sourceFlags})
	if err != nil {
		return nil, err
	}
	defer func() { err = closed(from, err) }()
	if *groups, err = keepAccepted(a, *groups, "groups", func(g pref.Group) []pref.Message { return g.Prompt }, from); err != nil {
		return nil, err
	}
	for i, name := range names {
		s, err := rewarder.NewScorer(a.ctx, from, name)
		if err != nil {
			return nil, err
		}
		rewards, err := a.scoreGroups(s, *groups)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			a.warn(c.name(c.Models), s.Truncated())
		}
		out = append(out, rewards)
	}
	return out, nil
}

// scoreGroups scores every response of the groups: [group][response].
func (a *app) scoreGroups(s *rewarder.Scorer, groups []pref.Group) ([][]float64, error) {
	return eval.ScoreAll(a.ctx, groups, s, a.pass("scoring by "+s.Name()))
}

// selected has pairs selected by the model's two heads labelled by a judge.
func (c *relabelCmd) selected(a *app, groups []pref.Group) error {
	heads, err := c.own(a, &groups, reward.ByScore, reward.ByImplicit)
	if err != nil {
		return err
	}
	picks, err := curate.Select(groups, heads[0], heads[1], c.Strategy, c.Budget, c.Seed)
	if err != nil {
		return err
	}
	judged, used, name, journal, err := c.contest(a, curate.Trials(groups, picks), false, c.Seed, c.Out, map[string]any{"strategy": c.Strategy})
	if err != nil {
		return err
	}
	defer func() { _ = journal.Close() }() // of no effect once finished
	rows, made, err := curate.ByVerdicts(groups, picks, judged, name)
	if err != nil {
		return err
	}
	return c.finish(a, journal, rows, relabelled{Out: c.Out, Strategy: c.Strategy, Counts: made, Usage: &used, Cost: c.cost(used)})
}

func (c *relabelCmd) finish(a *app, journal *curate.Journal, rows []curate.Labelled, out relabelled) error {
	if len(rows) == 0 {
		return fmt.Errorf("no pair is left: %s; a smaller -threshold keeps more", out.Counts)
	}
	return finishRows(a, journal, rows, "pairs", out)
}

func finishRows[T any](a *app, journal *curate.Journal, rows []T, what string, out relabelled) error {
	if len(rows) == 0 {
		return fmt.Errorf("nothing is left: %s", out.Counts)
	}
	if err := curate.Finish(journal, rows); err != nil {
		return err
	}
	if out.Recall != nil && !a.json {
		fmt.Fprintf(a.stdout, "recall of the gold reward's best, k = 1, 2, …: %.4f; by chance %.4f\n", out.Recall.At, out.Recall.Random)
	}
	return a.done(out, "done: %d %s are in %s; %s", len(rows), what, out.Out, out.Counts)
}
