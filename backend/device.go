package backend

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"golang.org/x/sys/cpu"
)

// The kinds of devices that [Device.Kind] and [Plugin].Kind name.
const (
	KindCPU  = "xla-cpu"
	KindCUDA = "xla-cuda"
	KindGo   = "go"
)

// ErrNoPlugin is wrapped by the error of [Open] if the caller asked for an XLA plug-in and none is
// installed.
var ErrNoPlugin = errors.New("no XLA plug-in is installed: run `haf setup`")

// A Device is an opened backend. It is safe for concurrent use. Finalize frees all that it holds,
// including device memory.
//
// Pass d.Backend to the graph library, never d itself. Tensors are bound to d.Backend, and a
// backend refuses tensors of another. The compiler enforces this, because a *Device is no
// compute.Backend.
type Device struct {
	compute.Backend

	kind     string
	plugin   Plugin // where kind is not KindGo
	tellPath bool   // Describe shows the path, because kind and version are ambiguous
	hint     string
	mesh     Mesh // 1 × 1 if zero
	shared   bool // another Device owns the client
	programs *programs
	// available, if not nil, replaces AvailableMemory.
	available func() (Memory, error)
}

// Builder keeps *Device from being a [compute.Backend], because its signature differs from the
// interface's. Build programs with d.Backend.Builder.
func (d *Device) Builder() {}

// Open opens the device named, on the mesh that the name ends with, if any: "cpu,data=2,shard=2".
// The device is:
//   - "" or "auto": an installed XLA plug-in, CUDA before CPU where a GPU is present and both work,
//     else pure Go;
//   - "go": the pure Go backend;
//   - "cpu" or "cuda": the first installed plug-in of that kind that works;
//   - "xla": the first that works, CUDA before CPU, never pure Go;
//   - a path of a plug-in (.so, .dylib).
//
// It never downloads anything. The error wraps [ErrNoPlugin] if the caller asked for a plug-in and
// none is installed.
func Open(name string) (*Device, error) {
	name, m, err := cutMesh(name)
	if err != nil {
		return nil, err
	}
	d, err := open(name)
	if err != nil || m.Devices() == 1 {
		return d, err
	}
	on, err := d.OnMesh(m)
	if err != nil || !on.shared {
		d.Finalize()
	}
	return on, err
}

// open is [Open] for a name without a mesh.
func open(name string) (*Device, error) {
	switch name {
	case "", "auto":
		return openAuto()
	case "go":
		return openGo("")
	case "xla", KindCPU, KindCUDA, "cpu", "cuda", "gpu":
		return openNamed(name)
	}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("backend: plug-in %q: %w", name, err)
	}
	p, err := pluginAt(path, "named by the user")
	if err != nil {
		return nil, err
	}
	d, err := openPlugin(p)
	if err != nil {
		return nil, err
	}
	found, err := Find(p.Kind) // after an error Describe shows the path
	d.tellPath = err != nil || len(found) != 1 || found[0].Path != p.Path
	return d, nil
}

