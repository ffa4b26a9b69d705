package eval_test

import (
	"math/rand/v2"
	"testing"

	"haf/eval"
	"haf/pref"
)

// paired draws the rewards of two methods on n comparisons by seeds: comparisons and seeds have
// parts of their own, and a is right more often by the difference.
func paired(
	random *rand.Rand, n, seeds int, difference, bySeed float64,
) (groups []pref.Group, a, b [][][]float64) {
	for range n {
		groups = append(groups, pref.NewPair([]pref.Message{{Role: pref.User,
			Content: string(rune(0x4e00 + len(groups)))}}, "x", "y", pref.Location{}))
	}
	hard := make([]float64, n)
	for i := range hard {
		hard[i] = 0.4 * (random.Float64() - 0.5) // of both methods
	}
	draw := func(mean float64) (out [][][]float64) {
		for range seeds {
			shift := bySeed * random.NormFloat64()
			var of [][]float64
			for i := range n {
				right := 0.0
				if random.Float64() < mean+hard[i]+shift {
					right = 1
				}
				of = append(of, []float64{right, 1 - right})
			}
			out = append(out, of)
		}
		return out
	}
	return groups, draw(0.65 + difference), draw(0.65)
}

// TestAmong simulates three comparisons of methods that are alike: in at least 93 % of the studies
// all three intervals hold.
func TestAmong(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const studies, tests = 400, 3
	held := 0
	for range studies {
		all := true
		for range tests {
			groups, a, b := paired(random, 150, 3, 0, 0.02)
			e, err := eval.SeedDifference(groups, a, b)
			if err != nil {
				t.Fatal(err)
			}
			low, high, p := e.Among(tests)
			if (p < 0.05) != (low > 0 || high < 0) {
				t.Fatalf("[%g, %g] with p %g", low, high, p)
			}
			all = all && low <= 0 && high >= 0
		}
		if all {
			held++
		}
	}
	if held < studies*93/100 {
		t.Errorf("all intervals hold in %d of %d studies, want 95 %%", held, studies)
	}
}

// TestNeeded estimates the spread in large studies, and wants studies of the size that it names to
// find the difference in about 80 % of the cases.
func TestNeeded(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, of := range []struct {
		seeds, tests int
		difference   float64
		bySeed       float64
	}{{3, 1, 0.06, 0}, {3, 3, 0.08, 0.005}, {5, 3, 0.08, 0.02}, {1, 1, 0.1, 0}} {
		groups, a, b := paired(random, 4000, 30, of.difference, of.bySeed)
		v, err := eval.DifferenceSpread(groups, a, b)
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 * of.bySeed * of.bySeed; v.Seeds < want/3 || v.Seeds > want*3+1e-5 {
			t.Errorf("%+v: variance of seeds %g, want about %g", of, v.Seeds, want)
		}
		n, ok := v.Needed(of.difference, of.seeds, of.tests)
		if !ok {
			t.Fatalf("%+v: no number of comparisons", of)
		}
		const studies = 200
		found := 0
		for range studies {
			groups, a, b := paired(random, n, of.seeds, of.difference, of.bySeed)
			e, err := eval.SeedDifference(groups, a, b)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, p := e.Among(of.tests); p < 0.05 && e.Mean > 0 {
				found++
			}
		}
		if share := float64(found) / studies; share < 0.7 || share > 0.9 {
			t.Errorf("%+v: %d comparisons find it in %.2f of the studies, want 0.80", of, n, share)
		} else {
			t.Logf("%+v: %d comparisons, power %.3f", of, n, share)
		}
	}
	if _, ok := (eval.Spread{Comparisons: 0.3, Seeds: 0.01}).Needed(0.02, 3, 3); ok {
		t.Error("seeds that differ by 10 points decide 2 points")
	}
}
