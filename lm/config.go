package lm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A Config describes a decoder: what the graph is built from, read from a model's config.json.
type Config struct {
	Family       string // model_type
	Vocab        int    // rows of the embedding
	Hidden       int    // width of the residual stream
	Layers       int
	Heads        int // query heads
	KVHeads      int // key and value heads; divides Heads
	HeadDim      int // width of a head, even; Heads·HeadDim need not be Hidden
	FeedForward  int // inner width of the feed-forward part
	MaxPositions int

	NormEps       float64
	Activation    string // silu, gelu, gelu_tanh or gelu_new
	RopeTheta     float64
	Rope          RopeScaling
	AttentionBias bool // on the query, key and value projections
	OutputBias    bool // on the attention's output projection
	MLPBias       bool

	TiedEmbeddings bool // the policy head is the embedding

	NumLabels     int // outputs of a score head, 0 where config.json speaks of none
	Architectures []string
	EOS           []int  // tokens that end a response; may be empty
	BOS, PAD      int    // -1: none
	DType         string // of the stored weights: float32, bfloat16, float16, or empty if not said

	// Raw is config.json as it was read, so that what is not understood survives a rewrite; nil for a Config made by hand.
	Raw map[string]json.RawMessage
}

// A RopeScaling says how the rotary frequencies were stretched for a longer context.
type RopeScaling struct {
	Type                          string // empty, linear or llama3
	Factor                        float64
	LowFreqFactor, HighFreqFactor float64 // llama3
	OriginalMaxPositions          int     // llama3
}

const configFile = "config.json"

// families are the values of model_type that the graph functions know.
var families = []string{"llama"}

// activations maps the names that transformers knows to those of Config.
var activations = map[string]string{
	"silu": "silu", "swish": "silu",
	"gelu": "gelu", "gelu_python": "gelu",
	"gelu_tanh": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_python_tanh": "gelu_tanh",
	"gelu_new": "gelu_new",
}

// LoadConfig reads the config.json of a model's folder, or what a GGUF file says instead of one.
func LoadConfig(dir string) (*Config, error) {
	if IsGGUF(dir) {
		return loadGGUFConfig(dir)
	}
	path := filepath.Join(dir, configFile)
	data, err := readAtMost(path, 16<<20)
	if err != nil {
		return nil, fmt.Errorf("lm: %s: %w", path, err)
	}
	c, err := ParseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, dir)
	}
	return c, nil
}