// CheckName returns an error for a name that [Open] does not know. It looks for no plug-in.
func CheckName(name string) error {
	name, _, err := cutMesh(name)
	if err != nil {
		return err
	}
	known := []string{"", "auto", "go", "xla", KindCPU, KindCUDA, "cpu", "cuda", "gpu"}
	if slices.Contains(known, name) || strings.ContainsAny(name, `/\`) || isLibrary(name) {
		return nil
	}
	return fmt.Errorf("backend: unknown device %q: want auto, go, xla, cpu, cuda or the path of a "+
		"plug-in", name)
}

// openFirst opens the first plug-in that works. It tries CUDA only if there is a GPU or the caller
// asked for CUDA. Without a plug-in to try, device and error are nil.
func openFirst(plugins []Plugin, cuda bool) (*Device, error) {
	var failed error
	for _, p := range plugins {
		if p.Kind == KindCUDA && !cuda && !hasGPU() {
			continue // skip loading 400 MB when there is no GPU
		}
		d, err := openPlugin(p)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		d.tellPath = slices.ContainsFunc(plugins, func(o Plugin) bool {
			return o.Kind == p.Kind &&
				o.Path != p.Path
		})
		return d, nil
	}
	return nil, failed
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
	d, failed := openFirst(plugins, false)
	if failed != nil {
		return openGo(fmt.Sprintf("%s, because an installed plug-in does not open (%s): run `haf setup`",
			slow, oneLine(failed)))
	}
	if d != nil {
		return d, nil
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
	d, err := openFirst(plugins, name != "xla")
	if d != nil || err != nil {
		return d, err
	}
	if kindOf(kind) == KindCUDA {
		return nil, fmt.Errorf("backend: %q: %w with -cuda", name, ErrNoPlugin)
	}
	return nil, fmt.Errorf("backend: %q: %w", name, ErrNoPlugin)
}

func openGo(hint string) (*Device, error) {
	// Operations run one after another. Run at once, each can wait for pool workers that the others
	// hold, and all wait forever.
	b, err := gobackend.New("ops_sequential")
	if err != nil {
		return nil, fmt.Errorf("backend: pure Go backend: %w", err)
	}
	if hint == "" {
		hint = "running on the slow pure Go backend, as asked: an XLA plug-in (`haf setup`) is about " +
			"ten times as fast"
		if !xlaSupported {
			hint = "running on the slow pure Go backend, as asked"
		}
	}
	return &Device{Backend: b, kind: KindGo, hint: hint, programs: &programs{}}, nil
}

// Kind is "xla-cpu", "xla-cuda" or "go".
func (d *Device) Kind() string { return d.kind }

// HalfProducts reports whether the device multiplies bfloat16 faster than float32, as GPUs do, and
// CPUs with AMX or AVX512_BF16. On other devices bfloat16 takes up to twice the time.
func (d *Device) HalfProducts() bool {
	return d.kind == KindCUDA || d.kind == KindCPU && (cpu.X86.HasAMXBF16 || cpu.X86.HasAVX512BF16)
}

// Plugin is the plug-in that the device was opened from; the zero value for the pure Go backend.
func (d *Device) Plugin() Plugin { return d.plugin }

// Finalize closes the device and returns its memory to the system.
func (d *Device) Finalize() {
	d.programs.finalize()
	if d.shared {
		return
	}
	d.Backend.Finalize()
	Release()
}

// Describe returns a short description such as "xla-cpu (plug-in 0.11.2), 2 threads". It adds the
// plug-in's path if kind and version do not identify the plug-in.
func (d *Device) Describe() string {
	if d.kind == KindGo {
		return fmt.Sprintf("%s (pure Go), %s", d.kind, counted(runtime.GOMAXPROCS(0), "thread"))
	}
	plugin := "plug-in"
	if d.plugin.Version != "" {
		plugin += " " + d.plugin.Version
	}
	if d.tellPath {
		plugin += ", " + d.plugin.Path
	}
	hardware := counted(runtime.NumCPU(), "thread") // XLA ignores GOMAXPROCS
	n := d.NumDevices()
	switch {
	case d.kind == KindCUDA:
		hardware = strings.TrimSuffix(d.DeviceDescription(0), " [processId=0]")
		if n > 1 {
			hardware = fmt.Sprintf("%d × %s", n, hardware)
		}
	case n > 1:
		hardware = counted(n, "device") + ", " + hardware
	}
	if m := d.Mesh(); m.Devices() > 1 {
		hardware += fmt.Sprintf(", mesh %d × %d", m.Data, m.Shard)
	}
	return fmt.Sprintf("%s (%s), %s", d.kind, plugin, hardware)
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// Hint tells the user of a pure Go device in one line that it is slow, and how to get a faster one.
// It is "" for other devices.
func (d *Device) Hint() string { return d.hint }

// oneLine flattens an error to one line. It cuts the middle out of a long error, because the cause
// stands at the end.
func oneLine(err error) string {
	s := []rune(strings.Join(strings.Fields(err.Error()), " "))
	const head, tail = 120, 200
	if len(s) <= head+tail {
		return string(s)
	}
	return string(s[:head]) + " … " + string(s[len(s)-tail:])
}
