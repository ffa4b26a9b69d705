package eval

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Detectable is the true difference that a two-sided test at the level finds with a probability of
// 80 %, of an estimate of the given variance, by the normal approximation.
func Detectable(variance, level float64) float64 {
	normal := distuv.UnitNormal
	return (normal.Quantile(1-level/2) + normal.Quantile(0.8)) * math.Sqrt(variance)
}
