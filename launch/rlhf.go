package launch

import (
	"context"
	"fmt"

	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/rewarder"
	"haf/rlhf"
	"haf/run"
)

// A RewardSource is what a policy is optimized against.
type RewardSource interface {
	pref.Scorer
	Name() string         // of the reward
	From() string         // what gives the reward, as the user named it
	Files() run.ModelFile // what gives the reward, as a manifest has it
	Close()
}

// A RewardOpener opens the reward that a recipe names.
type RewardOpener interface {
	// Reach returns an error if the reward is not there, before minutes go into other work.
	Reach(recipe.RLHF) error
	Open(recipe.RLHF) (RewardSource, error)
}

// RLHF takes the session's optimization of a policy to its end. r is the recipe of a new run; a
// resumed one has its own.
func RLHF(
	ctx context.Context, env Env, s *run.Session, r *recipe.Recipe, rewards RewardOpener,
) (rlhf.Result, error) {
	return perform(ctx, env, s, r, func(r *recipe.Recipe) (job[rlhf.Result], error) {
		return loadOptimization(env, r, rewards)
	})
}

// optimization is a loaded run of haf rlhf.
type optimization struct {
	env    Env
	recipe *recipe.Recipe
	task   rlhf.Task
	report []string        // what was read
	read   []run.ModelFile // reward model and critic
	models []*reward.Model // policy and critic
	reward RewardSource
}

func (o *optimization) close() {
	if o.reward != nil {
		o.reward.Close()
	}
	for _, m := range o.models {
		m.Close()
	}
}

// loadOptimization opens models and prompts.
func loadOptimization(
	env Env, r *recipe.Recipe, rewards RewardOpener,
) (_ job[rlhf.Result], err error) {
	if err := rewards.Reach(r.RLHF); err != nil {
		return nil, err
	}
	o := &optimization{env: env, recipe: r}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	env.Progress.Logf("device: %s", env.Device.Describe())
	prompts, repeated, err := pref.LoadPrompts(r.Data.Train, r.Data.Options())
	if err != nil {
		return nil, err
	}
	o.report = []string{
		fmt.Sprintf("prompts read: %d, %d repeated ones left out", len(prompts), repeated),
	}
	env.Progress.Logf("%s", o.report[0])
	policy, err := env.openTrained("policy", r.Model.Path, r.ModelOptions())
	if err != nil {
		return nil, err
	}
	o.models = append(o.models, policy)
	if o.reward, err = rewards.Open(r.RLHF); err != nil {
		return nil, err
	}
	env.Progress.Logf("reward: %s of %s", o.reward.Name(), o.reward.From())
	prompts, note, err := rewarder.KeepAccepted(prompts, "prompts",
		func(p []pref.Message) []pref.Message { return p }, policy, o.reward)
	if err != nil {
		return nil, err
	}
	if note != "" {
		env.Notef("%s", note)
	}
	o.task = rlhf.Task{
		Policy: policy, Prompts: prompts, Scorer: o.reward, MaxLength: r.Model.MaxLength,
	}
	o.read = []run.ModelFile{o.reward.Files()}
	return o, o.openCritic()
}

// openCritic opens the critic of a run that has one of its own.
func (o *optimization) openCritic() error {
	r := o.recipe
	if r.RLHF.Algorithm != rlhf.PPO || r.RLHF.Value != rlhf.ValueSeparate {
		return nil
	}
	path := r.RLHF.Critic
	if path == "" {
		path = r.Model.Path
	}
	critic, err := o.env.open(path, r.CriticOptions())
	if err != nil {
		return err
	}
	o.task.Critic = critic
	o.models = append(o.models, critic)
	o.read = append(o.read, run.ModelFile{Path: critic.Dir})
	return nil
}

func (o *optimization) manifest() (*recipe.Manifest, error) {
	return o.recipe.NewRLHFManifest(o.task.Policy, o.report, o.read...)
}

func (o *optimization) run(
	ctx context.Context, folder *run.Folder, fingerprint string,
) (rlhf.Result, error) {
	opt := o.recipe.RLHFOptions()
	opt.Fingerprint = fingerprint
	result, err := rlhf.Run(ctx, o.task, opt, folder, o.env.Progress)
	if err != nil {
		return result, err
	}
	o.env.Progress.Logf("done: %d steps in %.0f s with %d programs; reward %.3f at first, %.3f at "+
		"last; policy in %s", result.Steps, result.Seconds, result.Programs, result.First.Reward,
		result.Last.Reward, folder.Join(run.ModelName))
	return result, nil
}
