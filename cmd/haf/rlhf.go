package main

import (
	"fmt"

	"haf/internal/progress"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/rlhf"
	"haf/run"
)

type rlhfCmd struct {
	Recipe string   `arg:"" optional:"" help:"TOML file with a table rlhf; without one everything comes from -set."`
	Out    string   `help:"Run folder. Default: runs/ and the recipe's name."`
	Set    []string `help:"Override a key of the recipe: rlhf.algorithm=grpo." sep:"none"`
	Resume string   `help:"Resume the run in this folder."`
}

// rlhfOutput is what -json prints.
type rlhfOutput struct {
	Model   string         `json:"model"`
	Steps   int            `json:"steps"`
	First   run.PolicyStep `json:"first"` // of the steps that were made now
	Last    run.PolicyStep `json:"last"`
	Seconds float64        `json:"seconds"`
}

// Run optimizes a policy by a recipe, or resumes a stopped run.
func (c *rlhfCmd) Run(a *app) error {
	flags := sessionFlags{recipe: c.Recipe, out: c.Out, set: c.Set, resume: c.Resume}
	s, r, err := flags.session(run.VerbRLHF,
		"-set model.path=DIR, -set rlhf.reward=DIR and -set data.train=FILE", (*recipe.Recipe).ForRLHF)
	if err != nil {
		return err
	}
	result, err := perform(a, s, r, func(r *recipe.Recipe) (job[rlhf.Result], error) {
		return loadOptimization(a, r)
	})
	if err != nil || !a.json {
		return err
	}
	return printJSON(a, rlhfOutput{
		s.Folder.Join(run.ModelName), result.Steps, result.First, result.Last, result.Seconds,
	})
}

// optimization is a loaded run of haf rlhf.
type optimization struct {
	a        *app
	recipe   *recipe.Recipe
	task     rlhf.Task
	report   []string        // what was read
	read     []run.ModelFile // reward model and critic
	models   []*reward.Model // policy and critic
	reward   *openScorer
	progress *progress.Printer
}

func (o *optimization) close() {
	if o.reward != nil {
		o.reward.close(o.a)
	}
	for _, m := range o.models {
		m.Close()
	}
}

// loadOptimization opens models and prompts.
func loadOptimization(a *app, r *recipe.Recipe) (_ job[rlhf.Result], err error) {
	o := &optimization{a: a, recipe: r, progress: progress.New(a.stderr)}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if err := a.reach(r.RLHF.Reward); err != nil {
		return nil, err
	}
	device, err := a.openDevice()
	if err != nil {
		return nil, err
	}
	o.progress.Logf("device: %s", device.Describe())
	prompts, repeated, err := pref.LoadPrompts(r.Data.Train, r.Data.First)
	if err != nil {
		return nil, err
	}
	o.report = []string{
		fmt.Sprintf("prompts read: %d, %d repeated ones left out", len(prompts), repeated),
	}
	o.progress.Logf("%s", o.report[0])
	policy, err := a.openLocal(device, r.Model.Path, r.ModelOptions())
	if err != nil {
		return nil, err
	}
	o.models = append(o.models, policy)
	all, trained := policy.NumParams()
	o.progress.Logf("policy: %s, %s, %d parameters, %d trained, template %s", r.Model.Path,
		policy.Config.Family, all, trained, policy.Meta.Template.Name)
	chat := r.RLHF.RewardChat.Options()
	from, err := a.openRewarder(r.RLHF.Reward, reading{Options: reward.Options{Chat: chat}})
	if err != nil {
		return nil, err
	}
	if o.reward, err = a.scorer(from, r.RLHF.Reward, r.RLHF.RewardOf); err != nil {
		return nil, err
	}
	o.progress.Logf("reward: %s of %s", o.reward.Name(), o.reward.name)
	prompts, err = keepAccepted(a, prompts, "prompts", ofPrompt, policy, o.reward)
	if err != nil {
		return nil, err
	}
	o.task = rlhf.Task{
		Policy: policy, Prompts: prompts, Scorer: o.reward, MaxLength: r.Model.MaxLength,
	}
	o.read = []run.ModelFile{o.reward.file()}
	if r.RLHF.Algorithm == rlhf.PPO && r.RLHF.Value == rlhf.ValueSeparate {
		path := r.RLHF.Critic
		if path == "" {
			path = r.Model.Path
		}
		if o.task.Critic, err = a.openLocal(device, path, r.CriticOptions()); err != nil {
			return nil, err
		}
		o.models = append(o.models, o.task.Critic)
		o.read = append(o.read, run.ModelFile{Path: o.task.Critic.Dir})
	}
	return o, nil
}

func (o *optimization) manifest() (*recipe.Manifest, error) {
	return o.recipe.NewRLHFManifest(o.task.Policy, o.report, o.read...)
}

func (o *optimization) run(folder *run.Folder, fingerprint string) (rlhf.Result, error) {
	opt := o.recipe.RLHFOptions()
	opt.Fingerprint = fingerprint
	result, err := rlhf.Run(o.a.ctx, o.task, opt, folder, o.progress)
	if err != nil {
		return result, err
	}
	o.progress.Logf("done: %d steps in %.0f s with %d programs; reward %.3f at first, %.3f at last; "+
		"policy in %s", result.Steps, result.Seconds, result.Programs, result.First.Reward,
		result.Last.Reward, folder.Join(run.ModelName))
	return result, nil
}
