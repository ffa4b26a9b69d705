package launch

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/rewarder"
	"haf/rewarder/source"
	"haf/rlhf"
	"haf/run"
)

// A RewardSource is one of the rewards that a policy is optimized for.
type RewardSource interface {
	pref.Scorer
	Name() string         // of the reward
	From() string         // the source as the user named it
	Files() run.ModelFile // the source as a manifest records it
	Date() string         // the day that its chat template writes, YYYY-MM-DD, or ""
	Close()
}

// A RewardOpener opens the rewards of a recipe.
type RewardOpener interface {
	// Reach returns an error if the reward is unavailable, before other work takes minutes.
	Reach(context.Context, recipe.Reward) error
	Open(context.Context, recipe.Reward) (RewardSource, error)
}

// RLHF takes the session's optimization to its end. r is the recipe of a new run; a resumed run has
// its own.
func RLHF(
	ctx context.Context, env Env, s *run.Session, r *recipe.Recipe, rewards RewardOpener,
) (rlhf.Result, error) {
	return perform(ctx, env, s, r, func(env Env, r *recipe.Recipe) (job[rlhf.Result], error) {
		return loadOptimization(ctx, env, r, rewards)
	})
}

// An RLHFSummary is the result of haf rlhf for programs.
type RLHFSummary struct {
	Model   string          `json:"model"` // its folder
	Steps   int             `json:"steps"`
	First   run.PolicyStep  `json:"first"` // of this call's steps
	Last    run.PolicyStep  `json:"last"`
	Best    *run.BestPolicy `json:"best,omitempty"` // on the held-out prompts
	Seconds float64         `json:"seconds"`
}

// SummarizeRLHF summarizes the result of [RLHF] in a session.
func SummarizeRLHF(s *run.Session, r rlhf.Result) RLHFSummary {
	return RLHFSummary{
		s.Folder.Join(run.ModelName), r.Steps, r.First, r.Last, r.Best, r.Seconds,
	}
}

// optimization is a loaded run of haf rlhf.
type optimization struct {
	env     Env
	recipe  *recipe.Recipe
	task    rlhf.Task
	report  []string        // lines about the data read
	read    []run.ModelFile // reward models and critic
	models  []*reward.Model // policy and critic
	rewards []RewardSource
}

func (o *optimization) close() {
	for _, r := range o.rewards {
		r.Close()
	}
	for _, m := range o.models {
		m.Close()
	}
}

// loadOptimization opens models and prompts.
func loadOptimization(
	ctx context.Context, env Env, r *recipe.Recipe, rewards RewardOpener,
) (_ job[rlhf.Result], err error) {
	switch m := env.Device.Mesh(); {
	case m.Shard > 1:
		return nil, fmt.Errorf("launch: %d devices would divide the policy, and haf rlhf generates on "+
			"one: set mesh.shard, or shard= of -device, to 1", m.Shard)
	case m.Data > 1:
		env.Progress.Logf("mesh: %d devices divide the batches that are learned from; responses are "+
			"generated on the first, and reward models run on one", m.Data)
	}
	for i, w := range r.RLHF.Rewards {
		if err := rewards.Reach(ctx, w); err != nil {
			return nil, atReward(i, err)
		}
	}
	o := &optimization{env: env, recipe: r}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	env.Progress.Logf("device: %s", env.Device.Describe())
	prompts, err := r.Prompts()
	if err != nil {
		return nil, err
	}
	o.report = prompts.Report
	for _, line := range o.report {
		env.Progress.Logf("%s", line)
	}
	policy, err := env.openTrained("policy", r.Model.Path, r.ModelOptions())
	if err != nil {
		return nil, err
	}
	o.models = append(o.models, policy)
	o.task = rlhf.Task{Policy: policy, MaxLength: r.Model.MaxLength}
	if err := o.openRewards(ctx, rewards); err != nil {
		return nil, err
	}
	if o.task.Prompts, err = o.accepted("prompts", prompts.Train); err != nil {
		return nil, err
	}
	if len(prompts.HeldOut) > 0 {
		if o.task.HeldOut, err = o.accepted("held-out prompts", prompts.HeldOut); err != nil {
			return nil, err
		}
	}
	return o, o.openCritic()
}

// openRewards opens the rewards of the recipe.
func (o *optimization) openRewards(ctx context.Context, rewards RewardOpener) error {
	for i := range o.recipe.RLHF.Rewards {
		w := &o.recipe.RLHF.Rewards[i]
		from, err := rewards.Open(ctx, *w)
		if err != nil {
			return atReward(i, err)
		}
		w.Date = cmp.Or(from.Date(), w.Date) // fixed for the run, even if it is resumed later
		o.rewards, o.read = append(o.rewards, from), append(o.read, from.Files())
		o.task.Rewards = append(o.task.Rewards, rlhf.Reward{Name: w.Name, Weight: w.Weight, Scorer: from})
		what := fmt.Sprintf("%s of %s", from.Name(), from.From())
		if len(o.recipe.RLHF.Rewards) > 1 || w.Weight != 1 {
			what = fmt.Sprintf("%g · %s, named %s", w.Weight, what, w.Name)
		}
		o.env.Progress.Logf("reward: %s", what)
	}
	return nil
}

// atReward adds the recipe key to a reward's error. A wrong name of a source in the recipe is not a
// fault of a flag.
func atReward(i int, err error) error {
	if errors.Is(err, source.ErrName) {
		return fmt.Errorf("rlhf.rewards[%d]: %v", i, err)
	}
	return fmt.Errorf("rlhf.rewards[%d]: %w", i, err)
}

// accepted drops the prompts that a chat template refuses, and reports their number.
func (o *optimization) accepted(what string, prompts [][]pref.Message) ([][]pref.Message, error) {
	by := []any{o.task.Policy}
	for _, from := range o.rewards {
		by = append(by, from)
	}
	kept, note, err := rewarder.KeepAccepted(prompts, what,
		func(p []pref.Message) []pref.Message { return p }, by...)
	if note != "" {
		o.env.Notef("%s", note)
	}
	return kept, err
}

// openCritic opens the critic, if the run has a separate one.
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
	o.task.Policy.Finish = card(folder.Join())
	result, err := rlhf.Run(ctx, o.task, opt, folder, o.env.Progress)
	if err != nil {
		return result, err
	}
	o.env.Progress.Logf("done: %d steps in %.0f s with %d programs; reward %.3f at first, %.3f at "+
		"last; policy in %s", result.Steps, result.Seconds, result.Programs, result.First.Reward,
		result.Last.Reward, folder.Join(run.ModelName))
	return result, nil
}
