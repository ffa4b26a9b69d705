package lm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"haf/weights"
)

// ScoreName is the name of the score head's weight, [1, H] in every family.
const ScoreName = "score.weight"

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

// blockName is the beginning of the names of a block's weights.
func (c *Config) blockName(layer int) string {
	return c.family().names.layers + strconv.Itoa(layer) + "."
}

// LayerOf returns the part of a weight's name that identifies its block ("model.layers.3."), empty
// for a weight outside the blocks.
func (c *Config) LayerOf(name string) string {
	layers := c.family().names.layers
	rest, ok := strings.CutPrefix(name, layers)
	if dot := strings.IndexByte(rest, '.'); ok && dot > 0 {
		return layers + rest[:dot+1]
	}
	return ""
}

// A linearLayer is one of a block, by the name it has inside the block.
type linearLayer struct {
	name    string
	in, out int
	bias    bool
}

// linears lists the linear layers of a block, in the order in which they run.
func (c *Config) linears() []linearLayer {
	n := c.family().names
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	all := []linearLayer{
		{n.q, c.Hidden, q, c.AttentionBias}, {n.k, c.Hidden, kv, c.AttentionBias},
		{n.v, c.Hidden, kv, c.AttentionBias},
		{n.qkv, c.Hidden, q + 2*kv, c.AttentionBias}, {n.o, q, c.Hidden, c.OutputBias},
		{n.gate, c.Hidden, c.FeedForward, c.MLPBias}, {n.gateUp, c.Hidden, 2 * c.FeedForward, c.MLPBias},
		{n.up, c.Hidden, c.FeedForward, c.MLPBias}, {n.down, c.FeedForward, c.Hidden, c.MLPBias},
	}
	var out []linearLayer
	for _, l := range all {
		if l.name != "" {
			out = append(out, l)
		}
	}
	return out
}

// Params lists the weights of the backbone and of the policy head (without a matrix tied to the
// embedding), in a fixed order.
func Params(c *Config) []Param {
	fam := c.family()
	n := fam.names
	params := []Param{{n.embedding + ".weight", []int{c.Vocab, c.Hidden}}}
	if !fam.rotary() {
		params = append(params, Param{n.positions + ".weight", []int{c.MaxPositions, c.Hidden}})
	}
	for layer := range c.Layers {
		block := c.blockName(layer)
		norm := func(name string, width int) {
			if name != "" {
				params = append(params, fam.normParams(block+name, width)...)
			}
		}
		norm(n.attentionIn, c.Hidden)
		for _, l := range c.linears() {
			if l.name == n.o { // the norms between the two parts stand where they run
				norm(n.qNorm, c.normWidth(c.Heads))
				norm(n.kNorm, c.normWidth(c.KVHeads))
			}
			params = append(params, fam.linearParams(block, l)...)
			if l.name == n.o {
				norm(n.attentionOut, c.Hidden)
				if n.mlpIn != n.attentionIn {
					norm(n.mlpIn, c.Hidden)
				}
			}
		}
		norm(n.mlpOut, c.Hidden)
	}
	params = append(params, fam.normParams(n.norm, c.Hidden)...)
	return append(params, OutputParams(c)...)
}

// OutputParams lists the policy head's own weights: none if it is the embedding.
func OutputParams(c *Config) []Param {
	fam := c.family()
	var params []Param
	if !c.TiedEmbeddings {
		params = append(params, Param{OutputWeight(c), []int{c.Vocab, c.Hidden}})
	}
	if fam.headBias {
		params = append(params, Param{fam.names.output + ".bias", []int{c.Vocab}})
	}
	return params
}

// OutputWeight is the name of the policy head's matrix: the embedding's if they are tied.
func OutputWeight(c *Config) string {
	n := c.family().names
	if c.TiedEmbeddings {
		return n.embedding + ".weight"
	}
	return n.output + ".weight"
}

// OwnOutputWeight is the name of the policy head's matrix if it is not the embedding.
func OwnOutputWeight(c *Config) string { return c.family().names.output + ".weight" }

// normWidth is how many values a norm of queries or keys goes over.
func (c *Config) normWidth(heads int) int {
	if c.family().wholeNorm {
		return heads * c.HeadDim
	}
	return c.HeadDim
}

