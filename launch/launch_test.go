package launch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/hub"
	"haf/launch"
	"haf/pref"
	"haf/recipe"
	"haf/run"
)

func TestMain(m *testing.M) {
	backend.Main()
	os.Exit(m.Run())
}

// lines is a run.Progress and a Notef that keeps the lines.
type lines []string

func (l *lines) Logf(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }
func (l *lines) StartPhase(string, int)          {}
func (l *lines) Update(int, string)              {}
func (l *lines) EndPhase()                       {}

func (l *lines) has(text string) bool {
	return slices.ContainsFunc(*l, func(line string) bool { return strings.Contains(line, text) })
}

// newEnv is in pure Go, with a hub that is never asked.
func newEnv(t *testing.T) (launch.Env, *lines) {
	t.Helper()
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	told := &lines{}
	return launch.Env{
		Device: device, Hub: &hub.Client{Offline: true, Cache: t.TempDir()}, Cache: t.TempDir(),
		Progress: told, Notef: told.Logf,
	}, told
}

// sets are those of a run of two steps on the demo's world.
func sets(t *testing.T, more ...string) (demo *recipe.Demo, set []string) {
	t.Helper()
	demo, err := recipe.WriteDemo(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return demo, append([]string{
		"model.path=" + demo.Base, "model.max_length=64", "data.train=" + demo.Train,
		"data.limit=16", "train.seed=1",
	}, more...)
}

// TestTrain takes a training from its request to its end, refuses to start it again, and refuses
// to resume one whose data has changed.
func TestTrain(t *testing.T) {
	env, told := newEnv(t)
	demo, set := sets(t, "train.epochs=2")
	request := launch.Request{Set: set, Out: filepath.Join(t.TempDir(), "run")}
	s, r, err := request.Session(run.VerbTrain)
	if err != nil {
		t.Fatal(err)
	}
	result, err := launch.Train(t.Context(), env, s, r)
	if err != nil {
		t.Fatal(err)
	}
	if result.Steps != 2 || !run.Finished(request.Out) {
		t.Errorf("%d steps, finished: %v", result.Steps, run.Finished(request.Out))
	}
	for _, line := range []string{"device: ", "model: " + demo.Base, "train data: ", "done: 2 steps"} {
		if !told.has(line) {
			t.Errorf("%q was not told: %q", line, *told)
		}
	}
	if _, _, err := request.Session(run.VerbTrain); err == nil ||
		!strings.Contains(err.Error(), "holds a run already") {
		t.Errorf("started again: %v", err)
	}
	if valid, err := recipe.ValidationGroups(request.Out); err != nil || len(valid) != 1 {
		t.Errorf("%d validation groups: %v", len(valid), err)
	}
	if _, err := recipe.ValidationGroups(demo.Base); err == nil {
		t.Error("a model that is no run has validation data")
	}
	resume := launch.Request{Resume: request.Out}
	if _, _, err := resume.Session(run.VerbTrain); err == nil ||
		!strings.Contains(err.Error(), "is finished") {
		t.Errorf("resumed after its end: %v", err)
	}
	if _, _, err := resume.Session(run.VerbRLHF); err == nil {
		t.Error("a training was resumed as an optimization")
	}
}

// TestResume interrupts a training before its first step, resumes it, and refuses to resume it on
// other data.
func TestResume(t *testing.T) {
	env, _ := newEnv(t)
	demo, set := sets(t, "train.epochs=2")
	dir := filepath.Join(t.TempDir(), "run")
	r, err := recipe.Load("", set)
	if err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = launch.TrainIn(stopped, env, r, dir); err == nil ||
		!strings.HasSuffix(err.Error(), "run: haf train -resume "+dir) {
		t.Fatalf("interrupted: %v", err)
	}
	kept, err := os.ReadFile(demo.Train)
	if err != nil {
		t.Fatal(err)
	}
	change := func(data []byte) {
		if err := os.WriteFile(demo.Train, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	change(kept[:len(kept)/2])
	if _, err = launch.TrainIn(t.Context(), env, nil, dir); err == nil ||
		!strings.Contains(err.Error(), "they have changed on disk since") {
		t.Fatalf("other data: %v", err)
	}
	change(kept)
	if result, err := launch.TrainIn(t.Context(), env, nil, dir); err != nil || result.Steps != 2 {
		t.Errorf("resumed: %d steps, %v", result.Steps, err)
	}
}

// meddler is a run.Progress that calls a function when the run tells its device, which it does
// before it reads the data.
type meddler struct {
	lines
	meddle func()
}

func (m *meddler) Logf(format string, args ...any) {
	if m.lines.Logf(format, args...); strings.HasPrefix(format, "device: ") {
		m.meddle()
	}
}

// TestDataChangesWhileRead changes and removes the data between its hash and its reading: no run
// begins.
func TestDataChangesWhileRead(t *testing.T) {
	env, _ := newEnv(t)
	for want, meddle := range map[string]func(path string) error{
		"train.jsonl has changed while it was read": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString(`{"prompt": "a", "chosen": "b", "rejected": "c"}` + "\n")
			return errors.Join(err, f.Close())
		},
		"train.jsonl: no such file": os.Remove,
	} {
		demo, set := sets(t)
		env.Progress = &meddler{meddle: func() {
			if err := meddle(demo.Train); err != nil {
				t.Error(err)
			}
		}}
		r, err := recipe.Load("", set)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "run")
		_, err = launch.TrainIn(t.Context(), env, r, dir)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: there is a run folder", want)
		}
	}
}

