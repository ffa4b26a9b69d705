package rlhf

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"haf/lm"
	"haf/run"
)

// sayings is a Progress that keeps what is said.
type sayings struct{ said []string }

func (s *sayings) Logf(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}
func (s *sayings) StartPhase(string, int) {}
func (s *sayings) Update(int, string)     {}
func (s *sayings) EndPhase()              {}

// guarded is an optimization with nothing but what guards need.
func guarded(opt Options, rewards ...Reward) (*optimization, *sayings) {
	said := &sayings{}
	return &optimization{
		Task: Task{Rewards: rewards}, learner: &learner{opt: opt}, progress: said,
	}, said
}

// TestGuardErrors: a KL above the limit or that is no number ends the run.
func TestGuardErrors(t *testing.T) {
	r, _ := guarded(Options{KLLimit: 5})
	if err := r.guard(&run.PolicyStep{KL: 6}); !errors.Is(err, ErrRunaway) {
		t.Errorf("a KL above the limit: %v", err)
	}
	if err := r.guard(&run.PolicyStep{KL: math.NaN()}); !errors.Is(err, errNotFinite) {
		t.Errorf("a KL that is no number: %v", err)
	}
}

// TestWarnings: each warning comes once, after some steps in a row, and again after a good step.
func TestWarnings(t *testing.T) {
	good := run.PolicyStep{Length: 9, EOSRate: 1, KL: 0.5, KLError: 1}
	for _, k := range []struct {
		name, want string
		steps      int
		change     func(*run.PolicyStep)
	}{
		{"short", "rlhf.min_length", shortSteps, func(c *run.PolicyStep) { c.Length = 2 }},
		{"cut", "rlhf.max_tokens = 12 (eos_rate is 0.25)", cutSteps,
			func(c *run.PolicyStep) { c.EOSRate = 0.25 }},
		{"negative KL", "negative (now -3.000 ± 1.000 nats a response), which rewards the policy",
			negativeKLSteps, func(c *run.PolicyStep) { c.KL = -3 }},
	} {
		t.Run(k.name, func(t *testing.T) {
			r, said := guarded(Options{MinLength: 4, MaxTokens: 12, Estimator: K1, NumGenerations: 2})
			bad := good
			k.change(&bad)
			for round, step := range []run.PolicyStep{bad, good, bad} {
				for range k.steps + 2 {
					if err := r.guard(&step); err != nil {
						t.Fatal(err)
					}
				}
				if want := []int{1, 1, 2}[round]; len(said.said) != want {
					t.Fatalf("%d warnings after round %d, want %d: %q", len(said.said), round, want, said.said)
				}
			}
			if !strings.Contains(said.said[0], k.want) {
				t.Errorf("%q, want %q in it", said.said[0], k.want)
			}
			few, said := guarded(Options{MinLength: 4, MaxTokens: 12})
			for range k.steps - 1 {
				if err := few.guard(&bad); err != nil || len(said.said) > 0 {
					t.Errorf("too early: %v %q", err, said.said)
				}
			}
		})
	}
}

// TestNegativeKLCause names the settings that change the distribution, then the distance of the
// log-probabilities, then chance. A KL within its error of 0 is no cause for a warning.
func TestNegativeKLCause(t *testing.T) {
	plain := lm.Sampling{Temperature: 1, TopP: 1, RepetitionPenalty: 1}
	for _, k := range []struct {
		sampling   lm.Sampling
		difference float64
		want       string
	}{
		{lm.Sampling{Temperature: 0.5, TopP: 0.8}, 1,
			"sampled with rlhf.temperature = 0.5, rlhf.top_p = 0.8,"},
		{lm.Sampling{Temperature: 1, TopK: 50, MinP: 0.1, RepetitionPenalty: 1.2}, 0,
			"rlhf.top_k = 50, rlhf.min_p = 0.1, rlhf.repetition_penalty = 1.2,"},
		{plain, 0.25, "differ from those of sampling by 0.250 nats"},
		{plain, 1e-4, "the mean is over 6 responses"},
	} {
		o := Options{Sampling: k.sampling, NumGenerations: 2}
		got := o.negativeKLCause(&run.PolicyStep{LogpDifference: k.difference, Groups: 3})
		if !strings.Contains(got, k.want) {
			t.Errorf("%+v: %q, want %q in it", k.sampling, got, k.want)
		}
	}
	r, said := guarded(Options{})
	for range 9 {
		if err := r.guard(&run.PolicyStep{EOSRate: 1, KL: -0.9, KLError: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if len(said.said) > 0 {
		t.Errorf("%q", said.said)
	}
}

// scored are rollouts of two responses each, with their rewards by source.
func scored(rewards []Reward, values ...[2][]float64) []*rollout {
	var out []*rollout
	for _, pair := range values {
		p := &rollout{}
		for _, of := range pair {
			a := &response{rewards: of}
			for i, x := range of {
				a.score += rewards[i].Weight * x
			}
			a.shaped = a.score
			p.responses = append(p.responses, a)
		}
		out = append(out, p)
	}
	return out
}

// TestConstantReward: a run whose reward has never varied stops; one reward of several is reported;
// one that did vary may be constant later.
func TestConstantReward(t *testing.T) {
	rewards := []Reward{{Name: "rule", Weight: 0.1}, {Name: "model", Weight: 1}}
	equal := [2][]float64{{0.1, 0.3}, {0.1, 0.3}}
	still := scored(rewards, equal, equal)
	moving := scored(rewards, [2][]float64{{0.1, 0.3}, {0.1, 0.4}})
	r, said := guarded(Options{}, rewards...)
	for step := 1; step < constantSteps; step++ {
		if err := r.checkConstant(still); err != nil || len(said.said) > 0 {
			t.Fatalf("step %d: %v %q", step, err, said.said)
		}
	}
	before := r.state
	err := r.checkConstant(still)
	if !errors.Is(err, ErrConstantReward) ||
		!strings.Contains(err.Error(), `("rule" + "model") was 0.31`) {
		t.Errorf("the error is %v", err)
	}
	if r.state = before; r.state.Health.Constant[0] != constantSteps-1 {
		t.Errorf("the state before the step has changed: %v", r.state.Health)
	}
	said.said = nil
	if err := r.checkConstant(moving); err != nil || len(said.said) != 1 ||
		!strings.Contains(said.said[0], `"rule" was 0.1 for`) {
		t.Errorf("%v, %q", err, said.said)
	}
	for range 2 * constantSteps {
		if err := r.checkConstant(still); err != nil {
			t.Fatal(err)
		}
	}
	if len(said.said) != 1 || r.state.Health.Constant[2] != -1 {
		t.Errorf("%q, %v", said.said, r.state.Health)
	}
}
