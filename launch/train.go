package launch

import (
	"context"

	"haf/recipe"
	"haf/reward"
	"haf/run"
	"haf/train"
)

// Train takes the session's training to its end. r is the recipe of a new run; a resumed run has
// its own.
func Train(
	ctx context.Context, env Env, s *run.Session, r *recipe.Recipe,
) (train.Result, error) {
	return perform(ctx, env, s, r, func(env Env, r *recipe.Recipe) (job[train.Result], error) {
		return loadTraining(env, r)
	})
}

// A TrainingSummary is the result of a training for programs.
type TrainingSummary struct {
	Model        string    `json:"model"` // its folder
	Steps        int       `json:"steps"`
	LastLoss     float64   `json:"last_loss"`
	Best         *run.Best `json:"best"` // validation; null without one
	EarlyStopped bool      `json:"early_stopped"`
	Seconds      float64   `json:"seconds"`
}

// SummarizeTraining summarizes the result of [Train] in a session.
func SummarizeTraining(s *run.Session, r train.Result) TrainingSummary {
	return TrainingSummary{
		s.Folder.Join(run.ModelName), r.Steps, r.LastLoss, r.Best, r.EarlyStopped, r.Seconds,
	}
}

// TrainIn trains a recipe into a folder, or resumes the stopped run there.
func TrainIn(ctx context.Context, env Env, r *recipe.Recipe, dir string) (train.Result, error) {
	start := run.Start
	if run.Exists(dir) {
		start = run.Resume
	}
	s, err := start(run.VerbTrain, dir)
	if err != nil {
		return train.Result{}, err
	}
	return Train(ctx, env, s, r)
}

// training is a loaded run of haf train.
type training struct {
	env     Env
	recipe  *recipe.Recipe
	model   *reward.Model
	data    train.Data
	options train.Options
	report  []string // lines about the data read
}

// loadTraining opens the recipe's model and data and reports on them.
func loadTraining(env Env, r *recipe.Recipe) (job[train.Result], error) {
	t := &training{env: env, recipe: r, options: r.TrainOptions()}
	t.options.CacheDir, t.options.AvailableMemory = env.Cache, r.AvailableMemory(env.Device)
	env.Progress.Logf("device: %s", env.Device.Describe())
	trained, valid, report, err := r.Groups()
	if err != nil {
		return nil, err
	}
	if t.model, err = env.openTrained("model", r.Model.Path, r.ModelOptions()); err != nil {
		return nil, err
	}
	data, lines, err := r.Encode(t.model.Encoder, trained, valid)
	if err != nil {
		t.close()
		return nil, err
	}
	t.data, t.report = data, append(report, lines...)
	for _, line := range t.report {
		env.Progress.Logf("%s", line)
	}
	if err := t.options.Check(t.model, t.data); err != nil { // before the run folder exists
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *training) close() { t.model.Close() }

func (t *training) manifest() (*recipe.Manifest, error) {
	return t.recipe.NewManifest(t.model, t.report)
}

func (t *training) run(
	ctx context.Context, folder *run.Folder, fingerprint string,
) (train.Result, error) {
	t.options.Fingerprint = fingerprint
	t.model.Finish = card(folder.Join())
	result, err := train.Run(ctx, t.model, t.data, t.options, folder, t.env.Progress)
	if err != nil {
		return result, err
	}
	t.env.Progress.Logf("done: %d steps in %.0f s with %d programs; model in %s", result.Steps,
		result.Seconds, result.Programs, folder.Join(run.ModelName))
	return result, nil
}
