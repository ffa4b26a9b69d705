package eval_test

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"haf/eval"
	"haf/pref"
)

// pairsWith are pairs, each of a prompt of its own, whose rewards have the given margins.
func pairsWith(margins []float64) (groups []pref.Group, rewards [][]float64) {
	for i, m := range margins {
		prompt := []pref.Message{{Role: pref.User, Content: strconv.Itoa(i)}}
		groups = append(groups, pref.NewPair(prompt, "a", "b", pref.Location{}))
		rewards = append(rewards, []float64{m, 0})
	}
	return groups, rewards
}

// TestFitWeights draws preferences from a known sum of two rewards, finds it again, and stands at
// the maximum.
func TestFitWeights(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n = 20000
	a, b := make([]float64, n), make([]float64, n)
	for i := range n {
		a[i], b[i] = random.NormFloat64(), 100*random.NormFloat64()
		if z := 1.5*a[i] - 0.02*b[i]; random.Float64() > 1/(1+math.Exp(-z)) {
			a[i], b[i] = -a[i], -b[i]
		}
	}
	groups, ra := pairsWith(a)
	_, rb := pairsWith(b)
	w, err := eval.FitWeights(groups, ra, rb)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(w[0]-1.5) > 0.06 || math.Abs(w[1]+0.02) > 0.0006 {
		t.Errorf("weights are %v, the preferences were drawn with 1.5 and -0.02", w)
	}
	var slope [2]float64
	var square [2]float64
	for i := range n {
		p := 1 / (1 + math.Exp(w[0]*a[i]+w[1]*b[i]))
		slope[0], slope[1] = slope[0]+p*a[i], slope[1]+p*b[i]
		square[0], square[1] = square[0]+a[i]*a[i], square[1]+b[i]*b[i]
	}
	for j := range slope {
		if s := math.Sqrt(square[j] / n); math.Abs(slope[j]-w[j]*s*s)/s > 1e-4 {
			t.Errorf("slope of weight %d at the maximum is %g", j, slope[j]-w[j]*s*s)
		}
	}
}

// TestFitWeightsAtTheEdges has margins that separate, a reward without any, and wrong shapes.
func TestFitWeightsAtTheEdges(t *testing.T) {
	groups, ra := pairsWith([]float64{1, 2, 3})
	_, rb := pairsWith([]float64{0, 0, 0})
	w, err := eval.FitWeights(groups, ra, rb)
	if err != nil || !(w[0] > 0 && w[0] < 10) || w[1] != 0 {
		t.Errorf("weights %v, %v", w, err)
	}
	if _, err := eval.FitWeights(groups, ra[:2]); err == nil {
		t.Error("rewards of two groups for three were taken")
	}
	if _, err := eval.FitWeights(groups); err == nil {
		t.Error("no rewards were taken")
	}
}
