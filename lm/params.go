package lm

import "fmt"

// Names of the weights that are not in a layer.
const (
	EmbeddingName = "model.embed_tokens.weight"
	NormName      = "model.norm.weight"
	OutputName    = "lm_head.weight"
	ScoreName     = "score.weight"
)

// A Param is one named weight of a model and its shape.
type Param struct {
	Name  string
	Shape []int
}

// Size is the number of values.
func (p Param) Size() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

func layerName(layer int) string { return fmt.Sprintf("model.layers.%d.", layer) }

// Params lists the weights of the backbone and the policy head (lm_head only if it is not tied), in a fixed order.
func Params(c *Config) []Param {
	params := []Param{{EmbeddingName, []int{c.Vocab, c.Hidden}}}
	for layer := range c.Layers {
		name := layerName(layer)
		params = append(params, Param{name + "input_layernorm.weight", []int{c.Hidden}})
		params = append(params, linear(name+"self_attn.q_proj", c.Heads*c.HeadDim, c.Hidden, c.AttentionBias)...)
		params = append(params, linear(name+"self_attn.k_proj", c.KVHeads*c.HeadDim, c.Hidden, c.AttentionBias)...)
		params = append(params, linear(name+"self_attn.v_proj", c.KVHeads*c.HeadDim, c.Hidden, c.AttentionBias)...)
		params = append(params, linear(name+"self_attn.o_proj", c.Hidden, c.Heads*c.HeadDim, c.OutputBias)...)
		params = append(params, Param{name + "post_attention_layernorm.weight", []int{c.Hidden}})
		params = append(params, linear(name+"mlp.gate_proj", c.FeedForward, c.Hidden, c.MLPBias)...)
		params = append(params, linear(name+"mlp.up_proj", c.FeedForward, c.Hidden, c.MLPBias)...)
		params = append(params, linear(name+"mlp.down_proj", c.Hidden, c.FeedForward, c.MLPBias)...)
	}
	params = append(params, Param{NormName, []int{c.Hidden}})
	if !c.TiedEmbeddings {
		params = append(params, Param{OutputName, []int{c.Vocab, c.Hidden}})
	}
	return params
}

func linear(path string, out, in int, bias bool) []Param {
	params := []Param{{path + ".weight", []int{out, in}}}
	if bias {
		params = append(params, Param{path + ".bias", []int{out}})
	}
	return params
}

// Linears lists the paths of the linear layers inside the blocks, those that an adapter can target.
func Linears(c *Config) []string {
	var paths []string
	for layer := range c.Layers {
		for _, l := range []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"} {
			paths = append(paths, layerName(layer)+l)
		}
	}
	return paths
}

// OutputWeight is the name of the policy head's matrix: the embedding where they are tied.
func OutputWeight(c *Config) string {
	if c.TiedEmbeddings {
		return EmbeddingName
	}
	return OutputName
}
