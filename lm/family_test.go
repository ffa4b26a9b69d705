package lm

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"haf/weights"
)

// parseText parses a config.json given as text.
func parseText(t testing.TB, text string) *Config {
	t.Helper()
	c, err := ParseConfig([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

// published are config.json files as they stand on the hub, shortened, in the forms of older
// releases of transformers.
var published = map[string]string{
	"mistral 7B v0.3": `{"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
		"rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32768}`,
	"qwen2.5 0.5B": `{"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "max_window_layers": 21, "num_attention_heads": 14, "num_hidden_layers": 24,
		"num_key_value_heads": 2, "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936}`,
	"gemma 2 2B": `{"model_type": "gemma2", "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
		"hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "intermediate_size": 9216, "num_attention_heads": 8, "num_hidden_layers": 26, "num_key_value_heads": 4,
		"query_pre_attn_scalar": 256, "rope_theta": 10000.0, "sliding_window": 4096, "vocab_size": 256000}`,
	"gemma 3 1B": `{"model_type": "gemma3_text", "attn_logit_softcapping": null, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "intermediate_size": 6912,
		"num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rope_local_base_freq": 10000, "rope_scaling": null,
		"rope_theta": 1000000, "sliding_window": 512, "sliding_window_pattern": 6, "vocab_size": 262144, "eos_token_id": [1, 106]}`,
	"gemma 3 4B": `{"model_type": "gemma3", "eos_token_id": [1, 106], "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 1152}, "text_config": {"hidden_size": 2560,
		"intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}}`,
	"phi-2": `{"model_type": "phi", "hidden_act": "gelu_new", "hidden_size": 2560, "intermediate_size": 10240, "layer_norm_eps": 1e-05, "num_attention_heads": 32, "num_hidden_layers": 32,
		"num_key_value_heads": 32, "partial_rotary_factor": 0.4, "qk_layernorm": false, "rope_scaling": null, "rope_theta": 10000.0, "vocab_size": 51200}`,
	"phi 3 mini": `{"model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
		"rope_scaling": null, "rope_theta": 10000.0, "sliding_window": 2047, "vocab_size": 32064}`,
	"pythia": `{"model_type": "gpt_neox", "hidden_act": "gelu", "hidden_size": 512, "intermediate_size": 2048, "layer_norm_eps": 1e-05, "num_attention_heads": 8, "num_hidden_layers": 6,
		"rotary_emb_base": 10000, "rotary_pct": 0.25, "use_parallel_residual": true, "vocab_size": 50304}`,
	"gpt2": `{"model_type": "gpt2", "activation_function": "gelu_new", "layer_norm_epsilon": 1e-05, "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
		"vocab_size": 50257, "architectures": ["GPT2LMHeadModel"]}`,
}

func TestPublishedConfigs(t *testing.T) {
	tests := map[string]struct {
		got  func(*Config) []any
		want []any
	}{
		"mistral 7B v0.3": {
			func(c *Config) []any { return []any{c.Window, c.KVHeads, c.HeadDim, c.RopeTheta} },
			[]any{0, 8, 128, 1e6}},
		"qwen2.5 0.5B": {func(c *Config) []any {
			return []any{c.Window, c.AttentionBias, c.OutputBias, c.TiedEmbeddings}
		}, []any{0, true, false, true}},
		"gemma 2 2B": {func(c *Config) []any {
			return []any{c.AttentionCap, c.LogitCap, c.TiedEmbeddings, c.windowed(0), c.windowed(1),
				c.QueryScale, c.Activation}
		}, []any{50., 30., true, true, false, 256., "gelu_tanh"}},
		"gemma 3 1B": {func(c *Config) []any {
			return []any{c.RopeTheta, c.LocalRopeTheta, c.LogitCap, c.windowed(4), c.windowed(5),
				c.windowed(25), c.EOS}
		}, []any{1e6, 1e4, 0., true, false, true, []int{1, 106}}},
		"gemma 3 4B": {func(c *Config) []any {
			return []any{c.Family, c.Nested, c.Vocab, c.Heads, c.KVHeads, c.HeadDim, c.Rope.Factor,
				c.LocalRopeTheta, c.DType, c.EOS}
		}, []any{"gemma3_text", true, 262208, 8, 4, 256, 8., 1e4, "bfloat16", []int{1, 106}}},
		"phi-2": {func(c *Config) []any {
			return []any{c.rotaryDim(), c.ParallelResidual, c.MLPBias, len(OutputParams(c))}
		}, []any{32, true, true, 2}},
		"phi 3 mini": {func(c *Config) []any {
			return []any{c.Window, c.windowed(31), c.rotaryDim(), c.PAD}
		}, []any{2047, true, 96, 32000}},
		"pythia": {func(c *Config) []any {
			return []any{c.rotaryDim(), c.ParallelResidual, c.KVHeads, c.BOS}
		}, []any{16, true, 8, 0}},
		"gpt2": {func(c *Config) []any {
			return []any{c.FeedForward, c.MaxLength(), c.HeadDim, c.TiedEmbeddings, c.EOS}
		}, []any{3072, 1024, 64, true, []int{50256}}},
	}
	for name, text := range published {
		c := parseText(t, text)
		if got := tests[name].got(c); !reflect.DeepEqual(got, tests[name].want) {
			t.Errorf("%s: got %v, want %v", name, got, tests[name].want)
		}
		// What is written for a classifier is the same model.
		written, err := c.Marshal(c.ClassifierClass())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again := parseText(t, string(written))
		if again.Hash() != c.Hash() || again.NumLabels != 1 {
			t.Errorf("%s: written as\n%s", name, written)
		}
	}
}

func TestFamiliesRefuse(t *testing.T) {
	const sizes = `"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4`
	for text, want := range map[string]string{
		`{"model_type": "qwen3", ` + sizes +
			`, "layer_types": ["full_attention"]}`: "layer_types has 1 entries for 2 layers",
		`{"model_type": "qwen3", ` + sizes +
			`, "layer_types": ["full_attention", "linear_attention"]}`: `layer 1 is "linear_attention"; supported: full_attention, sliding_attention`,
		`{"model_type": "qwen2", ` + sizes +
			`, "layer_types": ["full_attention", "sliding_attention"]}`: "use_sliding_window is false",
		`{"model_type": "mistral", ` + sizes +
			`, "layer_types": ["full_attention", "sliding_attention"]}`: "not supported in the mistral family",
		`{"model_type": "mistral", ` + sizes +
			`, "sliding_window": -3}`: "sliding_window is -3",
		`{"model_type": "phi3", ` + sizes +
			`, "rope_scaling": {"type": "longrope", "short_factor": [1]}}`: `rope_type "longrope" is not supported; supported: default`,
		`{"model_type": "phi3", ` + sizes +
			`, "rope_scaling": {"type": "su"}}`: `rope_type "su" is not supported; supported: default`,
		`{"model_type": "phi", ` + sizes +
			`, "qk_layernorm": true}`: "qk_layernorm true is not supported",
		`{"model_type": "phi", ` + sizes +
			`, "partial_rotary_factor": 0.3}`: "rotates 1 dimensions, want an even number",
		`{"model_type": "phi", ` + sizes +
			`, "partial_rotary_factor": 1.5}`: "partial_rotary_factor is 1.5, want a share",
		`{"model_type": "gpt_neox", ` + sizes +
			`, "rotary_pct": 0}`: "rotary_pct is 0, want a share",
		`{"model_type": "gemma2", ` + sizes +
			`, "hidden_activation": "relu"}`: `hidden_activation "relu" is not supported`,
		`{"model_type": "gemma2", ` + sizes +
			`, "final_logit_softcapping": -1}`: "final_logit_softcapping is -1, want a positive number",
		`{"model_type": "gemma3_text", ` + sizes +
			`, "use_bidirectional_attention": true}`: "use_bidirectional_attention true is not supported",
		`{"model_type": "gemma3_text", ` + sizes +
			`, "rope_parameters": {"rope_type": "default"}}`: "want settings for full_attention and " +
			"sliding_attention",
		`{"model_type": "gemma3_text", ` + sizes +
			`, "rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2}}}`: `rope_type "linear" of sliding_attention is not supported`,
		`{"model_type": "gemma3", "vision_config": {}}`:                                                                            "no text_config",
		`{"model_type": "gemma3", "text_config": {}}`:                                                                              "text_config has no model_type",
		`{"model_type": "gpt2", "vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 3}`:                                          "n_embd 8 is not a multiple of n_head 3",
		`{"model_type": "gpt2", "vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 2, "scale_attn_by_inverse_layer_idx": true}`: "scale_attn_by_inverse_layer_idx true is not supported",
	} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant it to contain %q", text, err, want)
		}
	}
}

// A Config of every family that was made by hand comes back as it was written.
func TestFamiliesByHand(t *testing.T) {
	for _, name := range Families() {
		fam := families[name]
		made := Config{RopeTheta: 10000}
		fam.defaults(&made)
		made.Family, made.Vocab, made.Hidden, made.Layers, made.Heads, made.KVHeads, made.HeadDim = name,
			99, 24, 3, 3, 3, 8
		made.FeedForward, made.MaxPositions, made.BOS, made.PAD, made.EOS, made.DType = 48, 128, 1, 0,
			[]int{2}, "float32"
		made.Architectures = []string{made.CausalClass()}
		if fam.windows != neverWindowed {
			made.Window = 7
		}
		if fam.windows >= lateWindowed {
			made.Windowed = []bool{false, true, true}
		}
		written, err := made.Marshal(made.CausalClass())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := parseText(t, string(written))
		got.Raw = nil
		if !reflect.DeepEqual(*got, made) {
			t.Errorf("got  %+v\nwant %+v\n%s", *got, made, written)
		}
		if _, err := (&LoRA{Rank: 2, Alpha: 1, Targets: []string{".*"}}).Init(got,
			rand.New(rand.NewPCG(1, 1))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The hash of a Llama's configuration is in the folders of adapters and in the reference cache: it
// stays what it was.
func TestHashStays(t *testing.T) {
	for model, want := range map[string]string{
		"llama":       "1a0d434a1d9fd4afb541eba612551da1f76a430c7575ce6434b961c9c5c8c0ad",
		"llama3-rope": "716401ca8147b3b53609855c362c004039ee637d8d8ca646d01f8856ff841f69",
	} {
		c, err := LoadConfig(filepath.Join("testdata", model))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Hash(); got != want {
			t.Errorf("%s: %s, want %s", model, got, want)
		}
	}
}

// Weights are found under the other names that they go by.
func TestReadParamAliases(t *testing.T) {
	sizes := `"vocab_size": 4, "num_hidden_layers": 1, `
	llama := sizes +
		`"hidden_size": 4, "intermediate_size": 4, "num_attention_heads": 2, "num_key_value_heads": 2, `
	for _, test := range []struct {
		name, config string
		rename       func(string) string
	}{
		{"GPT-2 of the hub",
			`{"model_type": "gpt2", "vocab_size": 4, "n_embd": 4, "n_layer": 1, "n_head": 2, "n_positions": 4}`,
			func(name string) string { return strings.TrimPrefix(name, "transformer.") }},
		{"GPT-NeoX in memory", `{"model_type": "gpt_neox", ` + llama + `"rotary_pct": 1}`,
			func(name string) string { return strings.Replace(name, "embed_out", "lm_head", 1) }},
		{"Gemma 3 of transformers 4",
			`{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", ` + llama +
				`"head_dim": 2}}`,
			func(name string) string { return "language_model." + name }},
		{"Gemma 3 of transformers 5",
			`{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", ` + llama +
				`"head_dim": 2}}`,
			func(name string) string { return strings.Replace(name, "model.", "model.language_model.", 1) }},
	} {
		c := parseText(t, test.config)
		init := Init(c, rand.New(rand.NewPCG(1, 1)))
		renamed := slices.Clone(init)
		for i := range renamed {
			renamed[i].Name = test.rename(renamed[i].Name)
		}
		dir := t.TempDir()
		if err := weights.Write(dir, weights.Lazy(renamed...), weights.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		ck, err := weights.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		for i, p := range Params(c) {
			got, err := ReadParam(ck, c, p)
			if err != nil || !reflect.DeepEqual(got, init[i]) {
				t.Errorf("%s: %s: %v", test.name, p.Name, err)
			}
		}
	}
}

func TestLayerOf(t *testing.T) {
	c := parseText(t, published["gpt2"])
	for name, want := range map[string]string{
		"transformer.h.11.attn.c_attn.weight": "transformer.h.11.", "transformer.wte.weight": "",
		"score.weight": "", "transformer.h.": "",
	} {
		if got := c.LayerOf(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func FuzzFamilies(f *testing.F) {
	for _, text := range published {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil || c.HeadDim > 1<<12 || c.Layers > 1<<8 {
			return
		}
		written, err := c.Marshal(c.ClassifierClass())
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseConfig(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if again.Hash() != c.Hash() {
			t.Errorf("%+v\n%+v", c, again)
		}
		var object map[string]json.RawMessage // a number of a key that is not read may be any
		if err := json.Unmarshal(written, &object); err != nil {
			t.Error(err)
		}
	})
}
