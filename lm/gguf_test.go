package lm

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"haf/internal/shared"
	"haf/weights"
)

// The weights of the stored models have the names and shapes that their config.json promises.
func TestGoldenWeights(t *testing.T) {
	for _, model := range []string{"llama", "llama/reference", "llama3-rope",
		"llama3-rope/reference"} {
		config, err := LoadConfig("testdata/" + model)
		if err != nil {
			t.Fatal(err)
		}
		c, err := weights.Open("testdata/" + model)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, p := range Params(config) {
			a, err := c.ReadShape(p.Name, p.Shape...)
			if err != nil {
				t.Error(err)
			} else if len(a.Data) != p.Size() {
				t.Errorf("%s: %d values", p.Name, len(a.Data))
			}
		}
	}
}

// TestGGUFConfig: a GGUF file has the configuration of the folder it was made from.
func TestGGUFConfig(t *testing.T) {
	for _, c := range []struct{ file, folder string }{
		{"testdata/gguf/llama.gguf", "testdata/llama"},
		{shared.Model(t, "smollm2-135m-instruct.gguf"), shared.Model(t, "smollm2-135m-instruct")},
	} {
		got, err := LoadConfig(c.file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := LoadConfig(c.folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, config := range []*Config{got, want} {
			config.Raw, config.PAD, config.DType = nil, -1, ""
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: configuration %+v\nwant %+v", c.file, got, want)
		}
	}
}

// TestGGUFLlama3Rope finds Llama 3's settings in the factors, and refuses other factors.
func TestGGUFLlama3Rope(t *testing.T) {
	c, err := LoadConfig("testdata/llama3-rope")
	if err != nil {
		t.Fatal(err)
	}
	c.HeadDim, c.RopeTheta = 64, 500000
	c.Rope = RopeScaling{Type: "llama3", Factor: 32, LowFreqFactor: 1, HighFreqFactor: 4,
		OriginalMaxPositions: 8192}
	var factors []float32
	for i, f := range c.InverseFrequencies() {
		factors = append(factors, float32(math.Pow(c.RopeTheta, -float64(2*i)/64)/f))
	}
	got, err := llama3Scaling(factors, 500000, 64)
	if err != nil || got["factor"] != 32.0 || got["original_max_position_embeddings"] != 8192 {
		t.Errorf("%v, %v", got, err)
	}
	factors[len(factors)/2] *= 1.1
	if _, err := llama3Scaling(factors, 500000, 64); err == nil ||
		!strings.Contains(err.Error(), "not those of Llama 3") {
		t.Errorf("other factors: %v", err)
	}
}
