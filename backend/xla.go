//go:build cgo && ((linux && (amd64 || arm64)) || (darwin && arm64))

package backend

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/installer"
	"github.com/gomlx/go-xla/pjrt"
	"k8s.io/klog/v2"
)

const (
	xlaSupported = true
	xlaMissing   = ""
)

// virtualDevicesEnv is the number of devices that a CPU plug-in shows, for testing code that uses
// several.
const virtualDevicesEnv = "HAF_CPU_DEVICES"

// quietOnce turns off go-xla's log and its downloads before the first plug-in is loaded. go-xla
// sets XLA's log level when it is imported; a value that the user gave in $TF_CPP_MIN_LOG_LEVEL
// stays.
var quietOnce = sync.OnceFunc(func() {
	xla.EnableAutoInstall(false)
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
})

// openPlugin loads a plug-in into this process and opens its devices. A CPU shows one, or as many
// as $HAF_CPU_DEVICES says.
func openPlugin(p Plugin) (*Device, error) {
	n := 1
	if s := os.Getenv(virtualDevicesEnv); s != "" && p.Kind == KindCPU {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			return nil, fmt.Errorf("backend: $%s is %q: want a number of devices, at least 1",
				virtualDevicesEnv, s)
		}
	}
	return openDevices(p, n)
}

// openDevices is [openPlugin] with n virtual devices of a CPU.
func openDevices(p Plugin, n int) (_ *Device, err error) {
	quietOnce()
	defer func() {
		// go-xla panics where the library's interface is not what it expects
		if r := recover(); r != nil {
			err = fmt.Errorf("backend: plug-in %s: %v", p.Path, r)
		}
	}()
	if err := nameable(p); err != nil {
		return nil, err
	}
	options := pjrt.NamedValuesMap{}
	switch p.Kind {
	case KindCPU:
		// The plug-in shows several virtual devices by default, which only a mesh needs.
		options["cpu_device_count"] = int64(n)
	case KindCUDA:
		if err := linkCUDA(p.Path); err != nil {
			return nil, err
		}
	}
	var b *xla.Backend
	load := func() {
		if err = checkInterface(p); err == nil {
			b, err = xla.NewWithOptions(p.Path, options)
			if err != nil {
				err = fmt.Errorf("backend: open plug-in %s: %w", p.Path, err)
			}
		}
	}
	if p.Kind == KindCUDA {
		silenced(load) // a CPU plug-in obeys the log level, and its crashes must stay visible
	} else {
		load()
	}
	if err != nil {
		return nil, err
	}
	if b.NumDevices() == 0 {
		b.Finalize()
		return nil, fmt.Errorf("backend: plug-in %s: it shows no device", p.Path)
	}
	// By default go-xla lets a GPU round the operands of float32 products to 10 bits. Then a reward
	// would differ by 1e-3 from PyTorch's, and from this program's on other devices. Users who
	// prefer speed to precision choose bfloat16.
	b.DotGeneralUseTF32 = false
	return &Device{Backend: b, kind: p.Kind, plugin: p, programs: &programs{}}, nil
}

// nameable refuses paths that go-xla would misread. go-xla takes a plug-in's kind from words
// anywhere in its path, and cuts the path at a comma.
func nameable(p Plugin) error {
	upper := strings.ToUpper(p.Path)
	saysCPU := strings.Contains(upper, "CPU")
	saysCUDA := strings.Contains(upper, "CUDA") || strings.Contains(upper, "NVIDIA")
	const move = "copy it to another folder and name that in $" + pluginPathEnv +
		", or set XDG_CACHE_HOME and run `haf setup`"
	switch {
	case strings.Contains(p.Path, ","):
		return fmt.Errorf("backend: plug-in %s: its path has a comma, which cannot be passed on: %s",
			p.Path, move)
	case p.Kind == KindCPU && saysCUDA:
		return fmt.Errorf("backend: plug-in %s: its path must not contain the words cuda or nvidia, for "+
			"it is a CPU plug-in: %s", p.Path, move)
	case p.Kind == KindCUDA && saysCPU:
		return fmt.Errorf("backend: plug-in %s: its path must not contain the word cpu, for it is a "+
			"CUDA plug-in: %s", p.Path, move)
	}
	return nil
}

// installByGoXLA runs go-xla's own installer for a kind and returns the plug-ins that exist
// afterwards.
func installByGoXLA(kind string) ([]Plugin, error) {
	quietOnce()
	lib, err := installer.DefaultHomeLibPath()
	if err != nil {
		return nil, err
	}
	if kind == KindCUDA {
		if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
			return nil, fmt.Errorf("it has CUDA plug-ins for linux/amd64 only, not for %s/%s", runtime.GOOS,
				runtime.GOARCH)
		}
		if !hasGPU() {
			return nil, fmt.Errorf("it installs a CUDA plug-in only where it sees an NVIDIA GPU")
		}
		err = installer.AutoInstall(lib, true, installer.Quiet)
	} else {
		err = installer.CPUAutoInstall(filepath.Join(lib, "go-xla"), true, installer.Quiet)
	}
	if err != nil {
		return nil, err
	}
	all, err := Find(kind)
	if err != nil {
		return nil, err
	}
	var installed []Plugin
	for _, p := range all {
		if strings.HasPrefix(p.Path, lib) {
			installed = append(installed, p)
		}
	}
	return installed, nil
}
