package rlhf_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"unicode/utf8"

	"haf/backend"
	"haf/internal/shared"
	"haf/optim"
	"haf/pref"
	"haf/reward"
	"haf/rlhf"
	"haf/run"
)

// nearLength is the reward of a response by its length alone: 0 at so many characters, −1 at none
// or twice as many.
type nearLength float64

func (n nearLength) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	rewards := make([]float64, len(samples))
	for i, s := range samples {
		rewards[i] = -math.Abs(float64(utf8.RuneCountInString(s.Response))-float64(n)) / float64(n)
	}
	return rewards, nil
}

// quiet is a Progress that says what is said to the test's log.
type quiet struct{ t *testing.T }

func (q quiet) Logf(format string, args ...any) { q.t.Logf(format, args...) }
func (q quiet) StartPhase(string, int)          {}
func (q quiet) Update(int, string)              {}
func (q quiet) EndPhase()                       {}

var openings = []string{
	"Once upon a time", "One day, a little girl named Lily", "There was a big dog",
	"Tom and Sue went to the park", "The cat saw a red ball", "A boy had a toy car",
	"Mom and Ben made a cake", "In the garden", "The bird wanted to fly", "Lily found a shiny stone",
	"It was a sunny day", "Tim was sad", "The old tree", "A fish swam in the sea",
	"Anna liked to sing", "The bear was hungry",
}

// only is the scorer as the only reward.
func only(scorer pref.Scorer) []rlhf.Reward {
	return []rlhf.Reward{{Name: "reward", Weight: 1, Scorer: scorer}}
}

// storiesRun optimizes stories260k against a scorer.
func storiesRun(
	t *testing.T, ctx context.Context, dir string, scorer pref.Scorer, resume bool,
	change func(*rlhf.Options), algorithm string,
) (rlhf.Result, []run.PolicyStep, error) {
	t.Helper()
	by := func(task *rlhf.Task) { task.Rewards = only(scorer) }
	result, records, err := storiesTask(t, ctx, dir, by, resume, change, algorithm)
	return result, records.PolicySteps, err
}

// fastDevice is opened once and keeps its programs, because compiling takes longer than the runs.
var fastDevice = sync.OnceValues(func() (*backend.Device, error) {
	device, err := backend.Open("auto")
	if err == nil {
		device.KeepPrograms()
	}
	return device, err
})

// openDevice opens the device that $HAF_DEVICE names, or returns the fast one.
func openDevice(t *testing.T) *backend.Device {
	t.Helper()
	open := fastDevice
	if name := os.Getenv("HAF_DEVICE"); name != "" {
		open = func() (*backend.Device, error) { return backend.Open(name) }
	}
	device, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return device
}

// storiesTask optimizes stories260k for a task whose rewards set gives it.
func storiesTask(
	t *testing.T, ctx context.Context, dir string, set func(*rlhf.Task), resume bool,
	change func(*rlhf.Options), algorithm string,
) (rlhf.Result, run.Records, error) {
	t.Helper()
	return storiesOn(t, ctx, openDevice(t), dir, set, resume, change, algorithm)
}

