package launch

import (
	"fmt"
	"io"
	"strings"

	"haf/backend"
	"haf/recipe"
)

// A Build describes the program's build and the device it runs on.
type Build struct {
	Version  string           `json:"version"`
	Revision string           `json:"revision"` // of the source; "" if unknown
	Go       string           `json:"go"`
	Platform string           `json:"platform"`
	Device   string           `json:"device"` // "none" if it does not open
	Plugins  []backend.Plugin `json:"plugins"`

	DeviceError error `json:"-"` // why the device does not open
}

// DescribeBuild describes the build, the installed plug-ins and the named device.
func DescribeBuild(device string) (Build, error) {
	built := recipe.Versions()
	out := Build{Version: built["haf"], Revision: built["revision"], Go: built["go"],
		Platform: built["platform"], Device: "none", Plugins: []backend.Plugin{}}
	found, err := backend.Find("")
	if err != nil {
		return out, err
	}
	out.Plugins = append(out.Plugins, found...)
	opened, err := backend.Open(device)
	if err != nil {
		out.DeviceError = err
		return out, nil
	}
	out.Device = opened.Describe()
	return out, nil
}

// Write writes the build as text.
func (b Build) Write(w io.Writer) error {
	fmt.Fprintln(w, strings.TrimSpace("haf "+b.Version+" "+b.Revision))
	fmt.Fprintf(w, "%s, %s\n", b.Go, b.Platform)
	for _, p := range b.Plugins {
		fmt.Fprintf(w, "plug-in: %s %s, %s, %s\n", p.Kind, p.Version, p.Origin, p.Path)
	}
	_, err := fmt.Fprintf(w, "device: %s\n", b.Device)
	return err
}
