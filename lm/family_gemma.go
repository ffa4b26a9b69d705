package lm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// multimodalGemma3 is the model_type of Gemma 3 with a vision part, whose text part is a
// gemma3_text.
const multimodalGemma3 = "gemma3"

// gemmaNames have a norm before and after each of a block's parts.
func gemmaNames() weightNames {
	names := llamaNames
	names.attentionOut = "post_attention_layernorm"
	names.mlpIn, names.mlpOut = "pre_feedforward_layernorm", "post_feedforward_layernorm"
	return names
}

// gemmaDefaults are common to Gemma2Config and Gemma3TextConfig.
func gemmaDefaults(c *Config) {
	c.Hidden, c.Layers, c.FeedForward = 2304, 26, 9216
	c.Heads, c.KVHeads, c.HeadDim, c.QueryScale = 8, 4, 256, 256
	c.NormEps, c.Activation, c.Window = 1e-6, "gelu_tanh", 4096
	c.TiedEmbeddings, c.BOS, c.PAD, c.EOS = true, 2, 0, []int{1}
}

// gemma2Family is Gemma 2 (arXiv 2408.00118).
func gemma2Family() *family {
	return &family{
		causal: "Gemma2ForCausalLM", classifier: "Gemma2ForSequenceClassification",
		names: gemmaNames(), norm: rmsNormPlusOne, scaled: true, windows: evenWindowed,
		renamed: map[string]string{"hidden_act": "hidden_activation"},
		extra:   []key{attentionBiasKey, windowKey, queryScaleKey, attentionCapKey, logitCapKey},
		fixed:   map[string]bool{"use_bidirectional_attention": false},
		defaults: func(c *Config) {
			gemmaDefaults(c)
			c.Vocab, c.MaxPositions, c.AttentionCap, c.LogitCap = 256000, 8192, 50, 30
		},
	}
}

// gemma3Family is the text model of Gemma 3 (arXiv 2503.19786): a norm on each query and key head
// instead of the soft-cap of their products, and another rotary base in the layers with a window.
func gemma3Family() *family {
	names := gemmaNames()
	names.qNorm, names.kNorm = "self_attn.q_norm", "self_attn.k_norm"
	return &family{
		causal: "Gemma3ForCausalLM", classifier: "Gemma3TextForSequenceClassification",
		names: names, norm: rmsNormPlusOne, scaled: true, windows: mostWindowed, localTheta: true,
		renamed: map[string]string{"hidden_act": "hidden_activation"},
		extra:   []key{attentionBiasKey, windowKey, queryScaleKey, logitCapKey},
		fixed:   map[string]bool{"use_bidirectional_attention": false},
		defaults: func(c *Config) {
			gemmaDefaults(c)
			c.Vocab, c.MaxPositions, c.RopeTheta, c.LocalRopeTheta = 262208, 131072, 1e6, 1e4
		},
	}
}

// textPart returns the config.json of the text model inside that of a Gemma 3 with a vision part.
// What stands only around it (special tokens, dtype) is taken along.
func textPart(f *fields) map[string]json.RawMessage {
	var text map[string]json.RawMessage
	f.required("text_config", &text)
	if f.err != nil {
		f.err = fmt.Errorf("model_type %q is the model with its vision part: %w", multimodalGemma3, f.err)
		return f.raw
	}
	out := maps.Clone(text)
	if _, ok := out["model_type"]; !ok {
		f.err = errors.New("text_config has no model_type, want gemma3_text")
		return f.raw
	}
	for _, key := range []string{"eos_token_id", "bos_token_id", "pad_token_id", "dtype",
		"torch_dtype", "tie_word_embeddings", "id2label"} {
		if value, ok := f.raw[key]; ok && (out[key] == nil || string(out[key]) == "null") {
			out[key] = value
		}
	}
	return out
}
