package eval_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"haf/eval"
	"haf/pref"
)

// mostly adds n prompts to the subset, of which the first are right.
func (d *suiteData) mostly(subset string, n, right int) {
	for i := range n {
		margin := -1.0
		if i < right {
			margin = 1
		}
		d.add(subset, strconv.Itoa(len(d.groups)), 1, margin, 0)
	}
}

// Within one subset the interval of a suite is that of the accuracy, draw by draw.
func TestSuiteIntervalIsTheAccuracys(t *testing.T) {
	var d suiteData
	d.mostly("honest", 60, 41)
	r := d.run(t, eval.SuiteHHH)
	all, err := eval.Comparisons(d.groups, d.rewards)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []eval.Score{r.Overall, r.Sections[0]} {
		near(t, "low", s.Low, all.AccuracyLow, 1e-12)
		near(t, "high", s.High, all.AccuracyHigh, 1e-12)
	}
}

// Subsets keep their sizes, so that the mean of two has the variance of independent means.
func TestSuiteIntervalOfAMean(t *testing.T) {
	var d suiteData
	d.mostly("llmbar-natural", 300, 180)
	d.mostly("llmbar-adver-manual", 100, 30)
	r := d.run(t, eval.SuiteLLMBar)
	near(t, "overall", r.Overall.Score, (0.6+0.3)/2, 1e-12)
	half := normal95 * math.Sqrt(0.6*0.4/300+0.3*0.7/100) / 2
	near(t, "half-width", (r.Overall.High-r.Overall.Low)/2, half, 0.08*half)
	for _, s := range append(r.Sections, r.Subsets...) {
		if !(s.Low < s.Score && s.Score < s.High) {
			t.Errorf("%+v", s)
		}
	}
}

// A prompt that stands in two subsets is drawn in both together: where it is right in one and wrong
// in the other, the mean of the two does not vary, and its interval is Wilson's.
func TestSuiteIntervalKeepsPromptsTogether(t *testing.T) {
	var d suiteData
	for i := range 40 {
		margin := float64(1 - 2*(i%2))
		d.add("helpful", strconv.Itoa(i), 1, margin, 0)
		d.add("honest", strconv.Itoa(i), 1, -margin, 0)
		for g := len(d.groups) - 2; g < len(d.groups); g++ {
			d.groups[g].Prompt = ask(strconv.Itoa(i))
		}
	}
	r := d.run(t, eval.SuiteHHH)
	low, high := eval.Wilson(0.5, 80)
	near(t, "low", r.Overall.Low, low, 1e-12)
	near(t, "high", r.Overall.High, high, 1e-12)
	if s := section(r, "honest"); !(s.Low < 0.45 && s.High > 0.55) {
		t.Errorf("%+v", s)
	}
}

// The two forms of a prompt of Ties are drawn together.
func TestSuiteIntervalOfTies(t *testing.T) {
	var d suiteData
	for i := range 30 {
		n := strconv.Itoa(i)
		d.add(eval.Ties, "ref:"+n, 1, 1+float64(i%2), 1)
		d.add(eval.Ties, "tied:"+n, 2, 1+float64(i%2), 1+float64(i%2), 1)
	}
	strata := eval.TiesStrata(d.groups)
	if len(strata) != 1 || len(strata[0]) != 30 || len(strata[0][7]) != 2 {
		t.Errorf("%v", strata)
	}
	r := d.run(t, eval.SuiteRewardBench2)
	near(t, "score", r.Overall.Score, 0.5, 1e-12)
	// The score is the share of right numbers.
	half := normal95 * math.Sqrt(0.25/30)
	near(t, "half-width", (r.Overall.High-r.Overall.Low)/2, half, 0.1*half)
	for g := range d.rewards { // all right, with the full 1.01
		d.rewards[g] = []float64{50, 0}
		if len(d.groups[g].Responses) == 3 {
			d.rewards[g] = []float64{50.5, 50, 0}
		}
	}
	s := d.run(t, eval.SuiteRewardBench2).Overall
	if s.Score < 1.009 || s.High < s.Score || s.Low > 0.95 {
		t.Errorf("%+v", s)
	}
	for g := range d.rewards { // all wrong, with the full −0.01
		d.rewards[g] = []float64{0, 50}
		if len(d.groups[g].Responses) == 3 {
			d.rewards[g] = []float64{0.5, 0, 50}
		}
	}
	s = d.run(t, eval.SuiteRewardBench2).Overall
	if !(s.Score < -0.009 && s.Low == s.Score && s.High < 0.1) {
		t.Errorf("%+v", s)
	}
}

func TestSuiteBaselines(t *testing.T) {
	var d suiteData
	for i, responses := range [][]string{{"long", "a"}, {"a", "long"}, {"ab", "bc"}} {
		d.groups = append(d.groups, pref.NewPair(ask(strconv.Itoa(i)), responses[0], responses[1],
			pref.Location{}))
		d.groups[i].Subset = "livebench-math"
		d.rewards = append(d.rewards, []float64{1, 0})
	}
	r := d.run(t, eval.SuiteJudgeBench)
	near(t, "score", r.Overall.Score, 1, 0)
	near(t, "longest", r.Overall.Longest, 1./3, 1e-12) // equal lengths tie, and a tie is wrong
	near(t, "constant", r.Overall.Constant, 0, 0)
	near(t, "section", section(r, "math").Longest, 1./3, 1e-12)
	for g := range d.groups {
		d.groups[g].Subset = "llmbar-natural"
	}
	r = d.run(t, eval.SuiteLLMBar)
	near(t, "longest, ties half", r.Overall.Longest, 0.5, 1e-12)
	near(t, "constant, ties half", section(r, "llmbar-natural").Constant, 0.5, 0)
	lines := r.Lines()
	if len(lines) != 4 || len(lines[0]) != 6 || lines[1][5] != "0.5000" ||
		!strings.HasPrefix(lines[3][3], "[0.4") {
		t.Errorf("%v", lines)
	}
	if r.TieLine() != "llmbar: 0 of 3 comparisons tie; a tie counts as half right" {
		t.Errorf("%s", r.TieLine())
	}
}
