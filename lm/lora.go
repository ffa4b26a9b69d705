package lm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"haf/weights"
)

// Suffixes of the names of an adapter's two matrices, after the name of the linear layer: A [rank,
// in] and B [out, rank], as PEFT stores them.
const (
	LoraA = ".lora_A.weight"
	LoraB = ".lora_B.weight"
)

// LoRA describes a low-rank adapter (arXiv 2106.09685): y = x·Wᵀ + scale · (x·Aᵀ)·Bᵀ on the
// targeted linear layers. A fused layer is one layer.
type LoRA struct {
	Rank   int
	Alpha  float64
	RSLoRA bool // scale alpha/√rank instead of alpha/rank
	// names of linear layers ("q_proj"); any other text is a regular expression for the whole path
	Targets []string
}

// Scale is the factor of the adapter's product.
func (l *LoRA) Scale() float64 {
	if l.RSLoRA {
		return l.Alpha / math.Sqrt(float64(l.Rank))
	}
	return l.Alpha / float64(l.Rank)
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.]+$`)

// Match returns the linear layers of the model (paths without ".weight") that the adapter targets,
// in the order of the layers. A target that matches nothing is an error that names the existing
// layers.
func (l *LoRA) Match(c *Config) ([]string, error) {
	if l.Rank < 1 {
		return nil, fmt.Errorf("lm: LoRA rank is %d, want at least 1", l.Rank)
	}
	layers := Linears(c)
	hit := make([]bool, len(layers))
	for _, target := range l.Targets {
		matches := func(path string) bool { return path == target || strings.HasSuffix(path, "."+target) }
		if !plainName.MatchString(target) {
			re, err := regexp.Compile(`^(?:` + target + `)$`)
			if err != nil {
				return nil, fmt.Errorf("lm: LoRA target %q is no regular expression: %w", target, err)
			}
			matches = re.MatchString
		}
		any := false
		for i, path := range layers {
			if matches(path) {
				hit[i], any = true, true
			}
		}
		if !any {
			return nil, fmt.Errorf("lm: LoRA target %q is no linear layer of this %s model: there are %s",
				target, c.Family, strings.Join(kinds(layers), ", "))
		}
	}
	var out []string
	for i, path := range layers {
		if hit[i] {
			out = append(out, path)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("lm: LoRA has no targets: name linear layers, such as %s",
			strings.Join(kinds(layers), ", "))
	}
	return out, nil
}

// kinds returns the distinct last parts of the paths.
func kinds(paths []string) []string {
	var out []string
	for _, p := range paths {
		k := p[strings.LastIndexByte(p, '.')+1:]
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// Params returns the adapter's parameters for the model: A and B of every targeted layer.
func (l *LoRA) Params(c *Config) ([]Param, error) {
	paths, err := l.Match(c)
	if err != nil {
		return nil, err
	}
	var out []Param
	for _, path := range paths {
		i := slices.IndexFunc(c.linears(),
			func(l linearLayer) bool { return strings.TrimPrefix(path, c.LayerOf(path)) == l.name })
		layer := c.linears()[i]
		out = append(out, Param{Name: path + LoraA, Shape: []int{l.Rank, layer.in}},
			Param{Name: path + LoraB, Shape: []int{layer.out, l.Rank}})
	}
	return out, nil
}

// Init returns a fresh adapter's values: A uniform in ±1/√in (Kaiming with a = √5, PEFT's default),
// B zero, so that the adapted model equals the base.
func (l *LoRA) Init(c *Config, random *rand.Rand) ([]weights.Array, error) {
	params, err := l.Params(c)
	if err != nil {
		return nil, err
	}
	var out []weights.Array
	for _, p := range params {
		a := weights.Array{Name: p.Name, Shape: p.Shape, Data: make([]float32, p.Shape[0]*p.Shape[1])}
		if strings.HasSuffix(p.Name, LoraA) {
			bound := 1 / math.Sqrt(float64(p.Shape[1]))
			for i := range a.Data {
				a.Data[i] = float32((2*random.Float64() - 1) * bound)
			}
		}
		out = append(out, a)
	}
	return out, nil
}
