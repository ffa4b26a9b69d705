package backend

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// devices yields the pure Go device and, where a CPU plug-in is installed, the XLA one.
func devices(t *testing.T) map[string]*Device {
	t.Helper()
	all := map[string]*Device{}
	for _, name := range []string{"go", "cpu"} {
		d, err := Open(name)
		if name == "cpu" && (errors.Is(err, ErrNoPlugin) || !xlaSupported) {
			t.Logf("XLA is not tested here: %v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Finalize)
		all[name] = d
	}
	return all
}

func TestDeviceComputes(t *testing.T) {
	for name, d := range devices(t) {
		if err := checkProduct(d.Backend); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := map[string]string{"go": KindGo, "cpu": KindCPU}[name]
		if d.Kind() != want {
			t.Errorf("%s: kind %s, want %s", name, d.Kind(), want)
		}
		if slow := d.Hint() != ""; slow != (name == "go") {
			t.Errorf("%s: hint %q", name, d.Hint())
		}
		if name == "cpu" && d.Plugin().Path == "" {
			t.Error("the device does not tell its plug-in")
		}
	}
}

func TestDescribe(t *testing.T) {
	threads := counted(runtime.NumCPU(), "thread")
	for name, d := range devices(t) {
		if name == "go" {
			if got, want := d.Describe(), "go (pure Go), "+
				counted(runtime.GOMAXPROCS(0), "thread"); got != want {
				t.Errorf("%q, want %q", got, want)
			}
			continue
		}
		for _, c := range []struct {
			version  string
			tellPath bool
			want     string
		}{
			{"0.11.2", false, "xla-cpu (plug-in 0.11.2), " + threads},
			{"", false, "xla-cpu (plug-in), " + threads},
			{"0.11.2", true, "xla-cpu (plug-in 0.11.2, " + d.plugin.Path + "), " + threads},
		} {
			shown := &Device{Backend: d.Backend, kind: d.kind,
				plugin: Plugin{Path: d.plugin.Path, Version: c.version}, tellPath: c.tellPath}
			if got := shown.Describe(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		}
	}
	if got := counted(1, "thread"); got != "1 thread" {
		t.Errorf("%q", got)
	}
}

// A plug-in that stands alone is told by its kind and version; one of two, or one that only the
// user names, by its path.
func TestDescribeTellsPlugins(t *testing.T) {
	installed, err := Find("cpu")
	if err != nil || len(installed) == 0 || !xlaSupported {
		t.Skip("no CPU plug-in")
	}
	home := emptyHome(t)
	other := filepath.Join(home, "other", "pjrt_c_api_cpu_plugin.so")
	if err := os.MkdirAll(filepath.Dir(other), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, nil, 0o644); err != nil { // found by its name, never opened
		t.Fatal(err)
	}
	open := func(name, path string) string {
		t.Helper()
		t.Setenv(pluginPathEnv, path)
		d, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Finalize()
		return d.Describe()
	}
	if found, err := Find("cpu"); err != nil || len(found) > 0 {
		t.Skip("this machine has a plug-in outside the home folder")
	}
	path := installed[0].Path
	both := path + string(os.PathListSeparator) + other
	for _, c := range []struct {
		name, list string
		told       bool
	}{
		{"auto", path, false},
		{"cpu", path, false},
		{path, path, false},
		{"auto", both, true},
		{"cpu", both, true},
		{path, both, true},
		{path, "", true},
	} {
		if got := open(c.name, c.list); strings.Contains(got, path) != c.told {
			t.Errorf("Open(%q) with %q installed: %q", c.name, c.list, got)
		}
	}
}

// What the graph library returns must be accepted by it again, which holds for the field Backend
// only.
func TestResultsFeedBack(t *testing.T) {
	for name, d := range devices(t) {
		if _, is := any(d).(compute.Backend); is {
			t.Fatal("a *Device can be given to the graph library in place of its field Backend")
		}
		exec, err := NewExec(d.Backend, func(x *Node) *Node { return AddScalar(x, 1) })
		if err != nil {
			t.Fatal(err)
		}
		x := tensors.FromValue([]float32{1, 2})
		for range 3 {
			out, err := exec.Call(x)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			x = out[0]
		}
		if got := x.Value().([]float32); got[0] != 4 || got[1] != 5 {
			t.Errorf("%s: %v after three additions, want [4 5]", name, got)
		}
	}
}

// A backend that computes wrongly must be caught: here one whose product is of a and a, not of a
// and b.
func TestCheckProductCatchesWrongAnswers(t *testing.T) {
	d, err := Open("go")
	if err != nil {
		t.Fatal(err)
	}
	err = checkProduct(wrong{d.Backend})
	if err == nil || !strings.Contains(err.Error(), "computes wrongly") {
		t.Errorf("error %v, want one of a wrong answer", err)
	}
}

type wrong struct{ compute.Backend }

func (w wrong) Builder(name string) compute.Builder { return wrongBuilder{w.Backend.Builder(name)} }

type wrongBuilder struct{ compute.Builder }

func (b wrongBuilder) Main() compute.Function { return wrongFunction{b.Builder.Main()} }

type wrongFunction struct{ compute.Function }

func (f wrongFunction) DotGeneral(
	a compute.Value, ac, ab []int, b compute.Value, bc, bb []int, c compute.DotGeneralConfig,
) (compute.Value, error) {
	return f.Function.DotGeneral(a, ac, ab, a, bc, bb, c)
}

func TestMatMulRate(t *testing.T) {
	for name, d := range devices(t) {
		for _, dtype := range []string{"float32", "bfloat16"} {
			start := time.Now()
			rate, err := d.MatMulRate(dtype)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s, %s: %.1f GFLOP/s, measured in %v", name, dtype, rate, time.Since(start))
			if rate < 0.01 || rate > 1e7 {
				t.Errorf("%s, %s: %v GFLOP/s is no rate of a machine", name, dtype, rate)
			}
		}
	}
}

func TestVirtualDevices(t *testing.T) {
	t.Setenv("HAF_CPU_DEVICES", "3")
	d := devices(t)["cpu"]
	if d == nil {
		t.Skip("no plug-in")
	}
	if d.NumDevices() != 3 || !strings.Contains(d.Describe(), "), 3 devices, ") {
		t.Errorf("%d devices, want 3: %s", d.NumDevices(), d.Describe())
	}
	t.Setenv("HAF_CPU_DEVICES", "many")
	if _, err := Open("cpu"); err == nil || !strings.Contains(err.Error(), `"many"`) {
		t.Errorf("error %v, want one that quotes the bad number", err)
	}
}

func TestOpenWithoutPlugin(t *testing.T) {
	emptyHome(t)
	d, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	if d.Kind() != KindGo {
		t.Skipf("this machine has a plug-in outside the home folder: %s", d.Describe())
	}
	if xlaSupported && !strings.Contains(d.Hint(), "haf setup") {
		t.Errorf("hint %q does not tell the next move", d.Hint())
	}
	for _, name := range []string{"xla", "cpu", "cuda"} {
		_, err := Open(name)
		switch {
		case err == nil:
			t.Errorf("%s: opened", name)
		case xlaSupported && !errors.Is(err, ErrNoPlugin):
			t.Errorf("%s: error %v, want ErrNoPlugin", name, err)
		case !xlaSupported && !strings.Contains(err.Error(), "CGO_ENABLED=1"):
			t.Errorf("%s: error %v does not tell how to build with XLA", name, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
	nameless := filepath.Join(dir, "libm.so")
	for _, path := range []string{broken, nameless} {
		if err := os.WriteFile(path, []byte("no library"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"tpu":                           "unknown device",
		filepath.Join(dir, "absent.so"): "no such file",
		dir:                             "not a file",
		nameless:                        "does not show its kind",
		broken:                          broken,
	} {
		if _, err := Open(name); err == nil {
			t.Errorf("%s: opened", name)
		} else if xlaSupported && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %q, want %q in it", name, err, want)
		}
	}
	if !xlaSupported {
		return
	}
	// A broken plug-in makes the automatic choice fall back and say why.
	emptyHome(t)
	t.Setenv(pluginPathEnv, broken)
	d, err := Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	if d.Kind() == KindGo && (!strings.Contains(d.Hint(), broken) ||
		strings.Contains(d.Hint(), "\n")) {
		t.Errorf("hint %q, want one line that names %s", d.Hint(), broken)
	}
}

// go-xla reads the kind from the whole path, so a misleading one must be refused and not half work.
func TestMisleadingPath(t *testing.T) {
	if !xlaSupported {
		t.Skip(xlaMissing)
	}
	for folder, name := range map[string]string{
		"nvidia": "pjrt_c_api_cpu_plugin.so",
		"cpus":   "pjrt_c_api_cuda_plugin.so",
		"a,b":    "pjrt_c_api_cpu_plugin.so",
	} {
		path := filepath.Join(t.TempDir(), folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "its path") {
			t.Errorf("%s: error %v, want one about the path", path, err)
		}
	}
}

// emptyHome hides what the user has installed.
func emptyHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, ".cache"))
	for _, env := range []string{pluginPathEnv, "VIRTUAL_ENV", "CONDA_PREFIX"} {
		t.Setenv(env, "")
	}
	t.Setenv("PATH", filepath.Join(home, "bin"))
	return home
}
