package main

import "haf/backend"

type setupCmd struct {
	CUDA bool `name:"cuda" help:"Set up the plug-in for NVIDIA GPUs."`
}

// Run finds or installs the plug-in, opens it and measures it.
func (c *setupCmd) Run(a *app) error {
	out, err := backend.Install(a.ctx, backend.SetupOptions{CUDA: c.CUDA, Log: a.stderr})
	if err != nil {
		return err
	}
	return a.print(out, out.Write)
}
