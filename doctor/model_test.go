package doctor

import (
	"math"
	"testing"
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
