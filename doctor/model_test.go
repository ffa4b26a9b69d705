package doctor

import (
	"math"
	"strings"
	"testing"

	"haf/weights"
)

// TestRewards has rewards that are healthy, equal, not finite, or changed by the batch.
func TestRewards(t *testing.T) {
	healthy := []float64{0.1, 0.2, 0.3}
	for name, c := range map[string]struct {
		found []Finding
		want  int
	}{
		"different":  {equal(healthy), 0},
		"equal":      {equal([]float64{1, 1, 1}), 1},
		"finite":     {finite(healthy), 0},
		"not finite": {finite([]float64{math.NaN(), 1, math.Inf(1)}), 2},
		"same":       {padded(healthy, healthy, "float32"), 0},
		"rounded":    {padded(healthy, []float64{0.1, 0.2, 0.3001}, "float32"), 0},
		"padded":     {padded(healthy, []float64{0.1, 0.2, 0.31}, "float32"), 1},
		"bfloat16":   {padded(healthy, []float64{0.1, 0.2, 0.31}, "bfloat16"), 0},
	} {
		if len(c.found) != c.want {
			t.Errorf("%s: found %+v, want %d", name, c.found, c.want)
		}
	}
}

// TestWeights names the tensors whose values are not finite.
func TestWeights(t *testing.T) {
	dir := t.TempDir()
	nan := float32(math.NaN())
	source := func(name string, data ...float32) weights.LazyArray {
		return weights.LazyArray{Name: name, Shape: []int{len(data)},
			Values: func() ([]float32, error) { return data, nil }}
	}
	err := weights.Write(dir, []weights.LazyArray{source("good", 1, -2), source("bad", 1, nan, nan)},
		weights.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := weightsOf(dir)
	if len(found) != 1 || !strings.Contains(found[0].What, "the weight 1 of bad is NaN") {
		t.Errorf("%+v", found)
	}
}

// TestCheckOf has the check of the warnings that have one of their own.
func TestCheckOf(t *testing.T) {
	for warning, want := range map[string]string{
		"the tokenizer names no end token":                              "end token",
		"the template writes no end token behind an answer: the model":  "end token",
		"the tokenizer has ids up to 9, the embedding only 8 rows":      "tokenizer",
		"the embedding has 9000 rows, the tokenizer only 20 ids":        "tokenizer",
		"config.json says F16, but most weights are stored as F32":      "files",
		"cannot be opened: lm_head.weight is missing among the weights": "files",
	} {
		if got := checkOf(warning); got != want {
			t.Errorf("%s: %s", warning, got)
		}
	}
}
