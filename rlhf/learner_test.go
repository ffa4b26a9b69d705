package rlhf

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"haf/backend"
	"haf/internal/shared"
	"haf/optim"
	"haf/reward"
	"haf/weights"
)

// stored is testdata/ppo.json, made by ppo.py.
type stored struct {
	Settings struct {
		Clip, Gamma, Lam, KL, LR, Eps float64
		ValueClip                     float64 `json:"value_clip"`
		ValueCoef                     float64 `json:"value_coef"`
		WeightDecay                   float64 `json:"weight_decay"`
		MaxNorm                       float64 `json:"max_norm"`
		Betas                         [2]float64
	}
	Items []struct {
		Prompt, Response                    []int32
		Score                               float64
		Logp, Entropy, Old, Ref, Value, Raw []float64
		ModelValue                          []float64 `json:"model_value"`
		Return, Advantage                   []float64
	}
	ValueWeight      []float32             `json:"value_weight"`
	ValueBias        float32               `json:"value_bias"`
	Before, After    [4]float64            // loss, policy, value, clip fraction
	GradNorm         float64               `json:"grad_norm"`
	ValueWeightAfter []float64             `json:"value_weight_after"`
	ValueBiasAfter   float64               `json:"value_bias_after"`
	SumsAfter        map[string][2]float64 `json:"sums_after"`
}

// TestUpdateEqualsPyTorch makes one PPO update on prompts that are packed and run once for two
// responses each, and compares probabilities, values, entropies, advantages, losses, the gradients'
// norm and the weights after it with those of torch.
func TestUpdateEqualsPyTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/ppo.json")
	if err != nil {
		t.Fatal(err)
	}
	var want stored
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := reward.Open(device, filepath.Join(shared.Root(), "lm", "testdata", "llama"),
		reward.Options{NoTokenizer: true, Train: true, LogitChunk: 64, Positions: 256})
	if err != nil {
		t.Fatal(err)
	}
	defer policy.Close()
	s := want.Settings
	opt := Default(PPO)
	opt.Clip, opt.ValueClip, opt.ValueCoef, opt.Gamma, opt.Lambda = s.Clip, s.ValueClip, s.ValueCoef,
		s.Gamma, s.Lam
	opt.Optimizer = optim.AdamW{LR: s.LR, Beta1: s.Betas[0], Beta2: s.Betas[1], Eps: s.Eps,
		WeightDecay: s.WeightDecay, Clip: s.MaxNorm, Schedule: "constant"}
	l, err := newLearner(policy, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for i, a := range []weights.Array{{Shape: []int{1, len(want.ValueWeight)}, Data: want.ValueWeight},
		{Shape: []int{1}, Data: []float32{want.ValueBias}}} {
		if err := policy.Set(l.value[i], a); err != nil {
			t.Fatal(err)
		}
	}
	rollouts := []*rollout{{prompt: want.Items[0].Prompt}, {prompt: want.Items[2].Prompt}}
	for i, item := range want.Items {
		r := rollouts[i/2]
		r.responses = append(r.responses, &response{tokens: item.Response, shaped: item.Score})
	}
	if err := l.readAll(rollouts); err != nil {
		t.Fatal(err)
	}
	lists := func(what string, got, want []float64, tolerance float64) {
		t.Helper()
		for i := range want {
			near(t, what, got[i], want[i], tolerance)
		}
	}
	for i, item := range want.Items {
		a := rollouts[i/2].responses[i%2]
		lists("a log-probability", a.logps, item.Logp, 2e-5)
		lists("the reference's", a.refs, item.Logp, 2e-5) // the policy is still as it was opened
		lists("an entropy", a.entropies, item.Entropy, 2e-5)
		lists("a value", a.values, item.ModelValue, 2e-5)
		a.logps, a.refs, a.values = item.Old, item.Ref, item.Value
	}
	opt.advantages(rollouts, s.KL)
	for i, item := range want.Items {
		a := rollouts[i/2].responses[i%2]
		lists("an advantage", a.advantages, item.Advantage, 2e-6)
		lists("a return", a.returns, item.Return, 2e-6)
	}
	before, err := l.step(rollouts, 0, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	losses := func(when string, got updateMetrics, want [4]float64, tolerance float64) {
		t.Helper()
		for i, x := range []float64{got.Total, got.Policy, got.Value, got.Clipped} {
			near(t, []string{"the loss ", "the policy loss ", "the value loss ", "the clip fraction "}[i]+
				when, x, want[i], tolerance)
		}
	}
	losses("before", before, want.Before, 1e-5)
	near(t, "the gradients' norm", before.norm, want.GradNorm, 1e-4*want.GradNorm)
	for _, p := range l.policyOptimizer.Params() {
		a, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		switch sums, ok := want.SumsAfter[p.Name]; {
		case p.Name == valueWeight:
			for i, x := range a.Data {
				near(t, "the value head's weight after the update", float64(x), want.ValueWeightAfter[i], 2e-5)
			}
		case p.Name == valueBias:
			near(t, "the value head's bias after the update", float64(a.Data[0]), want.ValueBiasAfter, 2e-5)
		case !ok:
			t.Errorf("%s is trained, torch has none", p.Name)
		default:
			sum, size := 0.0, 0.0
			for _, x := range a.Data {
				sum, size = sum+float64(x), size+math.Abs(float64(x))
			}
			near(t, "the sum of "+p.Name+" after the update", sum, sums[0], 2e-5*size)
			near(t, "the size of "+p.Name+" after the update", size, sums[1], 2e-5*size)
		}
	}
	after, err := l.step(rollouts, 0, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	losses("after", after, want.After, 5e-4)
}
