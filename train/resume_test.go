package train_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/objective"
	"haf/optim"
	"haf/reward"
	"haf/run"
	"haf/train"
)

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, errX := os.ReadFile(a)
	y, errY := os.ReadFile(b)
	if errX != nil || errY != nil {
		t.Error(errX, errY)
	}
	return bytes.Equal(x, y)
}

// TestResume stops runs at several steps, politely and as a kill −9 would, and compares what
// follows, and the final model, with a run that was never stopped: bit for bit, though less memory
// is available then. Pure Go takes all cases, the fastest device one of them.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		name, device string
		lora         bool
		stops        []int // steps after which a run is interrupted
	}{
		{"full", "go", false, []int{1, 3}},
		{"lora", "go", true, []int{1, 3}},
		{"device", cmp.Or(os.Getenv("HAF_DEVICE"), "auto"), true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			testResume(t, small{device: c.device, lora: c.lora}, c.stops)
		})
	}
}

func testResume(t *testing.T, plenty small, stops []int) {
	little := plenty
	plenty.options = func(o *train.Options) { o.AvailableMemory = 1 << 40 }
	little.options = func(o *train.Options) { o.AvailableMemory = 1 }
	whole, killed := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "killed")
	uninterrupted := plenty
	uninterrupted.at = func(done int) {
		if done == 5 { // the disk at this moment is what a kill −9 would leave
			if err := os.CopyFS(killed, os.DirFS(whole)); err != nil {
				t.Error(err)
			}
		}
	}
	result, err := uninterrupted.run(t, t.Context(), newFolder(t, whole))
	if err != nil {
		t.Fatal(err)
	}
	if result.Steps < 6 || math.Abs(result.FirstLoss-1.2*math.Ln2) > 1e-5 {
		t.Fatalf("%d steps, first loss %v: want at least 6 and 1.2 ln 2",
			result.Steps, result.FirstLoss)
	}
	model := "model.safetensors"
	if plenty.lora {
		model = "adapter_model.safetensors"
	}
	if err := little.resume(t, killed); err != nil {
		t.Fatal(err)
	}
	sameRun(t, whole, killed, model)
	for _, step := range stops {
		t.Run(fmt.Sprintf("interrupted at step %d", step), func(t *testing.T) {
			dir := plenty.stopped(t, step)
			if err := little.resume(t, dir); err != nil {
				t.Fatal(err)
			}
			sameRun(t, whole, dir, model)
		})
	}
}

// TestLearns trains by all three objectives until the training comparisons are learned.
func TestLearns(t *testing.T) {
	for name, h := range map[string]objective.Hybrid{
		"baseline": hybrid(1, 0, 0.1), "dpo": hybrid(0, 1, 0.1), "haf": objective.Default(),
	} {
		t.Run(name, func(t *testing.T) {
			result, _, err := small{options: func(o *train.Options) {
				o.Objective, o.Epochs, o.Batch, o.EvalEvery = h, 4, 4, 10
			}}.fresh(t)
			if err != nil {
				t.Fatal(err)
			}
			first := (h.RewardWeight + h.PolicyWeight) * math.Ln2
			if math.Abs(result.FirstLoss-first) > 1e-5 {
				t.Errorf("first loss is %v, want %v", result.FirstLoss, first)
			}
			if result.Best.Accuracy < 0.75 || result.LastLoss > 0.85*first {
				t.Errorf("validation accuracy is %v and the last loss %v (first %v) after training on "+
					"separable pairs", result.Best.Accuracy, result.LastLoss, first)
			}
		})
	}
}

// TestBfloat16 trains in bfloat16, where the rounding of the body shows but the heads are float32.
func TestBfloat16(t *testing.T) {
	for _, lora := range []bool{false, true} {
		result, _, err := small{dtype: "bfloat16", lora: lora}.fresh(t)
		if err != nil {
			t.Fatal(err)
		}
		first := 1.2 * math.Ln2
		if math.Abs(result.FirstLoss-first) > 1e-5 || result.LastLoss > 0.96*first {
			t.Errorf("lora %v: first loss %v, last %v; want %v and less than 0.96 of it",
				lora, result.FirstLoss, result.LastLoss, first)
		}
	}
}

