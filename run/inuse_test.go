package run_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

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

// TestInUseElsewhere wants a run on another machine, whose locks this one does not list, to count
// as running while its records are new, and no longer.
func TestInUseElsewhere(t *testing.T) {
	dir := t.TempDir() + "/run"
	f, err := run.Create(dir, map[string]int{"format": run.ManifestFormat})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	metrics := filepath.Join(dir, run.MetricsName)
	for name, text := range map[string]string{
		".lock": "process 7 on another-machine\n", run.MetricsName: "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !run.InUse(dir) {
		t.Error("a run on another machine with new records is not in use")
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(metrics, old, old); err != nil {
		t.Fatal(err)
	}
	if run.InUse(dir) {
		t.Error("a run on another machine whose records are an hour old is in use")
	}
}
