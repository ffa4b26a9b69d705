package main

import (
	"fmt"
	"io"

	"haf/backend"
)

type setupCmd struct {
	CUDA bool `name:"cuda" help:"The plug-in for NVIDIA GPUs."`
}

// setupOutput is what -json prints.
type setupOutput struct {
	Plugin backend.Plugin `json:"plugin"`
	Device string         `json:"device"`
	Kind   string         `json:"kind"`
	GFLOPS float64        `json:"matmul_gflops"`
}

// Run finds or installs the plug-in, opens it and measures it.
func (c *setupCmd) Run(a *app) error {
	plugin, err := backend.Setup(a.ctx, backend.SetupOptions{CUDA: c.CUDA, Log: a.stderr})
	if err != nil {
		return err
	}
	device, err := backend.Open(plugin.Path)
	if err != nil {
		return err
	}
	rate, err := device.MatMulRate("float32")
	if err != nil {
		return err
	}
	out := setupOutput{plugin, device.Describe(), device.Kind(), rate}
	return a.print(out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "plug-in: %s (%s, %s)\ndevice: %s\n"+
			"matrix product: %.0f GFLOP/s in float32\n",
			plugin.Path, plugin.Version, plugin.Origin, device.Describe(), rate)
		return err
	})
}
