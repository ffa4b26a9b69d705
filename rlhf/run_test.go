package rlhf_test

import (
	"cmp"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"haf/backend"
	"haf/pref"
	"haf/rlhf"
	"haf/run"
)

// small makes the runs of these tests short.
func small(o *rlhf.Options) {
	o.MaxSteps, o.Batch, o.NumGenerations, o.MaxTokens, o.Rows = 4, 4, 2, 12, 8
	o.KL = rlhf.Coefficient{Start: 0.05, Target: 0.5, Horizon: 100}
	o.Fingerprint = "small"
}

// stopping is a scorer that cancels the run when it is asked for the n-th time.
type stopping struct {
	pref.Scorer
	asked  *int
	at     int
	cancel func()
}

func (s stopping) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	if *s.asked++; *s.asked == s.at {
		s.cancel()
	}
	return s.Scorer.Score(ctx, samples)
}

// inGo runs a test in pure Go, which compiles nothing, unless $HAF_DEVICE says otherwise.
func inGo(t *testing.T) {
	t.Helper()
	t.Setenv("HAF_DEVICE", cmp.Or(os.Getenv("HAF_DEVICE"), "go"))
}

// TestResume: a run that is stopped in its third step and resumed ends with the records, weights,
// moments and state of one that was not.
func TestResume(t *testing.T) {
	inGo(t)
	whole, parts := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "parts")
	options := func(o *rlhf.Options) {
		small(o)
		o.Minibatch, o.CheckpointEvery, o.Sampling.TopP = 2, 3,
			0.95
	}
	if _, _, err := storiesRun(t, t.Context(), whole, nearLength(40), false, options,
		rlhf.PPO); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, _, err := storiesRun(t, ctx, parts, stopping{nearLength(40), new(int), 3, cancel}, false,
		options, rlhf.PPO); !errors.Is(err, run.ErrInterrupted) {
		t.Fatalf("the stopped run's error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(parts, run.CheckpointsName, "step-000002")); err != nil {
		t.Fatalf("no checkpoint of the last whole step: %v", err)
	}
	if _, _, err := storiesRun(t, t.Context(), parts, nearLength(40), true,
		func(o *rlhf.Options) { options(o); o.Fingerprint = "other" }, rlhf.PPO); err == nil ||
		!strings.Contains(err.Error(), "another recipe") {
		t.Errorf("a checkpoint of another recipe: %v", err)
	}
	_, _, err := storiesRun(t, t.Context(), parts, nearLength(40), true, options, rlhf.PPO)
	if err != nil {
		t.Fatal(err)
	}
	sameRuns(t, whole, parts, "model/model.safetensors",
		"checkpoints/step-000003/moments.safetensors", "checkpoints/step-000003/state.json")
	if steps := records(t, whole).PolicySteps; steps[3].KLCoefficient == steps[0].KLCoefficient {
		t.Error("the KL's coefficient was not adapted")
	}
}

// TestKeptPrograms: on a device that keeps programs the second run compiles none, and the models of
// both are those of a device that keeps none, bit for bit.
func TestKeptPrograms(t *testing.T) {
	train := func(device *backend.Device) (programs int, model string) {
		dir := filepath.Join(t.TempDir(), "run")
		by := func(task *rlhf.Task) { task.Rewards = only(nearLength(40)) }
		result, _, err := storiesOn(t, t.Context(), device, dir, by, false, func(o *rlhf.Options) {
			small(o)
			o.MaxSteps, o.NumPPOEpochs, o.Value, o.CriticLR = 1, 1, rlhf.ValueSeparate, 1e-3
		}, rlhf.PPO)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, run.ModelName, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		return result.Programs, string(data)
	}
	open := func() *backend.Device {
		device, err := backend.Open("go")
		if err != nil {
			t.Fatal(err)
		}
		return device
	}
	alone, want := train(open())
	keeping := open()
	keeping.KeepPrograms()
	first, model := train(keeping)
	second, again := train(keeping)
	// Policy and critic share the optimizer's programs in the first run already.
	if first == 0 || first >= alone || second != 0 {
		t.Errorf("%d and %d programs were compiled, %d alone", first, second, alone)
	}
	if model != want || again != want {
		t.Errorf("the models are those of a run alone: %v, %v", model == want, again == want)
	}
}

// ofMetrics matches what a state says of metrics.jsonl, whose times differ.
var ofMetrics = regexp.MustCompile(`(?s)"metrics": \{.*?\}`)

// sameRuns checks that two runs of four steps have the same records, but for times, and the same
// bytes in some files.
func sameRuns(t *testing.T, whole, parts string, files ...string) {
	t.Helper()
	timeless := func(dir string) run.Records {
		r := records(t, dir)
		for i := range r.PolicySteps {
			c := &r.PolicySteps[i]
			c.Seconds, c.GenerateSeconds, c.ScoreSeconds = 0, 0, 0
		}
		for i := range r.PolicyEvals {
			r.PolicyEvals[i].Seconds = 0
		}
		return r
	}
	a, b := timeless(whole), timeless(parts)
	if len(a.PolicySteps) != 4 || !reflect.DeepEqual(a, b) {
		t.Errorf("the records of %d and %d steps differ:\n%+v\n%+v",
			len(a.PolicySteps), len(b.PolicySteps), a, b)
	}
	for _, name := range files {
		x, errX := os.ReadFile(filepath.Join(whole, name))
		y, errY := os.ReadFile(filepath.Join(parts, name))
		x, y = ofMetrics.ReplaceAll(x, nil), ofMetrics.ReplaceAll(y, nil)
		if errX != nil || errY != nil || string(x) != string(y) {
			t.Errorf("%s differs: %v %v", name, errX, errY)
		}
	}
}

// constant is a scorer of one value.
type constant float64

func (c constant) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i := range out {
		out[i] = float64(c)
	}
	return out, nil
}

// TestGuards: each failure says what was seen and what to change.
func TestGuards(t *testing.T) {
	inGo(t)
	for _, k := range []struct {
		name   string
		scorer pref.Scorer
		change func(*rlhf.Options)
		want   string
	}{
		{"reward", constant(math.NaN()), func(*rlhf.Options) {}, "look at the reward model"},
		{"KL", nearLength(20), func(o *rlhf.Options) { o.KLLimit, o.Optimizer.LR = 1, 0.03 },
			"rlhf.kl_limit"},
		{"room", nearLength(20), func(o *rlhf.Options) { o.MaxTokens = 600 },
			"leaves room for 600 tokens"},
		{"greedy", nearLength(20), func(o *rlhf.Options) { o.Sampling.Temperature = 0 },
			"temperature is 0"},
		{"one sample", nearLength(20), func(o *rlhf.Options) { o.NumGenerations = 1 },
			"num_generations is 1"},
	} {
		t.Run(k.name, func(t *testing.T) {
			_, _, err := storiesRunFails(t, k.scorer, func(o *rlhf.Options) { small(o); k.change(o) })
			if err == nil || !strings.Contains(err.Error(), k.want) {
				t.Errorf("the error is %v, want %q in it", err, k.want)
			}
		})
	}
}

func storiesRunFails(
	t *testing.T, scorer pref.Scorer, change func(*rlhf.Options),
) (rlhf.Result, []run.PolicyStep, error) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, run.MetricsName), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, run.ManifestName), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	return storiesRun(t, t.Context(), dir, scorer, true, change, rlhf.RLOO)
}
