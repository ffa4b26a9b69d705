package weights

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ggufArchitectures are the values of general.architecture that haf reads, with their names in
// config.json.
var ggufArchitectures = map[string]struct {
	family, class string
	permuted      bool // the rows of the query and key projections are in llama.cpp's order
}{
	"llama": {"llama", "LlamaForCausalLM", true}, // Mistral too: the same computation
	"qwen2": {"qwen2", "Qwen2ForCausalLM", false},
	"qwen3": {"qwen3", "Qwen3ForCausalLM", false},
}

// ggufNames maps the names of a GGUF file's tensors, without "blk.N." and ".weight" or ".bias", to
// the Hugging Face ones.
var ggufNames = map[string]string{
	"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
	"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
	"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
	"attn_output": "self_attn.o_proj",
	"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
	"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}

// ggufFrequencies are factors of the rotary frequencies: part of the configuration, not a weight.
const ggufFrequencies = "rope_freqs.weight"

var ggufLayer = regexp.MustCompile(`^blk\.(0|[1-9][0-9]{0,8})\.([a-z_]+)$`)

// hfName returns the Hugging Face name of a tensor. ok is false if there is none.
func hfName(name string) (string, bool) {
	at := strings.LastIndexByte(name, '.')
	if at < 0 || name[at:] != ".weight" && name[at:] != ".bias" {
		return "", false
	}
	path, layer := name[:at], ""
	if m := ggufLayer.FindStringSubmatch(path); m != nil {
		path, layer = m[2], "model.layers."+m[1]+"."
	}
	hf, ok := ggufNames[path]
	if whole := path == "token_embd" || strings.HasPrefix(path, "output"); !ok ||
		whole == (layer != "") {
		return "", false
	}
	return layer + hf + name[at:], true
}

// openGGUFCheckpoint opens the weights of a GGUF file under their Hugging Face names.
func openGGUFCheckpoint(path string) (*Tensors, error) {
	g, err := OpenGGUF(path)
	if err != nil {
		return nil, err
	}
	c, err := g.checkpoint()
	if err != nil {
		g.Close()
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return c, nil
}

// checkpoint returns the weights. Closing them closes the file.
func (g *GGUF) checkpoint() (*Tensors, error) {
	arch, err := g.architecture()
	if err != nil {
		return nil, err
	}
	f := &ggufFields{g: g, arch: arch}
	heads := f.integer("attention.head_count")
	kvHeads := f.optional("attention.head_count_kv", heads)
	if f.err != nil {
		return nil, f.err
	}
	var tensors []tensor
	for _, t := range g.tensors {
		if t.Name == ggufFrequencies {
			continue
		}
		name, ok := hfName(t.Name)
		if !ok {
			return nil, fmt.Errorf("tensor %q is not known in a %s model: a variant that is not read; use "+
				"the model's Hugging Face folder", t.Name, arch)
		}
		if ggufArchitectures[arch].permuted && len(t.Shape) > 0 {
			switch {
			case strings.Contains(name, ".q_proj."):
				t.heads = heads
			case strings.Contains(name, ".k_proj."):
				t.heads = kvHeads
			}
			if t.heads > 0 && (t.Shape[0] == 0 || t.Shape[0]%(2*t.heads) != 0) {
				return nil, fmt.Errorf("%s has %d rows, which are not those of %d heads", t.Name, t.Shape[0],
					t.heads)
			}
		}
		t.Name = name
		tensors = append(tensors, t)
	}
	return newCheckpoint(tensors, nil, g.file), nil
}

// interleave undoes llama.cpp's order of the rows of query and key projections. llama.cpp keeps the
// two rows of each rotated pair together; Hugging Face stores the first rows of all pairs of a
// head, then the second rows.
func interleave(a Array, heads int) {
	size := len(a.Data) / a.Shape[0] // values per row
	pairs := a.Shape[0] / heads / 2
	head := make([]float32, 2*pairs*size)
	for h := range heads {
		rows := a.Data[h*len(head) : (h+1)*len(head)]
		copy(head, rows)
		for i := range pairs {
			copy(rows[i*size:(i+1)*size], head[2*i*size:])
			copy(rows[(pairs+i)*size:(pairs+i+1)*size], head[(2*i+1)*size:])
		}
	}
}

// architecture returns general.architecture if haf reads its models.
func (g *GGUF) architecture() (string, error) {
	arch, _ := g.Metadata["general.architecture"].(string)
	if _, ok := ggufArchitectures[arch]; !ok {
		var known []string
		for name := range ggufArchitectures {
			known = append(known, name)
		}
		slices.Sort(known)
		return "", fmt.Errorf("general.architecture %.40q is not read from GGUF files; read are %s: use "+
			"the model's Hugging Face folder", arch, strings.Join(known, ", "))
	}
	if n, ok := g.Metadata["split.count"].(int64); ok && n > 1 {
		return "", fmt.Errorf("one of %d parts of a model; join them first: llama-gguf-split --merge "+
			"FIRST-PART OUT.gguf", n)
	}
	return arch, nil
}

// ggufFields reads numbers from the architecture's metadata; the first error stays in err.
type ggufFields struct {
	g    *GGUF
	arch string
	err  error
}

func (f *ggufFields) integer(key string) int {
	if _, ok := f.g.Metadata[f.arch+"."+key]; !ok && f.err == nil {
		f.err = fmt.Errorf("no %s.%s; is it a language model?", f.arch, key)
	}
	return f.optional(key, 0)
}

// optional returns absent if the key is missing.
func (f *ggufFields) optional(key string, absent int) int {
	v, ok := f.g.Metadata[f.arch+"."+key]
	if !ok || f.err != nil {
		return absent
	}
	n, ok := v.(int64)
	if !ok || n <= 0 || n > math.MaxInt32 {
		f.err = fmt.Errorf("%s.%s is %.60s, want a positive number", f.arch, key, fmt.Sprint(v))
		return absent
	}
	return int(n)
}

// number returns a floating-point value in its shortest decimal form, so that a float32 of 1e-5
// becomes 1e-5.
func (f *ggufFields) number(key string) (json.Number, bool) {
	switch v := f.g.Metadata[f.arch+"."+key].(type) {
	case float32:
		if x := float64(v); x-x == 0 {
			return json.Number(strconv.FormatFloat(x, 'g', -1, 32)), true
		}
	case float64:
		if v-v == 0 {
			return json.Number(strconv.FormatFloat(v, 'g', -1, 64)), true
		}
	}
	return "", false
}

// ggufScales are settings that change a decoder's computation. None of the architectures above has
// them.
var ggufScales = []string{
	"logit_scale", "embedding_scale", "residual_scale", "attention.scale", "attn_logit_softcapping",
	"final_logit_softcapping", "expert_count",
	"attention.clamp_kqv", "attention.max_alibi_bias",
}

// A RopeScaling returns the rope_scaling of config.json that gives the factors in a file. A factor
// divides the frequency of one pair of a head's dimensions in the rotary embedding with base theta.
type RopeScaling func(factors []float32, theta float64, headDim int) (map[string]any, error)

// ConfigJSON returns the config.json of the model in the file, as transformers would write it.
func (g *GGUF) ConfigJSON(scaling RopeScaling) ([]byte, error) {
	arch, err := g.architecture()
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", g.path, err)
	}
	config, err := g.config(arch, scaling)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", g.path, err)
	}
	return json.MarshalIndent(config, "", "  ")
}

