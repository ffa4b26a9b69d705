package tracking_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"haf/internal/tracking"
)

// TestRealTrackers has the trackers' own packages read a run, and a real MLflow server keep it. Its
// Python is HAF_TRACKERS, which make trackers sets.
func TestRealTrackers(t *testing.T) {
	python := os.Getenv("HAF_TRACKERS")
	if python == "" {
		t.Skip("HAF_TRACKERS is not set: run make trackers")
	}
	run := testRun(t)
	run.URI = startMLflow(t, python)
	open := func() *tracking.Tracker {
		t.Helper()
		tracker, err := tracking.Open(t.Context(), run, tracking.Names(), butSlowness(t))
		if err != nil {
			t.Fatal(err)
		}
		return tracker
	}
	first := open()
	first.Record(step(1, 0.5))
	if err := first.Finish(tracking.Interrupted); err != nil {
		t.Fatal(err)
	}
	again := open()
	again.Replay(step(1, 0.5))
	again.Record([]byte(validation))
	for n := 2; n <= 50; n++ {
		again.Record(step(n, 1/float64(n)))
	}
	if err := again.Finish(tracking.Finished); err != nil {
		t.Fatal(err)
	}
	type read struct {
		Values map[string][][2]float64
		Config map[string]string
		Texts  []string
		Name   string
		Status string
		Runs   int
		Exit   int
	}
	var got struct{ TensorBoard, WandB, MLflow read }
	command := exec.Command(python, "testdata/read.py", run.Dir, run.URI)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %.500s", err, out)
	}
	for name, r := range map[string]read{"tensorboard": got.TensorBoard, "wandb": got.WandB,
		"mlflow": got.MLflow} {
		losses := r.Values["train/loss"]
		if len(losses) != 50 || len(r.Values["eval/rewards/score/accuracy"]) != 1 {
			t.Errorf("%s has %d losses, want 50, of %d metrics", name, len(losses), len(r.Values))
			continue
		}
		for i, loss := range losses {
			want := 1 / float64(i+1)
			if i == 0 {
				want = 0.5
			}
			if loss[0] != float64(i+1) || math.Abs(loss[1]-want) > 1e-7 {
				t.Errorf("%s has %v, want step %d and %g", name, loss, i+1, want)
			}
		}
	}
	if texts := got.TensorBoard.Texts; len(texts) != 1 || !strings.Contains(texts[0], "train.lr") {
		t.Errorf("tensorboard's texts %q", texts)
	}
	if got.WandB.Config["train.lr"] != "1e-05" || got.WandB.Name != "first" || got.WandB.Exit != 0 {
		t.Errorf("wandb has %+v", got.WandB)
	}
	if m := got.MLflow; m.Runs != 1 || m.Status != "FINISHED" || m.Name != "first" ||
		m.Config["train.lr"] != "1e-05" {
		t.Errorf("mlflow has %d runs, %s, %q, %v", m.Runs, m.Status, m.Name, m.Config)
	}
}

// butSlowness fails the test if a tracker warns, unless it is of a server that is slow on a busy
// machine.
func butSlowness(t *testing.T) func(string, ...any) {
	return func(format string, args ...any) {
		if strings.Contains(format, "has not answered yet") {
			t.Logf(format, args...)
		} else {
			t.Errorf(format, args...)
		}
	}
}

// startMLflow starts a server on a free port and returns its URI once it answers.
func startMLflow(t *testing.T, python string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	dir := t.TempDir()
	command := exec.Command(python, "-m", "mlflow", "server", "--host", "127.0.0.1",
		"--port", fmt.Sprint(port), "--workers", "1",
		"--backend-store-uri", "sqlite:///"+filepath.Join(dir, "mlflow.db"),
		"--artifacts-destination", filepath.Join(dir, "artifacts"))
	command.Dir = dir
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = log, log
	command.WaitDelay = time.Second
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		command.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt) // it ends its workers
		<-ended
	})
	uri := fmt.Sprintf("http://127.0.0.1:%d", port)
	for range 240 {
		if tracking.ReachMLflow(t.Context(), uri, t.Logf) == nil {
			return uri
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("the MLflow server ended: %s", text)
		case <-time.After(time.Second / 2):
		}
	}
	text, _ := os.ReadFile(log.Name())
	t.Fatalf("the MLflow server does not answer: %s", text)
	return ""
}
