package rlhf_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"haf/pref"
	"haf/rlhf"
	"haf/run"
)

// someEqual is a scorer that gives the responses to some prompts one value, those to the others the
// number of their characters.
type someEqual func(prompt string) bool

func (equal someEqual) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	rewards := make([]float64, len(samples))
	for i, s := range samples {
		if !equal(s.Prompt[0].Content) {
			rewards[i] = float64(utf8.RuneCountInString(s.Response))
		}
	}
	return rewards, nil
}

// longOpening is true of 7 of the 16 prompts.
func longOpening(prompt string) bool { return len(prompt) > 20 }

// dynamic makes short runs with dynamic sampling.
func dynamic(o *rlhf.Options) {
	small(o)
	o.DynamicSampling, o.NumGenerations, o.MaxSamplingRounds = true, 2, 4
}

// TestDynamicSampling: batches are filled with prompts whose rewards differ, what was dropped is
// counted, and the reward is that of all responses.
func TestDynamicSampling(t *testing.T) {
	inGo(t)
	dir := filepath.Join(t.TempDir(), "run")
	_, steps, err := storiesRun(t, t.Context(), dir, someEqual(longOpening), false, dynamic, rlhf.GRPO)
	if err != nil {
		t.Fatal(err)
	}
	draws, dropped := 0, 0
	for _, c := range steps {
		draws += c.SamplingRounds
		dropped += c.GroupsDropped
		if c.Groups != 4 || c.GroupsDropped > 4*c.SamplingRounds-4 {
			t.Errorf("step %d: %d prompts of %d rounds, %d dropped", c.Step, c.Groups, c.SamplingRounds,
				c.GroupsDropped)
		}
		want := float64(c.GroupsDropped) / float64(4*c.SamplingRounds)
		if math.Abs(c.ZeroStd-want) > 1e-12 {
			t.Errorf("step %d: the share of equal rewards is %g, want %g", c.Step, c.ZeroStd, want)
		}
		if c.Reward <= 0 || c.Rewards["reward"] != (run.RewardStats{Mean: c.Reward, Std: c.Std}) {
			t.Errorf("step %d: the rewards are %v, their sum %g ± %g", c.Step, c.Rewards, c.Reward, c.Std)
		}
	}
	// An epoch is 4 draws of 4 prompts and has each prompt once, so 7 of 16 are dropped in it.
	if draws < 6 || dropped < 7*(draws/4) {
		t.Errorf("%d prompts dropped in %d draws", dropped, draws)
	}
}

// TestDrawsResume: a run with dynamic sampling, two rewards and evaluations that is stopped while
// it fills a batch or evaluates ends as one that was not.
func TestDrawsResume(t *testing.T) {
	inGo(t)
	options := func(o *rlhf.Options) {
		dynamic(o)
		o.EvalEvery, o.CheckpointEvery, o.BestAsResult = 2, 2, true
		o.Shaping.Overlong = rlhf.Overlong{Cache: 6, Penalty: 0.5}
	}
	task := func(of pref.Scorer) func(*rlhf.Task) {
		return func(task *rlhf.Task) {
			task.Rewards = []rlhf.Reward{{Name: "rule", Weight: 0.1, Scorer: of},
				{Name: "length", Weight: 2, Scorer: nearLength(40)}}
			task.Prompts, task.HeldOut = task.Prompts[:12], task.Prompts[12:]
		}
	}
	rule := someEqual(longOpening)
	whole := filepath.Join(t.TempDir(), "whole")
	_, _, err := storiesTask(t, t.Context(), whole, task(rule), false, options, rlhf.RLOO)
	if err != nil {
		t.Fatal(err)
	}
	// The scorer is asked by the evaluation of step 0, by draws, and by later evaluations.
	for _, at := range []int{1, 5} {
		parts := filepath.Join(t.TempDir(), "parts")
		ctx, cancel := context.WithCancel(t.Context())
		stopped := task(stopping{rule, new(int), at, cancel})
		_, _, err := storiesTask(t, ctx, parts, stopped, false, options, rlhf.RLOO)
		cancel()
		if !errors.Is(err, run.ErrInterrupted) {
			t.Fatalf("stopped when asked for time %d: %v", at, err)
		}
		_, _, err = storiesTask(t, t.Context(), parts, task(rule), true, options, rlhf.RLOO)
		if err != nil {
			t.Fatal(err)
		}
		sameRuns(t, whole, parts, "model/model.safetensors",
			"checkpoints/step-000002/moments.safetensors", "checkpoints/step-000002/state.json")
	}
}

