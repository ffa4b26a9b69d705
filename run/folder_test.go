package run_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/run"
)

func create(t *testing.T, dir string) *run.Folder {
	t.Helper()
	folder, err := run.Create(dir, map[string]int{"format": run.ManifestFormat})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	return folder
}

// TestVacant lists what a new run may not be put into.
func TestVacant(t *testing.T) {
	for _, name := range []string{
		run.ManifestName, run.ModelName, run.CheckpointsName, run.BestName, run.MetricsName,
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, start := range []func() error{
			func() error { _, err := run.Create(dir, nil); return err },
			func() error { _, err := run.Start(run.VerbTrain, dir); return err },
		} {
			if err := start(); err == nil || !strings.Contains(err.Error(), "choose another folder") {
				t.Errorf("a folder with %s: got %v", name, err)
			}
		}
	}
}

// TestOpen removes what a crash left, and refuses folders without a run to resume.
func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*") // no pattern
	if err := create(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".writing-1", ".model-1",
		filepath.Join("checkpoints", ".writing-1")} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		folder, err := run.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := folder.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s, which a crash left, is still there", name)
		}
	}
	if _, err := run.Open(t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "is no run folder") {
		t.Errorf("without a manifest: got %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, run.ModelName), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Open(dir); err == nil || !strings.Contains(err.Error(), "is finished") {
		t.Errorf("with a model: got %v", err)
	}
}

// TestOpenMetrics removes the records that a resumed run repeats.
func TestOpenMetrics(t *testing.T) {
	dir := t.TempDir()
	folder := create(t, dir)
	const lines = `{"kind":"step","step":1}` + "\n" + `{"kind":"step","step":2}` + "\n" +
		`{"kind":"eval","step":2}` + "\n" + `{"kind":"step","step":3}` + "\n" + `{"kind":"ste`
	for _, c := range []struct {
		step int
		due  bool
		want int // lines kept
	}{{3, false, 4}, {2, false, 3}, {2, true, 2}, {0, false, 0}} {
		if err := os.WriteFile(filepath.Join(dir, run.MetricsName), []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := folder.OpenMetrics(&run.State{Step: c.step}, c.due); err != nil {
			t.Fatal(err)
		}
		if err := folder.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, run.MetricsName))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(got), "\n"); n != c.want {
			t.Errorf("resumed after step %d, validation due %v: %d lines are kept, want %d",
				c.step, c.due, n, c.want)
		}
	}
}

// TestDamagedMetrics names a line in the middle that is no record.
func TestDamagedMetrics(t *testing.T) {
	dir := t.TempDir()
	folder := create(t, dir)
	const lines = `{"kind":"step","step":1}` + "\n" + `{"kind":"st` + "\n" +
		`{"kind":"step","step":3}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, run.MetricsName), []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	err := folder.OpenMetrics(&run.State{Step: 3}, false)
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v", err)
	}
}

// TestLock lets one process at a time work in a folder. Locks of one process exclude each other as
// those of two do.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	folder := create(t, dir)
	for _, open := range []func() error{
		func() error { _, err := run.Open(dir); return err },
		func() error { _, err := run.Resume(run.VerbTrain, dir); return err },
	} {
		err := open()
		if err == nil || !strings.Contains(err.Error(),
			fmt.Sprintf("in use by process %d on ", os.Getpid())) {
			t.Errorf("got %v", err)
		}
	}
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
