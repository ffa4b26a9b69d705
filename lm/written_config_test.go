package lm

import (
	"encoding/json"
	"reflect"
	"testing"
)

// A written config.json says the rotary settings in the keys of transformers 4 and of transformers
// 5, whichever of them the base had, and in the form that each family's class accepts.
func TestMarshalRopeForms(t *testing.T) {
	const sizes = `"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24,
		"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2`
	for name, test := range map[string]struct {
		config string
		want   map[string]any // nil: no such key
	}{
		"llama 3 of transformers 5": {
			`{"model_type": "llama", ` + sizes +
				`, "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5,
				"factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
					"original_max_position_embeddings": 64}}`,
			map[string]any{
				"rope_theta": 5e5,
				"rope_scaling": map[string]any{"rope_type": "llama3", "factor": 8.,
					"low_freq_factor":  1.,
					"high_freq_factor": 4., "original_max_position_embeddings": 64.},
				"rope_parameters": map[string]any{"rope_type": "llama3", "rope_theta": 5e5,
					"factor":          8.,
					"low_freq_factor": 1., "high_freq_factor": 4.,
					"original_max_position_embeddings": 64.},
			},
		},
		"linear of transformers 4": {
			`{"model_type": "qwen2", ` + sizes +
				`, "rope_theta": 7, "rope_scaling": {"type": "linear", "factor": 2}}`,
			map[string]any{
				"rope_theta": 7., "rope_scaling": map[string]any{"rope_type": "linear",
					"factor": 2.},
				"rope_parameters": map[string]any{"rope_type": "linear", "rope_theta": 7.,
					"factor": 2.},
			},
		},
		"olmo2, whose class reads type": {
			`{"model_type": "olmo2", ` + sizes +
				`, "rope_parameters": {"rope_type": "linear", "rope_theta": 7, "factor": 2}}`,
			map[string]any{
				"rope_theta": 7., "rope_scaling": map[string]any{"type": "linear", "factor": 2.},
				"rope_parameters": map[string]any{"rope_type": "linear", "rope_theta": 7.,
					"factor": 2.},
			},
		},
		"gpt_neox, whose keys have names of their own": {
			`{"model_type": "gpt_neox", ` + sizes +
				`, "rope_parameters": {"rope_type": "default", "rope_theta": 7, "partial_rotary_factor": 0.5}}`,
			map[string]any{
				"rotary_emb_base": 7., "rotary_pct": 0.5, "rope_theta": nil,
				"partial_rotary_factor": nil, "rope_scaling": nil,
				"rope_parameters": map[string]any{"rope_type": "default", "rope_theta": 7.,
					"partial_rotary_factor": 0.5},
			},
		},
		"gemma 3, which has two bases": {
			`{"model_type": "gemma3_text", ` + sizes + `, "rope_parameters": {
				"full_attention": {"rope_type": "linear", "rope_theta": 7, "factor": 8},
				"sliding_attention": {"rope_type": "default", "rope_theta": 3}}}`,
			map[string]any{
				"rope_theta": 7., "rope_local_base_freq": 3.,
				"rope_scaling": map[string]any{"rope_type": "linear", "factor": 8.},
				"rope_parameters": map[string]any{
					"full_attention": map[string]any{"rope_type": "linear", "rope_theta": 7.,
						"factor": 8.},
					"sliding_attention": map[string]any{"rope_type": "default", "rope_theta": 3.},
				},
			},
		},
		"gpt2, which has no rope": {
			`{"model_type": "gpt2", "vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 2}`,
			map[string]any{"rope_theta": nil, "rope_scaling": nil, "rope_parameters": nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := parseText(t, test.config)
			written, err := c.Marshal(c.ClassifierClass())
			if err != nil {
				t.Fatal(err)
			}
			got := decode(t, written)
			for key, want := range test.want {
				if !reflect.DeepEqual(got[key], want) {
					t.Errorf("%s is %v, want %v", key, got[key], want)
				}
			}
			if again := parseText(t, string(written)); again.Hash() != c.Hash() {
				t.Errorf("read again it is another model:\n%s", written)
			}
		})
	}
}

// What a base's config.json says of its files and their form does not hold for the weights that
// are written.
func TestMarshalDropsLeftovers(t *testing.T) {
	c := parseSmall(t, map[string]string{
		"quantization_config": `{"quant_method":"bitsandbytes","load_in_4bit":true}`,
		"auto_map":            `{"AutoModel":"x.Y"}`,
		"_name_or_path":       `"org/base"`, "torch_dtype": `"bfloat16"`, "dtype": `"float16"`,
		"quirk": "1",
	})
	c.DType = "float16" // as it was read, so that only the other key is stale
	written, err := c.Marshal("LlamaForCausalLM")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(written, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"quantization_config", "auto_map", "_name_or_path"} {
		if value, ok := got[key]; ok {
			t.Errorf("%s is still %s", key, value)
		}
	}
	if string(got["dtype"]) != `"float16"` || string(got["torch_dtype"]) != `"float16"` ||
		string(got["quirk"]) != "1" {
		t.Errorf("dtype %s, torch_dtype %s, quirk %s", got["dtype"], got["torch_dtype"],
			got["quirk"])
	}
}