// storiesOn is storiesTask on a device.
func storiesOn(
	t *testing.T, ctx context.Context, device *backend.Device, dir string, set func(*rlhf.Task),
	resume bool, change func(*rlhf.Options), algorithm string,
) (rlhf.Result, run.Records, error) {
	t.Helper()
	path := shared.Path(t, "models/stories260k")
	opened := reward.Options{Train: true, Positions: 1024, LogitChunk: 512}
	policy, err := reward.Open(device, path, opened)
	if err != nil {
		t.Fatal(err)
	}
	defer policy.Close()
	opt := rlhf.Default(algorithm)
	opt.Epochs, opt.MaxSteps, opt.Batch, opt.MaxTokens, opt.Stop = 0, 20, 8, 64,
		[]string{".", "!", "?"}
	opt.NumGenerations, opt.NumPPOEpochs = 4, 2
	opt.Optimizer = optim.AdamW{LR: 3e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1,
		Schedule: "constant"}
	opt.KL.Start = 0.01
	opt.Rows, opt.Seed = 32, 5
	if change != nil {
		change(&opt)
	}
	task := rlhf.Task{Policy: policy, MaxLength: 512}
	if opt.Algorithm == rlhf.PPO && opt.Value == rlhf.ValueSeparate {
		if task.Critic, err = reward.Open(device, path, opened); err != nil {
			t.Fatal(err)
		}
		defer task.Critic.Close()
	}
	for _, o := range openings {
		task.Prompts = append(task.Prompts, []pref.Message{{Role: pref.User, Content: o}})
	}
	set(&task)
	var folder *run.Folder
	if resume {
		folder, err = run.Open(dir)
	} else {
		folder, err = run.Create(dir, map[string]string{})
	}
	if err != nil {
		t.Fatal(err)
	}
	result, err := rlhf.Run(ctx, task, opt, folder, quiet{t})
	return result, records(t, dir), err
}

func records(t *testing.T, dir string) run.Records {
	t.Helper()
	records, err := run.ReadRecords(dir, run.VerbRLHF)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// TestLearns: the mean reward of the last three steps is clearly above the reference's, which the
// first step shows, by every algorithm. HAF_RL_STEPS makes the runs longer and prints their curves:
// make rl-sanity.
func TestLearns(t *testing.T) {
	steps, curves := 6, false
	if s := os.Getenv("HAF_RL_STEPS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 4 {
			t.Fatalf("HAF_RL_STEPS is %q, want a number of at least 4", s)
		}
		steps, curves = n, true
	}
	for _, k := range []struct {
		name, algorithm, value string
	}{{"ppo", rlhf.PPO, rlhf.ValueHead}, {"ppo-separate", rlhf.PPO, rlhf.ValueSeparate},
		{"rloo", rlhf.RLOO, rlhf.ValueHead}, {"grpo", rlhf.GRPO, rlhf.ValueHead}} {
		t.Run(k.name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("minutes of compiling and sampling: make rl-sanity runs it")
			}
			result, curve, err := storiesRun(t, t.Context(), filepath.Join(t.TempDir(), "run"),
				nearLength(70), false, func(o *rlhf.Options) {
					o.MaxSteps, o.Value, o.CriticLR = steps, k.value, 1e-3
				}, k.algorithm)
			if err != nil {
				t.Fatal(err)
			}
			if len(curve) != steps {
				t.Fatalf("%d records of %d steps", len(curve), steps)
			}
			first, last := curve[0].Reward, 0.0
			for _, r := range curve[steps-3:] {
				last += r.Reward / 3
			}
			if curves {
				fmt.Printf("%s: %d steps in %.0f s\n step  reward  shaped  length    EOS     KL  entropy  "+
					"clipped  value loss  explained\n", k.name, steps, result.Seconds)
				for i, r := range curve {
					if i%max(1, steps/15) == 0 || i == steps-1 {
						fmt.Printf("%5d  %6.3f  %6.3f  %6.1f  %5.2f  %5.2f  %7.2f  %7.3f  %10.3f  %9.2f\n", r.Step,
							r.Reward, r.Shaped, r.Length, r.EOSRate, r.KL, r.Entropy, r.ClipFraction, r.ValueLoss,
							r.Explained)
					}
				}
			}
			t.Logf("reward %.3f at first, %.3f in the last three steps, %.1f s", first, last, result.Seconds)
			if last < first+0.1 {
				t.Errorf("the reward was %.3f and is %.3f: nothing was learned", first, last)
			}
			if first := curve[0]; math.Abs(first.KL) > 1e-3 || first.ApproxKL > 1 {
				t.Errorf("at first the KL is %g, the policy is its reference", first.KL)
			}
			if r := curve[steps-1]; k.algorithm == rlhf.PPO && r.ValueLoss == 0 || k.algorithm != rlhf.PPO &&
				r.ValueLoss != 0 {
				t.Errorf("the value loss of %s is %g", k.algorithm, r.ValueLoss)
			}
		})
	}
}
