package tracking_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/internal/tracking"
)

// TestLinks refuses to write through a link of a run folder, and leaves the place that it leads to
// as it is.
func TestLinks(t *testing.T) {
	run := testRun(t)
	open(t, run, tracking.WandB) // so that the run has an id, and files with it
	logs, err := filepath.Glob(filepath.Join(run.Dir, "wandb", "offline-run-*", "*.wandb"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	log, err := filepath.Rel(run.Dir, logs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ tracker, link string }{
		{tracking.TensorBoard, "tensorboard"},
		{tracking.WandB, "wandb"},
		{tracking.WandB, filepath.Dir(log)},
		{tracking.WandB, filepath.Join(filepath.Dir(log), "files")},
		{tracking.WandB, log},
	} {
		t.Run(c.link, func(t *testing.T) {
			outside := t.TempDir()
			kept := filepath.Join(outside, "events.out.tfevents.1.haf")
			if err := os.WriteFile(kept, []byte("mine"), 0o644); err != nil {
				t.Fatal(err)
			}
			to := outside
			if c.link == log {
				to = kept
			}
			at := filepath.Join(run.Dir, c.link)
			moved := at + ".moved"
			if err := os.Rename(at, moved); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if err := os.Symlink(to, at); err != nil {
				t.Fatal(err)
			}
			tracker, err := tracking.Open(t.Context(), run, []string{c.tracker}, noWarning(t))
			if err == nil {
				_ = tracker.Finish(tracking.Finished)
			}
			if err == nil || !strings.Contains(err.Error(), at) ||
				!strings.Contains(err.Error(), c.tracker) {
				t.Errorf("the answer is %v, want the tracker and %s", err, at)
			}
			entries, err := os.ReadDir(outside)
			if err != nil || len(entries) != 1 {
				t.Errorf("%d files behind the link, %v", len(entries), err)
			}
			if data, err := os.ReadFile(kept); err != nil || string(data) != "mine" {
				t.Errorf("the file behind the link is %q, %v", data, err)
			}
			if err := os.Remove(at); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(moved, at); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		})
	}
	state := filepath.Join(run.Dir, tracking.StateName)
	err = os.WriteFile(state, []byte(`{"wandb_run_id":"../../../../x"}`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tracking.Open(t.Context(), run, []string{tracking.WandB}, noWarning(t))
	if err == nil || !strings.Contains(err.Error(), "W&B id") {
		t.Errorf("an id that is a path: %v", err)
	}
}
