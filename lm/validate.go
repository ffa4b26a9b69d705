package lm

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// maxLayers bounds the memory for layers; no decoder has a hundredth of this number.
const maxLayers = 1 << 17

// activations maps the names that transformers knows to those of Config.
var activations = map[string]string{
	"silu": "silu", "swish": "silu",
	"gelu": "gelu", "gelu_python": "gelu",
	"gelu_tanh": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_python_tanh": "gelu_tanh",
	"gelu_new": "gelu_new",
}

// Validate returns an error for the first setting with which no decoder can be built. ParseConfig
// calls it. Call it yourself for a Config made or changed by hand.
func (c *Config) Validate() error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("lm: %s: %w", configFile, err)
	}
	return nil
}

func (c *Config) validate() error {
	fam := c.family()
	if fam == nil {
		return unsupportedFamily(c.Family)
	}
	sizes := []struct {
		key   string
		value int
	}{
		{"vocab_size", c.Vocab}, {"hidden_size", c.Hidden}, {"num_hidden_layers", c.Layers},
		{"num_attention_heads", c.Heads}, {"num_key_value_heads", c.KVHeads}, {"head_dim", c.HeadDim},
		{"intermediate_size", c.FeedForward}, {"max_position_embeddings", c.MaxPositions},
	}
	for _, s := range sizes {
		// The upper limit keeps a product of two of them inside an int.
		if s.value <= 0 || s.value > math.MaxInt32/2 {
			return fmt.Errorf("%s is %d, want a size from 1 to %d", fam.name(s.key), s.value,
				math.MaxInt32/2)
		}
	}
	if c.Layers > maxLayers {
		return fmt.Errorf("%s is %d, at most %d are supported", fam.name("num_hidden_layers"), c.Layers,
			maxLayers)
	}
	if c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("%s %d is not a multiple of num_key_value_heads %d",
			fam.name("num_attention_heads"), c.Heads, c.KVHeads)
	}
	if fam.key("num_key_value_heads") == "" && c.KVHeads != c.Heads {
		return fmt.Errorf(
			"the %s family has as many key and value heads as query heads: KVHeads is %d of %d", c.Family,
			c.KVHeads, c.Heads)
	}
	if fam.key("head_dim") == "" && c.Heads*c.HeadDim != c.Hidden {
		return fmt.Errorf("%d heads of %d are not the hidden width %d, as they are in the %s family",
			c.Heads, c.HeadDim, c.Hidden, c.Family)
	}
	if fam.rotary() && c.HeadDim%2 != 0 {
		return fmt.Errorf("head_dim is %d, want an even number: the rotary embedding pairs the "+
			"dimensions", c.HeadDim)
	}
	if !(c.NormEps > 0 && c.NormEps <= 1) {
		return fmt.Errorf("%s is %g, want a number above 0 and up to 1", fam.name("rms_norm_eps"),
			c.NormEps)
	}
	if !slices.Contains([]string{"silu", "gelu", "gelu_tanh", "gelu_new"}, c.Activation) {
		return fmt.Errorf("%s %q is not supported; supported: silu, gelu, gelu_new, gelu_pytorch_tanh",
			fam.name("hidden_act"), c.Activation)
	}
	if c.NumLabels < 0 {
		return fmt.Errorf("num_labels %d must not be negative", c.NumLabels)
	}
	if c.BOS < -1 || c.PAD < -1 || slices.ContainsFunc(c.EOS, func(id int) bool { return id < 0 }) {
		return fmt.Errorf("bos_token_id %d, pad_token_id %d, eos_token_id %v: want token ids, or null",
			c.BOS, c.PAD, c.EOS)
	}
	for _, err := range []error{c.validateSwitches(fam), c.validateWindows(), c.validateRope()} {
		if err != nil {
			return err
		}
	}
	return nil
}

// validateSwitches sees to it that what the family's config.json cannot say is as the family has
// it: it would be lost on the way to disk.
func (c *Config) validateSwitches(fam *family) error {
	standard := &Config{}
	fam.defaults(standard)
	switch {
	case fam.has("attention_bias") && c.OutputBias != c.AttentionBias:
		return errors.New("attention_bias is for all four projections of attention in this family; set " +
			"OutputBias alike")
	case !fam.has("attention_bias") && (c.AttentionBias != standard.AttentionBias ||
		c.OutputBias != standard.OutputBias):
		return fmt.Errorf("in the %s family AttentionBias is %t and OutputBias %t", c.Family,
			standard.AttentionBias, standard.OutputBias)
	case !fam.has("mlp_bias") && c.MLPBias != standard.MLPBias:
		return fmt.Errorf("in the %s family MLPBias is %t", c.Family, standard.MLPBias)
	case !fam.has("use_parallel_residual") && c.ParallelResidual != standard.ParallelResidual:
		return fmt.Errorf("in the %s family ParallelResidual is %t", c.Family, standard.ParallelResidual)
	}
	for _, s := range []struct {
		key   string
		value float64
	}{
		{attentionCapKey.name, c.AttentionCap}, {logitCapKey.name, c.LogitCap},
		{queryScaleKey.name, c.QueryScale},
	} {
		switch {
		case s.value != 0 && !fam.has(s.key):
			return fmt.Errorf("the %s family has no %s", c.Family, s.key)
		case s.value != 0 && !positive(s.value), s.value == 0 && s.key == queryScaleKey.name &&
			fam.has(s.key):
			return fmt.Errorf("%s is %g, want a positive number", s.key, s.value)
		}
	}
	return nil
}

// name is how an error message calls a key of llama's.
func (f *family) name(key string) string {
	if other := f.key(key); other != "" {
		return other
	}
	return key
}

func positive(x float64) bool { return x > 0 && !math.IsInf(x, 1) }