func (f *family) normParams(path string, width int) []Param {
	params := []Param{{path + ".weight", []int{width}}}
	if f.norm == layerNorm {
		params = append(params, Param{path + ".bias", []int{width}})
	}
	return params
}

func (f *family) linearParams(block string, l linearLayer) []Param {
	shape := []int{l.out, l.in}
	if f.conv1D {
		shape = []int{l.in, l.out}
	}
	params := []Param{{block + l.name + ".weight", shape}}
	if l.bias {
		params = append(params, Param{block + l.name + ".bias", []int{l.out}})
	}
	return params
}

// Transposed reports whether the linear layers in the blocks are stored as [in, out] rather than
// [out, in]. Adapters are A [rank, in] and B [out, rank] in both cases.
func Transposed(c *Config) bool { return c.family().conv1D }

// Linears lists the paths of the linear layers inside the blocks, those that an adapter can target.
func Linears(c *Config) []string {
	var paths []string
	for layer := range c.Layers {
		for _, l := range c.linears() {
			paths = append(paths, c.blockName(layer)+l.name)
		}
	}
	return paths
}

// LastFeedForward reports whether a linear layer, named as by [Linears], is in the last block's
// feed-forward part, which [Decoder.Hidden] runs only for the places that are read.
func LastFeedForward(c *Config, path string) bool {
	name, ok := strings.CutPrefix(path, c.blockName(c.Layers-1))
	n := c.family().names
	return ok && slices.Contains([]string{n.gateUp, n.gate, n.up, n.down}, name)
}

// MaxLength is the length of the longest sequence for which the model has positions; 0 is no limit,
// as with rotary positions.
func (c *Config) MaxLength() int {
	if c.family().rotary() {
		return 0
	}
	return c.MaxPositions
}

// ReadParam reads a weight of a model from its checkpoint under one of its possible names: that of
// a causal or classifying model, that of a backbone saved alone (without the prefix), or that of a
// part of a larger model. The error for a missing weight wraps weights.ErrMissing.
func ReadParam(ck *weights.Tensors, c *Config, p Param) (weights.Array, error) {
	for _, name := range c.aliases(p.Name) {
		if _, ok := ck.Info(name); !ok {
			continue
		}
		a, err := ck.ReadShape(name, p.Shape...)
		a.Name = p.Name
		return a, err
	}
	return ck.ReadShape(p.Name, p.Shape...)
}

// ReadInfo describes the stored form of a weight under one of its possible names. The error for a
// missing weight wraps weights.ErrMissing.
func ReadInfo(ck *weights.Tensors, c *Config, name string) (weights.Info, error) {
	for _, alias := range c.aliases(name) {
		if info, ok := ck.Info(alias); ok {
			return info, nil
		}
	}
	return weights.Info{}, fmt.Errorf("lm: %s: %w", name, weights.ErrMissing)
}

// ModuleName is transformers' name of a module or weight of the blocks in the model that it opens
// from this config.json. PEFT's names are made from it. It differs if the text model is a part of a
// larger one.
func (c *Config) ModuleName(name string) string {
	if rest, ok := strings.CutPrefix(name, c.family().names.prefix); ok && c.Nested {
		return c.family().names.prefix + "language_model." + rest
	}
	return name
}

// ModuleNames are the names that a weight may have in an adapter, ModuleName's first: transformers
// 5 calls a policy head lm_head in every family.
func (c *Config) ModuleNames(name string) []string {
	names := []string{c.ModuleName(name)}
	output := c.family().names.output
	if rest, ok := strings.CutPrefix(name, output+"."); ok && output != "lm_head" {
		names = append(names, "lm_head."+rest)
	}
	return names
}

// aliases are the names that a weight goes by, its own first.
func (c *Config) aliases(name string) []string {
	n := c.family().names
	names := []string{name}
	if rest, ok := strings.CutPrefix(name, n.prefix); ok {
		names = append(names, rest)
		if c.Nested { // transformers 5, then 4
			names = append(names, n.prefix+"language_model."+rest)
		}
	}
	if rest, ok := strings.CutPrefix(name, n.output+"."); ok && n.output != "lm_head" {
		names = append(names, "lm_head."+rest)
	}
	if c.Nested {
		names = append(names, "language_model."+name)
	}
	return names
}
