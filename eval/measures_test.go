package eval_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"haf/eval"
	"haf/pref"
)

func TestReliabilityByHand(t *testing.T) {
	// σ: 0.7311 (right), 0.7311 (wrong), 0.5 (tie), 0.8808 (right)
	got := eval.Reliability([]float64{1, -1, 0, 2})
	for b, bin := range got {
		near(t, "low", bin.Low, 0.5+0.05*float64(b), 1e-12)
		want := map[int]eval.Bin{0: {Count: 1, Confidence: 0.5, Accuracy: 0.5},
			4: {Count: 2, Confidence: 0.7310585786, Accuracy: 0.5},
			7: {Count: 1, Confidence: 0.8807970780, Accuracy: 1}}[b]
		if bin.Count != want.Count {
			t.Errorf("bin %d: %+v, want %+v", b, bin, want)
		}
		near(t, "confidence", bin.Confidence, want.Confidence, 1e-9)
		near(t, "accuracy", bin.Accuracy, want.Accuracy, 0)
	}
}

func TestFitTemperature(t *testing.T) {
	// 3 of 4 margins of size 2 are right: σ(2/T) = 3/4, T = 2/ln 3.
	near(t, "temperature", eval.FitTemperature([]float64{2, 2, 2, -2}), 2/math.Log(3), 1e-9)
	near(t, "ties alone", eval.FitTemperature([]float64{0, 0}), eval.MaxTemperature, 0)
	near(t, "all right", eval.FitTemperature([]float64{1, 2}), eval.MinTemperature, 0)
	near(t, "mostly wrong", eval.FitTemperature([]float64{1, -2}), eval.MaxTemperature, 0)
	near(t, "nothing", eval.FitTemperature(nil), 1, 0)
	// Against a search over a grid.
	rng := rand.New(rand.NewPCG(1, 2))
	margins := make([]float64, 200)
	for i := range margins {
		margins[i] = rng.NormFloat64()*3 + 1
	}
	best, at := math.Inf(-1), 0.0
	for x := -3.0; x < 3; x += 1e-3 {
		scaled := make([]float64, len(margins))
		for i, m := range margins {
			scaled[i] = m / math.Exp(x)
		}
		if l := eval.LogLikelihood(scaled); l > best {
			best, at = l, math.Exp(x)
		}
	}
	near(t, "temperature by search", eval.FitTemperature(margins), at, 2e-3*at)
	c := eval.Calibrate([]float64{2, -2}, []float64{2, 2, 2, -2})
	near(t, "log-likelihood", c.LogLikelihood, (math.Log(0.75)+math.Log(0.25))/2, 1e-9)
	near(t, "brier", c.Brier, (0.25*0.25+0.75*0.75)/2, 1e-9)
	near(t, "ece", c.ECE, 0.25, 1e-9)
	if c.FittedOn != 4 || len(c.Bins) != 10 {
		t.Errorf("%+v", c)
	}
}

