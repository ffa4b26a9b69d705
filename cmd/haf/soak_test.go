package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"haf/pref"
	"haf/recipe"
)

// TestSoak asks a served model of the demo for $HAF_SOAK (such as 2m) by clients of every kind,
// with faults and reloads, and wants no wrong answer, no failure, a reason for every refusal, and a
// memory that stays as it is. `make soak` runs it.
func TestSoak(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("HAF_SOAK"))
	if err != nil {
		t.Skip("HAF_SOAK is no duration: `make soak` sets it")
	}
	s := startSoak(t)
	ctx, stop := context.WithTimeout(t.Context(), duration)
	defer stop()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() { s.goodClient(ctx, worker) })
	}
	for _, work := range []func(context.Context, *rand.Rand){s.dialects, s.dialects, s.vanish, s.slow,
		s.garbage, s.oversized, s.stranger, s.burst} {
		seed := rand.Uint64()
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for ctx.Err() == nil {
				work(ctx, random)
			}
		})
	}
	wg.Go(func() { s.reload(ctx, min(time.Minute, duration/8)) })
	var memory []float64
	wg.Go(func() {
		for ctx.Err() == nil {
			memory = append(memory, s.memory())
			pause(ctx, duration/200)
		}
	})
	wg.Wait()
	s.finish(memory)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

type soak struct {
	t       *testing.T
	dir     string
	cmd     *exec.Cmd
	ended   chan error
	stderr  *safeBuffer
	url     string
	samples []pref.Sample
	texts   []string // of the samples, by the model's template
	want    []float64

	mu       sync.Mutex
	counts   map[string]int
	failures []string
}

const (
	soakToken   = "soak-0123456789abcdef"
	soakMaxBody = 1 << 20
)

// startSoak trains a small model, has its rewards scored without a server, and serves it.
func startSoak(t *testing.T) *soak {
	dir := t.TempDir()
	program := filepath.Join(dir, "haf")
	haf := func(args ...string) []byte {
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("haf %v: %v\n%s", args, err, stderr.String())
		}
		return out
	}
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := recipe.WriteDemo(dir, 1); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tiny.toml"), []byte(tinyRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	haf("train", "tiny.toml", "-out", "run")

	s := &soak{t: t, dir: dir, counts: map[string]int{}, stderr: &safeBuffer{},
		ended: make(chan error, 1)}
	var lines bytes.Buffer
	for i := range 64 {
		prompt := strings.TrimSpace(strings.Repeat("what does the fox eat ", 1+i/4%3))
		sample := pref.Sample{Prompt: []pref.Message{{Role: pref.User, Content: prompt}},
			Response: strings.TrimSpace("the fox eats " + strings.Repeat("mice and berries ", i%11))}
		s.samples = append(s.samples, sample)
		s.texts = append(s.texts, "<s>"+prompt+" : "+sample.Response+"</s>")
		line, err := json.Marshal(sample)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	if err := os.WriteFile(filepath.Join(dir, "samples.jsonl"), lines.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(haf("-json", "score", "run", "-in", "samples.jsonl"))) {
		var scored struct{ Reward float64 }
		if err := json.Unmarshal([]byte(line), &scored); err != nil {
			t.Fatal(err)
		}
		s.want = append(s.want, scored.Reward)
	}

	s.cmd = exec.Command(program, "serve", "run", "-addr", "127.0.0.1:0", "-max-length", "64",
		"-tokens-per-batch", "256", "-max-queue", "4000", "-read-timeout", "2s", "-max-body",
		strconv.Itoa(soakMaxBody), "-log", "warn")
	s.cmd.Dir, s.cmd.Stderr = dir, s.stderr
	s.cmd.Env = append(os.Environ(), "HAF_TOKENS=soak "+soakToken)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	address := make([]byte, 100)
	n, err := out.Read(address)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.stderr.String())
	}
	s.url = strings.TrimSpace(string(address[:n]))
	go func() { s.ended <- s.cmd.Wait() }()
	client, err := s.client()
	if err != nil {
		t.Fatal(err)
	}
	// it asks until the server is ready
	if _, err := client.Score(t.Context(), s.samples); err != nil {
		t.Fatalf("%v\n%s", err, s.stderr.String())
	}
	return s
}

// reload has the model loaded anew.
func (s *soak) reload(ctx context.Context, every time.Duration) {
	for {
		if pause(ctx, every); ctx.Err() != nil {
			return
		}
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			s.fail("reload: %v", err)
		}
		s.count("reload")
	}
}

// memory is the server's resident memory in bytes.
func (s *soak) memory() float64 { return s.metric("process_resident_memory_bytes") }

// metric is a value of the server's own metrics, 0 where it has none of the name.
func (s *soak) metric(name string) float64 {
	request, err := http.NewRequest(http.MethodGet, s.url+"/metrics", nil)
	if err != nil {
		return 0
	}
	request.Header.Set("Authorization", "Bearer "+soakToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.fail("metrics: %v", err)
		return 0
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.fail("metrics: %v", err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(data)
	if found == nil {
		return 0 // not on this system
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		s.fail("metrics: %v", err)
	}
	return value
}

// finish ends the server and judges.
func (s *soak) finish(memory []float64) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("the server is gone: %v", err)
	}
	if err := <-s.ended; err != nil {
		s.t.Errorf("the server ended with %v", err)
	}
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		s.t.Logf("%-28s %d", what, s.counts[what])
	}
	for i, f := range s.failures {
		if i == 20 {
			s.t.Errorf("… and %d more", len(s.failures)-i)
			break
		}
		s.t.Error(f)
	}
	if s.counts["good client: answered"] == 0 || s.counts["dialect: 200"] == 0 ||
		s.counts["burst: 429"] == 0 {
		s.t.Error("the load did not do what it was to do: nobody was answered, or nothing was too much")
	}
	if log := s.stderr.String(); strings.Contains(log, "level=ERROR") ||
		strings.Contains(log, "panic") {
		s.t.Errorf("the server's log: %.2000s", log)
	}
	// The first quarter warms up: buffers, the heap's size, the second model of the first reloads.
	n := len(memory)
	before, after := middle(memory[n/4:n/2]), middle(memory[3*n/4:])
	s.t.Logf("memory: %.1f MB in the second quarter, %.1f MB in the last", before/1e6, after/1e6)
	if before > 0 && math.Abs(after/before-1) > 0.05 {
		s.t.Errorf("memory went from %.1f to %.1f MB, want ± 5 %%", before/1e6, after/1e6)
	}
}

func middle(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(x))
	return sorted[len(sorted)/2]
}
