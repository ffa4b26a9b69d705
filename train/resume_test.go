package train

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/lm"
	"haf/objective"
	"haf/optim"
	"haf/pref"
	"haf/reward"
)

// watcher is a Progress that calls a function at every step of the training.
type watcher struct {
	t    *testing.T
	what string
	at   func(done int)
}

func (w *watcher) Say(format string, args ...any) { w.t.Logf(format, args...) }
func (w *watcher) Start(what string, total int)   { w.what = what }
func (w *watcher) End()                           { w.what = "" }
func (w *watcher) At(done int, detail string) {
	if w.what == "training" && w.at != nil {
		w.at(done)
	}
}

// smallData makes random pairs and groups of token ids; the chosen responses are of low ids.
func smallData(n int, vocab int) Data {
	random := rand.New(rand.NewPCG(11, 0))
	tokens := func(n, from, to int) []int32 {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(from + random.IntN(to-from))
		}
		return ids
	}
	var d Data
	for i := range n {
		g := encode.Group{Prompt: tokens(3+random.IntN(12), 3, vocab), Index: i, Source: pref.Source{File: "small", Line: i + 1}}
		text := pref.Group{Source: g.Source}
		for k := range 2 + i%2 {
			low := 3 + k*(vocab-3)/3
			g.Responses = append(g.Responses, encode.Answer(append(tokens(2+random.IntN(9), low, low+(vocab-3)/3), 2)))
			text.Responses = append(text.Responses, fmt.Sprint(g.Responses[k].Tokens))
			if k > 0 {
				g.Comparisons = append(g.Comparisons, pref.Comparison{Chosen: 0, Rejected: k})
			}
		}
		text.Comparisons = g.Comparisons
		if i%5 == 0 {
			d.Valid, d.ValidGroups = append(d.Valid, g), append(d.ValidGroups, text)
		} else {
			d.Train = append(d.Train, g)
		}
	}
	return d
}

// smallRun trains the small stored model into a folder, new or to be resumed.
func smallRun(t *testing.T, ctx context.Context, folder *Folder, lora bool, change func(*Options), at func(done int)) (Result, error) {
	t.Helper()
	return smallRunIn(t, ctx, "float32", folder, lora, change, at)
}

func smallRunIn(t *testing.T, ctx context.Context, dtype string, folder *Folder, lora bool, change func(*Options), at func(done int)) (Result, error) {
	t.Helper()
	return smallRunOn(t, ctx, dtype, nil, folder, lora, change, &watcher{t: t, at: at})
}

// smallRunOn is smallRun on data that change has changed.
func smallRunOn(t *testing.T, ctx context.Context, dtype string, changeData func(*Data), folder *Folder, lora bool, change func(*Options), progress Progress) (Result, error) {
	t.Helper()
	device, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	opt := reward.Options{NoTokenizer: true, DType: dtype, Train: true, Positions: 128, LogitChunk: 64}
	if lora {
		opt.LoRA = &lm.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj", "down_proj"}}
		opt.Random = rand.New(rand.NewPCG(5, 0))
	}
	model, err := reward.Open(device, filepath.Join(shared.Root(), "lm", "testdata", "llama"), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	options := Options{
		Objective: objective.Default(), Optimizer: optim.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1, WeightDecay: 0.01, Schedule: "linear", Warmup: 0.2},
		Epochs: 2, Batch: 12, EvalEvery: 3, CheckpointEvery: 2, Seed: 9, Fingerprint: "small", CacheDir: filepath.Join(t.TempDir(), "cache"),
	}
	if change != nil {
		change(&options)
	}
	data := smallData(60, model.Config.Vocab)
	if changeData != nil {
		changeData(&data)
	}
	return Run(ctx, model, data, options, folder, progress)
}

// losses reads what metrics.jsonl says of every step and validation, but for the seconds.
func losses(t *testing.T, dir string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, MetricsName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var record map[string]any
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			t.Fatal(err)
		}
		delete(record, "seconds")
		var line strings.Builder
		for _, key := range slices.Sorted(maps.Keys(record)) {
			fmt.Fprintf(&line, "%s=%v ", key, record[key])
		}
		out = append(out, line.String())
	}
	return out
}

