package run_test

import (
	"runtime"
	"testing"

	"haf/run"
)

// TestInUse wants the lock of a run to be seen, by its holder too, and no longer than it is held.
func TestInUse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the system does not list locks")
	}
	dir := t.TempDir() + "/run"
	if run.InUse(dir) {
		t.Error("a folder that is not there is in use")
	}
	f, err := run.Create(dir, map[string]int{"format": run.ManifestFormat})
	if err != nil {
		t.Fatal(err)
	}
	if !run.InUse(dir) {
		t.Error("the run is not in use while its folder is locked")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if run.InUse(dir) {
		t.Error("the run is in use after its folder was closed")
	}
	if run.PeakMemory() < 1<<20 {
		t.Errorf("peak memory %d bytes", run.PeakMemory())
	}
}
