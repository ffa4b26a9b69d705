package reward_test

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/reward"
	"haf/weights"
)

// adapterOn writes an adapter of one layer on a base, with more settings and tensors.
func adapterOn(t *testing.T, base string, config map[string]any, more ...weights.Array) string {
	t.Helper()
	const layer = "base_model.model.model.layers.0.mlp.up_proj"
	dir := t.TempDir()
	all := map[string]any{"peft_type": "LORA", "r": 1, "lora_alpha": 2,
		"base_model_name_or_path": base, "target_modules": []string{"model.layers.0.mlp.up_proj"}}
	maps.Copy(all, config)
	writeJSONFile(t, filepath.Join(dir, "adapter_config.json"), all)
	b := make([]float32, 64)
	for i := range b {
		b[i] = float32(0.1 * math.Cos(float64(i)))
	}
	arrays := append([]weights.Array{array(layer+".lora_A.weight", row(5), 1, hidden),
		array(layer+".lora_B.weight", b, 64, 1)}, more...)
	if err := weights.WriteFile(filepath.Join(dir, "adapter_model.safetensors"),
		weights.Lazy(arrays...), weights.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// rows are n rows of an embedding: those of the base's as far as it has them, scaled, and others.
func rows(t *testing.T, base string, n int, scale float32) []float32 {
	t.Helper()
	ck, err := weights.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	a, err := ck.Read("model.embed_tokens.weight")
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, n*hidden)
	for i := range out {
		if out[i] = float32(0.3 * math.Sin(float64(i))); i < len(a.Data) {
			out[i] = scale * a.Data[i]
		}
	}
	return out
}

// both reads both heads of two responses, the second with a token beyond the base's embedding if
// beyond.
func both(t *testing.T, m *reward.Model, beyond bool) (scores, logps []float64, err error) {
	t.Helper()
	group := encode.Group{Prompt: []int32{1, 9, 33}, Responses: []encode.Response{
		encode.Answer([]int32{20, 21, 2}), encode.Answer([]int32{99, 140, 8, 2})}}
	if beyond {
		group.Responses[1].Tokens[1] = 163
	}
	want := reward.ScoreHead
	if m.HasPolicyHead {
		want |= reward.PolicyHead
	}
	heads, err := m.Read(t.Context(), []encode.Group{group}, want, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	if m.HasPolicyHead {
		logps = heads.LogProbs[0]
	}
	return heads.Scores[0], logps, nil
}

func near(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Abs(x-y) <= 1e-5 })
}

