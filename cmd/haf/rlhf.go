package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/rlhf"
	"haf/train"
)

type rlhfCmd struct {
	Recipe string   `arg:"" optional:"" help:"TOML file with a table rlhf; without one everything comes from -set."`
	Out    string   `help:"Run folder. Default: runs/ and the recipe's name."`
	Set    []string `help:"Override a key of the recipe: rlhf.algorithm=grpo." sep:"none"`
	Resume string   `help:"Go on with the run in this folder."`
}

// rlhfOutput is what -json prints.
type rlhfOutput struct {
	Model   string      `json:"model"`
	Steps   int         `json:"steps"`
	First   rlhf.Record `json:"first"` // of the steps that were made now
	Last    rlhf.Record `json:"last"`
	Seconds float64     `json:"seconds"`
}

// Run optimizes a policy by a recipe, or goes on with a stopped run.
func (c *rlhfCmd) Run(a *app) error {
	if c.Resume != "" && (c.Recipe != "" || c.Out != "" || len(c.Set) > 0) {
		return fmt.Errorf("%w: -resume takes its recipe from the run folder: give no recipe, -out or -set with it", errUsage)
	}
	if c.Resume == "" && c.Recipe == "" && (c.Out == "" || len(c.Set) == 0) {
		return fmt.Errorf("%w: give a recipe, or without one -out DIR with -set model.path=DIR, -set rlhf.reward=DIR and -set data.train=FILE", errUsage)
	}
	folder := c.Resume
	var result rlhf.Result
	var err error
	if folder != "" {
		result, err = resumeRLHF(a, folder)
	} else {
		if folder = c.Out; folder == "" {
			folder = filepath.Join("runs", strings.TrimSuffix(filepath.Base(c.Recipe), ".toml"))
		}
		result, err = c.start(a, folder)
	}
	switch {
	case errors.Is(err, train.ErrInterrupted), errors.Is(err, context.Canceled):
		if _, none := os.Stat(filepath.Join(folder, train.ManifestName)); none != nil {
			return err // nothing was begun
		}
		return fmt.Errorf("%w; go on with haf rlhf -resume %s", err, folder)
	case err != nil || !a.json:
		return err
	}
	return printJSON(a, rlhfOutput{filepath.Join(folder, train.ModelName), result.Steps, result.First, result.Last, result.Seconds})
}

func (c *rlhfCmd) start(a *app, dir string) (rlhf.Result, error) {
	r, err := recipe.Load(c.Recipe, c.Set)
	if err != nil {
		return rlhf.Result{}, err
	}
	if err := r.ForRLHF(); err != nil {
		return rlhf.Result{}, err
	}
	if err := train.Vacant(dir); err != nil { // before minutes go into loading
		return rlhf.Result{}, err
	}
	client, err := a.hub()
	if err != nil {
		return rlhf.Result{}, err
	}
	if err := r.Fetch(a.ctx, client); err != nil {
		return rlhf.Result{}, err
	}
	l, err := loadRLHF(a, r)
	if err != nil {
		return rlhf.Result{}, err
	}
	defer l.close(a)
	folder, err := train.Create(dir, l.manifest)
	if err != nil {
		return rlhf.Result{}, err
	}
	return l.run(a, folder, l.manifest.Fingerprint)
}

func resumeRLHF(a *app, dir string) (rlhf.Result, error) {
	before, err := recipe.ReadManifest(dir)
	if err != nil {
		return rlhf.Result{}, err
	}
	if before.Verb != recipe.VerbRLHF {
		return rlhf.Result{}, fmt.Errorf("%s is a run of haf train: go on with haf train -resume %s", dir, dir)
	}
	folder, err := train.Resume(dir)
	if err != nil {
		return rlhf.Result{}, err
	}
	client, err := a.hub()
	if err != nil {
		return rlhf.Result{}, err
	}
	if err := before.Fetch(a.ctx, client); err != nil {
		return rlhf.Result{}, err
	}
	l, err := loadRLHF(a, before.Recipe)
	if err != nil {
		return rlhf.Result{}, err
	}
	defer l.close(a)
	same, err := l.manifest.SameRun(before)
	if err != nil {
		return rlhf.Result{}, err
	}
	if !same {
		return rlhf.Result{}, fmt.Errorf("%s was started with another policy, reward model, critic, template or prompts: they have changed on disk since; put them back, or run into a new folder", dir)
	}
	return l.run(a, folder, before.Fingerprint)
}

