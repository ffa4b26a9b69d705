package eval_test

import (
	"math"
	"testing"

	"haf/eval"
)

// TestMeanInterval compares with intervals whose quantiles mpmath found to 25 digits, by inverting
// the incomplete beta function: t is 4.302652729749464 with 2 degrees of freedom, 3.182446305284264
// with 3.
func TestMeanInterval(t *testing.T) {
	for _, k := range []struct {
		values          []float64
		mean, low, high float64
	}{
		{[]float64{1, 2, 4}, 7. / 3, -1.461249700263427856, 6.127916366930094523},
		{[]float64{-0.5, 0.25, 0.5, 1}, 0.3125, -0.682014470401159248, 1.307014470401159248},
		{[]float64{3}, 3, 3, 3},
		{[]float64{2, 2, 2}, 2, 2, 2},
	} {
		mean, low, high := eval.MeanInterval(k.values)
		for _, x := range [][2]float64{{mean, k.mean}, {low, k.low}, {high, k.high}} {
			if math.Abs(x[0]-x[1]) > 1e-12 {
				t.Errorf("%v: %v [%v, %v], want %v [%v, %v]", k.values, mean, low, high,
					k.mean, k.low, k.high)
			}
		}
	}
}
