package backend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	home := emptyHome(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	touch := func(parts ...string) string {
		path := filepath.Join(parts...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mine := touch(home, "mine", "pjrt-plugin-cpu.so")
	named := touch(home, "pjrt_c_api_cuda_plugin.so")
	wheel := touch(cache, "haf", "pjrt", "lammps-jax-pjrt-cpu-0.11.2", "pjrt_c_api_cpu_plugin.so")
	touch(cache, "haf", "pjrt", unfinished+"123", "pjrt_c_api_cpu_plugin.so")
	touch(cache, "haf", "pjrt", "lammps-jax-pjrt-cpu-0.11.2", "pjrt_c_api_tpu_plugin.so")
	cuda := touch(cache, "haf", "pjrt", "jax-cuda13-pjrt-0.11.2", "jax_plugins", "xla_cuda13",
		"xla_cuda_plugin.so")
	goxla := touch(home, ".local", "lib", "go-xla", "pjrt_c_api_cpu_v0.114.0_plugin.so")
	if err := os.Symlink(filepath.Base(goxla),
		filepath.Join(filepath.Dir(goxla), "pjrt_c_api_cpu_plugin.so")); err != nil {
		t.Fatal(err)
	}
	// sorts first, and is the same file
	goxla = filepath.Join(filepath.Dir(goxla), "pjrt_c_api_cpu_plugin.so")
	site := filepath.Join(home, "venv", "lib", "python3.12", "site-packages")
	pip := touch(site, "jax_plugins", "xla_cuda13", "xla_cuda_plugin.so")
	touch(site, "jax_cuda13_pjrt-0.12.0.1.dist-info", "METADATA")
	t.Setenv(pluginPathEnv, filepath.Join(home, "mine")+string(os.PathListSeparator)+named+
		string(os.PathListSeparator)+filepath.Join(home, "nowhere"))
	t.Setenv("VIRTUAL_ENV", filepath.Join(home, "venv"))

	found, err := Find("")
	if err != nil {
		t.Fatal(err)
	}
	want := []Plugin{
		{named, KindCUDA, "", "from $" + pluginPathEnv},
		{cuda, KindCUDA, "0.11.2", "installed by haf"},
		{pip, KindCUDA, "0.12.0.1", "installed by pip"},
		{mine, KindCPU, "", "from $" + pluginPathEnv},
		{wheel, KindCPU, "0.11.2", "installed by haf"},
		{goxla, KindCPU, "0.114.0", "installed by go-xla"},
	}
	var ours []Plugin // the machine may have its own outside the home folder
	for _, p := range found {
		if strings.HasPrefix(p.Path, home) {
			ours = append(ours, p)
		}
	}
	if len(ours) != len(want) {
		t.Fatalf("found\n%v\nwant\n%v", ours, want)
	}
	for i := range want {
		if ours[i] != want[i] {
			t.Errorf("plug-in %d is %+v, want %+v", i, ours[i], want[i])
		}
	}
	for kind, n := range map[string]int{"cpu": 3, "xla-cuda": 3} {
		some, err := Find(kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range some {
			if strings.HasPrefix(p.Path, home) {
				n--
			}
			if p.Kind != kindOf(kind) {
				t.Errorf("%s: found %+v", kind, p)
			}
		}
		if n != 0 {
			t.Errorf("%s: %d plug-ins missing", kind, n)
		}
	}
	if _, err := Find("tpu"); err == nil {
		t.Error("no error for an unknown kind")
	}
}