// rlhfRun is what a run works with.
type rlhfRun struct {
	recipe   *recipe.Recipe
	task     rlhf.Task
	manifest *recipe.Manifest
	models   []*reward.Model // policy and critic
	reward   *openScorer
	progress *progress
}

func (l *rlhfRun) close(a *app) {
	if l.reward != nil {
		l.reward.close(a)
	}
	for _, m := range l.models {
		m.Close()
	}
}

// loadRLHF opens models and prompts.
func loadRLHF(a *app, r *recipe.Recipe) (l *rlhfRun, err error) {
	l = &rlhfRun{recipe: r, progress: newProgress(a.stderr)}
	opened := l // l itself is nil once an error is returned
	defer func() {
		if err != nil {
			opened.close(a)
		}
	}()
	if err := a.reach(r.RLHF.Reward); err != nil {
		return nil, err
	}
	device, err := a.openDevice()
	if err != nil {
		return nil, err
	}
	l.progress.Say("device: %s", device.Describe())
	prompts, repeated, err := pref.LoadPrompts(r.Data.Train, r.Data.First)
	if err != nil {
		return nil, err
	}
	report := []string{fmt.Sprintf("prompts read: %d, %d repeated ones left out", len(prompts), repeated)}
	l.progress.Say("%s", report[0])
	policy, err := a.openLocal(device, r.Model.Path, r.ModelOptions())
	if err != nil {
		return nil, err
	}
	l.models = append(l.models, policy)
	all, trained := policy.NumParams()
	l.progress.Say("policy: %s, %s, %d parameters, %d trained, template %s", r.Model.Path, policy.Config.Family, all, trained, policy.Meta.Template.Name)
	from, err := a.openRewarder(r.RLHF.Reward, reading{Options: reward.Options{Chat: r.RLHF.RewardChat.Options()}})
	if err != nil {
		return nil, err
	}
	if l.reward, err = a.scorer(from, r.RLHF.Reward, r.RLHF.RewardOf); err != nil {
		return nil, err
	}
	l.progress.Say("reward: %s of %s", l.reward.Name(), l.reward.name)
	prompts, err = keepAccepted(a, prompts, "prompts", ofPrompt, policy, l.reward)
	if err != nil {
		return nil, err
	}
	l.task = rlhf.Task{Policy: policy, Prompts: prompts, Scorer: l.reward, MaxLength: r.Model.MaxLength}
	models := []recipe.ModelFile{l.reward.file()}
	if r.RLHF.Algorithm == rlhf.PPO && r.RLHF.Value == rlhf.ValueSeparate {
		path := r.RLHF.Critic
		if path == "" {
			path = r.Model.Path
		}
		if l.task.Critic, err = a.openLocal(device, path, r.CriticOptions()); err != nil {
			return nil, err
		}
		l.models, models = append(l.models, l.task.Critic), append(models, recipe.ModelFile{Path: l.task.Critic.Dir})
	}
	l.manifest, err = r.NewRLHFManifest(policy, report, models...)
	return l, err
}

func (l *rlhfRun) run(a *app, folder *train.Folder, fingerprint string) (rlhf.Result, error) {
	opt := l.recipe.RLHFOptions()
	opt.Fingerprint = fingerprint
	result, err := rlhf.Run(a.ctx, l.task, opt, folder, l.progress)
	if err != nil {
		return result, err
	}
	l.progress.Say("done: %d steps in %.0f s with %d programs; reward %.3f at first, %.3f at last; policy in %s",
		result.Steps, result.Seconds, result.Programs, result.First.Reward, result.Last.Reward, filepath.Join(folder.Path, train.ModelName))
	return result, nil
}
