package compare_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"haf/compare"
	"haf/paper"
	"haf/pref"
)

// TestCurveBand simulates studies of a power law with noise of prompts and seeds: the band covers
// the truth at all sizes and at four times as many pairs in about 95 % of the studies.
func TestCurveBand(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	sizes := []int{100, 200, 400, 800}
	truth := law(0.9, 0.15)
	const studies, prompts, seeds = 100, 300, 4
	var groups []pref.Group
	for i := range prompts {
		groups = append(groups, pref.NewPair([]pref.Message{{Role: pref.User,
			Content: fmt.Sprint(i)}}, "x", "y", pref.Location{}))
	}
	at := map[int]int{} // studies whose band covers the truth
	for range studies {
		hard := make([]float64, prompts)
		for i := range hard {
			hard[i] = random.NormFloat64()
		}
		var measured []paper.Measurement
		for _, n := range sizes {
			m := paper.Measurement{Groups: groups}
			for range seeds {
				p := truth(n) + 0.01*random.NormFloat64()
				var of [][]float64
				for i := range prompts {
					z := math.Sqrt(0.6)*hard[i] + math.Sqrt(0.4)*random.NormFloat64()
					right := 0.0
					if 0.5*math.Erfc(-z/math.Sqrt2) < p {
						right = 1
					}
					of = append(of, []float64{right, 1 - right})
				}
				m.Rewards = append(m.Rewards, of)
			}
			measured = append(measured, m)
		}
		c, err := compare.NewCurve([]string{"one"}, sizes, [][]paper.Measurement{measured})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range c.At {
			of := c.Of[0].Fitted[i]
			if want := truth(int(n)); of.Low <= want && want <= of.High {
				at[int(n)]++
			}
		}
		if last := c.At[len(c.At)-1]; last != 3200 {
			t.Fatalf("the curve ends at %g pairs, want 3200", last)
		}
	}
	for _, n := range append(sizes, 3200) {
		if at[n] < studies*88/100 {
			t.Errorf("the band covers the truth at %d pairs in %d of %d studies, want 95 %%", n, at[n],
				studies)
		}
		t.Logf("%d pairs: %d of %d", n, at[n], studies)
	}
}
