package backend

import (
	"context"
	"fmt"
	"io"
)

// An Installation is a plug-in that works, and the device that it opens.
type Installation struct {
	Plugin Plugin  `json:"plugin"`
	Device string  `json:"device"`
	Kind   string  `json:"kind"`
	GFLOPS float64 `json:"matmul_gflops"` // of a matrix product in float32
}

// Install finds or installs a plug-in as [Setup] does, opens it and measures it.
func Install(ctx context.Context, opt SetupOptions) (Installation, error) {
	plugin, err := Setup(ctx, opt)
	if err != nil {
		return Installation{}, err
	}
	device, err := Open(plugin.Path)
	if err != nil {
		return Installation{}, err
	}
	rate, err := device.MatMulRate("float32")
	return Installation{plugin, device.Describe(), device.Kind(), rate}, err
}

// Write writes the installation as text.
func (i Installation) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "plug-in: %s (%s, %s)\ndevice: %s\n"+
		"matrix product: %.0f GFLOP/s in float32\n",
		i.Plugin.Path, i.Plugin.Version, i.Plugin.Origin, i.Device, i.GFLOPS)
	return err
}
