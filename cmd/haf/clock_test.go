package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"haf/internal/shared"
)

// How package time reads the clock, and how it reads one that is right, then a day behind, then a
// year ahead, each for a fifth of a second. The monotonic clock stays as it is.
const (
	steadyClock  = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	jumpingClock = "\tsec, nsec, mono := runtimeNow()\n" +
		"\tsec += [...]int64{0, -86400, 31536000}[mono/200_000_000%3]\n\tif mono == 0 {"
)

// TestClock runs and kills each command in a program whose clock jumps, at other moments in the
// process that resumes than in the one that was killed. It wants the result of the undisturbed run
// by a steady clock, to the bit. `make clock` runs it: it compiles Go's library anew.
func TestClock(t *testing.T) {
	if os.Getenv("HAF_CLOCK") == "" {
		t.Skip("it compiles Go's library anew: `make clock` runs it")
	}
	c := newChaos(t, rand.New(rand.NewPCG(0, 0)), false)
	program := buildJumping(t)
	for _, k := range killables() {
		c.begin()
		c.program = ""
		began := time.Now()
		c.run(k.command, 0)
		want, took := c.result(k), time.Since(began)
		c.begin()
		c.program = program
		before := c.kills
		c.torture(k, took)
		if got := c.result(k); got != want {
			t.Errorf("%s by a clock that jumps: got %s\nwant %s", k.name, got, want)
		}
		t.Logf("%s: killed %d times", k.name, c.kills-before)
	}
}

// buildJumping builds haf with a clock that jumps. Only the package time is another.
func buildJumping(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text := string(readFile(t, source))
	if !strings.Contains(text, steadyClock) {
		t.Fatalf("%s reads the clock in another way than %q", source, steadyClock)
	}
	dir := t.TempDir()
	other, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json")
	replaced, err := json.Marshal(map[string]any{"Replace": map[string]string{source: other}})
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{overlay: replaced,
		other: []byte(strings.Replace(text, steadyClock, jumpingClock, 1))} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "haf")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", program, "haf/cmd/haf")
	build.Dir = shared.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}
