package lm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A family describes what the models of one model_type have in common: how config.json names their
// settings, how their weights are named and laid out, and what their blocks are made of. The graph
// functions know families only by this description; a new one is a new entry in families.
type family struct {
	// The classes of transformers that hold the model, with its language-model head and with a score
	// head. Both keep the backbone under the same names.
	causal, classifier string

	renamed map[string]string // keys of config.json that are called otherwise than in llama
	extra   []key             // keys beyond those that all families have
	// values that these keys of config.json must have where they are present; others are refused
	fixed map[string]bool
	// sets what config.json may leave out to what transformers takes for it
	defaults   func(*Config)
	windows    windowPattern
	ropeTypes  []string // that can be asked for; nil is all that are known
	partial    bool     // only a part of each head's dimensions may be rotated
	localTheta bool     // layers with a window have a rotary base of their own
	buffers    []string // endings of names of buffers that older releases of transformers saved
	// typeKey is the key of rope_scaling's type that the family's class in transformers 4 reads;
	// empty is rope_type.
	typeKey string

	names     weightNames
	norm      normKind
	wholeNorm bool // the norm of queries and keys is over all heads at once, not over each
	// the fused projection has each head's query, key and value side by side, not all queries first
	byHead   bool
	conv1D   bool // linear layers in the blocks are stored [in, out]
	headBias bool // the policy head has a bias
	scaled   bool // embeddings are multiplied by √Hidden
}

// weightNames are the names of a family's weights in its checkpoints, of linear layers and norms
// without the ".weight" or ".bias"; those of a block without the block's own prefix. What a family
// does not have is empty.
type weightNames struct {
	prefix    string // of the backbone, base_model_prefix in transformers
	embedding string
	positions string // learned positions; without them they are rotary
	layers    string // the list of blocks
	norm      string // the final norm
	output    string // the policy head, where it is not the embedding

	attentionIn, attentionOut, mlpIn, mlpOut string // norms before and after the block's two parts

	q, k, v, qkv, o string // qkv is fused
	qNorm, kNorm    string

	gate, up, gateUp, down string // without gate and gateUp, the part is not gated: down(act(up(x)))
}

// A normKind is a way to normalize.
type normKind int

const (
	rmsNorm        normKind = iota // x / √(mean(x²) + ε) · w
	rmsNormPlusOne                 // x / √(mean(x²) + ε) · (1 + w)
	layerNorm                      // (x − mean(x)) / √(var(x) + ε) · w + b
)

// A windowPattern says which layers of a family have a sliding window, unless config.json has it
// layer by layer.
type windowPattern int

const (
	neverWindowed windowPattern = iota
	allWindowed                 // every layer, where sliding_window is not null
	lateWindowed                // those from max_window_layers on, if use_sliding_window is set
	evenWindowed                // every other layer, the first one included
	mostWindowed                // all but every sixth (sliding_window_pattern)
)

// families are the values of model_type that the graph functions know.
var families = map[string]*family{
	"llama": llamaFamily(), "mistral": mistralFamily(), "qwen2": qwen2Family(), "qwen3": qwen3Family(),
	"olmo2":  olmo2Family(),
	"gemma2": gemma2Family(), "gemma3_text": gemma3Family(), "phi": phiFamily(), "phi3": phi3Family(),
	"gpt_neox": gptNeoXFamily(), "gpt2": gpt2Family(),
}

// Families lists the supported values of model_type, sorted.
func Families() []string { return slices.Sorted(maps.Keys(families)) }

func unsupportedFamily(family string) error {
	return fmt.Errorf("model_type %q is not supported; supported: %s", family,
		strings.Join(Families(), ", "))
}

// family is the description of the config's family; Validate has seen to it that there is one.
func (c *Config) family() *family { return families[c.Family] }

// CausalClass and ClassifierClass are the names of the transformers classes for saving a model of
// this family: with its language-model head, and with a score head.
func (c *Config) CausalClass() string     { return c.family().causal }
func (c *Config) ClassifierClass() string { return c.family().classifier }

// rotary reports whether positions are rotary rather than learned.
func (f *family) rotary() bool { return f.names.positions == "" }

// key is how the family calls a key of llama's.
func (f *family) key(name string) string {
	if other, ok := f.renamed[name]; ok {
		return other
	}
	return name
}

// keys are the bindings of the family's config.json, but for those of rotary positions, windows and
// special tokens, which have more than one form.
func (f *family) keys() []key {
	keys := []key{
		{name: "vocab_size", at: func(c *Config) any { return &c.Vocab }},
		{name: "hidden_size", at: func(c *Config) any { return &c.Hidden }},
		{name: "num_hidden_layers", at: func(c *Config) any { return &c.Layers }},
		{name: "num_attention_heads", at: func(c *Config) any { return &c.Heads }},
		{name: "num_key_value_heads", at: func(c *Config) any { return &c.KVHeads }},
		{name: "head_dim", at: func(c *Config) any { return &c.HeadDim }},
		{name: "intermediate_size", at: func(c *Config) any { return &c.FeedForward }},
		{name: "max_position_embeddings", at: func(c *Config) any { return &c.MaxPositions }},
		{name: "rms_norm_eps", at: func(c *Config) any { return &c.NormEps }},
		{name: "hidden_act", at: func(c *Config) any { return &c.Activation }},
		{name: "tie_word_embeddings", at: func(c *Config) any { return &c.TiedEmbeddings }},
	}
	keys = slices.DeleteFunc(keys, func(k key) bool { return f.key(k.name) == "" })
	for i := range keys {
		keys[i].name = f.key(keys[i].name)
	}
	return append(keys, f.extra...)
}

// has reports whether config.json of this family has the key.
func (f *family) has(name string) bool {
	return slices.ContainsFunc(f.keys(), func(k key) bool { return k.name == name })
}

// Bindings that several families have.
var (
	attentionBiasKey = key{name: "attention_bias", at: func(c *Config) any { return &c.AttentionBias }}
	windowKey        = key{name: "sliding_window", at: func(c *Config) any { return &c.Window },
		nullable: true}
	attentionCapKey = key{name: "attn_logit_softcapping",
		at: func(c *Config) any { return &c.AttentionCap }, nullable: true}
	logitCapKey = key{name: "final_logit_softcapping",
		at: func(c *Config) any { return &c.LogitCap }, nullable: true}
	queryScaleKey = key{name: "query_pre_attn_scalar",
		at: func(c *Config) any { return &c.QueryScale }}
)
