package eval_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"haf/eval"
)

// TestSeedAccuracy is computed by hand: four prompts, two trainings of accuracies 3/4 and 1/2.
func TestSeedAccuracy(t *testing.T) {
	groups, first := pairsWith([]float64{1, 1, 1, -1})
	_, second := pairsWith([]float64{1, 1, -1, -1})
	e, err := eval.SeedAccuracy(groups, [][][]float64{first, second})
	if err != nil {
		t.Fatal(err)
	}
	// Prompts' means 1, 1, ½, 0 about 5/8: Σ d² = 0.6875; clustered √(4/3 · 0.6875)/4. Seeds: variance
	// 1/32, over 2.
	prompt, between := 4.0/3*0.6875/16, 1.0/64
	if !nearly(e.Mean, 0.625) || !nearly(e.PromptError, math.Sqrt(prompt)) ||
		!nearly(e.StandardError, math.Sqrt(prompt+between)) {
		t.Errorf("%+v", e)
	}
	df := (prompt + between) * (prompt + between) / (prompt*prompt/3 + between*between)
	if !nearly(e.DF, df) {
		t.Errorf("%v degrees of freedom, want %v", e.DF, df)
	}
	if !slices.Equal(e.BySeed, []float64{0.75, 0.5}) || e.Low < 0 || e.High > 1 || e.Prompts != 4 {
		t.Errorf("%+v", e)
	}
	d, err := eval.SeedDifference(groups, [][][]float64{first, first}, [][][]float64{first, second})
	if err != nil || !nearly(d.Mean, 0.125) || !slices.Equal(d.BySeed, []float64{0, 0.25}) {
		t.Errorf("%+v, %v", d, err)
	}
	same, err := eval.SeedDifference(groups, [][][]float64{first}, [][][]float64{first})
	if err != nil || same.P != 1 || same.Low != 0 || same.High != 0 {
		t.Errorf("a reward against itself: %+v, %v", same, err)
	}
	if _, err := eval.SeedDifference(groups, [][][]float64{first}, nil); err == nil {
		t.Error("one training was paired with none")
	}
	mean, err := eval.MeanEstimate([]eval.Estimate{e, d})
	if err != nil || !nearly(mean.Mean, 0.375) ||
		!nearly(mean.PromptError, math.Hypot(e.PromptError, d.PromptError)/2) {
		t.Errorf("%+v, %v", mean, err)
	}
	if _, err := eval.MeanEstimate([]eval.Estimate{e, same}); err == nil {
		t.Error("estimates of two seeds and of one were averaged")
	}
	right, rewards := pairsWith([]float64{1, 1, 1})
	if e, err := eval.SeedAccuracy(right, [][][]float64{rewards}); err != nil || e.Mean != 1 ||
		e.Low > 0.5 || e.High != 1 {
		t.Errorf("three of three right: %+v, %v", e, err)
	}
}

// TestSeedInterval draws trainings and prompts whose true accuracy is 0.7 and wants the interval to
// hold it about as often as it says.
func TestSeedInterval(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const trials = 400
	held := 0
	for range trials {
		hard := make([]float64, 60)
		for i := range hard {
			hard[i] = 0.4 * (random.Float64() - 0.5)
		}
		var all [][][]float64
		for range 3 {
			shift := 0.05 * random.NormFloat64()
			margins := make([]float64, len(hard))
			for i := range margins {
				margins[i] = 1
				if random.Float64() > 0.7+shift+hard[i] {
					margins[i] = -1
				}
			}
			_, rewards := pairsWith(margins)
			all = append(all, rewards)
		}
		groups, _ := pairsWith(make([]float64, len(hard)))
		e, err := eval.SeedAccuracy(groups, all)
		if err != nil {
			t.Fatal(err)
		}
		if e.Low <= 0.7 && 0.7 <= e.High {
			held++
		}
	}
	if rate := float64(held) / trials; rate < 0.92 {
		t.Errorf("the 95 %% interval held the truth in %.3f of the trials", rate)
	}
}

func TestHolm(t *testing.T) {
	got := eval.Holm([]float64{0.04, 0.01, 0.03})
	if want := []float64{0.06, 0.03, 0.06}; !nearly(got[0], want[0]) || !nearly(got[1], want[1]) ||
		!nearly(got[2], want[2]) {
		t.Errorf("%v, want %v", got, want)
	}
}

func nearly(a, b float64) bool { return math.Abs(a-b) < 1e-12 }