func (g *GGUF) config(arch string, find RopeScaling) (map[string]any, error) {
	f := &ggufFields{g: g, arch: arch}
	for _, key := range ggufScales {
		switch v := g.Metadata[arch+"."+key].(type) {
		case nil:
		case int64:
			if v != 0 {
				return nil, fmt.Errorf(
					"%s.%s is %v: a variant that is not read; use the model's Hugging Face folder", arch, key, v)
			}
		case float32:
			if v != 0 && v != 1 {
				return nil, fmt.Errorf(
					"%s.%s is %v: a variant that is not read; use the model's Hugging Face folder", arch, key, v)
			}
		}
	}
	embedding, hasEmbedding := g.find("token_embd.weight")
	if !hasEmbedding || len(embedding.Shape) != 2 {
		return nil, fmt.Errorf("no token_embd.weight of two dimensions; is it a language model?")
	}
	_, untied := g.find("output.weight")
	hidden, heads := f.integer("embedding_length"), f.integer("attention.head_count")
	config := map[string]any{
		"model_type":    ggufArchitectures[arch].family,
		"architectures": []string{ggufArchitectures[arch].class},
		"vocab_size":    embedding.Shape[0], "hidden_size": hidden,
		"num_hidden_layers":   f.integer("block_count"),
		"num_attention_heads": heads, "num_key_value_heads": f.optional("attention.head_count_kv", heads),
		"intermediate_size":       f.integer("feed_forward_length"),
		"max_position_embeddings": f.integer("context_length"),
		"hidden_act":              "silu", "tie_word_embeddings": !untied, "torch_dtype": "float32",
	}
	if f.err != nil {
		return nil, f.err
	}
	headDim := hidden / heads
	headDim = f.optional("attention.key_length", headDim)
	if rotated := f.optional("rope.dimension_count", headDim); rotated != headDim {
		return nil, fmt.Errorf("%s.rope.dimension_count is %d of %d dimensions of a head: turning a "+
			"part of them is not read", arch, rotated, headDim)
	}
	if values := f.optional("attention.value_length", headDim); values != headDim {
		return nil, fmt.Errorf(
			"%s.attention.value_length is %d, key_length %d: heads of two widths are not read", arch, values,
			headDim)
	}
	if arch == "qwen3" || headDim*heads != hidden {
		config["head_dim"] = headDim
	}
	if eps, ok := f.number("attention.layer_norm_rms_epsilon"); ok {
		config["rms_norm_eps"] = eps
	}
	if arch == "llama" {
		_, config["attention_bias"] = g.find("blk.0.attn_q.bias")
		_, config["mlp_bias"] = g.find("blk.0.ffn_up.bias")
	}
	for key, name := range map[string]string{"bos_token_id": "bos", "eos_token_id": "eos",
		"pad_token_id": "padding"} {
		config[key] = nil
		if id, ok := g.Metadata["tokenizer.ggml."+name+"_token_id"].(int64); ok && id >= 0 &&
			id < int64(embedding.Shape[0]) {
			config[key] = id
		}
	}
	if f.err == nil {
		f.err = g.rope(f, config, headDim, find)
	}
	return config, f.err
}

