package lm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
)

// leftovers are keys of a base's config.json that do not hold for the weights that are written:
// they would make transformers look for quantized tensors, for code in other files, or for the
// base by its old path.
var leftovers = []string{
	"quantization_config", "compression_config", "auto_map", "_name_or_path", "_commit_hash",
	"transformers_weights", "base_model_tp_plan", "base_model_pp_plan",
}

// Marshal returns config.json for a model that is saved as the given architecture, for example
// LlamaForCausalLM. It has the keys that were read, except leftovers, with architectures replaced
// and with changed fields. Rotary settings and dtype are in the forms of transformers 4 and 5. For
// a …ForSequenceClassification it describes one label, LABEL_0. Marshal does not choose a PAD:
// transformers reads the score at the last token that is not padding, so PAD must not be a token
// that ends responses.
func (c *Config) Marshal(architecture string) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if architecture == "" {
		return nil, errors.New("lm: config.json: no architecture to save as; want for example " +
			"LlamaForCausalLM")
	}
	out := maps.Clone(c.Raw)
	read := map[string]any{}
	if out == nil {
		out = map[string]json.RawMessage{}
	} else {
		before := &Config{Raw: c.Raw}
		err := before.parse()
		if err == nil {
			err = before.validate()
		}
		if err != nil {
			return nil, fmt.Errorf("lm: %s: %w", configFile, err)
		}
		read = before.keys()
	}
	for _, key := range leftovers {
		delete(out, key)
	}
	now := c.keys()
	now["architectures"] = []string{architecture}
	if strings.HasSuffix(architecture, "ForSequenceClassification") {
		labels := c.Labels
		if len(labels) == 0 {
			labels = []string{"LABEL_0"}
		}
		names, indices := map[string]string{}, map[string]int{}
		for i, name := range labels {
			names[strconv.Itoa(i)], indices[name] = name, i
		}
		now["id2label"], now["label2id"] = names, indices
		delete(out, "num_labels") // id2label says it
	}
	for _, key := range []string{"rope_theta", "rope_scaling", localThetaKey,
		"partial_rotary_factor"} {
		delete(now, key) // written in both forms, below
	}
	for key, value := range now {
		if old, ok := read[key]; ok && reflect.DeepEqual(old, value) {
			continue
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("lm: %s: %s: %w", configFile, key, err)
		}
		out[key] = raw
	}
	if c.family().rotary() {
		c.writeRope(out)
	}
	if c.DType != "" { // older releases read torch_dtype alone
		text, err := json.Marshal(c.DType)
		if err != nil {
			return nil, fmt.Errorf("lm: %s: dtype: %w", configFile, err)
		}
		out["dtype"], out["torch_dtype"] = text, text
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

// keys returns the fields under their names in config.json, to see which were changed and to write
// a Config that was made by hand.
func (c *Config) keys() map[string]any {
	token := func(id int) any {
		if id < 0 {
			return nil
		}
		return id
	}
	fam := c.family()
	keys := map[string]any{"model_type": c.Family, "bos_token_id": token(c.BOS),
		"pad_token_id": token(c.PAD)}
	for _, k := range fam.keys() {
		keys[k.name] = k.write(c)
	}
	if name := fam.key("hidden_act"); c.Activation == "gelu_tanh" {
		keys[name] = "gelu_pytorch_tanh"
	}
	c.windowKeys(keys)
	if fam.rotary() {
		keys["rope_theta"], keys["rope_scaling"] = c.RopeTheta, c.Rope
		if fam.localTheta {
			keys[localThetaKey] = c.LocalRopeTheta
		}
		if fam.partial {
			keys["partial_rotary_factor"] = c.partialRotary()
		}
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

// Hash is the hex SHA-256 of the fields that decide a decoder's computation, independent of their
// names in the file.
func (c *Config) Hash() string {
	keys := c.keys()
	for _, other := range []string{"dtype", "bos_token_id", "eos_token_id", "pad_token_id",
		"max_position_embeddings"} {
		delete(keys, other)
	}
	data, err := json.Marshal(keys)
	if err != nil {
		panic(err) // numbers, strings and truth values
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
