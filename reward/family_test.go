package reward_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/lm"
	"haf/pref"
	"haf/reward"
	"haf/weights"
)

// familyConfigs are small models of every family, as members of their config.json; the windows are
// shorter than the prompts of the tests. A name may end in a variant.
var familyConfigs = map[string]string{
	"llama": llamaSizes +
		`"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 32}`,
	"mistral": llamaSizes + `"sliding_window": 9`,
	"qwen2": llamaSizes +
		`"use_sliding_window": true, "sliding_window": 9, "max_window_layers": 1, "tie_word_embeddings": true`,
	"qwen3":  llamaSizes + `"head_dim": 6`,
	"olmo2":  llamaSizes + `"attention_bias": false`,
	"gemma2": gemmaSizes + `"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0`,
	"gemma3_text": gemmaSizes +
		`"layer_types": ["sliding_attention", "full_attention"], "rope_scaling": {"rope_type": "linear", "factor": 4}`,
	"phi":      llamaSizes + `"partial_rotary_factor": 0.5`,
	"phi3":     llamaSizes + `"sliding_window": 9, "partial_rotary_factor": 0.5`,
	"gpt_neox": llamaSizes + `"rotary_pct": 0.5`,
	"gpt2":     `"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 256`,
}

const (
	llamaSizes = `"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, `
	gemmaSizes = llamaSizes + `"head_dim": 4, "query_pre_attn_scalar": 6, "sliding_window": 9, `
)

// writeFamily writes a model of the family with random weights, large enough to matter, and returns
// its folder.
func writeFamily(t *testing.T, family string) string {
	t.Helper()
	members := familyConfigs[family]
	if family == "phi" || family == "gpt_neox" { // as many key heads as query heads
		members = members + `, "num_key_value_heads": 4`
	}
	text := fmt.Sprintf(
		`{"model_type": %q, "vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "dtype": "float32", %s}`, family, members)
	config, err := lm.ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), family)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	description, err := config.Marshal(config.CausalClass())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), description, 0o644); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 3))
	arrays := lm.Init(config, random)
	for i := range arrays {
		for j := range arrays[i].Data {
			if len(arrays[i].Shape) == 1 {
				arrays[i].Data[j] += float32(0.1 * random.NormFloat64())
			} else {
				arrays[i].Data[j] *= 10
			}
		}
	}
	if err := weights.Write(dir, weights.Lazy(arrays...), weights.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// randomGroups are prompts, some longer than any window, with two to four responses, of which two
// begin alike.
func randomGroups(vocab, n int) []encode.Group {
	random := rand.New(rand.NewPCG(7, 0))
	tokens := func(n int) []int32 {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(3 + random.IntN(vocab-3))
		}
		return ids
	}
	var groups []encode.Group
	for range n {
		g := encode.Group{Prompt: tokens(3 + random.IntN(30))}
		for range 2 + random.IntN(3) {
			ids := append(tokens(1+random.IntN(20)), 2)
			if len(g.Responses) == 1 {
				first := g.Responses[0].Tokens
				ids = append(append([]int32{}, first[:len(first)/2]...), ids...) // begin alike
			}
			g.Responses = append(g.Responses, encode.Answer(ids))
		}
		g.Comparisons = []pref.Comparison{{Chosen: 0, Rejected: 1}}
		groups = append(groups, g)
	}
	return groups
}

// openFamily opens a folder for ready-made tokens.
func openFamily(
	t *testing.T, device *backend.Device, dir string, opt reward.Options,
) *reward.Model {
	t.Helper()
	opt.NoTokenizer, opt.Positions, opt.LogitChunk = true, 256, 48
	m, err := reward.Open(device, dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// everyFamily runs a test on a small model of each family, in pure Go: its programs are made at
// once.
func everyFamily(t *testing.T, test func(t *testing.T, device *backend.Device, dir string)) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range lm.Families() {
		t.Run(family, func(t *testing.T) { test(t, device, writeFamily(t, family)) })
	}
	if len(familyConfigs) != len(lm.Families()) {
		t.Errorf("families tested are %v, there are %v", slices.Sorted(maps.Keys(familyConfigs)),
			lm.Families())
	}
}

// TestFamiliesPackedEqualsAlone is TestPackedEqualsAlone for every family.
func TestFamiliesPackedEqualsAlone(t *testing.T) {
	everyFamily(t, func(t *testing.T, device *backend.Device, dir string) {
		packedEqualsAlone(t, openFamily(t, device, dir, reward.Options{}))
	})
}

// TestLearnedPositions refuses a sequence that a model with learned positions has no positions for.
func TestLearnedPositions(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	m := openFamily(t, device, writeFamily(t, "gpt2"), reward.Options{})
	for length, fits := range map[int]bool{256: true, 257: false} {
		g := encode.Group{Prompt: make([]int32, length-1),
			Responses: []encode.Response{encode.Answer([]int32{2})}}
		_, err := m.Read(t.Context(), []encode.Group{g}, reward.ScoreHead, nil, nil)
		if fits && err != nil || !fits &&
			(err == nil || !strings.Contains(err.Error(), "257 tokens, the model reads up to 256")) {
			t.Errorf("%d tokens: %v", length, err)
		}
	}
}

// TestFamiliesBfloat16 wants a bfloat16 body to give about what a float32 body gives.
func TestFamiliesBfloat16(t *testing.T) {
	everyFamily(t, func(t *testing.T, device *backend.Device, dir string) {
		groups := randomGroups(64, 3)
		both := reward.ScoreHead | reward.PolicyHead
		read := func(dtype string) (scores, logps [][]float64) {
			m := openFamily(t, device, dir, reward.Options{DType: dtype})
			setScore(t, m)
			heads, err := m.Read(t.Context(), groups, both, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			return heads.Scores, heads.LogProbs
		}
		scores, logps := read("float32")
		coarse, coarseLogps := read("bfloat16")
		var rewards, logp spread
		for g := range groups {
			for k, response := range groups[g].Responses {
				n := float64(len(response.Tokens))
				rewards.add(coarse[g][k], scores[g][k])
				logp.add(coarseLogps[g][k]/n, logps[g][k]/n)
			}
		}
		for what, s := range map[string]spread{"rewards": rewards, "log-probabilities a token": logp} {
			if e := s.relative(); !(e < 0.06) {
				t.Errorf("%s in bfloat16 are %.1f %% away from those in float32", what, 100*e)
			} else if e == 0 {
				t.Errorf("%s in bfloat16 equal those in float32 to the last bit: the body is not bfloat16",
					what)
			}
		}
	})
}

// A spread sums up how far values are from others.
type spread struct{ difference, size float64 }

func (s *spread) add(got, want float64) {
	s.difference += (got - want) * (got - want)
	s.size += want * want
}

func (s spread) relative() float64 { return math.Sqrt(s.difference / s.size) }
