package backend

import (
	"fmt"
	"strings"
	"testing"
)

func TestWithTunables(t *testing.T) {
	const all = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:glibc.malloc.arena_max=1"
	none := func(string) string { return "" }
	for _, c := range []struct{ value, want string }{
		{"", all},
		{all, all}, // nothing to add: no re-execution
		{"glibc.rtld.nns=8", "glibc.rtld.nns=8:" + all},
		{"glibc.malloc.hugetlb=2:glibc.malloc.mmap_max=9", "glibc.malloc.hugetlb=2:glibc.malloc.mmap_max=9:glibc.malloc.trim_threshold=68719476736:glibc.malloc.arena_max=1"},
	} {
		if got := withTunables(c.value, none); got != c.want {
			t.Errorf("withTunables(%q) = %q, want %q", c.value, got, c.want)
		}
	}
	arenas := func(name string) string { return map[string]string{"MALLOC_ARENA_MAX": "4"}[name] }
	if got := withTunables("", arenas); strings.Contains(got, "arena_max") {
		t.Errorf("the user's MALLOC_ARENA_MAX is overruled: %q", got)
	}
}

// reexecutes skips where Prepare does nothing by design.
func reexecutes(t *testing.T) {
	t.Helper()
	if plugins, err := Find(""); err != nil || len(plugins) == 0 || glibc() == "" {
		t.Skip("no plug-in, or not on glibc")
	}
	if _, ok := ownProgram(); !ok {
		t.Skip("the system does not tell where this program lies")
	}
}

func TestPrepareExecutesOnce(t *testing.T) {
	reexecutes(t)
	for _, c := range []struct {
		env  []string
		want string
	}{
		{nil, `again=<nil> executed=true tunables=""`},
		{[]string{"GLIBC_TUNABLES=glibc.rtld.nns=8"}, `executed=true tunables="glibc.rtld.nns=8"`},
		{[]string{"HAF_NO_REEXEC=1"}, `executed=false tunables=""`},
		// A marker inherited from another process of haf is no marker of this one.
		{[]string{"HAF_PREPARED=1:glibc.rtld.nns=8"}, `executed=true tunables=""`},
		// All settings made by the user: nothing to do.
		{[]string{"GLIBC_TUNABLES=" + withTunables("", func(string) string { return "" })}, `executed=false tunables="glibc.malloc.hugetlb=1:`},
	} {
		got := runChild(t, "environment", c.env...)
		if !strings.Contains(got, c.want) || !strings.Contains(got, `args=["one" "two words"]`) {
			t.Errorf("%v: the program says %q, want %q and its arguments", c.env, got, c.want)
		}
	}
}

// The settings must take effect in the process, not only stand in its environment.
func TestPrepareEndsPageFaults(t *testing.T) {
	reexecutes(t)
	if plugins, err := Find("cpu"); err != nil || len(plugins) == 0 {
		t.Skip("no CPU plug-in")
	}
	measure := func(env ...string) (faults, micros int) {
		out := runChild(t, "faults", env...)
		if _, err := fmt.Sscanf(out, "faults %d microseconds %d", &faults, &micros); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		return faults, micros
	}
	without, slow := measure("HAF_NO_REEXEC=1")
	with, fast := measure()
	t.Logf("an execution with a 64 MB temporary: %d page faults and %.1f ms without the settings, %d and %.1f ms with them", without, float64(slow)/1e3, with, float64(fast)/1e3)
	if without < 1000 {
		t.Skip("this system's allocator does not have the trouble")
	}
	if with > without/20 {
		t.Errorf("%d page faults an execution with the settings, %d without: they do not take effect", with, without)
	}
}
