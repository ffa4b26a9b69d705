package train

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/lm"
)

func TestRate(t *testing.T) {
	o := AdamW{LR: 1, Warmup: 0.2}
	for _, c := range []struct {
		schedule    string
		step, total int
		want        float64
	}{
		{"constant", 0, 10, 1.0 / 3}, {"constant", 1, 10, 2.0 / 3}, {"constant", 2, 10, 1}, {"constant", 9, 10, 1},
		{"linear", 1, 10, 2.0 / 3}, {"linear", 2, 10, 1}, {"linear", 6, 10, 0.5}, {"linear", 9, 10, 0.125},
		{"cosine", 2, 10, 1}, {"cosine", 6, 10, 0.5}, {"cosine", 9, 10, 0.5 * (1 - math.Cos(math.Pi/8))},
		{"linear", 0, 1, 1},
	} {
		o.Schedule = c.schedule
		if got := o.Rate(c.step, c.total); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s, step %d of %d: %v, want %v", c.schedule, c.step, c.total, got, c.want)
		}
	}
}

func TestClipAndDecay(t *testing.T) {
	o := AdamW{Clip: 1}
	if got := o.clipFactor(0.5); got != 1 {
		t.Errorf("a norm below the limit is multiplied by %v", got)
	}
	if got := o.clipFactor(4); math.Abs(got-1/(4+1e-6)) > 1e-15 {
		t.Errorf("clip factor of 4 is %v", got)
	}
	if got := (AdamW{}).clipFactor(1e9); got != 1 {
		t.Errorf("without a limit the factor is %v", got)
	}
	for name, want := range map[string]bool{
		"model.layers.0.mlp.up_proj.weight": true, "model.layers.0.input_layernorm.weight": false, "model.norm.weight": false,
		"model.layers.0.self_attn.q_proj.bias": false, "score.weight": true, "model.layers.0.mlp.up_proj.lora_A.weight": true,
		"transformer.h.0.ln_1.weight": false, "transformer.wpe.weight": true,
	} {
		p := lm.Param{Name: name, Shape: []int{4}}
		if want {
			p.Shape = []int{4, 4}
		}
		if o.decays(p) != want {
			t.Errorf("%s is decayed: %v", name, !want)
		}
		if !(AdamW{DecayNorms: true}).decays(p) {
			t.Errorf("%s is not decayed although norms are", name)
		}
	}
}

func TestCheckOptimizer(t *testing.T) {
	good := AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Schedule: "linear"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*AdamW){
		"learning rate is NaN": func(o *AdamW) { o.LR = math.NaN() },
		"betas are 1 and":      func(o *AdamW) { o.Beta1 = 1 },
		"eps is 0":             func(o *AdamW) { o.Eps = 0 },
		"weight decay is -1":   func(o *AdamW) { o.WeightDecay = -1 },
		"warm-up is 1":         func(o *AdamW) { o.Warmup = 1 },
		`schedule "step"`:      func(o *AdamW) { o.Schedule = "step" },
	} {
		o := good
		change(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestFolder has what a new run may not be put into, and what a crash leaves.
func TestFolder(t *testing.T) {
	for _, name := range []string{ManifestName, ModelName, CheckpointsName, bestName, MetricsName} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Create(dir, nil); err == nil || !strings.Contains(err.Error(), "choose another folder") {
			t.Errorf("a folder with %s: got %v", name, err)
		}
	}
	dir := t.TempDir()
	newFolder(t, dir)
	left := filepath.Join(dir, CheckpointsName, temporaryPrefix+"1")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	resume(t, dir)
	if _, err := os.Stat(left); err == nil {
		t.Error("what a crash left is still there")
	}
	if _, err := Resume(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no run folder") {
		t.Errorf("got %v", err)
	}
}

// TestMetricsAgain removes what is about to be recorded again.
func TestMetricsAgain(t *testing.T) {
	dir := t.TempDir()
	folder := newFolder(t, dir)
	const lines = `{"kind":"step","step":1}` + "\n" + `{"kind":"step","step":2}` + "\n" + `{"kind":"eval","step":2}` + "\n" + `{"kind":"step","step":3}` + "\n" + `{"kind":"ste`
	for _, c := range []struct {
		step int
		due  bool
		want int // lines kept
	}{{3, false, 4}, {2, false, 3}, {2, true, 2}, {0, false, 0}} {
		if err := os.WriteFile(filepath.Join(dir, MetricsName), []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := folder.OpenMetrics(c.step, c.due); err != nil {
			t.Fatal(err)
		}
		if err := folder.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, MetricsName))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(got), "\n"); n != c.want {
			t.Errorf("resumed after step %d, validation due %v: %d lines are kept, want %d", c.step, c.due, n, c.want)
		}
	}
}

// TestCheckpointOrder sorts by number: the newest must not be deleted when names grow.
func TestCheckpointOrder(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []int{1000000, 999999, 20} {
		if err := os.Mkdir(filepath.Join(dir, checkpointName(step)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	names, err := checkpoints(dir)
	if err != nil || len(names) != 3 || names[2] != checkpointName(1000000) || names[0] != checkpointName(20) {
		t.Errorf("%v, %v", names, err)
	}
}
