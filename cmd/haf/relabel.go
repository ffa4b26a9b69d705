package main

import (
	"fmt"
	"io"
	"slices"

	"haf/curate"
	"haf/launch"
	"haf/pref"
	"haf/reward"
)

type relabelCmd struct {
	Models    []string `arg:"" name:"model" help:"Reward model: run or model folder, GGUF file, Hugging Face id, or another of docs/reference/reward-sources.md; several with -ensemble."`
	Data      []string `required:"" help:"Preferences, or groups such as haf rank writes; several are read in order." sep:"none"`
	Out       string   `new:"" required:"" help:"New JSONL file for labelled pairs, or with -strategy scores for groups."`
	Strategy  string   `default:"pairs" enum:"pairs,best-worst,scores,conflict,random,margin" help:"pairs: every comparison by the model's reward; best-worst: one pair per group; scores: every group with the rewards of its responses; conflict, random, margin: select -budget pairs and have -url or -gold label those alone."`
	Threshold float64  `range:"[0,inf)" help:"Leave out pairs whose rewards differ by less."`
	Budget    int      `range:"[1,inf)" default:"100" help:"Maximum number of selected pairs to label."`
	Reward    string   `help:"score, implicit, implicit-normalized or combined. Default: that of the head that was trained."`
	Seed      uint64   `help:"Random seed for selecting pairs."`
	Limit     int      `range:"[0,inf)" help:"Only the first N groups."`
	SkipBad   int      `range:"[0,inf)" name:"skip-bad" help:"Tolerate this many bad rows."`
	shardFlags
	rowFlags
	judgeFlags
	readFlags
}

// Run labels preferences.
func (c *relabelCmd) Run(a *app) error {
	err := curate.CheckLabeller(c.Strategy, c.URL != "", len(c.Gold) > 0, c.Shard.Of > 0,
		c.Threshold)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err := c.readFlags.check(c.Models, c.Reward); err != nil {
		return err
	}
	if err := c.sourceFlags.check(slices.Concat(c.Models, c.Gold)...); err != nil {
		return err
	}
	part, done, err := c.part(a, c.Out, c.Data...)
	if err != nil || done {
		return err
	}
	// before anything is scored
	if err := a.reach(c.sourceFlags, slices.Concat(c.Models, c.Gold)...); err != nil {
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
	a.p.Logf("data: %s", counts)
	relabel := c.options(a)
	relabel.Part = part
	out, err := curate.Relabel(a.ctx, groups, relabel)
	if err != nil {
		return err
	}
	return a.print(out, func(w io.Writer) error {
		err := out.Write(w)
		a.p.Logf("done: %s", out)
		return err
	})
}

// options returns the options of the flags.
func (c *relabelCmd) options(a *app) curate.RelabelOptions {
	opt := curate.RelabelOptions{
		JudgeOptions: c.judgeFlags.options(a, c.Out, c.Seed),
		Strategy:     c.Strategy, Threshold: c.Threshold, Budget: c.Budget,
		Model: c.name(c.Models), Reward: c.Reward,
		Heads: [2]string{reward.ByScore, reward.ByImplicit},
		OpenModel: func() (pref.Rewarder, error) {
			return c.open(a, c.Models, launch.SourceReading{SourceSettings: c.settings()})
		},
		OpenJudge: func() (curate.OpenJudge, error) { return c.judge(a) },
	}
	if len(c.Gold) > 0 {
		opt.OpenGold = func() (*curate.NamedScorer, error) {
			gold, err := c.openGold(a)
			if err != nil {
				return nil, err
			}
			return &curate.NamedScorer{Scorer: gold.Scorer, Close: gold.Close}, nil
		}
	}
	return opt
}