// TestSamplingRounds: at the bound a smaller batch is learned from with a warning, an empty one
// ends the run, with a checkpoint, and names the cause.
func TestSamplingRounds(t *testing.T) {
	inGo(t)
	few := someEqual(func(prompt string) bool {
		i := slices.Index(openings, prompt)
		return i != 0 && i != 5
	})
	dir := filepath.Join(t.TempDir(), "few")
	_, steps, err := storiesRun(t, t.Context(), dir, few, false, dynamic, rlhf.RLOO)
	if err != nil || len(steps) != 4 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	for _, c := range steps {
		if c.Groups < 1 || c.Groups > 3 || c.SamplingRounds != 4 || c.GroupsDropped != 16-c.Groups {
			t.Errorf("step %d: %d prompts, %d rounds, %d dropped",
				c.Step, c.Groups, c.SamplingRounds, c.GroupsDropped)
		}
	}
	dir = filepath.Join(t.TempDir(), "none")
	_, _, err = storiesRun(t, t.Context(), dir, constant(0.25), false, dynamic, rlhf.RLOO)
	if want := "0 of 4 prompts, after 4 rounds"; !errors.Is(err, rlhf.ErrNoAdvantage) ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, run.CheckpointsName, "step-000000")); err != nil {
		t.Errorf("no checkpoint of the last whole step: %v", err)
	}
}

// TestEvaluation: the policy is evaluated at the start, every other step and at the end; the best
// evaluation is the earliest of the highest reward, and its policy can be the result.
func TestEvaluation(t *testing.T) {
	inGo(t)
	task := func(scorer pref.Scorer) func(*rlhf.Task) {
		return func(task *rlhf.Task) {
			task.Rewards = only(scorer)
			task.Prompts, task.HeldOut = task.Prompts[:12], task.Prompts[12:]
		}
	}
	options := func(o *rlhf.Options) { small(o); o.EvalEvery, o.MaxSteps = 2, 3 }
	// The held-out rewards are equal at every step, those that the policy learns from are not.
	flat := someEqual(func(prompt string) bool { return slices.Index(openings, prompt) >= 12 })
	dir := filepath.Join(t.TempDir(), "run")
	result, records, err := storiesTask(t, t.Context(), dir, task(flat), false, options, rlhf.GRPO)
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for _, e := range records.PolicyEvals {
		at = append(at, e.Step)
		if e.Prompts != 4 || e.Reward != 0 || e.Low != 0 || e.High != 0 || e.Length < 1 || e.Length > 12 {
			t.Errorf("%+v", e)
		}
	}
	if !slices.Equal(at, []int{0, 2, 3}) || *result.Best != (run.BestPolicy{}) {
		t.Errorf("evaluated at %v, the best is %+v", at, result.Best)
	}
	best := filepath.Join(dir, run.BestName, run.ModelName, "model.safetensors")
	first, errFirst := os.ReadFile(best)
	last, errLast := os.ReadFile(filepath.Join(dir, run.ModelName, "model.safetensors"))
	if errFirst != nil || errLast != nil || string(first) == string(last) {
		t.Errorf("the best policy beside the last: %v %v, equal %v", errFirst, errLast,
			string(first) == string(last))
	}
	chosen := filepath.Join(t.TempDir(), "chosen")
	bestResult := func(o *rlhf.Options) { options(o); o.BestAsResult = true }
	if _, _, err := storiesTask(t, t.Context(), chosen, task(flat), false, bestResult,
		rlhf.GRPO); err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(filepath.Join(chosen, run.ModelName, "model.safetensors"))
	if err != nil || string(model) != string(first) {
		t.Errorf("the model is not the best policy: %v", err)
	}

	// Sampled answers have spread, and the interval is that of the prompts' means.
	sampled := func(o *rlhf.Options) { options(o); o.EvalGenerations, o.MaxSteps = 3, 2 }
	dir = filepath.Join(t.TempDir(), "sampled")
	_, records, err = storiesTask(t, t.Context(), dir, task(nearLength(40)), false, sampled, rlhf.GRPO)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range records.PolicyEvals {
		if of := e.Rewards["reward"]; !(e.Low < e.Reward && e.Reward < e.High) || of.Std <= 0 ||
			math.Abs(of.Mean-e.Reward) > 1e-12 {
			t.Errorf("%+v", e)
		}
	}
	if best, ok := records.BestPolicy(); !ok || best.Reward < records.PolicyEvals[0].Reward {
		t.Errorf("the best of the records is %+v, %v", best, ok)
	}
}
