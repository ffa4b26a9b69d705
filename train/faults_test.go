package train_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"haf/internal/durable"
	"haf/run"
	"haf/train"
)

// TestEveryWriteFails makes operations on the file system of a run fail in turn, once as a disk
// that makes an error and once as one that stays full from there on. The run says so, or needs the
// file not; and resumed, it ends as the run without a fault. Every 29th operation takes its turn;
// with HAF_CHAOS of 100 or more, as make kills sets it, every one.
func TestEveryWriteFails(t *testing.T) {
	s := small{lora: true, options: func(o *train.Options) {
		o.Batch, o.MaxSteps, o.EvalEvery, o.CheckpointEvery = 3, 3, 2, 1
	}, data: func(d *train.Data) {
		d.Train, d.Valid, d.ValidGroups = d.Train[:6], d.Valid[:2], d.ValidGroups[:2]
	}}
	var total int
	restore := durable.SetFault(func(durable.Op, string) error { total++; return nil })
	_, whole, err := s.fresh(t)
	restore()
	if err != nil {
		t.Fatal(err)
	}
	every := 29
	if kills, _ := strconv.Atoi(os.Getenv("HAF_CHAOS")); kills >= 100 {
		every = 1
	}
	tried := 0
	for n := 1; n <= total && !t.Failed(); n += every {
		for _, full := range []bool{false, true} {
			s.faulty(t, whole, n, full)
			tried++
		}
	}
	t.Logf("%d faults at the %d operations of a run", tried, total)
}

// faulty runs with a fault at the n-th operation, resumes without it, and compares the run with
// that in the folder whole.
func (s small) faulty(t *testing.T, whole string, n int, full bool) {
	dir := filepath.Join(t.TempDir(), "run")
	var asked int
	var at string
	restore := durable.SetFault(func(op durable.Op, path string) error {
		asked++
		if asked == n {
			at = fmt.Sprint(op, " ", path)
		}
		if asked == n || full && asked > n {
			return syscall.ENOSPC
		}
		return nil
	})
	folder, err := run.Create(dir, map[string]string{})
	if err == nil {
		_, err = s.run(t, t.Context(), folder)
		err = errors.Join(err, folder.Close())
	}
	restore()
	switch {
	case err != nil && !errors.Is(err, syscall.ENOSPC):
		t.Fatalf("%s: %v", at, err)
	case err == nil && !run.Finished(dir):
		t.Fatalf("%s: no error and no model", at)
	case run.Finished(dir):
	case run.Exists(dir):
		err = s.resume(t, dir)
	default:
		_, err = s.run(t, t.Context(), newFolder(t, dir))
	}
	if err != nil && !run.Finished(dir) {
		t.Fatalf("after %s: %v", at, err)
	}
	sameRun(t, whole, dir, "adapter_model.safetensors")
	if t.Failed() {
		t.Logf("the fault was at %s", at)
	}
}
