package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFolder has what a new run may not be put into, and what a crash leaves.
func TestFolder(t *testing.T) {
	for _, name := range []string{ManifestName, ModelName, CheckpointsName, bestName, MetricsName} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Create(dir, nil); err == nil || !strings.Contains(err.Error(), "choose another folder") {
			t.Errorf("a folder with %s: got %v", name, err)
		}
	}
	dir := t.TempDir()
	newFolder(t, dir)
	left := filepath.Join(dir, CheckpointsName, temporaryPrefix+"1")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	resume(t, dir)
	if _, err := os.Stat(left); err == nil {
		t.Error("what a crash left is still there")
	}
	if _, err := Resume(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no run folder") {
		t.Errorf("got %v", err)
	}
}

// TestMetricsAgain removes what is about to be recorded again.
func TestMetricsAgain(t *testing.T) {
	dir := t.TempDir()
	folder := newFolder(t, dir)
	const lines = `{"kind":"step","step":1}` + "\n" + `{"kind":"step","step":2}` + "\n" + `{"kind":"eval","step":2}` + "\n" + `{"kind":"step","step":3}` + "\n" + `{"kind":"ste`
	for _, c := range []struct {
		step int
		due  bool
		want int // lines kept
	}{{3, false, 4}, {2, false, 3}, {2, true, 2}, {0, false, 0}} {
		if err := os.WriteFile(filepath.Join(dir, MetricsName), []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := folder.OpenMetrics(c.step, c.due); err != nil {
			t.Fatal(err)
		}
		if err := folder.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, MetricsName))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(got), "\n"); n != c.want {
			t.Errorf("resumed after step %d, validation due %v: %d lines are kept, want %d", c.step, c.due, n, c.want)
		}
	}
}

// TestCheckpointOrder sorts by number: the newest must not be deleted when names grow.
func TestCheckpointOrder(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []int{1000000, 999999, 20} {
		if err := os.Mkdir(filepath.Join(dir, checkpointName(step)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	names, err := checkpoints(dir)
	if err != nil || len(names) != 3 || names[2] != checkpointName(1000000) || names[0] != checkpointName(20) {
		t.Errorf("%v, %v", names, err)
	}
}