// ParseConfig parses a config.json, in the forms that transformers 4 and 5 write. What the file leaves out has the
// value that transformers gives it. A family, activation or rope type that is not known is an error.
func ParseConfig(data []byte) (*Config, error) {
	c := &Config{}
	if err := json.Unmarshal(data, &c.Raw); err != nil {
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

// fields reads typed values out of a JSON object; the first failure stays in err.
type fields struct {
	raw map[string]json.RawMessage
	err error
}

// present tells whether the key has a value that is not null.
func (f *fields) present(key string) bool {
	return len(f.raw[key]) > 0 && string(f.raw[key]) != "null"
}

// value decodes the value of key into to, which keeps what it holds where there is none. A null is none.
func (f *fields) value(key string, to any) {
	if f.err != nil || !f.present(key) {
		return
	}
	if err := json.Unmarshal(f.raw[key], to); err != nil {
		shown := f.raw[key]
		if len(shown) > 60 {
			shown = append(slices.Clone(shown[:57]), "..."...)
		}
		f.err = fmt.Errorf("%s is %s, want %s", key, shown, reflect.TypeOf(to).Elem())
	}
}

// required is value for a key that must be there.
func (f *fields) required(key string, to any) {
	if f.err == nil && !f.present(key) {
		f.err = fmt.Errorf("no %s; is it the config.json of a language model?", key)
	}
	f.value(key, to)
}

// token decodes a token id: absent is the family's default, null is none.
func (f *fields) token(key string, absent int) int {
	id := -1
	if _, ok := f.raw[key]; !ok {
		id = absent
	}
	f.value(key, &id)
	return id
}

// parse fills the fields from Raw by the rules of the llama family.
func (c *Config) parse() error {
	f := &fields{raw: c.Raw}
	f.required("model_type", &c.Family)
	if f.err == nil && !slices.Contains(families, c.Family) {
		return unsupportedFamily(c.Family)
	}
	f.required("vocab_size", &c.Vocab)
	f.required("hidden_size", &c.Hidden)
	f.required("num_hidden_layers", &c.Layers)
	f.required("num_attention_heads", &c.Heads)
	f.required("intermediate_size", &c.FeedForward)
	c.KVHeads = c.Heads
	f.value("num_key_value_heads", &c.KVHeads)
	if !f.present("head_dim") && c.Heads > 0 {
		if c.Hidden%c.Heads != 0 {
			return fmt.Errorf("hidden_size %d is not a multiple of num_attention_heads %d, and there is no head_dim", c.Hidden, c.Heads)
		}
		c.HeadDim = c.Hidden / c.Heads
	}
	f.value("head_dim", &c.HeadDim)
	c.MaxPositions = 2048
	f.value("max_position_embeddings", &c.MaxPositions)
	c.NormEps = 1e-6
	f.value("rms_norm_eps", &c.NormEps)
	act := "silu"
	f.value("hidden_act", &act)
	if c.Activation = activations[act]; c.Activation == "" {
		c.Activation = act // Validate says what is wrong with it
	}
	f.value("attention_bias", &c.AttentionBias)
	c.OutputBias = c.AttentionBias
	f.value("mlp_bias", &c.MLPBias)
	f.value("tie_word_embeddings", &c.TiedEmbeddings)
	f.value("architectures", &c.Architectures)
	c.BOS, c.PAD = f.token("bos_token_id", 1), f.token("pad_token_id", -1)
	c.parseEOS(f)
	c.parseLabels(f)
	f.value("torch_dtype", &c.DType)
	f.value("dtype", &c.DType)
	c.parseRope(f)
	return f.err
}

// parseEOS accepts one id or a list.
func (c *Config) parseEOS(f *fields) {
	if raw := f.raw["eos_token_id"]; len(raw) > 0 && raw[0] == '[' {
		f.value("eos_token_id", &c.EOS)
	} else if id := f.token("eos_token_id", 2); id != -1 {
		c.EOS = []int{id}
	}
}

// parseLabels counts the labels as transformers does: id2label decides, and for a classifier without one they are two.
func (c *Config) parseLabels(f *fields) {
	classifier := func(name string) bool { return strings.HasSuffix(name, "ForSequenceClassification") }
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

// parseRope accepts rope_parameters (transformers 5) and rope_theta with rope_scaling (transformers 4). Where both
// are given, the scaling of the older form wins, as in transformers.
func (c *Config) parseRope(f *fields) {
	c.RopeTheta = 10000
	partial := 1.0
	f.value("rope_theta", &c.RopeTheta)
	f.value("partial_rotary_factor", &partial)
	key := "rope_parameters"
	if f.present("rope_scaling") {
		key = "rope_scaling"
	}
	rope := &fields{}
	f.value(key, &rope.raw)
	if f.err != nil {
		return
	}
	for name, value := range rope.raw {
		if len(value) > 0 && value[0] == '{' {
			f.err = fmt.Errorf("%s: settings for each type of layer (%s) are not supported in this family", key, name)
			return
		}
	}
	rope.value("rope_theta", &c.RopeTheta)
	rope.value("partial_rotary_factor", &partial)
	rope.value("type", &c.Rope.Type)
	rope.value("rope_type", &c.Rope.Type)
	switch c.Rope.Type {
	case "default":
		c.Rope.Type = ""
	case "linear":
		rope.required("factor", &c.Rope.Factor)
	case "llama3":
		rope.required("factor", &c.Rope.Factor)
		rope.required("low_freq_factor", &c.Rope.LowFreqFactor)
		rope.required("high_freq_factor", &c.Rope.HighFreqFactor)
		c.Rope.OriginalMaxPositions = c.MaxPositions
		rope.value("original_max_position_embeddings", &c.Rope.OriginalMaxPositions)
	}
	if rope.err != nil {
		f.err = fmt.Errorf("%s: %w", key, rope.err)
	} else if partial != 1 {
		f.err = fmt.Errorf("partial_rotary_factor %g is not supported in this family", partial)
	}
}

func unsupportedFamily(family string) error {
	return fmt.Errorf("model_type %q is not supported; supported: %s", family, strings.Join(families, ", "))
}

// Validate reports the first setting that no decoder can be built from. ParseConfig has called it already; it is for
// a Config made or changed by hand.
func (c *Config) Validate() error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("lm: %s: %w", configFile, err)
	}
	return nil
}

func (c *Config) validate() error {
	if !slices.Contains(families, c.Family) {
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
			return fmt.Errorf("%s is %d, want a size from 1 to %d", s.key, s.value, math.MaxInt32/2)
		}
	}
	if c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("num_attention_heads %d is not a multiple of num_key_value_heads %d", c.Heads, c.KVHeads)
	}
	if c.HeadDim%2 != 0 {
		return fmt.Errorf("head_dim is %d, want an even number: the rotary embedding pairs the dimensions", c.HeadDim)
	}
	if c.OutputBias != c.AttentionBias {
		return errors.New("attention_bias is for all four projections of attention in this family; set OutputBias alike")
	}
	if !positive(c.NormEps) {
		return fmt.Errorf("rms_norm_eps is %g, want a positive number", c.NormEps)
	}
	if !slices.Contains([]string{"silu", "gelu", "gelu_tanh", "gelu_new"}, c.Activation) {
		return fmt.Errorf("hidden_act %q is not supported; supported: silu, gelu, gelu_new, gelu_pytorch_tanh", c.Activation)
	}
	if c.NumLabels < 0 {
		return fmt.Errorf("num_labels %d must not be negative", c.NumLabels)
	}
	if c.BOS < -1 || c.PAD < -1 || slices.ContainsFunc(c.EOS, func(id int) bool { return id < 0 }) {
		return fmt.Errorf("bos_token_id %d, pad_token_id %d, eos_token_id %v: want token ids, or null", c.BOS, c.PAD, c.EOS)
	}
	return c.validateRope()
}

