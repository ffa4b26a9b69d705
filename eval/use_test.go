package eval_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"haf/eval"
)

// TestBestOfNByEnumeration compares the closed form with all subsets, with ties among the rewards.
func TestBestOfNByEnumeration(t *testing.T) {
	rewards := [][]float64{{0.3, -1, 0.3, 2, 0.5}, {1, 1, 1, 1, 0}}
	gold := [][]float64{{5, 1, 3, -2, 4}, {1, 2, 3, 4, 10}}
	curve, err := eval.BestOfN(rewards, gold)
	if err != nil {
		t.Fatal(err)
	}
	if len(curve) != 5 {
		t.Fatalf("the curve has %d points, want 5", len(curve))
	}
	for n := 1; n <= 5; n++ {
		var reward, golden float64
		for i := range rewards {
			r, g, subsets := 0.0, 0.0, 0.0
			for set := range 1 << 5 {
				var members []int
				for k := range 5 {
					if set>>k&1 == 1 {
						members = append(members, k)
					}
				}
				if len(members) != n {
					continue
				}
				subsets++
				best := math.Inf(-1)
				for _, k := range members {
					best = max(best, rewards[i][k])
				}
				ties, sum := 0.0, 0.0
				for _, k := range members {
					if rewards[i][k] == best {
						ties, sum = ties+1, sum+gold[i][k]
					}
				}
				r, g = r+best, g+sum/ties
			}
			reward, golden = reward+r/subsets/2, golden+g/subsets/2
		}
		b := curve[n-1]
		if math.Abs(b.Reward-reward) > 1e-12 || math.Abs(b.Gold-golden) > 1e-12 {
			t.Errorf("best of %d: reward %g and gold %g, enumerated %g and %g", n, b.Reward, b.Gold, reward,
				golden)
		}
		if want := math.Log(float64(n)) - float64(n-1)/float64(n); b.KL != want {
			t.Errorf("best of %d: KL %g, want %g", n, b.KL, want)
		}
	}
	for _, bad := range [][][]float64{nil, {{}}, {{1}, {}}} {
		if _, err := eval.BestOfN(bad, nil); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
	if _, err := eval.BestOfN(rewards, gold[:1]); err == nil {
		t.Error("gold rewards of fewer prompts were accepted")
	}
}

func TestWinRateCounts(t *testing.T) {
	w, err := eval.NewWinRate([]eval.Matchup{
		{eval.WinA, eval.WinA, 10, 10}, {eval.WinA, eval.WinB, 10, 12}, {eval.WinB, eval.WinB, 9, 10},
		{eval.Tie, eval.WinA, 10, 10},
		{eval.WinA, eval.NoVerdict, 11, 10}, {eval.NoVerdict, eval.NoVerdict, 1, 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []int{w.Matchups, w.Unjudged, w.NoVerdict, w.Wins, w.Losses, w.Ties, w.Inconsistent}
	if !slices.Equal(got, []int{5, 1, 3, 3, 1, 1, 1}) {
		t.Errorf("counts are %v", got)
	}
	if want := (1 + 0.5 + 0 + 0.75 + 1) / 5; math.Abs(w.Rate-want) > 1e-12 {
		t.Errorf("the rate is %g, want %g", w.Rate, want)
	}
	// Shown first: a, a, b, (tie), a win 1, 1, 0, –, 1; shown first b: 0, 1, 1, 0.
	if want := 5.0 / 8; math.Abs(w.FirstRate-want) > 1e-12 {
		t.Errorf("the first shown wins %g, want %g", w.FirstRate, want)
	}
	if !(w.Low < w.Rate && w.Rate < w.High) {
		t.Errorf("the interval [%g, %g] does not hold %g", w.Low, w.High, w.Rate)
	}
	if _, err := eval.NewWinRate([]eval.Matchup{{}}); err == nil {
		t.Error("a win rate without verdicts was given")
	}
}

// TestLengthControlled makes matchups in which length alone decides, quality alone, and both.
func TestLengthControlled(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	make := func(theta, phi, bias float64) eval.WinRate {
		var matchups []eval.Matchup
		for range 4000 {
			a, b := int(500+bias+100*random.NormFloat64()), int(500+100*random.NormFloat64())
			x := math.Tanh(float64(a-b) / 141.4)
			f := eval.WinB
			if random.Float64() < 1/(1+math.Exp(-theta-phi*x)) {
				f = eval.WinA
			}
			matchups = append(matchups, eval.Matchup{f, f, a, b})
		}
		w, err := eval.NewWinRate(matchups)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for _, c := range []struct{ theta, phi, bias, want float64 }{
		{0, 2, 150, 0.5}, {1, 0, 0, 0.731}, {-0.5, 2, 150, 0.3775}, {0, 0, 150, 0.5},
	} {
		w := make(c.theta, c.phi, c.bias)
		if math.Abs(w.Controlled-c.want) > 0.04 {
			t.Errorf("θ %g, φ %g: controlled rate %.3f, want %.3f (plain %.3f)", c.theta, c.phi,
				w.Controlled, c.want, w.Rate)
		}
		if c.phi == 2 && c.bias > 0 && w.Rate < c.want+0.1 {
			t.Errorf("θ %g, φ %g: the plain rate %.3f is not above the controlled one", c.theta, c.phi,
				w.Rate)
		}
	}
	all, err := eval.NewWinRate([]eval.Matchup{
		{eval.WinA, eval.WinA, 9, 1}, {eval.WinA, eval.WinA, 8, 1},
	})
	if err != nil || all.Controlled != 1 || all.Low > 0.5 {
		t.Errorf("where all win: %+v, %v", all, err)
	}
	separable, err := eval.NewWinRate([]eval.Matchup{
		{eval.WinA, eval.WinA, 900, 1}, {eval.WinB, eval.WinB, 1, 900},
		{eval.WinA, eval.WinA, 500, 1}, {eval.WinB, eval.WinB, 1, 400},
	})
	if err != nil || math.Abs(separable.Controlled-0.5) > 0.1 || separable.LengthEffect < 0.5 {
		t.Errorf("where the longer always wins: %+v, %v", separable, err)
	}
}

func TestStandings(t *testing.T) {
	s, err := eval.Standings([][]int{{1, 2, 3}, {1, 1, 3}, {3, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []eval.Standing{
		{MeanRank: (1 + 1.5 + 3) / 3, First: 1.5 / 3, Beats: []float64{0.5, 0.5, 2.0 / 3}},
		{MeanRank: (2 + 1.5 + 1) / 3, First: 1.5 / 3, Beats: []float64{0.5, 0.5, 1}},
		{MeanRank: (3 + 3 + 2) / 3.0, First: 0, Beats: []float64{1.0 / 3, 0, 0.5}},
	} {
		if math.Abs(s[i].MeanRank-want.MeanRank)+math.Abs(s[i].First-want.First) > 1e-12 {
			t.Errorf("output %d: %+v, want %+v", i, s[i], want)
		}
		for k := range want.Beats {
			if math.Abs(s[i].Beats[k]-want.Beats[k]) > 1e-12 {
				t.Errorf("output %d: %+v, want %+v", i, s[i], want)
			}
		}
	}
	if _, err := eval.Standings([][]int{{1, 2}, {1}}); err == nil {
		t.Error("rankings of different lengths were accepted")
	}
}
