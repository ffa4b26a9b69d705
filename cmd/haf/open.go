package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"haf/launch"
	"haf/pref"
	"haf/reward"
	"haf/rewarder"
	"haf/rewarder/source"
)

// readFlags are shared by the verbs that read rewards of models, which they name.
type readFlags struct {
	columnFlag
	chatFlags
	Ensemble string  `help:"One reward of several models, runs of one recipe: mean, min, or lcb, which is mean − lambda · standard deviation."`
	Lambda   float64 `range:"[0,inf)" default:"1" help:"Of -ensemble lcb."`
}

// columnFlag chooses a label of a head that has several.
type columnFlag struct {
	Column string `placeholder:"LABEL" help:"Label of the reward: index, name or sum (0.7*a + 0.3*b)."`
}

func (f readFlags) rule() rewarder.Rule { return rewarder.Rule{Name: f.Ensemble, Lambda: f.Lambda} }

// check looks at the flags before anything is opened; rewards are the names asked for, "" is none.
func (f readFlags) check(models []string, rewards ...string) error {
	for _, name := range rewards {
		if name == "" {
			continue
		}
		if err := reward.CheckReward(name); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	if f.Ensemble == "" {
		if len(models) > 1 {
			return fmt.Errorf("%w: %d models: name one, or make one of them with -ensemble",
				errUsage, len(models))
		}
		return nil
	}
	if err := f.rule().Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if len(models) < 2 {
		return fmt.Errorf("%w: -ensemble %s of %d model, wanted two or more", errUsage, f.Ensemble,
			len(models))
	}
	return nil
}

// name is what the model, or the ensemble, is called.
func (f readFlags) name(models []string) string {
	if f.Ensemble != "" {
		return f.Ensemble + " of " + strings.Join(models, ", ")
	}
	return models[0]
}

// A reading says how a Rewarder that is opened is read.
type reading struct {
	reward.Options
	// once says that it is read in one call, whose progress is shown: members of an ensemble are
	// opened one after the other.
	once  bool
	batch int // responses at a time, 0: those of a call
	// sources are settings of sources that are no models.
	sources sourceFlags
}

// open opens the one model, or the ensemble of several.
func (f readFlags) open(a *app, models []string, r reading) (pref.Rewarder, error) {
	var err error
	if r.Chat, err = f.chatFlags.options(); err != nil {
		return nil, err
	}
	r.Column = f.Column
	return a.openEnsemble(models, f.rule(), r)
}

// openEnsemble opens the ensemble of models, or the one model where the rule has no name.
func (a *app) openEnsemble(models []string, rule rewarder.Rule, r reading) (pref.Rewarder, error) {
	if rule.Name == "" {
		return a.openRewarder(models[0], r)
	}
	open := func(named string) (pref.Rewarder, error) { return a.openRewarder(named, r) }
	if r.once {
		return rewarder.OpenOnDemand(rule, models, func(named string) (pref.Rewarder, error) {
			a.p.Logf("member: %s", named)
			return open(named)
		})
	}
	return rewarder.OpenEnsemble(rule, models, open)
}

// closed closes a Rewarder whose use ended with err.
func closed(r pref.Rewarder, err error) error {
	if failed := r.Close(); err == nil {
		err = failed
	}
	return err
}

// openRewarder opens the reward source of a name.
func (a *app) openRewarder(named string, r reading) (pref.Rewarder, error) {
	return source.Open(a.ctx, named, a.sourceOptions(r))
}

// sourceOptions say how reward sources are opened.
func (a *app) sourceOptions(r reading) source.Options {
	chat := r.Chat
	opt := source.Options{
		Token: os.Getenv("HAF_TOKEN"), Key: os.Getenv("HAF_API_KEY"), Log: a.p.Logf,
		JudgeKey:         cmp.Or(os.Getenv("HAF_API_KEY"), os.Getenv("OPENAI_API_KEY")),
		ModelSettings:    r.MaxLength != 0 || r.Column != "" || chat.Read != "",
		TemplateSettings: chat.Args != nil || chat.Template+chat.Date+chat.BOS != "",
		FindModel:        a.findModel,
		Model: func(_ context.Context, name string) (pref.Rewarder, error) {
			opt, err := a.readerOptions(r)
			if err != nil {
				return nil, err
			}
			model, err := a.openModel(name, r.Options)
			if err != nil {
				return nil, err
			}
			return model.Reader(opt), nil
		},
	}
	if r.once {
		opt.Progress = a.p.Passes()
	}
	r.sources.apply(a, chat, &opt)
	return opt
}

// readerOptions say how a model that is opened here is read.
func (a *app) readerOptions(r reading) (reward.ReaderOptions, error) {
	dir, err := cacheDir("reference")
	opt := reward.ReaderOptions{CacheDir: dir, Batch: r.batch, Log: a.p.Logf}
	if r.once {
		opt.Progress = a.p.Passes()
	}
	return opt, err
}

// reach looks whether the named reward sources are there, before minutes go into other work.
func (a *app) reach(f sourceFlags, named ...string) error {
	for _, name := range named {
		if err := source.Reach(a.ctx, name, a.sourceOptions(reading{sources: f})); err != nil {
			return err
		}
	}
	return nil
}

// findModel looks for a model on disk or, with its id, on the hub, from where it is fetched.
func (a *app) findModel(ctx context.Context, name string) error {
	client, err := a.hub()
	if err != nil {
		return err
	}
	model, err := client.Model(ctx, name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(model.Paths[0]); err != nil {
		return fmt.Errorf("%s: %w: a reward source is %s", name, err, source.Forms())
	}
	return nil
}

// scorer is one reward ("": the default) of what was opened, which it closes.
func (a *app) scorer(r pref.Rewarder, name, rewardName string) (*launch.Reward, error) {
	return launch.NewReward(a.ctx, r, name, rewardName, a.notef)
}

// goldFlags name a gold reward model, or several whose mean is the gold reward.
type goldFlags struct {
	sourceFlags
	Gold []string `help:"Gold reward source: run or model folder, GGUF file, Hugging Face id, or another of docs/reference/reward-sources.md; may be repeated: the mean of their rewards." sep:"none"`

	GoldChat chatFlags `embed:"" prefix:"gold-"`
}

// openGold opens the gold reward; nil where none is named.
func (f goldFlags) openGold(a *app) (*launch.Reward, error) {
	if len(f.Gold) == 0 {
		return nil, nil
	}
	chat, err := f.GoldChat.options()
	if err != nil {
		return nil, err
	}
	var rule rewarder.Rule
	name := f.Gold[0]
	if len(f.Gold) > 1 {
		rule.Name = rewarder.Mean
		name = rule.Name + " of " + strings.Join(f.Gold, ", ")
	}
	r, err := a.openEnsemble(f.Gold, rule, reading{
		Options: reward.Options{Chat: chat}, sources: f.sourceFlags,
	})
	if err != nil {
		return nil, err
	}
	return a.scorer(r, name, "")
}

// cacheDir is haf's folder of that name in the user's cache.
func cacheDir(name string) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set XDG_CACHE_HOME or HOME", err)
	}
	return filepath.Join(dir, "haf", name), nil
}
