package train_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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
	"haf/run"
	"haf/train"
)

// watcher is a Progress that keeps what was logged and calls a function at every step of training.
type watcher struct {
	t     *testing.T
	phase string
	at    func(done int)
	lines []string
}

func (w *watcher) Logf(format string, args ...any) {
	w.t.Logf(format, args...)
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}
func (w *watcher) StartPhase(name string, total int) { w.phase = name }
func (w *watcher) EndPhase()                         { w.phase = "" }
func (w *watcher) Update(done int, detail string) {
	if w.phase == "training" && w.at != nil {
		w.at(done)
	}
}

// openDevice opens a device. Most tests train in pure Go, which compiles nothing.
func openDevice(t testing.TB, name string) *backend.Device {
	t.Helper()
	device, err := backend.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return device
}

// smallFolder is the stored model that these tests train.
func smallFolder() string { return filepath.Join(shared.Root(), "lm", "testdata", "llama") }

// hybrid is the paper's objective with other weights.
func hybrid(w, alpha, beta float64) objective.Hybrid {
	h := objective.Default()
	h.RewardWeight, h.PolicyWeight, h.Beta = w, alpha, beta
	return h
}

// smallData makes random pairs and groups of token ids; the chosen responses are of low ids.
func smallData(n int, vocab int) train.Data {
	random := rand.New(rand.NewPCG(11, 0))
	tokens := func(n, from, to int) []int32 {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(from + random.IntN(to-from))
		}
		return ids
	}
	third := (vocab - 3) / 3
	var d train.Data
	for i := range n {
		source := pref.Location{File: "small", Line: i + 1}
		g := encode.Group{Prompt: tokens(3+random.IntN(12), 3, vocab), Index: i, Source: source}
		text := pref.Group{Source: source}
		for k := range 2 + i%2 {
			low := 3 + k*third
			answer := append(tokens(2+random.IntN(9), low, low+third), 2)
			g.Responses = append(g.Responses, encode.Answer(answer))
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

// small is a run of the small stored model. Its zero value trains all weights in pure Go.
type small struct {
	device, dtype string
	mesh          backend.Mesh
	lora          bool
	model         func(*reward.Options)
	data          func(*train.Data)
	options       func(*train.Options)
	opened        func(*backend.Device)
	at            func(done int)
	lines         *[]string // of the log
}

// run trains into a folder, which is new or to be resumed.
func (s small) run(t *testing.T, ctx context.Context, folder *run.Folder) (train.Result, error) {
	t.Helper()
	opt := reward.Options{
		NoTokenizer: true, DType: cmp.Or(s.dtype, "float32"), Train: true, Positions: 128,
		LogitChunk: 64,
	}
	if s.lora {
		opt.LoRA = &lm.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj", "down_proj"}}
		opt.Random = rand.New(rand.NewPCG(5, 0))
	}
	if s.model != nil {
		s.model(&opt)
	}
	device, err := openDevice(t, cmp.Or(s.device, "go")).OnMesh(s.mesh)
	if err != nil {
		t.Fatal(err)
	}
	if s.mesh.Devices() > 1 {
		defer device.Finalize()
	}
	if s.opened != nil {
		s.opened(device)
	}
	model, err := reward.Open(device, smallFolder(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	options := train.Options{
		Objective: objective.Default(),
		Optimizer: optim.AdamW{
			LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1, WeightDecay: 0.01,
			Schedule: "linear", Warmup: 0.2,
		},
		Epochs: 2, Batch: 12, EvalEvery: 3, CheckpointEvery: 2, Seed: 9, Fingerprint: "small",
		CacheDir: filepath.Join(t.TempDir(), "cache"),
	}
	if s.options != nil {
		s.options(&options)
	}
	data := smallData(60, model.Config.Vocab)
	if s.data != nil {
		s.data(&data)
	}
	w := &watcher{t: t, at: s.at}
	result, err := train.Run(ctx, model, data, options, folder, w)
	if s.lines != nil {
		*s.lines = w.lines
	}
	return result, err
}

// fresh trains into a new folder and returns it.
func (s small) fresh(t *testing.T) (train.Result, string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	result, err := s.run(t, t.Context(), newFolder(t, dir))
	return result, dir, err
}

// stopped trains into a new folder until the step is done, when it is interrupted, and returns it.
func (s small) stopped(t *testing.T, step int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "stopped")
	ctx, cancel := context.WithCancel(t.Context())
	s.at = func(done int) {
		if done == step {
			cancel()
		}
	}
	if _, err := s.run(t, ctx, newFolder(t, dir)); err != run.ErrInterrupted {
		t.Fatalf("stopped at step %d: %v, want ErrInterrupted", step, err)
	}
	return dir
}

// resume resumes the run in a folder to its end.
func (s small) resume(t *testing.T, dir string) error {
	t.Helper()
	folder, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.run(t, t.Context(), folder)
	return err
}

func newFolder(t *testing.T, dir string) *run.Folder {
	t.Helper()
	folder, err := run.Create(dir, map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// records reads what metrics.jsonl says of every step and validation, without seconds and memory.
func records(t *testing.T, dir string) run.Records {
	t.Helper()
	r, err := run.ReadRecords(dir, run.VerbTrain)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Steps {
		r.Steps[i].Seconds, r.Steps[i].Memory = 0, 0
	}
	for i := range r.Validations {
		r.Validations[i].Seconds = 0
	}
	return r
}

// lines are the records as text, a line each.
func lines(t *testing.T, r run.Records) (out []string) {
	t.Helper()
	add := func(record any) {
		line, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(line))
	}
	for _, s := range r.Steps {
		add(s)
	}
	for _, v := range r.Validations {
		add(v)
	}
	return out
}

// sameRun checks that the records of two runs, and the named files of their models, are the same to
// the bit.
func sameRun(t *testing.T, whole, resumed string, files ...string) {
	t.Helper()
	got, want := lines(t, records(t, resumed)), lines(t, records(t, whole))
	if !slices.Equal(got, want) {
		t.Errorf("the metrics differ from those of the run that was never stopped:\n%s\nwant\n%s",
			strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, file := range files {
		path := filepath.Join(run.ModelName, file)
		if !sameFile(t, filepath.Join(whole, path), filepath.Join(resumed, path)) {
			t.Errorf("%s differs from that of the run that was never stopped", file)
		}
	}
}
