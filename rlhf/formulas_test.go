package rlhf

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	"haf/pref"
)

// formulas is testdata/formulas.json, made by formulas.py.
type formulas struct {
	Overlong []struct {
		MaxLength int `json:"max_length"`
		Cache     int
		Lengths   []int
		Rewards   []float64
	}
	Weights          []float64
	Rewards          [][][]float64 // [prompt][response][reward]
	Sums, GRPO, RLOO [][]float64   // [prompt][response]
	Mean, Std        float64       // of the sums
	Means, Stds      []float64     // of each reward
	ZeroStd          float64       `json:"zero_std"`
}

// storedReward has the values of one reward, response by response.
type storedReward []float64

func (s storedReward) Score(context.Context, []pref.Sample) ([]float64, error) { return s, nil }

// TestFormulas compares the overlong penalty with TRL's function, and weighted sums, statistics and
// advantages of several rewards with what TRL computes of them.
func TestFormulas(t *testing.T) {
	data, err := os.ReadFile("testdata/formulas.json")
	if err != nil {
		t.Fatal(err)
	}
	var want formulas
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for _, k := range want.Overlong {
		for i, n := range k.Lengths {
			got := -Overlong{Cache: k.Cache, MaxLength: k.MaxLength, Penalty: 1}.Of(n)
			near(t, "the overlong penalty", got, k.Rewards[i], 1e-15)
			got = -Overlong{Cache: k.Cache, MaxLength: k.MaxLength, Penalty: 2.5}.Of(n)
			near(t, "the overlong penalty, scaled", got, 2.5*k.Rewards[i], 1e-15)
		}
	}
	r := &optimization{learner: &learner{opt: Default(GRPO)}}
	r.opt.Shaping.MaxTokens = 1
	for i, weight := range want.Weights {
		var values storedReward
		for _, group := range want.Rewards {
			for _, rewards := range group {
				values = append(values, rewards[i])
			}
		}
		r.Rewards = append(r.Rewards, Reward{Name: string(rune('a' + i)), Weight: weight, Scorer: values})
	}
	rollouts := make([]*rollout, len(want.Rewards))
	for i, group := range want.Rewards {
		rollouts[i] = &rollout{}
		for range group {
			a := &response{tokens: []int32{1}, logps: []float64{-1}, refs: []float64{-2}}
			rollouts[i].responses = append(rollouts[i].responses, a)
		}
	}
	if err := r.score(t.Context(), rollouts); err != nil {
		t.Fatal(err)
	}
	r.shape(rollouts)
	each := func(what string, want [][]float64, of func(*response) float64) {
		t.Helper()
		for i, got := range perResponse(rollouts, of) {
			for k, x := range got {
				near(t, what, x, want[i][k], 1e-12)
			}
		}
	}
	each("a weighted sum", want.Sums, func(a *response) float64 { return a.score })
	mean, std, _ := moments(perResponse(rollouts, func(a *response) float64 { return a.score }))
	near(t, "the mean of the sums", mean, want.Mean, 1e-12)
	near(t, "their deviation", std, want.Std, 1e-12)
	for i, stats := range want.Means {
		got := rewardStats(r.Rewards, rollouts)[r.Rewards[i].Name]
		near(t, "the mean of a reward", got.Mean, stats, 1e-12)
		near(t, "the deviation of a reward", got.Std, want.Stds[i], 1e-12)
	}
	near(t, "the share of prompts without spread", zeroStd(rollouts), want.ZeroStd, 0)
	advantage := func(a *response) float64 { return a.advantages[0] }
	r.opt.advantages(rollouts, 0)
	each("GRPO's advantage", want.GRPO, advantage)
	r.opt.Algorithm = RLOO
	r.opt.advantages(rollouts, 0)
	each("RLOO's advantage", want.RLOO, advantage)
}

// TestOverlongCheck: what cannot have an effect is refused.
func TestOverlongCheck(t *testing.T) {
	for _, k := range []struct {
		o    Overlong
		good bool
	}{
		{Overlong{}, true},
		{Overlong{MaxLength: 10, Penalty: -1}, true}, // off
		{Overlong{Cache: 20, Penalty: 1}, true},
		{Overlong{Cache: 100, Penalty: 1}, true},
		{Overlong{Cache: 60, MaxLength: 150, Penalty: 1}, true},
		{Overlong{Cache: -1, Penalty: 1}, false},
		{Overlong{Cache: 101, Penalty: 1}, false},
		{Overlong{Cache: 50, MaxLength: 150, Penalty: 1}, false},
		{Overlong{Cache: 20, Penalty: 0}, false},
		{Overlong{Cache: 20, MaxLength: -1, Penalty: 1}, false},
	} {
		if err := k.o.check(100); (err == nil) != k.good {
			t.Errorf("%+v: %v", k.o, err)
		}
	}
}
