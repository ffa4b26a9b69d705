package run_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/run"
)

func create(t *testing.T, dir string) *run.Folder {
	t.Helper()
	folder, err := run.Create(dir, map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
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
	dir := t.TempDir()
	create(t, dir)
	for _, name := range []string{".writing-1", ".model-1", filepath.Join("checkpoints", ".writing-1")} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := run.Open(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s, which a crash left, is still there", name)
		}
	}
	if _, err := run.Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no run folder") {
		t.Errorf("without a manifest: got %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, run.ModelName), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Open(dir); err == nil || !strings.Contains(err.Error(), "is finished") {
		t.Errorf("with a model: got %v", err)
	}
}

// TestOpenMetrics removes the records that a resumed run makes again.
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
		if err := folder.OpenMetrics(c.step, c.due); err != nil {
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