func TestLengthsByHand(t *testing.T) {
	groups := []pref.Group{
		pref.NewPair(ask("a"), "äää", "b", pref.Location{}), // longer, right
		pref.NewPair(ask("b"), "b", "ccc", pref.Location{}), // shorter, wrong
		pref.NewPair(ask("c"), "b", "ccc", pref.Location{}), // shorter, tied
		pref.NewPair(ask("d"), "bb", "cc", pref.Location{}), // equal, right
	}
	rewards := [][]float64{{2, 1}, {0, 5}, {3, 3}, {1, 0}}
	b, err := eval.Lengths(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	if b.Longer != 1 || b.Shorter != 2 || b.Equal != 1 || b.AccuracyLonger != 1 ||
		b.AccuracyShorter != 0.25 || b.AccuracyEqual != 1 {
		t.Errorf("%+v", b)
	}
	near(t, "longer rate", b.LongerRate, 2.5/3, 1e-12)
	near(t, "chosen longer rate", b.ChosenLongerRate, 1./3, 1e-12)
	// Centred: lengths ±1 ±1 ±1 0, rewards ±½, ±2.5, 0, ±½: Σxy = 2(½ + 2.5), Σx² = 6, Σy² = 2(¼ +
	// 6.25 + ¼).
	near(t, "pearson", b.Pearson, 6/math.Sqrt(6*13.5), 1e-12)
	// Ranks ±½ each but where tied: Σxy = 2(¼ + ¼), Σx² = 3·½, Σy² = 3·½.
	near(t, "spearman", b.Spearman, 1/1.5, 1e-12)
	constant := [][]float64{{1, 1}, {1, 1}, {1, 1}, {1, 1}}
	if b, err = eval.Lengths(groups, constant); err != nil || b.Pearson != 0 || b.Spearman != 0 {
		t.Errorf("constant rewards: %+v, %v", b, err)
	}
}

// The reward that is the length has correlation 1 however the prompts differ.
func TestLengthIsLength(t *testing.T) {
	groups := mixed(50)
	rewards := make([][]float64, len(groups))
	for g, group := range groups {
		for _, r := range group.Responses {
			rewards[g] = append(rewards[g], float64(len(r))+1000*float64(g))
		}
	}
	b, err := eval.Lengths(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "pearson", b.Pearson, 1, 1e-9)
	near(t, "spearman", b.Spearman, 1, 1e-9)
	near(t, "longer", b.LongerRate, 1, 0)
}

func TestRanks(t *testing.T) {
	if got := eval.Ranks([]float64{3, 1, 3, 2, 3}); !slices.Equal(got, []float64{4, 1, 4, 2, 4}) {
		t.Errorf("%v", got)
	}
}

func TestParts(t *testing.T) {
	groups, rewards := pairs(1, -1, 0)
	groups[0].Subset, groups[1].Subset = "b", "a"
	groups[2].Source.File = "q.jsonl"
	rows, err := eval.BySubset(groups, rewards)
	if err != nil || len(rows) != 3 || rows[0].Name != "" || rows[0].Result.Ties != 1 ||
		rows[1].Name != "a" || rows[1].Result.Accuracy != 0 || rows[2].Result.Accuracy != 1 {
		t.Errorf("%+v, %v", rows, err)
	}
	if rows, err = eval.BySource(groups, rewards); err != nil || len(rows) != 2 ||
		rows[0].Name != "p.jsonl" || rows[0].Result.Comparisons != 2 {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestTopKByHand(t *testing.T) {
	group := func(n, best int) pref.Group {
		g := pref.Group{Prompt: ask("q"), Responses: make([]string, n)}
		for i := range n {
			if i != best {
				g.Comparisons = append(g.Comparisons, pref.Comparison{Chosen: best, Rejected: i})
			}
		}
		return g
	}
	none := group(3, 0)
	none.Comparisons = none.Comparisons[:1] // not above all
	groups := []pref.Group{group(4, 1), group(4, 0), group(2, 1), none}
	r, err := eval.TopK(groups, [][]float64{{1, 2, 3, 0}, {1, 1, 1, 0}, {0, 1}, {1, 2, 3}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	// Second of four; tied with two others for the first place; first of two.
	want := eval.Recall{Groups: 3, At: []float64{(0 + 1./3 + 1) / 3, (1 + 2./3 + 1) / 3, 1},
		Random: []float64{(.25 + .25 + .5) / 3, (.5 + .5 + 1) / 3, (.75 + .75 + 1) / 3}}
	if r.Groups != want.Groups {
		t.Errorf("%+v", r)
	}
	for k := range want.At {
		near(t, "recall", r.At[k], want.At[k], 1e-12)
		near(t, "random", r.Random[k], want.Random[k], 1e-12)
	}
}

func TestPACSByHand(t *testing.T) {
	// z of (1, 2, 3) is (−√1.5, 0, √1.5); of (3, 2, 1) the reverse.
	got := eval.PACS([]float64{1, 2, 3}, []float64{3, 2, 1})
	for i, want := range []float64{-2 * math.Sqrt(1.5), 0, 2 * math.Sqrt(1.5)} {
		near(t, "PACS", got[i], want, 1e-12)
	}
	if got := eval.PACS([]float64{1, 2}, []float64{7, 7}); !reflect.DeepEqual(got, []float64{-1, 1}) {
		t.Errorf("a side that does not vary: %v", got)
	}
}

func TestKendallDistance(t *testing.T) {
	for _, c := range []struct {
		x, y []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{1, 2, 3}, 0},
		{[]float64{1, 2, 3}, []float64{3, 2, 1}, 1},
		{[]float64{1, 2, 3}, []float64{1, 3, 2}, 1. / 3},
		{[]float64{1, 2, 3}, []float64{1, 1, 1}, 0.5},
		{[]float64{1}, []float64{1}, 0},
	} {
		near(t, "distance", eval.KendallDistance(c.x, c.y), c.want, 1e-12)
	}
}

func TestAUC(t *testing.T) {
	near(t, "perfect", eval.AUC([]float64{1, 2, 3, 4}, []bool{false, false, true, true}), 1, 0)
	near(t, "reverse", eval.AUC([]float64{1, 2, 3, 4}, []bool{true, true, false, false}), 0, 0)
	near(t, "one class", eval.AUC([]float64{1, 2}, []bool{true, true}), 0, 0)
	// Against every pair of a positive and a negative, with many ties.
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		n := 2 + rng.IntN(40)
		values, positive := make([]float64, n), make([]bool, n)
		for i := range n {
			values[i], positive[i] = float64(rng.IntN(6)), rng.IntN(2) == 0
		}
		positive[0], positive[1] = true, false
		sum, count := 0.0, 0.0
		for i := range n {
			for j := range n {
				if positive[i] && !positive[j] {
					count++
					sum += creditOfMargin(values[i] - values[j])
				}
			}
		}
		near(t, "auc", eval.AUC(values, positive), sum/count, 1e-12)
	}
}

func TestConflictsByHand(t *testing.T) {
	groups, score := pairs(1, -1, 2, 0)
	_, policy := pairs(1, 1, -1, 1)
	c, err := eval.Conflicts(groups, score, policy)
	if err != nil {
		t.Fatal(err)
	}
	// Distances 0, 1, 1, ½; the wrong one has 1, the two right ones 0 and 1.
	if c.Prompts != 4 || c.BothRight != 1 || c.BothWrong != 0 || c.Disagree != 2 {
		t.Errorf("%+v", c)
	}
	near(t, "distance", c.Distance, 2.5/4, 1e-12)
	near(t, "auc", c.AUCDistance, 0.75, 1e-12)
	near(t, "auc by PACS", c.AUCPACS, 0.75, 1e-12)
	near(t, "auc by margin", c.AUCMargin, 0.75, 1e-12) // |m| 1 against 1 and 2
	near(t, "PACS", c.MeanPACS, (0+2+2+1)/4., 1e-12)
}
