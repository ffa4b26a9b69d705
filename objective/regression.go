package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// SquaredError is the squared difference between the score head's outputs and the attributes that
// the data states for a response, such as HelpSteer's helpfulness from 0 to 4 (arXiv 2311.09528):
//
//	ℓ = mean over the stated attributes a of (r_a − y_a)²
//
// Nodes and result are float32 [S, A]. The result has the errors, which the caller's weights
// average.
func SquaredError(outputsSA, attributesSA *Node) *Node {
	return Square(Sub(outputsSA, attributesSA))
}

// SquaredErrorValue is the mean of [SquaredError] over the attributes of one response; NaN is a
// missing one.
func SquaredErrorValue(outputs, attributes []float64) float64 {
	total, n := 0.0, 0
	for a, y := range attributes {
		if !math.IsNaN(y) {
			total += (outputs[a] - y) * (outputs[a] - y)
			n++
		}
	}
	return total / max(1, float64(n))
}

// outputs are those of the score head as a matrix, also where it has one alone.
func (t terms) outputs() *Node {
	return Reshape(t.ScoreS, t.AttributeSA.Shape().Dimensions...)
}

// rated reports whether the data states an attribute.
func rated(attributes []float64) bool {
	for _, y := range attributes {
		if !math.IsNaN(y) {
			return true
		}
	}
	return false
}

// countRated counts the responses of groups with an attribute.
func countRated(groups []Group) (n int) {
	for _, g := range groups {
		for _, attributes := range g.Attributes {
			if rated(attributes) {
				n++
			}
		}
	}
	return n
}

// regressionSum is the regression loss's float64 reference, summed over the rated responses of all
// groups.
func regressionSum(_ Hybrid, groups []Group) float64 {
	return overGroups(groups, func(g Group) float64 {
		total := 0.0
		for k, attributes := range g.Attributes {
			if rated(attributes) {
				total += SquaredErrorValue(g.Outputs[k], attributes)
			}
		}
		return total
	})
}