// byLength rewards long responses. It is a reward source and its opener.
type byLength struct{ closed, missing bool }

func (b *byLength) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = float64(len(s.Response))
	}
	return out, nil
}
func (b *byLength) Name() string         { return "length" }
func (b *byLength) From() string         { return "a rule" }
func (b *byLength) Files() run.ModelFile { return run.ModelFile{Path: "rule", Served: "length"} }
func (b *byLength) Date() string         { return "2026-01-02" }
func (b *byLength) Close()               { b.closed = true }
func (b *byLength) Reach(context.Context, recipe.Reward) error {
	if b.missing {
		return fmt.Errorf("no rule")
	}
	return nil
}
func (b *byLength) Open(context.Context, recipe.Reward) (launch.RewardSource, error) {
	return b, nil
}

// Refuses implements pref.Refuser: a prompt of the demo.
func (b *byLength) Refuses(prompt []pref.Message) error {
	if strings.Contains(prompt[0].Content, "fox") {
		return fmt.Errorf("no foxes")
	}
	return nil
}

// TestRLHF optimizes a policy by a reward source of a test's own and looks at what is recorded of
// it.
func TestRLHF(t *testing.T) {
	env, told := newEnv(t)
	_, set := sets(t, "train.max_steps=1", "train.batch=2", "rlhf.rewards=rule",
		"rlhf.algorithm=rloo", "rlhf.max_tokens=4")
	request := launch.Request{Set: set, Out: filepath.Join(t.TempDir(), "run")}
	s, r, err := request.Session(run.VerbRLHF)
	if err != nil {
		t.Fatal(err)
	}
	r.RLHF.Rewards[0].Source = "http://rule" // nothing that is looked for on disk
	if _, err := launch.RLHF(t.Context(), env, s, r, &byLength{missing: true}); err == nil ||
		err.Error() != "rlhf.rewards[0]: no rule" {
		t.Errorf("a reward that is not there: %v", err)
	}
	reward := &byLength{}
	result, err := launch.RLHF(t.Context(), env, s, r, reward)
	if err != nil {
		t.Fatal(err)
	}
	if result.Steps != 1 || !reward.closed {
		t.Errorf("%d steps, closed: %v", result.Steps, reward.closed)
	}
	if !told.has("reward: length of a rule") || !told.has("no foxes: ") {
		t.Errorf("told %q", *told)
	}
	m, err := recipe.ReadManifest(request.Out)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Models) != 1 || m.Models[0].Served != "length" || m.Verb != run.VerbRLHF {
		t.Errorf("recorded %+v of %s", m.Models, m.Verb)
	}
	if w := m.Recipe.RLHF.Rewards[0]; w.Date != "2026-01-02" || w.Name != "reward" || w.Weight != 1 {
		t.Errorf("recorded %+v", w)
	}
}

// TestDefaultDir names the folder after the recipe.
func TestDefaultDir(t *testing.T) {
	if got, want := launch.DefaultDir("recipes/hh.toml"), filepath.Join("runs", "hh"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestTracking trains with a tracker, then sends the run to another: both have every step. A server
// that is not there is refused before the run has a folder, and a tracker is no part of what a
// resumed run must have in common.
func TestTracking(t *testing.T) {
	env, told := newEnv(t)
	_, set := sets(t, "train.epochs=2")
	dir := filepath.Join(t.TempDir(), "run")
	away := launch.Request{Out: dir, Set: append(slices.Clone(set), "tracking.report_to=mlflow",
		"tracking.mlflow_uri=http://127.0.0.1:1")}
	s, r, err := away.Session(run.VerbTrain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := launch.Train(t.Context(), env, s, r); err == nil ||
		!strings.Contains(err.Error(), "mlflow") || run.Exists(dir) {
		t.Fatalf("without a server: %v, a folder: %v", err, run.Exists(dir))
	}
	request := launch.Request{Out: dir, Set: append(slices.Clone(set),
		"tracking.report_to=tensorboard")}
	if s, r, err = request.Session(run.VerbTrain); err != nil {
		t.Fatal(err)
	}
	if _, err := launch.Train(t.Context(), env, s, r); err != nil {
		t.Fatal(err)
	}
	metrics, err := os.ReadFile(filepath.Join(dir, run.MetricsName))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Count(string(metrics), "\n")
	sent, err := launch.Track(t.Context(), dir, []string{"wandb"}, "", told.Logf)
	wantSent := fmt.Sprintf("%d records sent to wandb (%s)", want, filepath.Join(dir, "wandb"))
	if err != nil || sent.String() != wantSent {
		t.Errorf("%s, %v; want %s", sent, err, wantSent)
	}
	for _, written := range []string{
		"tensorboard/events.out.tfevents.*", "wandb/offline-run-*/run-*",
	} {
		files, err := filepath.Glob(filepath.Join(dir, written))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", written, files, err)
		}
		data, err := os.ReadFile(files[0])
		if err != nil || strings.Count(string(data), "train/grad_norm") < 2 {
			t.Errorf("%s has %d steps, %v; want 2", written,
				strings.Count(string(data), "train/grad_norm"), err)
		}
	}
	if told.has("tracking") {
		t.Errorf("told %q", *told)
	}
	if _, err := launch.Track(t.Context(), dir, []string{"comet"}, "", told.Logf); err == nil {
		t.Error("an unknown tracker is taken")
	}
}
