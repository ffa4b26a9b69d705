package main

import (
	"fmt"

	"haf/lm"
	"haf/reward"
)

// A published model's shape; its config.json decides everything that the page counts.
type published struct{ name, config string }

// common are the keys that the configurations share and that no count depends on.
const common = `"rms_norm_eps": 1e-5, "max_position_embeddings": 4096, "rope_theta": 10000,
"tie_word_embeddings": false, `

// models are those of the page, from the config.json of each on the Hugging Face hub.
var models = []published{
	{"phi-2", `{"model_type": "phi", "architectures": ["PhiForCausalLM"], "hidden_act": "gelu_new",
		"layer_norm_eps": 1e-5, "partial_rotary_factor": 0.4, "qk_layernorm": false, ` + common +
		`"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32,
		"num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 51200}`},
	{"Mistral-7B-v0.3", `{"model_type": "mistral", "architectures": ["MistralForCausalLM"],
		"hidden_act": "silu", "sliding_window": null, ` + common +
		`"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
		"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32768}`},
	{"Llama-3-8B", `{"model_type": "llama", "architectures": ["LlamaForCausalLM"],
		"hidden_act": "silu", ` + common +
		`"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
		"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256}`},
	{"Llama-3-70B", `{"model_type": "llama", "architectures": ["LlamaForCausalLM"],
		"hidden_act": "silu", ` + common +
		`"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
		"num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256}`},
}

// qwen is a published shape of Qwen2.5 whose step was measured on a GPU.
func qwen(name string, hidden, inner, layers, heads, keys int) published {
	return published{name, fmt.Sprintf(`{"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"],
		"hidden_act": "silu", "rms_norm_eps": 1e-6, "max_position_embeddings": 32768,
		"rope_theta": 10000, "tie_word_embeddings": true, "use_sliding_window": false,
		"hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d,
		"num_attention_heads": %d, "num_key_value_heads": %d, "vocab_size": 151936}`,
		hidden, inner, layers, heads, keys)}
}

// open describes the model for training: its layers in bfloat16, all weights or an adapter of the
// rank trained, packed batches of that many positions.
func (p published) open(rank, positions int, recompute lm.Recompute) (*reward.Model, error) {
	opt := reward.Options{DType: "bfloat16", Train: true, Positions: positions, LogitChunk: 512}
	if rank > 0 {
		opt.LoRA = &lm.LoRA{Rank: rank, Alpha: float64(2 * rank),
			Targets: []string{"gate_proj", "up_proj", "down_proj"}}
	}
	if rank > 0 && p.name == "phi-2" {
		opt.LoRA.Targets = []string{"fc1", "fc2"}
	}
	model, err := reward.FromConfig([]byte(p.config), opt)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	model.SetRecompute(recompute)
	return model, nil
}
