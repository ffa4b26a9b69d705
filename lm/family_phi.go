package lm

// phiFamily is Phi 1 to 2: both parts of a block read one norm of its input, and every linear layer
// has a bias, the policy head too.
func phiFamily() *family {
	names := llamaNames
	names.norm, names.mlpIn = "model.final_layernorm", names.attentionIn
	names.o, names.gate, names.up, names.down = "self_attn.dense", "", "mlp.fc1", "mlp.fc2"
	return &family{
		causal: "PhiForCausalLM", classifier: "PhiForSequenceClassification",
		names: names, norm: layerNorm, headBias: true, partial: true,
		renamed: map[string]string{"rms_norm_eps": "layer_norm_eps", "head_dim": ""},
		fixed:   map[string]bool{"qk_layernorm": false},
		defaults: func(c *Config) {
			llamaDefaults(c)
			c.NormEps, c.Activation, c.PartialRotary = 1e-5, "gelu_new", 0.5
			c.AttentionBias, c.OutputBias, c.MLPBias, c.ParallelResidual = true, true, true, true
		},
	}
}

// phi3Family is Phi 3 and 4 (arXiv 2404.14219): Llama with two fused projections. The long-context
// variants stretch their rotary frequencies by the length of the sequence (longrope), which packed
// rows have more than one of: refused.
func phi3Family() *family {
	names := llamaNames
	names.q, names.k, names.v, names.qkv = "", "", "", "self_attn.qkv_proj"
	names.gate, names.up, names.gateUp = "", "", "mlp.gate_up_proj"
	return &family{
		causal: "Phi3ForCausalLM", classifier: "Phi3ForSequenceClassification",
		names: names, windows: allWindowed, ropeTypes: []string{"default"}, partial: true,
		extra:   []key{windowKey},
		renamed: map[string]string{"head_dim": ""},
		defaults: func(c *Config) {
			llamaDefaults(c)
			c.MaxPositions, c.NormEps, c.PAD, c.EOS = 4096, 1e-5, 32000, []int{32000}
		},
	}
}
