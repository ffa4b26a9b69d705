package main

import (
	"fmt"
	"path/filepath"

	"haf/backend"
	"haf/internal/progress"
	"haf/recipe"
	"haf/reward"
	"haf/run"
	"haf/train"
)

type trainCmd struct {
	Recipe string   `arg:"" optional:"" help:"TOML file; without one everything comes from -set."`
	Out    string   `help:"Run folder. Default: runs/ and the recipe's name."`
	Set    []string `help:"Override a key of the recipe: train.lr=1e-5." sep:"none"`
	Resume string   `help:"Resume the run in this folder."`
	Plan   bool     `help:"Say what the run will need, memory above all, and run nothing; exit code 3 where it does not fit."`
}

// trainOutput is what -json prints.
type trainOutput struct {
	Model    string    `json:"model"`
	Steps    int       `json:"steps"`
	LastLoss float64   `json:"last_loss"`
	Best     *run.Best `json:"best"`    // validation, null where there was none
	Stopped  bool      `json:"stopped"` // early
	Seconds  float64   `json:"seconds"`
}

// Run trains from a recipe, or resumes a stopped run.
func (c *trainCmd) Run(a *app) error {
	if c.Plan {
		if c.Resume != "" || c.Out != "" || c.Recipe == "" && len(c.Set) == 0 {
			return fmt.Errorf("%w: -plan takes a recipe or -set, neither -out nor -resume: "+
				"nothing is run", errUsage)
		}
		return c.plan(a)
	}
	flags := sessionFlags{recipe: c.Recipe, out: c.Out, set: c.Set, resume: c.Resume}
	s, r, err := flags.session(run.VerbTrain, "-set model.path=DIR and -set data.train=FILE",
		(*recipe.Recipe).ForTrain)
	if err != nil {
		return err
	}
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	result, err := perform(a, s, r, trainings(a, device))
	if err != nil || !a.json {
		return err
	}
	return printJSON(a, trainOutput{
		s.Folder.Join(run.ModelName), result.Steps, result.LastLoss, result.Best, result.EarlyStopped,
		result.Seconds,
	})
}

// startTraining trains a recipe into a new folder.
func startTraining(a *app, device *backend.Device, r *recipe.Recipe, dir string) error {
	s, err := run.Start(run.VerbTrain, dir)
	if err != nil {
		return err
	}
	_, err = perform(a, s, r, trainings(a, device))
	return err
}

// resumeTraining resumes the training in a folder.
func resumeTraining(a *app, device *backend.Device, dir string) error {
	s, err := run.Resume(run.VerbTrain, dir)
	if err != nil {
		return err
	}
	_, err = perform(a, s, nil, trainings(a, device))
	return err
}

// trainings returns what loads trainings on a device.
func trainings(
	a *app, device *backend.Device,
) func(*recipe.Recipe) (job[train.Result], error) {
	return func(r *recipe.Recipe) (job[train.Result], error) { return loadTraining(a, device, r) }
}

// training is a loaded run of haf train.
type training struct {
	a        *app
	recipe   *recipe.Recipe
	model    *reward.Model
	data     train.Data
	options  train.Options
	report   []string // what was read
	progress *progress.Printer
}

// loadTraining opens the recipe's model and data and prints what was read.
func loadTraining(a *app, device *backend.Device, r *recipe.Recipe) (job[train.Result], error) {
	t := &training{a: a, recipe: r, options: r.TrainOptions(), progress: progress.New(a.stderr)}
	t.options.AvailableMemory = r.AvailableMemory(device)
	t.progress.Logf("device: %s", device.Describe())
	trained, valid, report, err := r.Groups()
	if err != nil {
		return nil, err
	}
	if t.model, err = a.openLocal(device, r.Model.Path, r.ModelOptions()); err != nil {
		return nil, err
	}
	all, trainable := t.model.NumParams()
	t.progress.Logf("model: %s, %s, %d parameters, %d trained, template %s", r.Model.Path,
		t.model.Config.Family, all, trainable, t.model.Meta.Template.Name)
	data, lines, err := recipe.Encode(t.model.Encoder, trained, valid)
	if err != nil {
		t.close()
		return nil, err
	}
	t.data, t.report = data, append(report, lines...)
	for _, line := range t.report {
		t.progress.Logf("%s", line)
	}
	if err := t.options.Check(t.model, t.data); err != nil { // before there is a folder to resume
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *training) close() { t.model.Close() }

func (t *training) manifest() (*recipe.Manifest, error) {
	return t.recipe.NewManifest(t.model, t.report)
}

func (t *training) run(folder *run.Folder, fingerprint string) (train.Result, error) {
	var err error
	if t.options.CacheDir, err = cacheDir("reference"); err != nil {
		return train.Result{}, err
	}
	t.options.Fingerprint = fingerprint
	result, err := train.Run(t.a.ctx, t.model, t.data, t.options, folder, t.progress)
	if err != nil {
		return result, err
	}
	t.progress.Logf("done: %d steps in %.0f s with %d programs; model in %s", result.Steps,
		result.Seconds, result.Programs, filepath.Join(folder.Path, run.ModelName))
	return result, nil
}
