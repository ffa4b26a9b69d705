package main

import (
	"fmt"

	"haf/launch"
)

// checkRequest looks at the flags by which haf train and haf rlhf start a run or resume one. keys
// are those that a run without a recipe file must set.
func checkRequest(q launch.Request, keys string) error {
	switch {
	case q.Resume != "" && (q.Recipe != "" || q.Out != "" || len(q.Set) > 0):
		return fmt.Errorf("%w: -resume takes its recipe from the run folder: give no recipe, -out or "+
			"-set with it", errUsage)
	case q.Resume == "" && q.Recipe == "" && (q.Out == "" || len(q.Set) == 0):
		return fmt.Errorf("%w: give a recipe, or without one -out DIR with %s", errUsage, keys)
	}
	return nil
}

// env opens the device and is what runs are made with.
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
