package reward_test

import (
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
	"haf/reward"
	"haf/weights"
)

// TestOutputs trains nothing: a head with an output for each attribute is saved, whole, as an
// adapter and with hidden layers, and each output is read back by its name.
func TestOutputs(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	labels := []string{"helpfulness", "correctness", "verbosity"}
	base := filepath.Join(shared.Root(), "lm", "testdata", "llama")
	groups := []encode.Group{{Prompt: []int32{1, 7, 9}, Responses: []encode.Response{
		encode.Answer([]int32{4, 5, 2}), encode.Answer([]int32{8, 2}),
	}}}
	opened := func(dir string, opt reward.Options) *reward.Model {
		opt.NoTokenizer, opt.Positions = true, 64
		m, err := reward.Open(device, dir, opt)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
	refused := func(dir, want string, opt reward.Options) {
		t.Helper()
		opt.NoTokenizer = true
		m, err := reward.Open(device, dir, opt)
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for name, opt := range map[string]reward.Options{
		"whole": {Train: true, Head: reward.HeadInit{Labels: labels}},
		"adapter": {LoRA: &lm.LoRA{Rank: 2, Alpha: 4, Targets: []string{"q_proj"}},
			Head: reward.HeadInit{Labels: labels}},
		"hidden layers": {Train: true, Head: reward.HeadInit{Kind: reward.MLPHead, Units: 8,
			Labels: labels}},
	} {
		t.Run(name, func(t *testing.T) {
			m := opened(base, opt)
			random := rand.New(rand.NewPCG(3, 0))
			for _, p := range m.Trainable(reward.ScoreHead) {
				if !strings.HasPrefix(p.Name, "score") && !strings.HasPrefix(p.Name, "v_head") {
					continue
				}
				a := weights.Array{Name: p.Name, Shape: p.Shape, Data: make([]float32, p.Size())}
				for i := range a.Data {
					a.Data[i] = float32(random.NormFloat64())
				}
				if err := m.Set(p, a); err != nil {
					t.Fatal(err)
				}
			}
			heads, err := m.Read(t.Context(), groups, reward.ScoreHead, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if heads.Scores != nil || len(heads.Outputs[0][1]) != len(labels) {
				t.Fatalf("%+v", heads)
			}
			dir := filepath.Join(t.TempDir(), "saved")
			if err := m.Save(dir); err != nil {
				t.Fatal(err)
			}
			refused(dir, "has 3 labels (0 helpfulness, 1 correctness, 2 verbosity): say which is",
				reward.Options{})
			for a, label := range labels {
				read := opened(dir, reward.Options{Column: label})
				one, err := read.Read(t.Context(), groups, reward.ScoreHead, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				for k, x := range one.Scores[0] {
					if want := heads.Outputs[0][k][a]; !(math.Abs(x-want) <= 1e-5*max(1, math.Abs(want))) {
						t.Errorf("%s of response %d is %v, want %v", label, k, x, want)
					}
				}
			}
			if name == "adapter" {
				return // it is merged before it is trained again
			}
			again := opened(dir, reward.Options{Train: true, Head: reward.HeadInit{Labels: labels}})
			heads2, err := again.Read(t.Context(), groups, reward.ScoreHead, nil, nil)
			if err != nil || !slices.Equal(heads2.Outputs[0][1], heads.Outputs[0][1]) {
				t.Errorf("opened again for training: %v, %v", heads2.Outputs, err)
			}
			refused(dir, "but those to be trained are 0 other", reward.Options{Train: true,
				Head: reward.HeadInit{Labels: []string{"other"}}})
		})
	}
	refused(base, "leave the column out", reward.Options{Train: true, Column: "1",
		Head: reward.HeadInit{Labels: labels}})
}
