package lm

import (
	"math"
	"math/rand/v2"
	"strings"
)

// Init returns fresh weights for a model: norms 1, biases 0, matrices normal with standard deviation 0.02, those that
// write to the residual stream divided by √(2·layers) as in GPT-2.
func Init(c *Config, random *rand.Rand) []Array {
	var out []Array
	for _, p := range Params(c) {
		a := Array{Name: p.Name, Shape: p.Shape, Data: make([]float32, p.Size())}
		std := 0.02
		if strings.HasSuffix(p.Name, "o_proj.weight") || strings.HasSuffix(p.Name, "down_proj.weight") {
			std /= math.Sqrt(2 * float64(c.Layers))
		}
		for i := range a.Data {
			switch {
			case strings.HasSuffix(p.Name, ".bias"):
			case len(p.Shape) == 1:
				a.Data[i] = 1
			default:
				a.Data[i] = float32(random.NormFloat64() * std)
			}
		}
		out = append(out, a)
	}
	return out
}