func (c *Config) validateRope() error {
	if !positive(c.RopeTheta) {
		return fmt.Errorf("rope_theta is %g, want a positive number", c.RopeTheta)
	}
	r := c.Rope
	switch r.Type {
	case "":
		return nil
	case "linear", "llama3":
	default:
		return fmt.Errorf("rope_type %q is not supported; supported: default, linear, llama3", r.Type)
	}
	if !positive(r.Factor) {
		return fmt.Errorf("rope %s: factor is %g, want a positive number", r.Type, r.Factor)
	}
	if r.Type == "linear" {
		return nil
	}
	if !positive(r.LowFreqFactor) || !positive(r.HighFreqFactor) || r.HighFreqFactor <= r.LowFreqFactor {
		return fmt.Errorf("rope llama3: low_freq_factor %g and high_freq_factor %g, want positive numbers, the second larger", r.LowFreqFactor, r.HighFreqFactor)
	}
	if r.OriginalMaxPositions <= 0 {
		return fmt.Errorf("rope llama3: original_max_position_embeddings is %d, want a positive number", r.OriginalMaxPositions)
	}
	return nil
}

func positive(x float64) bool { return x > 0 && !math.IsInf(x, 1) }

// InverseFrequencies returns the HeadDim/2 angles, in radians a position, by which the rotary embedding turns each
// pair of dimensions, from the fastest to the slowest: θ^(−2i/HeadDim), then scaled as Rope says.
func (c *Config) InverseFrequencies() []float64 {
	inverse := make([]float64, c.HeadDim/2)
	for i := range inverse {
		f := math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadDim))
		switch c.Rope.Type {
		case "linear":
			f /= c.Rope.Factor
		case "llama3":
			f = c.Rope.llama3(f)
		}
		inverse[i] = f
	}
	return inverse
}