// rope describes the rotary embedding: its base, and the scaling that the metadata state or that
// the factors of rope_freqs.weight come from.
func (g *GGUF) rope(
	f *ggufFields, config map[string]any, headDim int, find RopeScaling,
) error {
	theta, ok := f.number("rope.freq_base")
	if !ok {
		theta = "10000"
	}
	config["rope_theta"] = theta
	factors, hasFactors := g.find(ggufFrequencies)
	scaling, _ := g.Metadata[f.arch+".rope.scaling.type"].(string)
	factor, hasFactor := f.number("rope.scaling.factor")
	switch {
	case hasFactors:
		a, err := factors.read()
		if err != nil {
			return err
		}
		base, err := theta.Float64()
		if err != nil {
			return err
		}
		found, err := find(a.Data, base, headDim)
		if err != nil {
			return fmt.Errorf("%s: %w", ggufFrequencies, err)
		}
		config["rope_scaling"] = found
		return nil
	case scaling == "" && !hasFactor, scaling == "none":
	case scaling == "linear" && hasFactor:
		config["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": factor}
	default:
		return fmt.Errorf("%s.rope.scaling.type %q is not read, only linear: use the model's Hugging "+
			"Face folder", f.arch, scaling)
	}
	return nil
}

func (g *GGUF) find(name string) (tensor, bool) {
	for _, t := range g.tensors {
		if t.Name == name {
			return t, true
		}
	}
	return tensor{}, false
}
