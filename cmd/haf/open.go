package main

import (
	"cmp"
	"os"

	"haf/launch"
	"haf/pref"
	"haf/reward"
	"haf/rewarder"
)

// readFlags are shared by the verbs that read rewards of the models they name.
type readFlags struct {
	columnFlag
	chatFlags
	dtypeFlag
	Ensemble string  `help:"Combine the rewards of several models, such as runs of one recipe: mean, min, or lcb, which is mean − lambda · standard deviation."`
	Lambda   float64 `range:"[0,inf)" default:"1" help:"Of -ensemble lcb."`
}

// dtypeFlag selects the dtype of a model's computation.
type dtypeFlag struct {
	DType string `name:"dtype" help:"dtype in which the decoder computes: float32 or bfloat16. Default: as trained, else float32."`
}

// columnFlag selects a label of a head with several.
type columnFlag struct {
	Column string `placeholder:"LABEL" help:"Label of the reward: index, name or sum (0.7*a + 0.3*b)."`
}

func (f readFlags) rule() rewarder.Rule { return rewarder.Rule{Name: f.Ensemble, Lambda: f.Lambda} }

// check validates the flags before anything is opened. rewards are the requested names; "" is none.
func (f readFlags) check(models []string, rewards ...string) error {
	return launch.CheckRewards(models, f.rule(), rewards...)
}

// name is the name of the model or the ensemble.
func (f readFlags) name(models []string) string { return f.rule().NameOf(models) }

// open opens the single model, or the ensemble of several.
func (f readFlags) open(
	a *app, models []string, r launch.SourceReading,
) (pref.Rewarder, error) {
	var err error
	if r.Chat, err = f.chatFlags.options(); err != nil {
		return nil, err
	}
	r.Column, r.DType, r.Rule = f.Column, f.DType, f.rule()
	return a.sources().OpenRewarder(a.ctx, models, r)
}

// sources returns the opener of reward sources.
func (a *app) sources() launch.Sources {
	return launch.Sources{
		Model: a.openModel, Hub: a.hub,
		Token: os.Getenv("HAF_TOKEN"), Key: os.Getenv("HAF_API_KEY"), JudgeKey: chatKey(),
		Progress: a.p, Notef: a.notef,
	}
}

// chatKey is the key for servers of language models.
func chatKey() string { return cmp.Or(os.Getenv("HAF_API_KEY"), os.Getenv("OPENAI_API_KEY")) }

// reach checks that the named reward sources are available, before other work takes minutes.
func (a *app) reach(f sourceFlags, named ...string) error {
	return a.sources().Look(a.ctx, f.settings(), named...)
}

// scorer returns one reward ("" for the default) of r, which it closes.
func (a *app) scorer(r pref.Rewarder, name, rewardName string) (*launch.Reward, error) {
	return launch.NewReward(a.ctx, r, name, rewardName, a.notef)
}

// goldFlags select a gold reward model, or several whose mean is the gold reward.
type goldFlags struct {
	sourceFlags
	Gold []string `help:"Gold reward source: run or model folder, GGUF file, Hugging Face id, or another of docs/reference/reward-sources.md; may be repeated: the mean of their rewards." sep:"none"`

	GoldChat chatFlags `embed:"" prefix:"gold-"`
}

// openGold opens the gold reward, or returns nil if none is named.
func (f goldFlags) openGold(a *app) (*launch.Reward, error) {
	if len(f.Gold) == 0 {
		return nil, nil
	}
	chat, err := f.GoldChat.options()
	if err != nil {
		return nil, err
	}
	return a.sources().OpenMean(a.ctx, f.Gold, launch.SourceReading{
		Options: reward.Options{Chat: chat}, SourceSettings: f.settings(),
	})
}
