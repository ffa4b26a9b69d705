package main

import (
	"errors"
	"fmt"
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
}

// Run trains from a recipe, or goes on with a stopped run.
func (c *trainCmd) Run(a *app) error {
	if c.Resume != "" && (c.Recipe != "" || c.Out != "" || len(c.Set) > 0) {
		return errors.New("-resume takes its recipe from the run folder: give no recipe, -out or -set with it")
	}
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	var folder string
	if c.Resume != "" {
		folder, err = c.Resume, resumeRun(a, device, c.Resume)
	} else {
		var r *recipe.Recipe
		if r, err = recipe.Load(c.Recipe, c.Set); err != nil {
			return err
		}
		if folder = c.Out; folder == "" {
			folder = filepath.Join("runs", strings.TrimSuffix(filepath.Base(c.Recipe), ".toml"))
		}
		_, err = startRun(a, device, r, folder)
	}
	if errors.Is(err, train.ErrInterrupted) {
		return fmt.Errorf("%w; go on with haf train -resume %s", err, folder)
	}
	return err
}

// startRun trains a recipe into a new folder.
func startRun(a *app, device *backend.Device, r *recipe.Recipe, dir string) (train.Result, error) {
	p := newProgress(a.stderr)
	model, data, report, err := load(device, r, p)
	if err != nil {
		return train.Result{}, err
	}
	defer model.Close()
	manifest, err := r.NewManifest(model, report)
	if err != nil {
		return train.Result{}, err
	}
	folder, err := train.Create(dir, manifest)
	if err != nil {
		return train.Result{}, err
	}
	return trainRun(a, r, model, data, folder, manifest.Fingerprint, p)
}

// resumeRun goes on with the run in a folder.
func resumeRun(a *app, device *backend.Device, dir string) error {
	folder, err := train.Resume(dir)
	if err != nil {
		return err
	}
	before, err := recipe.ReadManifest(dir)
	if err != nil {
		return err
	}
	p := newProgress(a.stderr)
	model, data, report, err := load(device, before.Recipe, p)
	if err != nil {
		return err
	}
	defer model.Close()
	now, err := before.Recipe.NewManifest(model, report)
	if err != nil {
		return err
	}
	if now.Fingerprint != before.Fingerprint {
		return fmt.Errorf("%s was started with another base model, template or data: they have changed on disk since", dir)
	}
	_, err = trainRun(a, before.Recipe, model, data, folder, now.Fingerprint, p)
	return err
}

// load opens the recipe's model and data and prints what was read.
func load(device *backend.Device, r *recipe.Recipe, p *progress) (*reward.Model, train.Data, []string, error) {
	p.Say("device: %s", device.Describe())
	trained, valid, report, err := r.Groups()
	if err != nil {
		return nil, train.Data{}, nil, err
	}
	model, err := reward.Open(device, r.Model.Path, r.ModelOptions())
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

func trainRun(a *app, r *recipe.Recipe, model *reward.Model, data train.Data, folder *train.Folder, fingerprint string, p *progress) (train.Result, error) {
	opt := r.TrainOptions()
	var err error
	if opt.CacheDir, err = cacheDir("reference"); err != nil {
		return train.Result{}, err
	}
	opt.Fingerprint = fingerprint
	result, err := train.Run(a.ctx, model, data, opt, folder, p)
	if err != nil {
		return result, err
	}
	p.Say("done: %d steps in %.0f s; model in %s", result.Steps, result.Seconds, filepath.Join(folder.Path, train.ModelName))
	return result, nil
}
