package lm

// gptNeoXFamily is GPT-NeoX (arXiv 2204.06745) and Pythia: both parts of a block read its input,
// each through its own norm, and the fused projection goes head by head. transformers 5 calls the
// policy head lm_head in memory and embed_out on disk.
func gptNeoXFamily() *family {
	return &family{
		causal: "GPTNeoXForCausalLM", classifier: "GPTNeoXForSequenceClassification",
		norm: layerNorm, byHead: true, partial: true,
		buffers: []string{".attention.bias", ".attention.masked_bias"},
		names: weightNames{
			prefix: "gpt_neox.", embedding: "gpt_neox.embed_in", layers: "gpt_neox.layers.",
			norm: "gpt_neox.final_layer_norm", output: "embed_out",
			attentionIn: "input_layernorm", mlpIn: "post_attention_layernorm",
			qkv: "attention.query_key_value", o: "attention.dense",
			up: "mlp.dense_h_to_4h", down: "mlp.dense_4h_to_h",
		},
		renamed: map[string]string{
			"rms_norm_eps": "layer_norm_eps", "head_dim": "", "num_key_value_heads": "",
			"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct",
		},
		extra: []key{attentionBiasKey,
			{name: "use_parallel_residual", at: func(c *Config) any { return &c.ParallelResidual }}},
		defaults: func(c *Config) {
			llamaDefaults(c)
			c.NormEps, c.Activation, c.PartialRotary, c.BOS = 1e-5, "gelu", 0.25, 0
			c.AttentionBias, c.OutputBias, c.MLPBias, c.ParallelResidual = true, true, true, true
		},
	}
}

// gpt2Family is GPT-2: learned positions, and linear layers stored as [in, out] ("Conv1D").
func gpt2Family() *family {
	return &family{
		causal: "GPT2LMHeadModel", classifier: "GPT2ForSequenceClassification",
		norm: layerNorm, conv1D: true, buffers: []string{".attn.bias", ".attn.masked_bias"},
		names: weightNames{
			prefix: "transformer.", embedding: "transformer.wte", positions: "transformer.wpe",
			layers: "transformer.h.", norm: "transformer.ln_f", output: "lm_head",
			attentionIn: "ln_1", mlpIn: "ln_2",
			qkv: "attn.c_attn", o: "attn.c_proj",
			up: "mlp.c_fc", down: "mlp.c_proj",
		},
		renamed: map[string]string{
			"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
			"intermediate_size":       "n_inner",
			"max_position_embeddings": "n_positions", "rms_norm_eps": "layer_norm_epsilon",
			"hidden_act": "activation_function",
			"head_dim":   "", "num_key_value_heads": "",
		},
		fixed: map[string]bool{"scale_attn_weights": true, "scale_attn_by_inverse_layer_idx": false,
			"add_cross_attention": false},
		defaults: func(c *Config) {
			llamaDefaults(c)
			c.MaxPositions, c.FeedForward, c.NormEps, c.Activation = 1024, unset, 1e-5, "gelu_new"
			c.AttentionBias, c.OutputBias, c.MLPBias, c.TiedEmbeddings = true, true, true, true
			c.BOS, c.EOS = 50256, []int{50256}
		},
	}
}