func newFolder(t *testing.T, dir string) *Folder {
	t.Helper()
	folder, err := Create(dir, map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func resume(t *testing.T, dir string) *Folder {
	t.Helper()
	folder, err := Resume(dir)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestResume stops runs at several steps, politely and as a kill −9 would, and compares what follows, and the final
// model, with a run never stopped: bit for bit, though there is less memory then.
func TestResume(t *testing.T) {
	for _, lora := range []bool{false, true} {
		t.Run(map[bool]string{false: "full", true: "lora"}[lora], func(t *testing.T) {
			whole, killed := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "killed")
			plenty, little := func(o *Options) { o.Room = 1 << 40 }, func(o *Options) { o.Room = 1 }
			result, err := smallRun(t, t.Context(), newFolder(t, whole), lora, plenty, func(done int) {
				if done == 5 { // the disk at this moment is what a kill −9 would leave
					if err := os.CopyFS(killed, os.DirFS(whole)); err != nil {
						t.Error(err)
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if result.Steps < 6 || math.Abs(result.FirstLoss-1.2*math.Ln2) > 1e-5 {
				t.Fatalf("%d steps, first loss %v: at least 6 and 1.2 ln 2 are wanted", result.Steps, result.FirstLoss)
			}
			want := losses(t, whole)
			check := func(name, dir string) {
				t.Helper()
				if got := losses(t, dir); !slices.Equal(got, want) {
					t.Errorf("%s: the metrics differ from the run never stopped:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				for _, file := range []string{"model.safetensors", "adapter_model.safetensors"} {
					a, errA := os.ReadFile(filepath.Join(whole, ModelName, file))
					b, errB := os.ReadFile(filepath.Join(dir, ModelName, file))
					if (errA == nil) != (errB == nil) || !slices.Equal(a, b) {
						t.Errorf("%s: %s differs from the run never stopped", name, file)
					}
				}
			}
			if _, err := smallRun(t, t.Context(), resume(t, killed), lora, little, nil); err != nil {
				t.Fatal(err)
			}
			check("killed after step 5", killed)
			for _, stop := range []int{1, 3} {
				dir := filepath.Join(t.TempDir(), "interrupted")
				ctx, cancel := context.WithCancel(t.Context())
				_, err := smallRun(t, ctx, newFolder(t, dir), lora, plenty, func(done int) {
					if done == stop {
						cancel()
					}
				})
				if !errors.Is(err, ErrInterrupted) {
					t.Fatalf("stopped at step %d: %v, want ErrInterrupted", stop, err)
				}
				if _, err := smallRun(t, t.Context(), resume(t, dir), lora, little, nil); err != nil {
					t.Fatal(err)
				}
				check(fmt.Sprintf("interrupted at step %d", stop), dir)
			}
		})
	}
}

// TestLearns trains all three objectives and wants the training comparisons to be learned.
func TestLearns(t *testing.T) {
	for name, h := range map[string]objective.Hybrid{
		"baseline": hybrid(1, 0, 0.1), "dpo": hybrid(0, 1, 0.1), "haf": objective.Default(),
	} {
		t.Run(name, func(t *testing.T) {
			result, err := smallRun(t, t.Context(), newFolder(t, filepath.Join(t.TempDir(), "run")), false, func(o *Options) { o.Objective, o.Epochs, o.Batch = h, 6, 4 }, nil)
			if err != nil {
				t.Fatal(err)
			}
			first := (h.RewardWeight + h.PolicyWeight) * math.Ln2
			if math.Abs(result.FirstLoss-first) > 1e-5 {
				t.Errorf("first loss is %v, want %v", result.FirstLoss, first)
			}
			if result.Best.Accuracy < 0.75 || result.LastLoss > 0.85*first {
				t.Errorf("validation accuracy is %v and the last loss %v (first %v) after training on separable pairs", result.Best.Accuracy, result.LastLoss, first)
			}
		})
	}
}

// TestBfloat16 trains in bfloat16, where the rounding of the body shows but the heads are float32.
func TestBfloat16(t *testing.T) {
	for _, lora := range []bool{false, true} {
		folder := newFolder(t, filepath.Join(t.TempDir(), "run"))
		result, err := smallRunIn(t, t.Context(), "bfloat16", folder, lora, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		first := 1.2 * math.Ln2
		if math.Abs(result.FirstLoss-first) > 1e-5 || result.LastLoss > 0.96*first {
			t.Errorf("lora %v: first loss %v, last %v; %v and less than 0.96 of it are wanted", lora, result.FirstLoss, result.LastLoss, first)
		}
	}
}

// TestNonFinite has a loss that overflows: the run stops, names the step and the groups, and the last checkpoint stays.
func TestNonFinite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	_, err := smallRun(t, t.Context(), newFolder(t, dir), false, func(o *Options) { o.Optimizer.LR, o.Optimizer.Clip, o.Optimizer.Warmup, o.EvalEvery = 1e30, 0, 0, 0 }, nil)
	if err == nil || !strings.Contains(err.Error(), "step 2, packed batch ") || !strings.Contains(err.Error(), "small:") {
		t.Fatalf("got %v, want an error naming step and groups", err)
	}
	if _, err := os.Stat(filepath.Join(dir, CheckpointsName, checkpointName(1), optim.WeightsName)); err != nil {
		t.Errorf("the weights before the step are not kept: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, ModelName)); err == nil {
		t.Error("a model was saved")
	}
}

// TestOtherRun refuses a checkpoint of another recipe.
func TestOtherRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := smallRun(t, ctx, newFolder(t, dir), true, nil, func(done int) { cancel() }); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	_, err := smallRun(t, t.Context(), resume(t, dir), true, func(o *Options) { o.Fingerprint = "other" }, nil)
	if err == nil || !strings.Contains(err.Error(), "another recipe") {
		t.Fatalf("got %v, want a refusal", err)
	}
	// One of a version that packed the same data otherwise.
	states, err := filepath.Glob(filepath.Join(dir, CheckpointsName, "*", stateName))
	if err != nil || len(states) == 0 {
		t.Fatalf("states %v: %v", states, err)
	}
	for _, path := range states {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		other := strings.NewReplacer(" batches (", " other batches (", `"step": 0`, `"step": 1`).Replace(string(data))
		if err := os.WriteFile(path, []byte(other), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err = smallRun(t, t.Context(), resume(t, dir), true, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "packed the data otherwise") {
		t.Fatalf("got %v, want a refusal", err)
	}
}
