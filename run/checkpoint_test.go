package run_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/run"
)

// state is what a loop would keep.
type state struct {
	run.State
	Extra string `json:"extra"`
}

func opened(t *testing.T) *run.Folder {
	t.Helper()
	folder := create(t, t.TempDir())
	if err := folder.OpenMetrics(&run.State{}, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	return folder
}

// write returns what fills a checkpoint with one file.
func write(text string) func(dir string) error {
	return func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "weights"), []byte(text), 0o644)
	}
}

// TestCheckpoints keeps the newest two by number, also where names grow, and reads the newest one.
func TestCheckpoints(t *testing.T) {
	folder := opened(t)
	for _, step := range []int{20, 999999, 1000000} {
		s := &state{run.State{Step: step, Fingerprint: "a"}, "kept"}
		if err := folder.SaveCheckpoint(s, write("x")); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(folder.Join(run.CheckpointsName))
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d checkpoints, want 2: %v", len(entries), err)
	}
	got := state{State: run.State{Fingerprint: "a"}}
	path, err := folder.ReadState(&got, t.Logf)
	if err != nil || path != folder.CheckpointPath(1000000) || got.Step != 1000000 ||
		got.Extra != "kept" {
		t.Errorf("read %+v from %s: %v", got, path, err)
	}
	other := state{State: run.State{Fingerprint: "b"}}
	if _, err := folder.ReadState(&other, t.Logf); err == nil ||
		!strings.Contains(err.Error(), "another recipe") {
		t.Errorf("a checkpoint of another fingerprint: %v", err)
	}
}

// TestCheckpointWhole leaves nothing of a checkpoint that could not be written.
func TestCheckpointWhole(t *testing.T) {
	folder, failed := opened(t), errors.New("disk full")
	err := folder.SaveCheckpoint(&state{}, func(dir string) error {
		return errors.Join(write("half")(dir), failed)
	})
	if !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	entries, err := os.ReadDir(folder.Join(run.CheckpointsName))
	if err != nil || len(entries) != 0 {
		t.Errorf("%v is left: %v", entries, err)
	}
	if path, err := folder.ReadState(&state{}, t.Logf); path != "" || err != nil {
		t.Errorf("read %q: %v", path, err)
	}
}

// TestSaveBest replaces the folder of the best weights.
func TestSaveBest(t *testing.T) {
	folder := opened(t)
	for _, text := range []string{"first", "second"} {
		if err := folder.SaveBest(run.Best{Step: 1}, write(text)); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(folder.Join(run.BestName, "weights"))
	if err != nil || string(data) != "second" {
		t.Errorf("best holds %q: %v", data, err)
	}
	if left, _ := filepath.Glob(folder.Join(".writing-*")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// TestImproves prefers accuracy, then the lower loss, and keeps the earlier of equal validations.
func TestImproves(t *testing.T) {
	best := &run.Best{Accuracy: 0.7, Loss: 0.5}
	for _, c := range []struct {
		of             *run.Best
		accuracy, loss float64
		want           bool
	}{
		{nil, 0, 9, true}, {best, 0.8, 9, true}, {best, 0.7, 0.4, true}, {best, 0.7, 0.5, false},
		{best, 0.6, 0.1, false},
	} {
		if got := c.of.Improves(c.accuracy, c.loss); got != c.want {
			t.Errorf("accuracy %g, loss %g improves %+v: %v", c.accuracy, c.loss, c.of, got)
		}
	}
}

// TestDamagedCheckpoint goes back to the newest intact checkpoint when a byte is flipped, cut off,
// added or a file is gone, and says so.
func TestDamagedCheckpoint(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"flipped": func(path string) error { return os.WriteFile(path, []byte("y"), 0o644) },
		"cut":     func(path string) error { return os.Truncate(path, 0) },
		"gone":    os.Remove,
		"added":   func(path string) error { return os.WriteFile(path+"2", []byte("x"), 0o644) },
		"no sums": func(path string) error {
			return os.Remove(filepath.Join(filepath.Dir(path), "SHA256SUMS"))
		},
	} {
		folder := opened(t)
		for _, step := range []int{10, 20} {
			s := &state{run.State{Step: step}, ""}
			if err := folder.SaveCheckpoint(s, write("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := damage(filepath.Join(folder.CheckpointPath(20), "weights")); err != nil {
			t.Fatal(err)
		}
		var said []string
		logf := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
		var got state
		path, err := folder.ReadState(&got, logf)
		if err != nil || path != folder.CheckpointPath(10) || got.Step != 10 {
			t.Errorf("%s: read step %d from %s: %v", name, got.Step, path, err)
		}
		if len(said) != 2 || !strings.Contains(said[0], folder.CheckpointPath(20)) {
			t.Errorf("%s: said %q", name, said)
		}
		if err := damage(filepath.Join(folder.CheckpointPath(10), "weights")); err != nil {
			t.Fatal(err)
		}
		if _, err := folder.ReadState(&got, t.Logf); !errors.Is(err, run.ErrNoCheckpoint) ||
			!strings.Contains(err.Error(), folder.CheckpointPath(10)+": ") ||
			!strings.HasSuffix(err.Error(), "start over in another folder") {
			t.Errorf("%s: with none intact: %v", name, err)
		}
	}
}

// TestReadBest refuses best weights that are damaged or of another step.
func TestReadBest(t *testing.T) {
	folder := opened(t)
	if _, err := folder.ReadBest(run.Best{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without best weights: %v", err)
	}
	if err := folder.SaveBest(run.Best{Step: 3}, write("x")); err != nil {
		t.Fatal(err)
	}
	if path, err := folder.ReadBest(run.Best{Step: 3}); err != nil ||
		path != folder.Join(run.BestName) {
		t.Errorf("read %s: %v", path, err)
	}
	if _, err := folder.ReadBest(run.Best{Step: 2}); err == nil {
		t.Error("the weights of step 3 were read as those of step 2")
	}
	if err := os.WriteFile(folder.Join(run.BestName, "weights"), []byte("y"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.ReadBest(run.Best{Step: 3}); err == nil ||
		!strings.Contains(err.Error(), "is damaged") {
		t.Errorf("damaged: %v", err)
	}
}
