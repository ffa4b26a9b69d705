package lm

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"haf/weights"
)

// Init returns fresh weights for a model: norms 1 (0 where a family adds the 1), biases 0, matrices
// normal with standard deviation 0.02, those that write to the residual stream divided by
// √(2·layers) as in GPT-2.
func Init(c *Config, random *rand.Rand) []weights.Array {
	fam := c.family()
	writes := []string{fam.names.o + ".weight", fam.names.down + ".weight"}
	var out []weights.Array
	for _, p := range Params(c) {
		a := weights.Array{Name: p.Name, Shape: p.Shape, Data: make([]float32, p.Size())}
		std := 0.02
		if slices.Contains(writes, strings.TrimPrefix(p.Name, c.LayerOf(p.Name))) {
			std /= math.Sqrt(2 * float64(c.Layers))
		}
		for i := range a.Data {
			switch {
			case strings.HasSuffix(p.Name, ".bias"):
			case len(p.Shape) == 1:
				if fam.norm != rmsNormPlusOne {
					a.Data[i] = 1
				}
			default:
				a.Data[i] = float32(random.NormFloat64() * std)
			}
		}
		out = append(out, a)
	}
	return out
}
