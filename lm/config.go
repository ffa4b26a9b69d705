package lm

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"haf/internal/wholefile"
	"haf/weights"
)

// A Config describes a decoder for building its graph. It is read from a model's config.json.
type Config struct {
	Family       string // model_type, one of [Families]
	Vocab        int    // rows of the embedding
	Hidden       int    // width of the residual stream
	Layers       int
	Heads        int // query heads
	KVHeads      int // key and value heads; divides Heads
	HeadDim      int // width of a head, even; Heads·HeadDim need not be Hidden
	FeedForward  int // inner width of the feed-forward part
	MaxPositions int

	NormEps          float64
	Activation       string // silu, gelu, gelu_tanh or gelu_new
	RopeTheta        float64
	LocalRopeTheta   float64 // of layers with a window; 0: as the others, scaling included
	Rope             RopeScaling
	PartialRotary    float64 // rotated share of a head's dimensions, the first ones; 0 is all
	QueryScale       float64 // attention scores are divided by its square root; 0 is HeadDim
	AttentionBias    bool    // on the query, key and value projections
	OutputBias       bool    // on the attention's output projection
	MLPBias          bool
	ParallelResidual bool    // attention and feed-forward part both read the block's input
	AttentionCap     float64 // soft-cap of the attention scores: cap·tanh(s/cap); 0 is none
	LogitCap         float64 // soft-cap of the logits; 0 is none

	// Window is the number of positions that a token sees in the windowed layers, itself included; 0
	// is no limit. Windowed states for every layer whether it has the window; nil is the family's
	// default.
	Window   int
	Windowed []bool

	TiedEmbeddings bool // the policy head is the embedding

	NumLabels int // outputs of a score head, 0 if config.json has none
	// Labels names the outputs of the saved score head; none: one, "LABEL_0".
	Labels        []string
	Architectures []string
	EOS           []int  // tokens that end a response; may be empty
	BOS, PAD      int    // -1: none
	DType         string // of the stored weights: float32, bfloat16, float16, or empty if not stated

	// Raw is config.json as it was read, so that unknown keys survive a rewrite; nil for a Config made
	// by hand. For a model with a vision part it is the text part alone.
	Raw map[string]json.RawMessage
	// Nested means that the text model is a part of a larger one, so the names of its weights are
	// longer.
	Nested bool
}

const configFile = "config.json"

// unset is a size that config.json has not named and that follows from others.
const unset = math.MinInt

// LoadConfig reads the config.json of a model's folder, or the metadata of a GGUF file.
func LoadConfig(dir string) (*Config, error) {
	if weights.IsGGUF(dir) {
		return loadGGUFConfig(dir)
	}
	path := filepath.Join(dir, configFile)
	data, err := wholefile.Read(path, wholefile.Settings)
	if err != nil {
		return nil, fmt.Errorf("lm: %w", err)
	}
	c, err := ParseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, dir)
	}
	return c, nil
}

// ParseConfig parses a config.json, in the forms that transformers 4 and 5 write. A missing key has
// transformers' default for the family. An unknown family, activation, rope type or layer type is
// an error, as is an unsupported setting that changes the model's computation.
func ParseConfig(data []byte) (*Config, error) {
	c := &Config{}
	if err := wholefile.Unmarshal(data, &c.Raw); err != nil {
		return nil, fmt.Errorf("lm: %s: %w", configFile, err)
	}
	if err := c.parse(); err != nil {
		return nil, fmt.Errorf("lm: %s: %w", configFile, err)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// parse fills the fields from Raw by the family's table of keys.
func (c *Config) parse() error {
	f := &fields{raw: c.Raw}
	f.required("model_type", &c.Family)
	if c.Family == multimodalGemma3 {
		c.Raw, c.Nested = textPart(f), true
		f.raw = c.Raw
		f.required("model_type", &c.Family)
	}
	if f.err != nil {
		return f.err
	}
	fam := families[c.Family]
	if fam == nil {
		return unsupportedFamily(c.Family)
	}
	c.RopeTheta, c.BOS, c.PAD, c.EOS = 10000, 1, -1, []int{2}
	fam.defaults(c)
	for _, k := range fam.keys() {
		f.read(k, c)
	}
	for key, want := range fam.fixed {
		var got bool
		if f.value(key, &got); f.err == nil && f.present(key) && got != want {
			f.err = fmt.Errorf("%s %t is not supported in the %s family", key, got, c.Family)
		}
	}
	if fam.has("attention_bias") {
		c.OutputBias = c.AttentionBias
	}
	if c.KVHeads == unset || string(f.raw["num_key_value_heads"]) == "null" {
		c.KVHeads = c.Heads
	}
	if c.FeedForward == unset {
		c.FeedForward = 4 * c.Hidden
	}
	if c.HeadDim == unset && c.Heads > 0 && f.err == nil {
		if c.Hidden%c.Heads != 0 {
			return fmt.Errorf("%s %d is not a multiple of %s %d, and there is no head_dim",
				fam.key("hidden_size"), c.Hidden, fam.key("num_attention_heads"), c.Heads)
		}
		c.HeadDim = c.Hidden / c.Heads
	}
	if known := activations[c.Activation]; known != "" {
		c.Activation = known // else Validate says what is wrong with it
	}
	f.value("architectures", &c.Architectures)
	c.BOS, c.PAD = f.token("bos_token_id", c.BOS), f.token("pad_token_id", c.PAD)
	c.parseEOS(f)
	c.parseLabels(f)
	f.value("torch_dtype", &c.DType)
	f.value("dtype", &c.DType)
	if f.err == nil {
		c.parseWindows(f, fam)
	}
	if f.err == nil && fam.rotary() {
		c.parseRope(f, fam)
	}
	return f.err
}

// parseEOS accepts one id or a list.
func (c *Config) parseEOS(f *fields) {
	if raw := f.raw["eos_token_id"]; len(raw) > 0 && raw[0] == '[' {
		c.EOS = nil
		f.value("eos_token_id", &c.EOS)
		return
	}
	absent := -1
	if len(c.EOS) > 0 {
		absent = c.EOS[0]
	}
	c.EOS = nil
	if id := f.token("eos_token_id", absent); id != -1 {
		c.EOS = []int{id}
	}
}

// parseLabels counts the labels as transformers does: id2label decides, and for a classifier
// without one they are two.
func (c *Config) parseLabels(f *fields) {
	classifier := func(name string) bool {
		return strings.HasSuffix(name, "ForSequenceClassification")
	}
	if slices.ContainsFunc(c.Architectures, classifier) {
		c.NumLabels = 2
	}
	f.value("num_labels", &c.NumLabels)
	if f.present("id2label") {
		var labels map[string]any
		f.value("id2label", &labels)
		c.NumLabels = len(labels)
	}
}
