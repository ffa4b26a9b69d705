package backend

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
)

// The kinds of devices that [Device.Kind] and [Plugin].Kind name.
const (
	KindCPU  = "xla-cpu"
	KindCUDA = "xla-cuda"
	KindGo   = "go"
)

// ErrNoPlugin is wrapped by the error of [Open] where an XLA plug-in was asked for and none is installed.
var ErrNoPlugin = errors.New("no XLA plug-in is installed: run `haf setup`")

// A Device is an opened backend. It is safe for concurrent use; Finalize frees what it holds, device memory too.
//
// Give the graph library the field, d.Backend, never d itself: results come back bound to d.Backend, and a tensor
// of one backend is refused by another. The compiler sees to it: a *Device is no compute.Backend.
type Device struct {
	compute.Backend

	kind   string
	plugin Plugin // where kind is not KindGo
	api    string // version of the plug-in's PJRT interface, as "0.115"
	hint   string
}

// Builder is not for use: with another shape than the interface's it takes *Device out of [compute.Backend]. A
// program is built with d.Backend.Builder.
func (d *Device) Builder() {}

// Open opens the device named:
//   - "" or "auto": an installed XLA plug-in, CUDA before CPU where a GPU is present and both work, else pure Go;
//   - "go": the pure Go backend;
//   - "cpu" or "cuda": the first installed plug-in of that kind that works;
//   - "xla": the first that works, CUDA before CPU, never pure Go;
//   - a path of a plug-in (.so, .dylib).
//
// It never downloads anything. The error wraps [ErrNoPlugin] where a plug-in was asked for and none is installed.
func Open(name string) (*Device, error) {
	switch name {
	case "", "auto":
		return openAuto()
	case "go":
		return openGo("")
	case "xla", KindCPU, KindCUDA, "cpu", "cuda", "gpu":
		return openNamed(name)
	}
	if !strings.ContainsAny(name, `/\`) && !isLibrary(name) {
		return nil, fmt.Errorf("backend: unknown device %q: want auto, go, xla, cpu, cuda or the path of a plug-in", name)
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("backend: plug-in %q: %w", name, err)
	}
	p, err := pluginAt(path, "named by the user")
	if err != nil {
		return nil, err
	}
	return openPlugin(p)
}

func openAuto() (*Device, error) {
	const slow = "running on the slow pure Go backend"
	if !xlaSupported {
		return openGo(slow + ": " + xlaMissing)
	}
	plugins, err := Find("")
	if err != nil {
		return nil, err
	}
	var failed error
	for _, p := range plugins {
		if p.Kind == KindCUDA && !hasGPU() {
			continue // loading 400 MB to learn that there is no GPU
		}
		d, err := openPlugin(p)
		if err == nil {
			return d, nil
		}
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return openGo(fmt.Sprintf("%s, because an installed plug-in does not open (%s): run `haf setup`", slow, oneLine(failed)))
	}
	return openGo(slow + ": `haf setup` installs XLA, which is about ten times as fast")
}

func openNamed(name string) (*Device, error) {
	if !xlaSupported {
		return nil, fmt.Errorf("backend: %q: %s", name, xlaMissing)
	}
	kind := name
	if name == "xla" {
		kind = ""
	}
	plugins, err := Find(kind)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, p := range plugins {
		if name == "xla" && p.Kind == KindCUDA && !hasGPU() {
			continue
		}
		d, err := openPlugin(p)
		if err == nil {
			return d, nil
		}
		failed = errors.Join(failed, err)
	}
	if failed == nil {
		if kindOf(kind) == KindCUDA {
			return nil, fmt.Errorf("backend: %q: %w with -cuda", name, ErrNoPlugin)
		}
		return nil, fmt.Errorf("backend: %q: %w", name, ErrNoPlugin)
	}
	return nil, failed
}

func openGo(hint string) (*Device, error) {
	b, err := gobackend.New("")
	if err != nil {
		return nil, fmt.Errorf("backend: pure Go backend: %w", err)
	}
	if hint == "" {
		hint = "running on the slow pure Go backend, as asked: an XLA plug-in (`haf setup`) is about ten times as fast"
		if !xlaSupported {
			hint = "running on the slow pure Go backend, as asked"
		}
	}
	return &Device{Backend: b, kind: KindGo, hint: hint}, nil
}

// Kind is "xla-cpu", "xla-cuda" or "go".
func (d *Device) Kind() string { return d.kind }

// Plugin is the plug-in that the device was opened from; the zero value for the pure Go backend.
func (d *Device) Plugin() Plugin { return d.plugin }

// Describe says in one line what the device is: backend, plug-in and its version where known, device, threads.
func (d *Device) Describe() string {
	threads := fmt.Sprintf("%d CPUs", runtime.NumCPU())
	if n := runtime.GOMAXPROCS(0); n != runtime.NumCPU() {
		threads += fmt.Sprintf(", GOMAXPROCS %d", n)
	}
	if d.kind == KindGo {
		return fmt.Sprintf("%s: pure Go backend, %s", d.kind, threads)
	}
	var about []string
	if d.plugin.Version != "" {
		about = append(about, "version "+d.plugin.Version)
	}
	if d.api != "" {
		about = append(about, "PJRT interface "+d.api)
	}
	about = append(about, d.plugin.Origin)
	what := strings.TrimSuffix(d.DeviceDescription(0), " [processId=0]")
	if n := d.NumDevices(); n > 1 {
		what = fmt.Sprintf("%d × %s", n, what)
	}
	return fmt.Sprintf("%s: %s (%s), %s, %s", d.kind, d.plugin.Path, strings.Join(about, ", "), what, threads)
}

// Hint is one line for the user of a pure Go device: that it is slow, and how to get a faster one. Else "".
func (d *Device) Hint() string { return d.hint }

// oneLine flattens an error for a message of one line. A long one loses its middle: the end tells the cause.
func oneLine(err error) string {
	s := []rune(strings.Join(strings.Fields(err.Error()), " "))
	const head, tail = 120, 200
	if len(s) <= head+tail {
		return string(s)
	}
	return string(s[:head]) + " … " + string(s[len(s)-tail:])
}