// TestLossBelowBound ends a run whose loss falls below what the objective can give, here because
// margins are negative.
func TestLossBelowBound(t *testing.T) {
	s := small{
		options: func(o *train.Options) { o.Objective.Reward = "scaled" },
		data: func(d *train.Data) {
			for _, g := range d.Train {
				for i := range g.Comparisons {
					g.Comparisons[i].Margin = -3
				}
			}
		},
	}
	_, dir, err := s.fresh(t)
	if err == nil || !strings.Contains(err.Error(), "step 1: the loss is -") ||
		!strings.Contains(err.Error(), "can be below 0") {
		t.Errorf("got %v", err)
	}
	recordsStop(t, dir, err)
}

// recordsStop wants the error that ended a run among its records.
func recordsStop(t *testing.T, dir string, ended error) {
	t.Helper()
	records, err := run.ReadRecords(dir, run.VerbTrain)
	if err != nil || len(records.Stops) != 1 || records.Stops[0].Step != 1 ||
		records.Stops[0].Error != ended.Error() {
		t.Errorf("%+v, %v; want the error %v", records.Stops, err, ended)
	}
}

// TestNonFinite has a loss that overflows: the run ends, names the step and the groups, and the
// last checkpoint stays.
func TestNonFinite(t *testing.T) {
	_, dir, err := small{options: func(o *train.Options) {
		o.Optimizer.LR, o.Optimizer.Clip, o.Optimizer.Warmup, o.EvalEvery = 1e30, 0, 0, 0
	}}.fresh(t)
	if err == nil || !strings.Contains(err.Error(), "step 2, packed batch ") ||
		!strings.Contains(err.Error(), "small:") {
		t.Fatalf("got %v, want an error naming step and groups", err)
	}
	recordsStop(t, dir, err)
	folder := run.Folder{Path: dir}
	if _, err := os.Stat(filepath.Join(folder.CheckpointPath(1), optim.WeightsName)); err != nil {
		t.Errorf("the weights before the step are not kept: %v", err)
	}
	if run.Finished(dir) {
		t.Error("a model was saved")
	}
}

// TestOtherRun refuses a checkpoint of another recipe, and one of other packing.
func TestOtherRun(t *testing.T) {
	s := small{lora: true}
	dir := s.stopped(t, 0)
	other := s
	other.options = func(o *train.Options) { o.Fingerprint = "other" }
	err := other.resume(t, dir)
	if err == nil || !strings.Contains(err.Error(), "another recipe") {
		t.Fatalf("got %v, want a refusal", err)
	}
	states, err := filepath.Glob(filepath.Join(dir, run.CheckpointsName, "*", "state.json"))
	if err != nil || len(states) == 0 {
		t.Fatalf("states %v: %v", states, err)
	}
	for _, path := range states {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		replacer := strings.NewReplacer(" batches (", " other batches (", `"step": 0`, `"step": 1`)
		changed := []byte(replacer.Replace(string(data)))
		if err := os.WriteFile(path, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		renewSum(t, path, data, changed)
	}
	err = s.resume(t, dir)
	if err == nil || !strings.Contains(err.Error(), "packed the data otherwise") {
		t.Fatalf("got %v, want a refusal", err)
	}
}

// renewSum makes a file's line in SHA256SUMS that of its new content.
func renewSum(t *testing.T, path string, old, now []byte) {
	t.Helper()
	sums := filepath.Join(filepath.Dir(path), "SHA256SUMS")
	text, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	hex := func(data []byte) []byte { return fmt.Appendf(nil, "%x", sha256.Sum256(data)) }
	if err := os.WriteFile(sums, bytes.Replace(text, hex(old), hex(now), 1), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestNames checks that the names by which a validation selects are those of the rewards, and that
// only a loss with a reference has log-ratios to it.
func TestNames(t *testing.T) {
	for name, h := range map[string]objective.Hybrid{
		reward.ByScore: hybrid(1, 0, 0.1), reward.ByImplicit: hybrid(0, 1, 0.1), run.ByLogProb: sft(),
	} {
		_, dir, err := small{lora: true, options: func(o *train.Options) {
			o.Objective, o.MaxSteps = h, 1
		}}.fresh(t)
		if err != nil {
			t.Fatal(err)
		}
		r := records(t, dir)
		if _, by, ok := r.Best(); !ok || by != name {
			t.Errorf("selected by %q, want %q", by, name)
		}
		if ratio := r.Steps[0].LogRatio; (ratio != nil) != (name == reward.ByImplicit) {
			t.Errorf("%s: log-ratio %v", name, ratio)
		}
	}
}

func sft() objective.Hybrid {
	h := hybrid(0, 1, 0.1)
	h.Policy = objective.SFT
	return h
}