// TestOwnEmbedding: an adapter's embedding and policy head take the place of the base's, with as
// many rows as they have, when the adapter is opened, saved again and merged. What it computes is
// what the base computes with those weights in it.
func TestOwnEmbedding(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	tied := layout{}.write(t)
	output := array("lm_head.weight", rows(t, tied, 160, 0.5), 160, hidden)
	untied := layout{map[string]any{"tie_word_embeddings": false},
		map[string][]weights.Array{"model.safetensors": {output}}, ""}.write(t)
	const embed, lmHead = "base_model.model.model.embed_tokens.weight",
		"base_model.model.lm_head.weight"
	score := array("base_model.model.score.weight", row(1), 1, hidden)
	for name, test := range map[string]struct {
		base   string
		own    []weights.Array
		rows   int
		config map[string]any // of a base that has the same weights, and its tensors
		want   []weights.Array
		policy string // in inspect
	}{
		"tied": {tied, []weights.Array{array(embed, rows(t, tied, 165, 2), 165, hidden)}, 165,
			map[string]any{"vocab_size": 165}, []weights.Array{array("model.embed_tokens.weight",
				rows(t, tied, 165, 2), 165, hidden)}, "tied to the embedding"},
		"tied, both of them": {tied, []weights.Array{array(embed, rows(t, tied, 165, 2), 165, hidden),
			array(lmHead, rows(t, tied, 165, 2), 165, hidden)}, 165,
			map[string]any{"vocab_size": 165}, []weights.Array{array("model.embed_tokens.weight",
				rows(t, tied, 165, 2), 165, hidden)}, "tied to the embedding"},
		"no longer tied": {tied, []weights.Array{array(embed, rows(t, tied, 165, 2), 165, hidden),
			array(lmHead, rows(t, tied, 165, 3), 165, hidden)}, 165,
			map[string]any{"vocab_size": 165, "tie_word_embeddings": false},
			[]weights.Array{array("model.embed_tokens.weight", rows(t, tied, 165, 2), 165, hidden),
				array("lm_head.weight", rows(t, tied, 165, 3), 165, hidden)}, "the adapter's own"},
		"untied": {untied, []weights.Array{array(embed, rows(t, tied, 165, 2), 165, hidden),
			array(lmHead, rows(t, tied, 165, 3), 165, hidden)}, 165,
			map[string]any{"vocab_size": 165, "tie_word_embeddings": false},
			[]weights.Array{array("model.embed_tokens.weight", rows(t, tied, 165, 2), 165, hidden),
				array("lm_head.weight", rows(t, tied, 165, 3), 165, hidden)}, "the adapter's own"},
		"untied, without a policy head": {untied, []weights.Array{array(embed, rows(t, tied, 165, 2),
			165, hidden)}, 165,
			map[string]any{"vocab_size": 165, "tie_word_embeddings": false,
				"architectures": []string{"LlamaForSequenceClassification"},
				"id2label":      map[string]string{"0": "x"}},
			[]weights.Array{array("model.embed_tokens.weight", rows(t, tied, 165, 2), 165, hidden)},
			"absent: the adapter's embedding has other rows than the base's policy head"},
		"as many rows": {untied, []weights.Array{array(embed, rows(t, tied, 160, 2), 160, hidden)}, 160,
			map[string]any{"tie_word_embeddings": false},
			[]weights.Array{array("model.embed_tokens.weight", rows(t, tied, 160, 2), 160, hidden),
				output}, "untied"},
		"fewer rows": {tied, []weights.Array{array(embed, rows(t, tied, 150, 2), 150, hidden)}, 150,
			map[string]any{"vocab_size": 150}, []weights.Array{array("model.embed_tokens.weight",
				rows(t, tied, 150, 2), 150, hidden)}, "tied to the embedding"},
		"as modules_to_save": {tied, []weights.Array{array(embed, rows(t, tied, 165, 2), 165, hidden),
			array("base_model.model.model.embed_tokens.modules_to_save.weight", rows(t, tied, 165,
				2), 165, hidden),
			array("base_model.model.model.embed_tokens.original_module.weight", rows(t, tied, 165,
				1), 165, hidden)}, 165,
			map[string]any{"vocab_size": 165}, []weights.Array{array("model.embed_tokens.weight",
				rows(t, tied, 165, 2), 165, hidden)}, "tied to the embedding"},
	} {
		t.Run(name, func(t *testing.T) {
			beyond := test.rows > 160
			// The same weights in a base, on which the adapter has none of its own.
			changed := layout{test.config, map[string][]weights.Array{"model.safetensors": test.want},
				""}.write(t)
			plain := open(t, device, adapterOn(t, changed, nil, score),
				reward.Options{NoTokenizer: true})
			wantScores, wantLogps, err := both(t, plain, beyond)
			if err != nil {
				t.Fatal(err)
			}
			dir := adapterOn(t, test.base, nil, append(test.own, score)...)
			m := open(t, device, dir, reward.Options{NoTokenizer: true})
			folders := map[string]*reward.Model{"adapter": m}
			for form, save := range map[string]func(string) error{"saved": m.Save,
				"merged": m.SaveMerged} {
				saved := filepath.Join(t.TempDir(), form)
				if err := save(saved); err != nil {
					t.Fatal(err)
				}
				folders[form] = open(t, device, saved, reward.Options{NoTokenizer: true})
			}
			for form, m := range folders {
				scores, logps, err := both(t, m, beyond)
				if err != nil || m.Config.Vocab != test.rows || !near(scores, wantScores) ||
					!near(logps, wantLogps) {
					t.Errorf("%s: %d rows, scores %v, log-probabilities %v, %v; want %d, %v, %v",
						form, m.Config.Vocab, scores, logps, err, test.rows, wantScores, wantLogps)
				}
			}
			in, err := reward.Inspect(dir, reward.ChatOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if in.Vocabulary != test.rows || in.PolicyHead != test.policy ||
				len(in.Adapter.Own) == 0 ||
				!strings.Contains(in.Adapter.Own[len(in.Adapter.Own)-1].Name, "embed_tokens") {
				t.Errorf("inspect: %d rows, policy head %q, own weights %+v", in.Vocabulary,
					in.PolicyHead, in.Adapter.Own)
			}
			bare, err := reward.OpenWithoutWeights(dir, reward.Options{NoTokenizer: true})
			if err != nil {
				t.Fatal(err)
			}
			defer bare.Close()
			if bare.Config.Vocab != test.rows ||
				bare.Config.TiedEmbeddings != m.Config.TiedEmbeddings ||
				bare.HasPolicyHead != m.HasPolicyHead {
				t.Errorf("without weights it has %d rows", bare.Config.Vocab)
			}
		})
	}
	// Without a score head there would be nothing to read.
	dir := adapterOn(t, untied, nil, array(embed, rows(t, tied, 165, 2), 165, hidden))
	if _, err := reward.Open(device, dir, reward.Options{NoTokenizer: true}); err == nil ||
		!strings.Contains(err.Error(), "has an embedding of 165 rows, but no lm_head.weight of "+
			"as many") {
		t.Errorf("no head at all: %v", err)
	}
	dir = adapterOn(t, untied, nil, array(embed, rows(t, tied, 165, 2), 165, hidden), array(lmHead,
		rows(t, tied, 160, 3), 160, hidden), score)
	if _, err := reward.Open(device, dir, reward.Options{NoTokenizer: true}); err == nil ||
		!strings.Contains(err.Error(), "lm_head.weight has shape [160 32], want [165 32]") {
		t.Errorf("heads of other sizes: %v", err)
	}
}

// TestScoreLoRA: a LoRA on the score head is added to the base's head with its own scale. (What
// PEFT computes is in TestLayouts.)
func TestScoreLoRA(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	const a, b = "base_model.model.score.lora_A.weight", "base_model.model.score.lora_B.weight"
	base := head("score.weight", row(1), 1).write(t)
	matrices := []weights.Array{array(a, slices.Concat(row(2), row(3)), 2, hidden), array(b,
		[]float32{0.5, -0.25}, 1, 2)}
	config := map[string]any{"r": 1, "lora_alpha": 2, "rank_pattern": map[string]int{"score": 2},
		"alpha_pattern":  map[string]int{"score": 6},
		"target_modules": []string{"model.layers.0.mlp.up_proj", "score"}}
	merged := make([]float32, hidden)
	for i := range merged { // scale 6/2
		merged[i] = row(1)[i] + 3*(0.5*row(2)[i]-0.25*row(3)[i])
	}
	want := readScores(t, device, adapterOn(t, base, nil, array("base_model.model.score.weight",
		merged, 1, hidden)))
	dir := adapterOn(t, base, config, matrices...)
	if got := readScores(t, device, dir); !near(got, want) {
		t.Errorf("rewards %v, want %v", got, want)
	}
	in, err := reward.Inspect(dir, reward.ChatOptions{})
	if err != nil || !in.Adapter.ScoreLoRA || !strings.HasSuffix(in.ScoreHead.Source,
		", with the adapter's LoRA") {
		t.Errorf("inspect: %+v, %v", in.ScoreHead, err)
	}
	none := layout{}.write(t)
	for want, dir := range map[string]string{
		"adapts the score head score, but " + none + " has none": adapterOn(t,
			none, config, matrices...),
		"a LoRA on the score head score beside a score head of the adapter's own": adapterOn(t,
			base, config, append(matrices, array("base_model.model.score.weight", row(1), 1,
				hidden))...),
		"score.lora_A.weight has shape [2 32], want [1 32]": adapterOn(t,
			base, nil, matrices...),
		`"base_model.model.score.base_layer.weight" [1 32] belongs to no linear`: adapterOn(t,
			base, config, append(matrices, array("base_model.model.score.base_layer.weight",
				row(1), 1, hidden))...),
		"but that of its base is score.0 to score.0": adapterOn(t,
			head("score.0.weight", row(1), 1).write(t), config, matrices...),
	} {
		if _, err := reward.Open(device, dir, reward.Options{NoTokenizer: true}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant it to contain %q", err, want)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
