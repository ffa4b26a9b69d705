package reward_test

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/lm"
	"haf/pref"
	"haf/reward"
)

// policyJob is a folder for testdata/transformers_policy.py, with what haf makes of it.
type policyJob struct {
	Folder    string    `json:"folder"`
	Prompts   [][]int32 `json:"prompts"`
	Responses [][]int32 `json:"responses"`
	Fresh     int       `json:"fresh"`

	name   string
	logp   []float64
	greedy [][]int32
}

// TestTransformersReadsPolicies exports the policy head of a trained model of every family, trained
// in full or by an adapter, and wants transformers to give the log-probabilities that the trained
// model has, and to continue prompts as haf does.
func TestTransformersReadsPolicies(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	var jobs []policyJob
	for _, family := range lm.Families() {
		base := writeFamily(t, family)
		jobs = append(jobs, exported(t, device, base, family, nil),
			exported(t, device, base, family, &lm.LoRA{Rank: 3, Alpha: 5, Targets: []string{".*"}}))
	}
	var answers []struct {
		LogP   []float64
		Greedy [][]int32
	}
	runPython(t, "transformers_policy.py", jobs, &answers)
	for i, j := range jobs {
		worst := 0.0
		for k, want := range answers[i].LogP {
			d := math.Abs(j.logp[k] - want)
			if worst = max(worst, d); !(d <= 1e-4*max(1, math.Abs(want))) {
				t.Errorf("%s: log-probability %d is %.6f, transformers has %.6f", j.name, k, j.logp[k], want)
			}
			if !slices.Equal(j.greedy[k], answers[i].Greedy[k]) {
				t.Errorf("%s: prompt %d is continued by %v, transformers has %v", j.name, k, j.greedy[k],
					answers[i].Greedy[k])
			}
		}
		t.Logf("%s: largest difference of log-probabilities %.1e", j.name, worst)
	}
}

// exported changes a model's weights, exports its policy head and returns what haf makes of both.
func exported(t *testing.T, device *backend.Device, base, family string, lora *lm.LoRA) policyJob {
	t.Helper()
	j := policyJob{name: family, Folder: filepath.Join(t.TempDir(), "policy"), Fresh: 8}
	opt := reward.Options{Train: lora == nil, LoRA: lora, Random: rand.New(rand.NewPCG(1, 1))}
	if lora != nil {
		j.name += " adapter"
	}
	m := openFamily(t, device, base, opt)
	random := rand.New(rand.NewPCG(2, 2))
	for _, p := range m.Trainable(reward.PolicyHead) {
		a, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Data {
			a.Data[i] += float32(0.1 * random.NormFloat64())
		}
		if err := m.Set(p, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.SavePolicy(j.Folder); err != nil {
		t.Fatal(err)
	}
	groups := randomGroups(60, 3)
	heads, err := m.Read(t.Context(), groups, reward.PolicyHead, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	policy := openFamily(t, device, j.Folder, reward.Options{})
	if !policy.ScoreHeadUntrained {
		t.Errorf("%s: the exported policy has a score head", j.name)
	}
	generator := policy.TokenGenerator(2)
	defer generator.Close()
	var requests []lm.Request
	for g := range groups {
		j.Prompts, j.Responses = append(j.Prompts, groups[g].Prompt),
			append(j.Responses, groups[g].Responses[0].Tokens)
		j.logp = append(j.logp, heads.LogProbs[g][0])
		requests = append(requests, lm.Request{Prompt: groups[g].Prompt, MaxTokens: j.Fresh})
	}
	j.greedy = make([][]int32, len(requests))
	args, err := policy.GeneratorArguments()
	if err != nil {
		t.Fatal(err)
	}
	err = generator.Run(t.Context(), args, requests, func(i int, s lm.Sequence) error {
		j.greedy[i] = s.Tokens
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestGeneratorText generates text with stories260k: what ends at a stop text is cut before it, and
// a shared prompt changes nothing.
func TestGeneratorText(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	m, err := reward.Open(device, shared.Path(t, "models/stories260k"), reward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	g, err := m.Generator(4)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ask := func(requests ...pref.Request) []pref.Generated {
		out := make([]pref.Generated, len(requests))
		err := g.Generate(context.Background(), requests, func(i int, r pref.Generated) error {
			out[i] = r
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	prompt := []pref.Message{{Role: pref.User, Content: "Once upon a time"}}
	request := pref.Request{Prompt: prompt, Sampling: pref.Sampling{MaxTokens: 40}}
	whole := ask(request)[0]
	if whole.Finish != pref.FinishLength || whole.Tokens != 40 || len(whole.Text) < 40 ||
		!(whole.LogP < 0) {
		t.Fatalf("got %+v", whole)
	}
	stopped := request
	stopped.Stop = []string{whole.Text[30:34], "not in it"}
	want, _, _ := strings.Cut(whole.Text, stopped.Stop[0])
	sampled := request
	sampled.Temperature, sampled.Seed = 0.8, 5
	beside := ask(stopped, request, sampled, sampled)
	if beside[0].Finish != pref.FinishStop || beside[0].Text != want {
		t.Errorf("stop at %q gave %q (%s), want %q", stopped.Stop[0], beside[0].Text, beside[0].Finish,
			want)
	}
	if beside[1].Text != whole.Text || beside[2].Text != beside[3].Text ||
		beside[2].Text == whole.Text {
		t.Errorf("beside others %q, alone %q; with a seed %q and %q", beside[1].Text, whole.Text,
			beside[2].Text, beside[3].Text)
	}
	err = g.Generate(context.Background(), []pref.Request{{Prompt: prompt}}, nil)
	if err == nil {
		t.Error("a request for no tokens was accepted")
	}
}

// TestGenerateBFloat16 wants a bfloat16 body's tokens to have about the log-probabilities that the
// packed forward pass gives them.
func TestGenerateBFloat16(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	m := openFamily(t, device, writeFamily(t, "gemma2"), reward.Options{DType: "bfloat16"})
	g := m.TokenGenerator(2)
	defer g.Close()
	group := randomGroups(60, 1)[0]
	args, err := m.GeneratorArguments()
	if err != nil {
		t.Fatal(err)
	}
	err = g.Run(t.Context(), args, []lm.Request{{Prompt: group.Prompt, MaxTokens: 20}},
		func(_ int, s lm.Sequence) error {
			group.Responses, group.Comparisons = []encode.Response{encode.Answer(s.Tokens)}, nil
			read, err := m.Read(t.Context(), []encode.Group{group}, reward.PolicyHead, nil, nil)
			if err != nil {
				return err
			}
			sum := 0.0
			for _, logp := range s.LogP {
				sum += float64(logp)
			}
			if !(math.Abs(sum-read.LogProbs[0][0]) <= 0.02*math.Abs(sum)) {
				t.Errorf("log-probability %.4f, packed %.4f", sum, read.LogProbs[0][0])
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
}