// llama3 leaves the fast frequencies alone, divides the slow ones by the factor, and goes smoothly from one to the
// other in between; turns is how often a frequency goes round in the context that the model was trained on first.
func (r RopeScaling) llama3(f float64) float64 {
	turns := float64(r.OriginalMaxPositions) * f / (2 * math.Pi)
	switch {
	case turns < r.LowFreqFactor:
		return f / r.Factor
	case turns > r.HighFreqFactor:
		return f
	}
	smooth := (turns - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
	return (1-smooth)*f/r.Factor + smooth*f
}

// Marshal returns config.json for a model that is saved as the given architecture, for example LlamaForCausalLM. It
// has the keys that were read, with architectures replaced and the fields that were changed since. For a
// …ForSequenceClassification it describes one label, LABEL_0. PAD is not invented here: transformers reads the score
// at the last token that is not padding, so that a token that ends responses would not do.
func (c *Config) Marshal(architecture string) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if architecture == "" {
		return nil, errors.New("lm: config.json: no architecture to save as; want for example LlamaForCausalLM")
	}
	out := maps.Clone(c.Raw)
	read := map[string]any{}
	if out == nil {
		out = map[string]json.RawMessage{}
	} else {
		before := &Config{Raw: c.Raw}
		if err := before.parse(); err != nil {
			return nil, fmt.Errorf("lm: %s: %w", configFile, err)
		}
		read = before.keys()
	}
	now := c.keys()
	now["architectures"] = []string{architecture}
	if strings.HasSuffix(architecture, "ForSequenceClassification") {
		now["id2label"] = map[string]string{"0": "LABEL_0"}
		now["label2id"] = map[string]int{"LABEL_0": 0}
		delete(out, "num_labels") // id2label says it
	}
	for key, value := range now {
		if old, ok := read[key]; ok && reflect.DeepEqual(old, value) {
			continue
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("lm: %s: %s: %w", configFile, key, err)
		}
		switch key {
		case "rope_theta", "rope_scaling":
			c.replaceRope(out)
		case "dtype":
			setDType(out, raw)
		default:
			out[key] = raw
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return nil, fmt.Errorf("lm: %s: %w", configFile, err)
	}
	return b.Bytes(), nil
}

// keys returns the fields under their names in config.json, to see which were changed and to write a Config that was
// made by hand.
func (c *Config) keys() map[string]any {
	token := func(id int) any {
		if id < 0 {
			return nil
		}
		return id
	}
	act := c.Activation
	if act == "gelu_tanh" {
		act = "gelu_pytorch_tanh"
	}
	keys := map[string]any{
		"model_type": c.Family, "vocab_size": c.Vocab, "hidden_size": c.Hidden, "num_hidden_layers": c.Layers,
		"num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim,
		"intermediate_size": c.FeedForward, "max_position_embeddings": c.MaxPositions, "rms_norm_eps": c.NormEps,
		"hidden_act": act, "rope_theta": c.RopeTheta, "rope_scaling": c.Rope,
		"attention_bias": c.AttentionBias, "mlp_bias": c.MLPBias, "tie_word_embeddings": c.TiedEmbeddings,
		"bos_token_id": token(c.BOS), "pad_token_id": token(c.PAD),
	}
	switch len(c.EOS) {
	case 0:
		keys["eos_token_id"] = nil
	case 1:
		keys["eos_token_id"] = c.EOS[0]
	default:
		keys["eos_token_id"] = c.EOS
	}
	if c.DType != "" {
		keys["dtype"] = c.DType
	}
	return keys
}

// replaceRope writes the rotary settings in transformers 4's form, which 5 reads too.
func (c *Config) replaceRope(out map[string]json.RawMessage) {
	delete(out, "rope_parameters")
	number := func(x float64) json.RawMessage { return json.RawMessage(strconv.FormatFloat(x, 'g', -1, 64)) }
	out["rope_theta"] = number(c.RopeTheta)
	r := c.Rope
	switch r.Type {
	case "":
		out["rope_scaling"] = json.RawMessage("null")
	case "linear":
		out["rope_scaling"] = fmt.Appendf(nil, `{"rope_type": "linear", "factor": %s}`, number(r.Factor))
	case "llama3":
		out["rope_scaling"] = fmt.Appendf(nil,
			`{"rope_type": "llama3", "factor": %s, "low_freq_factor": %s, "high_freq_factor": %s, "original_max_position_embeddings": %d}`,
			number(r.Factor), number(r.LowFreqFactor), number(r.HighFreqFactor), r.OriginalMaxPositions)
	}
}

// setDType writes the dtype under the names that are there; torch_dtype alone is read by every release.
func setDType(out map[string]json.RawMessage, raw json.RawMessage) {
	_, current := out["dtype"]
	_, older := out["torch_dtype"]
	if current {
		out["dtype"] = raw
	}
	if older || !current {
		out["torch_dtype"] = raw
	}
}

// Hash is the hex SHA-256 of the fields that decide what a decoder computes, whatever they are called in the file.
func (c *Config) Hash() string {
	keys := c.keys()
	for _, other := range []string{"dtype", "bos_token_id", "eos_token_id", "pad_token_id", "max_position_embeddings"} {
		delete(keys, other)
	}
	data, err := json.Marshal(keys)
	if err != nil {
		panic(err) // numbers, strings and truth values
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
