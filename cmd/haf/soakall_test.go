package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"haf/backend"
)

// usage is what a process holds.
type usage struct{ memory, files, goroutines float64 }

// TestSoakAll trains, evaluates and reloads for $HAF_SOAK_ALL (such as 15m), again and again in
// this process, while a server answers with the model that each turn makes anew. It wants the same
// rewards in every turn, and memory, open files and goroutines of both processes that stay as they
// are. `make soak-all` runs it.
func TestSoakAll(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("HAF_SOAK_ALL"))
	if err != nil {
		t.Skip("HAF_SOAK_ALL is no duration: `make soak-all` sets it")
	}
	s := startSoak(t)
	t.Chdir(s.dir)
	keepDevice(t)
	ctx, stop := context.WithTimeout(t.Context(), duration)
	defer stop()
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Go(func() { s.goodClient(ctx, worker) })
	}
	var here, server []usage
	for ctx.Err() == nil {
		s.turn()
		here, server = append(here, ofProcess(t)), append(server, s.ofServer())
	}
	wg.Wait()
	t.Logf("%d turns of train, evaluate and reload", len(here))
	for _, what := range []string{"good client: answered", "reload"} {
		t.Logf("%-28s %d", what, s.counts[what])
	}
	flat(t, "trainer", here)
	flat(t, "server", server)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("the server is gone: %v", err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	for _, f := range s.failures {
		t.Error(f)
	}
	if s.counts["good client: answered"] == 0 || len(here) < 8 {
		t.Error("the load did not do what it was to do")
	}
}

// keepDevice has all commands of this process run on one device, as the trainings of haf paper do.
func keepDevice(t *testing.T) {
	t.Helper()
	device, err := openBackend(os.Getenv("HAF_DEVICE"))
	if err != nil {
		t.Fatal(err)
	}
	former := openBackend
	openBackend = func(string) (*backend.Device, error) { return device, nil }
	t.Cleanup(func() { openBackend = former })
}

// turn makes the served model anew and has it loaded.
func (s *soak) turn() {
	s.t.Helper()
	for _, line := range []string{
		"train tiny.toml -out next", "eval next -data test.jsonl -limit 64",
	} {
		var stdout, stderr bytes.Buffer
		if code := execute(strings.Fields(line), &stdout, &stderr); code != exitDone {
			s.t.Fatalf("haf %s: exit code %d\n%s", line, code, stderr.String())
		}
	}
	for _, move := range [][2]string{{"run", "former"}, {"next", "run"}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.fail("reload: %v", err)
	}
	if err := os.RemoveAll("former"); err != nil {
		s.t.Fatal(err)
	}
	s.count("reload")
}

// ofProcess is what this process holds. Garbage is collected first.
func ofProcess(t *testing.T) usage {
	t.Helper()
	runtime.GC()
	u := usage{goroutines: float64(runtime.NumGoroutine())}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil { // else not on this system
		u.files = float64(len(files))
	}
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		pages, err := strconv.ParseFloat(strings.Fields(string(statm))[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		u.memory = pages * float64(os.Getpagesize())
	}
	return u
}

// ofServer is what the server says that it holds.
func (s *soak) ofServer() usage {
	return usage{s.metric("process_resident_memory_bytes"), s.metric("process_open_fds"),
		s.metric("go_goroutines")}
}

// flat compares the second quarter of a process's life with the last one. Clients come and go, so
// files and goroutines may differ by a few.
func flat(t *testing.T, process string, all []usage) {
	t.Helper()
	n := len(all)
	for _, m := range []struct {
		name     string
		of       func(usage) float64
		unit     float64
		relative float64
		absolute float64
	}{
		{"memory in MB", func(u usage) float64 { return u.memory }, 1e6, 0.05, 10},
		{"open files", func(u usage) float64 { return u.files }, 1, 0, 8},
		{"goroutines", func(u usage) float64 { return u.goroutines }, 1, 0, 12},
	} {
		var x []float64
		for _, u := range all {
			x = append(x, m.of(u)/m.unit)
		}
		before, after := middle(x[n/4:n/2]), middle(x[3*n/4:])
		t.Logf("%s: %s: %.1f in the second quarter, %.1f in the last", process, m.name, before, after)
		if after-before > math.Max(m.relative*before, m.absolute) {
			t.Errorf("%s: %s went from %.1f to %.1f", process, m.name, before, after)
		}
	}
}
