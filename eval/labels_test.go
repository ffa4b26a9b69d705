package eval_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"haf/eval"
	"haf/pref"
)

// labelledSet are responses of prompts, labelled by a noisy quality of which the reward knows a
// part; responses to one prompt share some of both.
func labelledSet(random *rand.Rand, prompts, each int) (groups []pref.Group, rewards [][]float64) {
	for p := range prompts {
		shared := random.NormFloat64()
		for k := range each {
			quality := random.NormFloat64()
			groups = append(groups, pref.Group{
				Prompt:    []pref.Message{{Role: pref.User, Content: fmt.Sprint(p)}},
				Responses: []string{fmt.Sprint(k)}, Labels: []bool{quality+shared > 0},
			})
			rewards = append(rewards, []float64{math.Round(4*(quality+shared/2+random.NormFloat64())) / 4})
		}
	}
	return groups, rewards
}

// bruteAUC is the AUC by its definition.
func bruteAUC(groups []pref.Group, rewards [][]float64) float64 {
	sum, n := 0.0, 0.0
	for i, a := range groups {
		for j, b := range groups {
			if a.Labels[0] && !b.Labels[0] {
				sum, n = sum+creditOfMargin(rewards[i][0]-rewards[j][0]), n+1
			}
		}
	}
	return sum / n
}

func TestLabels(t *testing.T) {
	groups, rewards := labelledSet(rand.New(rand.NewPCG(3, 0)), 60, 3)
	pair := pref.NewPair(groups[0].Prompt, "a", "b", pref.Location{})
	// A pair has no label.
	r, err := eval.Labels(append(groups, pair), append(rewards, []float64{9, -9}))
	if err != nil {
		t.Fatal(err)
	}
	correct, loglik, squares := 0.0, 0.0, 0.0
	for g := range groups {
		x, y := rewards[g][0], 0.0
		if groups[g].Labels[0] {
			y = 1
		} else {
			x = -x
		}
		correct += creditOfMargin(x)
		loglik += math.Log(logistic(x))
		squares += math.Pow(y-logistic(rewards[g][0]), 2)
	}
	n := float64(len(groups))
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"accuracy", r.Accuracy, correct / n}, {"auc", r.AUC, bruteAUC(groups, rewards)},
		{"log-likelihood", r.LogLikelihood, loglik / n}, {"brier", r.Brier, squares / n},
		{"responses", float64(r.Responses), n}, {"prompts", float64(r.Prompts), 60},
		{"labels", float64(r.Desirable + r.Undesirable), n},
	} {
		if !(math.Abs(c.got-c.want) <= 1e-12) {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	for _, in := range [][3]float64{{r.AccuracyLow, r.Accuracy, r.AccuracyHigh},
		{r.AUCLow, r.AUC, r.AUCHigh}} {
		if !(in[0] < in[1] && in[1] < in[2] && in[2] <= 1) {
			t.Errorf("interval %v", in)
		}
	}
	_, err = eval.Labels([]pref.Group{pair}, [][]float64{{1, 2}})
	if !errors.Is(err, eval.ErrNoComparisons) {
		t.Error(err)
	}
}

// TestAUCInterval: of independent responses the error is DeLong's, and of clustered ones the
// interval holds the true area about as often as it says.
func TestAUCInterval(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 0))
	groups, rewards := labelledSet(random, 200, 1)
	r, err := eval.Labels(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	var placed [2][]float64 // DeLong's components: of each response its share of the others
	for i, a := range groups {
		sum, n := 0.0, 0.0
		for j, b := range groups {
			if a.Labels[0] != b.Labels[0] {
				d := rewards[i][0] - rewards[j][0]
				if !a.Labels[0] {
					d = -d
				}
				sum, n = sum+creditOfMargin(d), n+1
			}
		}
		kind := 0
		if a.Labels[0] {
			kind = 1
		}
		placed[kind] = append(placed[kind], sum/n)
	}
	variance := 0.0
	for _, p := range placed {
		_, std := eval.MeanStd(p)
		variance += std * std / float64(len(p))
	}
	if half := normal95 * math.Sqrt(variance); math.Abs(r.AUCHigh-r.AUC-half) > 1e-3*half {
		t.Errorf("half-width %v, DeLong's is %v", r.AUCHigh-r.AUC, half)
	}

	truth := 0.0
	whole, all := labelledSet(random, 1000, 4)
	truth = bruteAUC(whole, all)
	const draws = 400
	inside := 0
	for range draws {
		groups, rewards := labelledSet(random, 60, 4)
		r, err := eval.Labels(groups, rewards)
		if err != nil {
			t.Fatal(err)
		}
		if r.AUCLow <= truth && truth <= r.AUCHigh {
			inside++
		}
	}
	if share := float64(inside) / draws; share < 0.90 || share > 0.98 {
		t.Errorf("the interval holds the true area in %.3f of the draws, want about 0.95", share)
	}
}

