package main

import (
	"context"

	"haf/backend"
	"haf/hub"
	"haf/internal/progress"
	"haf/launch"
	"haf/reward"
)

// hub returns the client of the Hugging Face hub, which reports long work on standard error.
func (a *app) hub() (*hub.Client, error) {
	c, err := hub.FromEnv()
	if err != nil {
		return nil, err
	}
	progress.Fetches(c, a.stderr, a.p.Quiet)
	return c, nil
}

// opener opens the chosen device, and returns a function that opens models on it.
func (a *app) opener() (launch.ModelOpener, error) {
	device, err := a.openDevice()
	return func(_ context.Context, named string, opt reward.Options) (*reward.Model, error) {
		return a.openModelOn(device, named, opt)
	}, err
}

// openModel opens the model at a path or with an id, on the chosen device. An adapter's base may be
// an id too.
func (a *app) openModel(
	_ context.Context, named string, opt reward.Options,
) (*reward.Model, error) {
	device, err := a.openDevice()
	if err != nil {
		return nil, err
	}
	return a.openModelOn(device, named, opt)
}

// openModelOn is openModel on an open device.
func (a *app) openModelOn(
	device *backend.Device, named string, opt reward.Options,
) (*reward.Model, error) {
	client, err := a.hub()
	if err != nil {
		return nil, err
	}
	env := launch.Env{Device: device, Hub: client, Notef: a.notef}
	return env.OpenModel(a.ctx, named, opt)
}

// data returns the files of data paths or ids.
func (a *app) data(named []string) ([]string, error) {
	c, err := a.hub()
	if err != nil {
		return nil, err
	}
	return c.Files(a.ctx, named)
}

// env opens the device and returns the environment of a run.
func (a *app) env() (launch.Env, error) {
	device, err := a.openDevice()
	if err != nil {
		return launch.Env{}, err
	}
	client, err := a.hub()
	if err != nil {
		return launch.Env{}, err
	}
	cache, err := launch.CacheDir()
	return launch.Env{Device: device, Hub: client, Cache: cache, Progress: a.p, Notef: a.notef}, err
}
