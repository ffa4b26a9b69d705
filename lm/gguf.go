package lm

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"haf/weights"
)

// loadGGUFConfig reads the configuration of a GGUF file.
func loadGGUFConfig(path string) (*Config, error) {
	g, err := weights.OpenGGUF(path)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	data, err := g.ConfigJSON(llama3Scaling)
	if err != nil {
		return nil, err
	}
	c, err := ParseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%w (made from the metadata of %s)", err, path)
	}
	return c, nil
}

// llama3Scaling finds the settings of Llama 3's stretching that give the factors by which the
// frequencies are divided.
func llama3Scaling(factors []float32, theta float64, headDim int) (map[string]any, error) {
	if len(factors) == headDim/2 && len(factors) > 0 {
		r := RopeScaling{Type: "llama3", Factor: float64(slices.Max(factors)), LowFreqFactor: 1,
			HighFreqFactor: 4}
		for _, original := range []int{8192, 4096, 16384, 32768} {
			r.OriginalMaxPositions = original
			same := true
			for i, factor := range factors {
				f := math.Pow(theta, -2*float64(i)/float64(headDim))
				same = same && math.Abs(f/r.llama3(f)/float64(factor)-1) < 1e-4
			}
			if same {
				return map[string]any{
					"rope_type": "llama3", "factor": r.Factor, "low_freq_factor": r.LowFreqFactor,
					"high_freq_factor":                 r.HighFreqFactor,
					"original_max_position_embeddings": original,
				}, nil
			}
		}
	}
	return nil, errors.New("the factors are not those of Llama 3: use the model's Hugging Face folder")
}
