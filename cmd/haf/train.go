package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"haf/backend"
	"haf/recipe"
	"haf/reward"
	"haf/train"
)

type trainCmd struct {
	Recipe string   `arg:"" optional:"" help:"TOML file; without one everything comes from -set."`
	Out    string   `help:"Run folder. Default: runs/ and the recipe's name."`
	Set    []string `help:"Override a key of the recipe: train.lr=1e-5." sep:"none"`
	Resume string   `help:"Go on with the run in this folder."`
	Plan   bool     `help:"Say what the run will need, memory above all, and run nothing; exit code 3 where it does not fit."`
}

// trainOutput is what -json prints.
type trainOutput struct {
	Model    string      `json:"model"`
	Steps    int         `json:"steps"`
	LastLoss float64     `json:"last_loss"`
	Best     *train.Best `json:"best"`    // validation, null where there was none
	Stopped  bool        `json:"stopped"` // early
	Seconds  float64     `json:"seconds"`
}

// Run trains from a recipe, or goes on with a stopped run.
func (c *trainCmd) Run(a *app) error {
	if c.Plan {
		if c.Resume != "" || c.Out != "" || c.Recipe == "" && len(c.Set) == 0 {
			return fmt.Errorf("%w: -plan takes a recipe or -set, neither -out nor -resume: nothing is run", errUsage)
		}
		return c.plan(a)
	}
	if c.Resume != "" && (c.Recipe != "" || c.Out != "" || len(c.Set) > 0) {
		return fmt.Errorf("%w: -resume takes its recipe from the run folder: give no recipe, -out or -set with it", errUsage)
	}
	if c.Resume == "" && c.Recipe == "" && (c.Out == "" || len(c.Set) == 0) {
		return fmt.Errorf("%w: give a recipe, or without one -out DIR with -set model.path=DIR and -set data.train=FILE", errUsage)
	}
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	var result train.Result
	folder := c.Resume
	if folder != "" {
		result, err = resumeRun(a, device, folder)
	} else {
		var r *recipe.Recipe
		if r, err = recipe.Load(c.Recipe, c.Set); err != nil {
			return err
		}
		if err := r.ForTrain(); err != nil {
			return err
		}
		if folder = c.Out; folder == "" {
			folder = filepath.Join("runs", strings.TrimSuffix(filepath.Base(c.Recipe), ".toml"))
		}
		result, err = startRun(a, device, r, folder)
	}
	switch {
	case errors.Is(err, train.ErrInterrupted), errors.Is(err, context.Canceled): // between steps, or before them
		if _, none := os.Stat(filepath.Join(folder, train.ManifestName)); none != nil {
			return err // nothing was begun
		}
		return fmt.Errorf("%w; go on with haf train -resume %s", err, folder)
	case err != nil || !a.json:
		return err
	}
	return printJSON(a, trainOutput{filepath.Join(folder, train.ModelName), result.Steps, result.LastLoss, result.Best, result.Stopped, result.Seconds})
}

// startRun trains a recipe into a new folder.
func startRun(a *app, device *backend.Device, r *recipe.Recipe, dir string) (train.Result, error) {
	if err := train.Vacant(dir); err != nil { // before minutes go into loading
		return train.Result{}, err
	}
	p := newProgress(a.stderr)
	client, err := a.hub()
	if err != nil {
		return train.Result{}, err
	}
	if err := r.Fetch(a.ctx, client); err != nil {
		return train.Result{}, err
	}
	room := r.Room(device)
	model, data, report, err := load(a, device, r, p)
	if err != nil {
		return train.Result{}, err
	}
	defer model.Close()
	if err := r.TrainOptions().Check(model, data); err != nil { // before there is a folder to go on with
		return train.Result{}, err
	}
	manifest, err := r.NewManifest(model, report)
	if err != nil {
		return train.Result{}, err
	}
	folder, err := train.Create(dir, manifest)
	if err != nil {
		return train.Result{}, err
	}
	return trainRun(a, r, model, data, room, folder, manifest.Fingerprint, p)
}

// resumeRun goes on with the run in a folder.
func resumeRun(a *app, device *backend.Device, dir string) (train.Result, error) {
	folder, err := train.Resume(dir)
	if err != nil {
		return train.Result{}, err
	}
	before, err := recipe.ReadManifest(dir)
	if err != nil {
		return train.Result{}, err
	}
	if before.Verb == recipe.VerbRLHF {
		return train.Result{}, fmt.Errorf("%s is a run of haf rlhf: go on with haf rlhf -resume %s", dir, dir)
	}
	p := newProgress(a.stderr)
	client, err := a.hub()
	if err != nil {
		return train.Result{}, err
	}
	if err := before.Fetch(a.ctx, client); err != nil {
		return train.Result{}, err
	}
	room := before.Recipe.Room(device)
	model, data, report, err := load(a, device, before.Recipe, p)
	if err != nil {
		return train.Result{}, err
	}
	defer model.Close()
	now, err := before.Recipe.NewManifest(model, report)
	if err != nil {
		return train.Result{}, err
	}
	same, err := now.SameRun(before)
	if err != nil {
		return train.Result{}, err
	}
	if !same {
		return train.Result{}, fmt.Errorf("%s was started with another base model, template or data: they have changed on disk since; put them back, or train into a new folder", dir)
	}
	return trainRun(a, before.Recipe, model, data, room, folder, before.Fingerprint, p)
}

// load opens the recipe's model and data and prints what was read.
func load(a *app, device *backend.Device, r *recipe.Recipe, p *progress) (*reward.Model, train.Data, []string, error) {
	p.Say("device: %s", device.Describe())
	trained, valid, report, err := r.Groups()
	if err != nil {
		return nil, train.Data{}, nil, err
	}
	model, err := a.openLocal(device, r.Model.Path, r.ModelOptions())
	if err != nil {
		return nil, train.Data{}, nil, err
	}
	all, trainable := model.NumParams()
	p.Say("model: %s, %s, %d parameters, %d trained, template %s", r.Model.Path, model.Config.Family, all, trainable, model.Meta.Template.Name)
	data, lines, err := recipe.Encode(model.Encoder, trained, valid)
	if err != nil {
		model.Close()
		return nil, data, nil, err
	}
	report = append(report, lines...)
	for _, line := range report {
		p.Say("%s", line)
	}
	return model, data, report, nil
}

func trainRun(a *app, r *recipe.Recipe, model *reward.Model, data train.Data, room int64, folder *train.Folder, fingerprint string, p *progress) (train.Result, error) {
	opt := r.TrainOptions()
	var err error
	if opt.CacheDir, err = cacheDir("reference"); err != nil {
		return train.Result{}, err
	}
	opt.Fingerprint, opt.Room = fingerprint, room
	result, err := train.Run(a.ctx, model, data, opt, folder, p)
	switch {
	case errors.Is(err, train.ErrInterrupted) || a.ctx.Err() != nil:
		return result, err
	case err != nil:
		return result, fmt.Errorf("%w; once that is mended, haf train -resume %s goes on from the last checkpoint", err, folder.Path)
	}
	p.Say("done: %d steps in %.0f s with %d programs; model in %s", result.Steps, result.Seconds, result.Programs, filepath.Join(folder.Path, train.ModelName))
	return result, nil
}
