package reward_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/reward"
)

// TestPackedEqualsAlone proves that sharing the prompt and packing change nothing: heads read from
// packed rows equal those of every sequence run alone.
func TestPackedEqualsAlone(t *testing.T) {
	device, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"llama", "llama3-rope"} {
		t.Run(name, func(t *testing.T) {
			model, err := reward.Open(device, filepath.Join(shared.Root(), "lm", "testdata", name),
				reward.Options{NoTokenizer: true, Positions: 256, LogitChunk: 48})
			if err != nil {
				t.Fatal(err)
			}
			defer model.Close()
			packedEqualsAlone(t, model)
		})
	}
}

func packedEqualsAlone(t *testing.T, model *reward.Model) {
	t.Helper()
	setScore(t, model)
	groups := randomGroups(model.Config.Vocab, 12)
	random := rand.New(rand.NewPCG(3, 0))
	// read anywhere, and only a part of the tokens counts, as templates may have it
	for _, g := range groups {
		for k := range g.Responses {
			r := &g.Responses[k]
			r.Policy, r.Read = random.IntN(len(r.Tokens)), random.IntN(len(r.Tokens)+1)-1
		}
	}
	both := reward.ScoreHead | reward.PolicyHead
	heads, err := model.Read(t.Context(), groups, both, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range groups {
		for k, response := range g.Responses {
			alone := []encode.Group{{Prompt: g.Prompt, Responses: []encode.Response{response}}}
			one, err := model.Read(t.Context(), alone, both, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "reward", heads.Scores[i][k], one.Scores[0][0])
			// A token's mean: the sums are near 100, where neighbouring float32 are 8e-6 apart.
			tokens := float64(max(1, response.Predicted()))
			same(t, "logp a token", heads.LogProbs[i][k]/tokens, one.LogProbs[0][0]/tokens)
		}
	}
}

func same(t *testing.T, what string, packed, alone float64) {
	t.Helper()
	if !(math.Abs(packed-alone) <= 1e-5) {
		t.Errorf("%s is %.8g packed and %.8g alone", what, packed, alone)
	}
}

// setScore gives the model a score head that is not zero.
func setScore(t *testing.T, model *reward.Model) {
	t.Helper()
	params := model.Params()
	head := params[len(params)-1]
	a, err := head.Read()
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Data {
		a.Data[i] = float32(math.Sin(float64(i + 1)))
	}
	if err := model.Set(head, a); err != nil {
		t.Fatal(err)
	}
}
