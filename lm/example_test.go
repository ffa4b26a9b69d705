package lm_test

import (
	"fmt"

	"haf/lm"
)

func ExampleParams() {
	config, err := lm.ParseConfig([]byte(`{
		"model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 172,
		"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4,
		"rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": true
	}`))
	if err != nil {
		panic(err)
	}
	total := 0
	for _, p := range lm.Params(config) {
		total += p.Size()
	}
	fmt.Println(config.Family, total, lm.Linears(config)[0])
	// Output: llama 123712 model.layers.0.self_attn.q_proj
}
