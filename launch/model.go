package launch

import (
	"context"

	"haf/reward"
	"haf/run"
)

// OpenModel opens the model at a path or with an id on the hub. An adapter's base may be an id too.
func (e Env) OpenModel(
	ctx context.Context, named string, opt reward.Options,
) (*reward.Model, error) {
	found, err := e.Hub.Model(ctx, named)
	if err != nil {
		return nil, err
	}
	if base := reward.MissingBase(found.Paths[0]); base != "" {
		foundBase, err := e.Hub.Model(ctx, base)
		if err != nil {
			return nil, err
		}
		opt.Base = foundBase.Paths[0]
	}
	return e.open(found.Paths[0], opt)
}

// open opens a model on disk and reports its peculiarities to the user.
func (e Env) open(path string, opt reward.Options) (*reward.Model, error) {
	model, err := reward.Open(e.Device, path, opt)
	if err != nil {
		return nil, err
	}
	for _, note := range model.Notes(path) {
		e.Notef("%s", note)
	}
	return model, nil
}

// openTrained opens a model for training and reports what it is.
func (e Env) openTrained(what, path string, opt reward.Options) (*reward.Model, error) {
	model, err := e.open(path, opt)
	if err != nil {
		return nil, err
	}
	all, trainable := model.NumParams()
	e.Progress.Logf("%s: %s, %s, %d parameters, %d trained, template %s", what, path,
		model.Config.Family, all, trainable, model.Meta.Template.Name)
	return model, nil
}

// ReaderOptions returns the options for a model whose rewards are read in one call.
func (e Env) ReaderOptions() reward.ReaderOptions {
	return reward.ReaderOptions{
		CacheDir: e.Cache, Log: e.Progress.Logf, Progress: run.Passes(e.Progress),
	}
}