func TestAUCExtremes(t *testing.T) {
	of := func(rewards []float64, labels ...bool) eval.LabelResult {
		var groups []pref.Group
		var table [][]float64
		for i, x := range rewards {
			groups = append(groups, pref.Group{Prompt: []pref.Message{{Content: fmt.Sprint(i)}},
				Responses: []string{"r"}, Labels: labels[i : i+1]})
			table = append(table, []float64{x})
		}
		r, err := eval.Labels(groups, table)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := of([]float64{2, 1, -1, -2}, true, true, false, false); r.AUC != 1 || r.AUCHigh != 1 ||
		!(r.AUCLow > 0.2 && r.AUCLow < 0.6) {
		t.Errorf("%+v", r)
	}
	if r := of([]float64{0, 0, 0}, true, true, false); r.AUC != 0.5 || r.Ties != 3 ||
		r.Accuracy != 0.5 {
		t.Errorf("%+v", r)
	}
	if r := of([]float64{1, 2}, true, true); r.AUC != 0 || r.AUCHigh != 0 || r.Accuracy != 1 {
		t.Errorf("%+v", r)
	}
}

func TestAttributes(t *testing.T) {
	nan := math.NaN()
	outputs := [][][]float64{{{1, 0}, {2, 5}}, {{4, 1}}}
	grades := [][][]float64{{{1, nan}, {3, nan}}, {{4, nan}}}
	got := eval.Attributes([]string{"a", "b"}, outputs, grades)
	if _, ok := got["b"]; ok || len(got) != 1 {
		t.Errorf("%+v", got)
	}
	a := got["a"]
	mean := 8 / 3.0
	deviation := math.Sqrt(((1-mean)*(1-mean) + (3-mean)*(3-mean) + (4-mean)*(4-mean)) / 3)
	if a.Responses != 3 || math.Abs(a.RMSE-math.Sqrt(1/3.0)) > 1e-12 ||
		math.Abs(a.Deviation-deviation) > 1e-12 ||
		a.Spearman != 1 || math.Abs(a.Pearson-0.9286) > 5e-4 {
		t.Errorf("%+v", a)
	}
}

// TestEvaluateLabels measures labels alone, and beside comparisons.
func TestEvaluateLabels(t *testing.T) {
	groups, rewards := labelledSet(rand.New(rand.NewPCG(7, 0)), 20, 1)
	pair := pref.NewPair(groups[0].Prompt, "a", "bb", pref.Location{})
	for _, mixed := range []bool{false, true} {
		if mixed {
			groups, rewards = append(groups, pair), append(rewards, []float64{2, 1})
		}
		e, err := eval.Evaluate(pref.Readings{Groups: groups, Names: []string{"score"},
			Rewards: map[string][][]float64{"score": rewards}})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := e.Write(&b); err != nil {
			t.Fatal(err)
		}
		_, compared := e.Rewards["score"]
		if e.Labels["score"].Responses != 20 || compared != mixed ||
			strings.Contains(b.String(), "margin") != mixed || !strings.Contains(b.String(), "AUC") {
			t.Errorf("%s\n%+v", b.String(), e)
		}
		want := e.Labels["score"].Accuracy
		if mixed {
			want = 1
		}
		if got := e.Accuracy("score"); got != want {
			t.Errorf("accuracy %v, want %v", got, want)
		}
	}
}

// creditOfMargin is the credit: 1 right, 0 wrong, ½ a tie.
func creditOfMargin(margin float64) float64 {
	switch {
	case margin > 0:
		return 1
	case margin < 0:
		return 0
	}
	return 0.5
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
