package eval_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"haf/eval"
	"haf/pref"
)

func ask(text string) []pref.Message { return []pref.Message{{Role: pref.User, Content: text}} }

// pairs makes groups of one comparison, each with its own prompt, and rewards with the given
// margins.
func pairs(margins ...float64) ([]pref.Group, [][]float64) {
	var groups []pref.Group
	var rewards [][]float64
	for i, m := range margins {
		groups = append(groups, pref.NewPair(ask(fmt.Sprint("prompt ", i)), "chosen", "rejected",
			pref.Location{File: "p.jsonl", Line: i + 1}))
		rewards = append(rewards, []float64{m, 0})
	}
	return groups, rewards
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %v, want %v ± %g", what, got, want, tolerance)
	}
}

// byHand has margins 1, 0 (a tie), 2 and −1 on three prompts; what it must give was computed by
// hand.
func byHand() ([]pref.Group, [][]float64) {
	return []pref.Group{
		pref.NewPair(ask("a"), "longer", "short", pref.Location{}),
		pref.NewPair(ask("b"), "xx", "yy", pref.Location{}),
		{Prompt: ask("c"), Responses: []string{"1", "22", "333"},
			Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}, {Chosen: 2, Rejected: 0}}},
	}, [][]float64{{1.5, 0.5}, {3, 3}, {2, 0, 1}}
}

func TestComparisonsByHand(t *testing.T) {
	groups, rewards := byHand()
	r, err := eval.Comparisons(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	if r.Groups != 3 || r.Prompts != 3 || r.Comparisons != 4 || r.Correct != 2 || r.Ties != 1 ||
		r.ChosenLonger != 2 || r.ChosenShorter != 1 {
		t.Errorf("counts: %+v", r)
	}
	near(t, "accuracy", r.Accuracy, 2.5/4, 0)
	near(t, "margin", r.Margin, 0.5, 1e-15)
	near(t, "margin std", r.MarginStd, math.Sqrt(5./3), 1e-15)
	near(t, "log-likelihood", r.LogLikelihood,
		-(0.3132616875+0.6931471806+0.1269280110+1.3132616875)/4, 1e-9)
	near(t, "brier", r.Brier, (0.0723294881+0.25+0.0142093362+0.5344466455)/4, 1e-9)
	// Two of confidence 0.7311, one right; the tie of 0.5, half right; one of 0.8808, right.
	near(t, "ece", r.ECE, ((2*0.7310585786-1)+0+(1-0.8807970780))/4, 1e-9)
	// √(3/2 · (0.375² + 0.125² + 0.25²)) / 4
	near(t, "standard error", r.StandardError, math.Sqrt(0.328125)/4, 1e-15)
	near(t, "chosen longer", r.ChosenLongerRate, 2./3, 1e-15)
	near(t, "reward longer", r.RewardLongerRate, 1./3, 1e-15) // only in group a
	near(t, "accuracy longer", r.AccuracyLonger, 0.5, 0)
	near(t, "accuracy shorter", r.AccuracyShorter, 1, 0)
	near(t, "reward mean", r.RewardMean, 11./7, 1e-15)
}

func TestConstantRewards(t *testing.T) {
	r, err := eval.Comparisons(pairs(0, 0, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "accuracy", r.Accuracy, 0.5, 0)
	near(t, "log-likelihood", r.LogLikelihood, -math.Ln2, 1e-15)
	near(t, "brier", r.Brier, 0.25, 0)
	near(t, "ece", r.ECE, 0, 0)
	if r.Ties != 4 || r.Correct != 0 || r.MarginStd != 0 {
		t.Errorf("%+v", r)
	}
}

func TestLargeMarginsStayFinite(t *testing.T) {
	for _, m := range []float64{800, -800, largest, -largest, 5e-324} {
		r, err := eval.Comparisons(pairs(m, m/3, -m/2))
		if err != nil {
			t.Fatal(err)
		}
		for what, x := range map[string]float64{"log-likelihood": r.LogLikelihood, "brier": r.Brier,
			"ece": r.ECE, "std": r.MarginStd, "reward std": r.RewardStd} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Errorf("margin %g: %s %v", m, what, x)
			}
		}
	}
	near(t, "log σ(−800)", eval.LogLikelihood([]float64{-800}), -800, 1e-9)
}

