package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"haf/backend"
	"haf/internal/shared"
	"haf/pack"
	"haf/reward"
	"haf/train"
)

// memoryRecipe trains an adapter on short pairs in one program of 1024 positions.
const memoryRecipe = `
[model]
path = %q
max_length = 512
[data]
train = [%q]
limit = 12
valid_fraction = 0
[lora]
rank = 16
[train]
max_steps = 1
batch = 6
tokens_per_batch = 1024
checkpointing = %q
`

// TestPlannedMemory compares the memory that `haf train -plan` states with the largest that the run
// takes from the system, for a real model: they differ by no more than 15 %.
func TestPlannedMemory(t *testing.T) {
	long(t)
	model := shared.Model(t, "smollm2-135m-instruct")
	data := shared.Path(t, "data/hh/helpful-base.test.jsonl.gz")
	device, err := backend.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	if device.Kind() != backend.KindCPU {
		t.Skipf("the device is %s: the test measures the process, where a CPU's memory is", device.Kind())
	}
	for _, checkpointing := range []string{"none", "selective"} {
		dir := t.TempDir()
		name := filepath.Join(dir, "recipe.toml")
		text := fmt.Sprintf(memoryRecipe, model, data, checkpointing)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		planned := planOf(t, name)
		measured := peakOf(t, "train", name, "-out", filepath.Join(dir, "run"))
		t.Logf("%s: planned %.2f GB, measured %.2f GB", checkpointing, planned/1e9, measured/1e9)
		if math.Abs(measured/planned-1) > 0.15 {
			t.Errorf("%s: planned %.2f GB, measured %.2f GB: they differ by more than 15 %%",
				checkpointing, planned/1e9, measured/1e9)
		}
	}
}

// planOf is the memory that the plan of a recipe states, in bytes.
func planOf(t *testing.T, recipe string) float64 {
	t.Helper()
	out, err := haf(t, "-json", "train", recipe, "-plan").Output()
	if err != nil {
		t.Fatal(err)
	}
	var plan struct {
		Run struct{ Memory train.Memory } `json:"run"`
	}
	if err := json.Unmarshal(out, &plan); err != nil {
		t.Fatal(err)
	}
	return float64(plan.Run.Memory.Total())
}

// peakOf runs haf and returns its largest resident memory, in bytes. What the system tells of a
// process that has ended includes the memory of the one that started it, so it is read meanwhile.
func peakOf(t *testing.T, args ...string) float64 {
	t.Helper()
	cmd := haf(t, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	peak := 0.0
	for {
		select {
		case err := <-ended:
			switch {
			case err != nil:
				t.Fatalf("haf %v: %v\n%s", args, err, stderr.String())
			case peak == 0:
				t.Skip("the system does not tell a process's largest memory")
			}
			return peak
		case <-time.After(2 * time.Millisecond):
		}
		// an error is that of a process that has just ended, or of a system without the file
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		_, after, _ := strings.Cut(string(status), "VmHWM:")
		var kib float64
		if n, _ := fmt.Sscanf(after, "%f kB", &kib); n == 1 {
			peak = max(peak, kib*1024)
		}
	}
}

// haf is the program under test as a command.
func haf(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("haf")
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(program, args...)
}

// TestReadMemory compares the memory that haf expects of reading a long text with the largest that
// the process takes from the system beside a short one's: no less than half of it, and never more,
// so that what fits is not refused.
func TestReadMemory(t *testing.T) {
	long(t)
	model := shared.Path(t, "models/stories260k")
	device, err := backend.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	if device.Kind() != backend.KindCPU {
		t.Skipf("the device is %s: the test measures the process, where a CPU's memory is", device.Kind())
	}
	opened, err := reward.OpenWithoutWeights(model, reward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	peak := func(words int) float64 {
		return peakOf(t, "explain", model, "-prompt", "Tell me a story.", "-response",
			strings.Repeat("the ", words), "-max-length", "8192")
	}
	measured := peak(4000) - peak(4)
	expected := float64(opened.ReadMemory(reward.ScoreHead, pack.Shape{Rows: 1, Length: 4096}))
	t.Logf("expected %.2f GB, measured %.2f GB", expected/1e9, measured/1e9)
	if expected > measured || expected < measured/2 {
		t.Errorf("expected %.2f GB, measured %.2f GB: want between half and all of it", expected/1e9,
			measured/1e9)
	}
}
