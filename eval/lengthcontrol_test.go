package eval_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"haf/eval"
	"haf/pref"
)

// lengthPairs makes a pair for each {chosen length, rejected length, margin}.
func lengthPairs(of ...[3]float64) (groups []pref.Group, rewards [][]float64) {
	for i, x := range of {
		groups = append(groups, pref.NewPair(ask(fmt.Sprint("prompt ", i)),
			strings.Repeat("ä", int(x[0])), strings.Repeat("b", int(x[1])), pref.Location{}))
		rewards = append(rewards, []float64{x[2], 0})
	}
	return groups, rewards
}

func TestControlLengthByHand(t *testing.T) {
	groups, rewards := lengthPairs(
		[3]float64{100, 81, 1},   // differ by less than a fifth: matched, longer, right
		[3]float64{100, 80, 1},   // by a fifth: not matched, longer, right
		[3]float64{81, 100, -1},  // matched, shorter, wrong
		[3]float64{10, 100, 0},   // shorter, a tie
		[3]float64{50, 50, 1},    // matched, equal, right
		[3]float64{300, 100, -1}, // longer, wrong
	)
	c, err := eval.ControlLength(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "longest", c.Longest.Value, (1+1+0+0+0.5+1)/6, 1e-12)
	near(t, "matched", c.Matched.Value, 2./3, 1e-12)
	near(t, "matched, longest", c.MatchedLongest, 1.5/3, 1e-12)
	near(t, "balanced", c.Balanced.Value, (2./3+0.5/2)/2, 1e-12)
	if c.Longest.N != 6 || c.Matched.N != 3 || c.Balanced.N != 5 || c.Correlation.N != 12 {
		t.Errorf("%+v", c)
	}
	// Centred ranks are ±½, 0 for equal lengths (5) and the tie (4). Σxy = 2·¼·(1 + 1 + 1 − 1) over
	// pairs 1, 2, 3, 6; Σx² and Σy² have five pairs each.
	near(t, "correlation", c.Correlation.Value, 2./5, 1e-12)
	for _, m := range []eval.Measured{c.Longest, c.Matched, c.Balanced, c.Correlation} {
		if !(m.Low <= m.Value && m.Value <= m.High && m.Low < m.High) {
			t.Errorf("%+v", m)
		}
	}
	b, err := eval.Lengths(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "correlation as in the details", c.Correlation.Value, b.Spearman, 1e-12)
}

// A reward that is the length is worth nothing at balanced lengths, however often the longer
// response is preferred; one that is right is worth all.
func TestControlLengthOfLength(t *testing.T) {
	var of [][3]float64
	for i := range 40 {
		if i%4 == 0 {
			of = append(of, [3]float64{10, 30 + float64(i), 0})
		} else {
			of = append(of, [3]float64{30 + float64(i), 10, 0})
		}
	}
	groups, _ := lengthPairs(of...)
	c, err := eval.ControlLength(groups, lengthsOf(groups))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "longest", c.Longest.Value, 0.75, 0)
	near(t, "balanced", c.Balanced.Value, 0.5, 0)
	near(t, "correlation", c.Correlation.Value, 1, 1e-12)
	if c.Matched.N != 0 || c.Matched.High != 0 {
		t.Errorf("%+v", c.Matched)
	}
	right := make([][]float64, len(groups))
	for g := range right {
		right[g] = []float64{1, 0}
	}
	c, err = eval.ControlLength(groups, right)
	if err != nil || c.Balanced.Value != 1 || c.Balanced.Low > 0.95 {
		t.Errorf("%+v, %v", c, err)
	}
	// Without a pair whose chosen response is shorter there is nothing to balance.
	if c, err = eval.ControlLength(groups[1:4], right[1:4]); err != nil || c.Balanced.N != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// The interval of the balanced accuracy has the width of two independent means.
func TestBalancedInterval(t *testing.T) {
	var of [][3]float64
	for i := range 400 {
		margin := float64(1 - 2*(i%5/3)) // 3 of 5 right
		if i%2 == 0 {
			of = append(of, [3]float64{9, 3, margin})
		} else {
			of = append(of, [3]float64{3, 9, margin})
		}
	}
	groups, rewards := lengthPairs(of...)
	c, err := eval.ControlLength(groups, rewards)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "balanced", c.Balanced.Value, 0.6, 1e-12)
	half := normal95 * math.Sqrt(2*0.6*0.4/200) / 2
	near(t, "half-width", (c.Balanced.High-c.Balanced.Low)/2, half, 0.08*half)
}

func TestLengthTable(t *testing.T) {
	groups, rewards := lengthPairs([3]float64{9, 3, 1}, [3]float64{3, 9, 1})
	e, err := eval.Evaluate(pref.Readings{Names: []string{"score"}, Groups: groups, Index: []int{0, 1},
		Rewards: map[string][][]float64{"score": rewards}})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := e.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `
length n value 95 % interval
always the longer response: accuracy 2 0.5000 [0.0000, 1.0000]
a constant reward: accuracy 2 0.5000 [0.5000, 0.5000]
score: accuracy at similar lengths 0 – –
score: accuracy at balanced lengths 2 1.0000 [0.3424, 1.0000]
score: rank correlation with length 4 0.0000 [-1.0000, 1.0000]
`
	var got []string // without the alignment
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if text := strings.Join(got, "\n") + "\n"; !strings.HasSuffix(text, want) {
		t.Errorf("%s\nwanted\n%s", text, want)
	}
}

// lengthsOf are the lengths of responses in characters.
func lengthsOf(groups []pref.Group) [][]float64 {
	var lengths [][]float64
	for _, g := range groups {
		var of []float64
		for _, r := range g.Responses {
			of = append(of, float64(len([]rune(r))))
		}
		lengths = append(lengths, of)
	}
	return lengths
}