// With one comparison a prompt the clustered error is the plain one.
func TestStandardErrorOfSingles(t *testing.T) {
	r, err := eval.Comparisons(pairs(1, 1, -1, 0, 2, -3, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	credits := []float64{1, 1, 0, 0.5, 1, 0, 1, 1}
	near(t, "standard error", r.StandardError, stat.StdErr(stat.StdDev(credits, nil), 8), 1e-15)
}

// Newcombe 1998, Statistics in Medicine 17, table I, method 3.
func TestWilson(t *testing.T) {
	for _, c := range []struct{ x, n, low, high float64 }{
		{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718},
	} {
		low, high := eval.Wilson(c.x/c.n, c.n)
		near(t, "low", low, c.low, 5e-5)
		near(t, "high", high, c.high, 5e-5)
	}
}

// A draw of 400 independent comparisons, 300 of them right, is Binomial(400, ¾)/400, so that the
// bootstrap's ends have known values: its quantiles at 0.025 and 0.975, 283/400 and 317/400. The
// tolerance is three standard errors of a quantile of 2000 draws, √(0.025·0.975/2000) over the
// density 2.7; the quantiles at 0.05 and 0.95 are 0.0075 away.
func TestBootstrapOfSingles(t *testing.T) {
	margins := make([]float64, 400)
	for i := range margins {
		margins[i] = 1
		if i%4 == 0 {
			margins[i] = -1
		}
	}
	r, err := eval.Comparisons(pairs(margins...))
	if err != nil {
		t.Fatal(err)
	}
	exact := distuv.Binomial{N: 400, P: 0.75}
	for what, c := range map[string]struct{ got, want, at float64 }{
		"low": {r.AccuracyLow, 283, 0.025}, "high": {r.AccuracyHigh, 317, 0.975},
	} {
		if !(exact.CDF(c.want-1) < c.at && c.at <= exact.CDF(c.want)) {
			t.Errorf("%s: %v is not the binomial's quantile at %v", what, c.want, c.at)
		}
		near(t, what, c.got, c.want/400, 0.004)
	}
	near(t, "normal", (r.AccuracyHigh-r.AccuracyLow)/2, normal95*r.StandardError, 0.004)
}

// Where all prompts agree no draw differs; the interval must not pretend to know the truth.
func TestAllRightIsNotCertain(t *testing.T) {
	r, err := eval.Comparisons(pairs(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "low", r.AccuracyLow, 1-0.1611, 5e-5) // Newcombe's 0 of 20, mirrored
	near(t, "high", r.AccuracyHigh, 1, 1e-12)
	if r.StandardError <= 0 {
		t.Error("standard error 0")
	}
}

// Six comparisons that agree on every prompt are six times as many numbers and no more knowledge:
// the interval must cover the truth about 95 times in 100. Taking them for independent covers it
// about 58 times.
func TestIntervalCoversUnderClustering(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const trials, prompts, copies, truth = 300, 80, 6, 0.7
	covered, narrow := 0, 0
	for range trials {
		var groups []pref.Group
		var rewards [][]float64
		for p := range prompts {
			m := -1.0
			if rng.Float64() < truth {
				m = 1
			}
			for range copies { // groups of their own that share the prompt
				groups = append(groups, pref.NewPair(ask(fmt.Sprint(p)), "c", "r", pref.Location{}))
				rewards = append(rewards, []float64{m, 0})
			}
		}
		r, err := eval.Comparisons(groups, rewards)
		if err != nil {
			t.Fatal(err)
		}
		if r.Prompts != prompts {
			t.Fatalf("%d prompts, want %d", r.Prompts, prompts)
		}
		if r.AccuracyLow <= truth && truth <= r.AccuracyHigh {
			covered++
		}
		if low, high := eval.Wilson(r.Accuracy, prompts*copies); low <= truth && truth <= high {
			narrow++
		}
	}
	t.Logf("covered %d, taken for independent %d, of %d", covered, narrow, trials)
	if rate := float64(covered) / trials; rate < 0.90 || rate > 0.99 {
		t.Errorf("the interval covers the truth %d times in %d, want about 95 %%", covered, trials)
	}
}

func TestDeterministic(t *testing.T) {
	groups, rewards := byHand()
	a, err := eval.Comparisons(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	b, err := eval.Comparisons(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Errorf("two runs differ:\n%v\n%v", a, b)
	}
}

func TestComparisonsErrors(t *testing.T) {
	groups, rewards := pairs(1, 2)
	for want, c := range map[string]struct {
		groups  []pref.Group
		rewards [][]float64
	}{
		"eval: no comparison in 0 groups":            {nil, nil},
		"eval: rewards of 1 groups, want those of 2": {groups, rewards[:1]},
		"eval: p.jsonl:2: 1 rewards, want one for each of the 2": {groups,
			[][]float64{{1, 2}, {1}}},
		"eval: p.jsonl:2: response 1 has the reward NaN, want": {groups,
			[][]float64{{1, 2}, {1, math.NaN()}}},
		"eval: p.jsonl:1: response 0 has the reward -Inf": {groups,
			[][]float64{{math.Inf(-1), 2}, {1, 1}}},
		"eval: p.jsonl:1: response 0 has the reward 1e+200": {groups,
			[][]float64{{1e200, 2}, {1, 1}}},
		"eval: group 0: comparison 0 is of responses 0 and 2, want ": {
			[]pref.Group{{Responses: []string{"a", "b"}, Comparisons: []pref.Comparison{{Rejected: 2}}}},
			[][]float64{{1, 2}}},
	} {
		if _, err := eval.Comparisons(c.groups, c.rewards); err == nil ||
			!strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, err := eval.Compare(c.groups, c.rewards, c.rewards); err == nil ||
			!strings.HasPrefix(err.Error(), "eval: ") {
			t.Errorf("compare: error %v, want one too", err)
		}
	}
	if _, err := eval.Comparisons([]pref.Group{{Responses: []string{"a", "b"}}},
		[][]float64{{0, 0}}); !errors.Is(err, eval.ErrNoComparisons) {
		t.Errorf("error %v, want ErrNoComparisons", err)
	}
}

func TestResultJSON(t *testing.T) {
	groups, rewards := byHand()
	r, err := eval.Comparisons(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back eval.Result
	if err := json.Unmarshal(data, &back); err != nil || back != r {
		t.Errorf("%v, %+v, want %+v", err, back, r)
	}
	var keys map[string]any
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	for key := range keys {
		if key != strings.ToLower(key) {
			t.Errorf("key %q, want snake_case", key)
		}
	}
	if !strings.Contains(r.String(), "accuracy 0.6250 [") ||
		!strings.Contains(r.String(), "(1 ties)") {
		t.Errorf("%v", r)
	}
}

func ExampleTable() {
	rows := []eval.Row{
		{"helpful", eval.Result{Comparisons: 2339, Accuracy: 0.7012, AccuracyLow: 0.6826,
			AccuracyHigh: 0.7194, Ties: 3, Margin: 0.8123}},
		{"harmless-é", eval.Result{Comparisons: 98, Accuracy: 0.5, AccuracyLow: 0.401,
			AccuracyHigh: 0.599, Margin: -0.01}},
	}
	if err := eval.Table(os.Stdout, rows); err != nil {
		panic(err)
	}
	// Output:
	// name           n  accuracy     95 % interval  ties   margin
	// helpful     2339    0.7012  [0.6826, 0.7194]     3   0.8123
	// harmless-é    98    0.5000  [0.4010, 0.5990]     0  -0.0100
}

// largest is the largest reward that haf measures.
const largest = 1e100

// normal95 is the quantile of the standard normal distribution at 0.975.
const normal95 = 1.959963984540054
