package lm

// llamaNames are the names that most families share.
var llamaNames = weightNames{
	prefix: "model.", embedding: "model.embed_tokens", layers: "model.layers.", norm: "model.norm",
	output:      "lm_head",
	attentionIn: "input_layernorm", mlpIn: "post_attention_layernorm",
	q: "self_attn.q_proj", k: "self_attn.k_proj", v: "self_attn.v_proj", o: "self_attn.o_proj",
	gate: "mlp.gate_proj", up: "mlp.up_proj", down: "mlp.down_proj",
}

// llamaDefaults are those of LlamaConfig; the head sizes follow from other sizes.
func llamaDefaults(c *Config) {
	c.KVHeads, c.HeadDim, c.MaxPositions, c.NormEps, c.Activation = unset, unset, 2048, 1e-6, "silu"
}

// llamaFamily is Llama 1 to 3 (arXiv 2302.13971), and models of the same structure with its
// model_type.
func llamaFamily() *family {
	return &family{
		causal: "LlamaForCausalLM", classifier: "LlamaForSequenceClassification",
		names: llamaNames, defaults: llamaDefaults,
		extra: []key{attentionBiasKey, {name: "mlp_bias", at: func(c *Config) any { return &c.MLPBias }}},
	}
}

// mistralFamily is Mistral (arXiv 2310.06825): Llama with a sliding window in every layer.
func mistralFamily() *family {
	return &family{
		causal: "MistralForCausalLM", classifier: "MistralForSequenceClassification",
		names: llamaNames, windows: allWindowed, extra: []key{windowKey},
		defaults: func(c *Config) {
			llamaDefaults(c)
			c.MaxPositions, c.KVHeads, c.Window = 4096*32, 8, 4096
		},
	}
}

// qwen2Family is Qwen 2 and 2.5 (arXiv 2407.10671): Llama with biases on queries, keys and values.
func qwen2Family() *family {
	return &family{
		causal: "Qwen2ForCausalLM", classifier: "Qwen2ForSequenceClassification",
		names: llamaNames, windows: lateWindowed, extra: []key{windowKey},
		defaults: func(c *Config) {
			llamaDefaults(c)
			c.MaxPositions, c.KVHeads, c.Window, c.AttentionBias = 32768, 32, 4096, true
			c.BOS, c.EOS = -1, nil
		},
	}
}

// qwen3Family is Qwen 3 (arXiv 2505.09388): Llama with a norm on each query and key head.
func qwen3Family() *family {
	names := llamaNames
	names.qNorm, names.kNorm = "self_attn.q_norm", "self_attn.k_norm"
	return &family{
		causal: "Qwen3ForCausalLM", classifier: "Qwen3ForSequenceClassification",
		names: names, windows: lateWindowed, extra: []key{attentionBiasKey, windowKey},
		defaults: func(c *Config) {
			llamaDefaults(c)
			c.MaxPositions, c.KVHeads, c.HeadDim, c.Window = 32768, 32, 128, 4096
			c.BOS, c.EOS = -1, nil
		},
	}
}

// olmo2Family is OLMo 2 (arXiv 2501.00656): norms after the two parts instead of before, and on the
// whole projections of queries and keys.
func olmo2Family() *family {
	names := llamaNames
	names.attentionIn, names.mlpIn = "", ""
	names.attentionOut, names.mlpOut = "post_attention_layernorm", "post_feedforward_layernorm"
	names.qNorm, names.kNorm = "self_attn.q_norm", "self_attn.k_norm"
	return &family{
		causal: "Olmo2ForCausalLM", classifier: "Olmo2ForSequenceClassification",
		names: names, wholeNorm: true, extra: []key{attentionBiasKey}, typeKey: "type",
		defaults: func(c *Config) {
			llamaDefaults(c)
			c.NormEps, c.BOS, c.PAD, c.EOS = 1e-5, -1, 1, []int{50279}
		},
	}
}
