package eval_test

import (
	"math/rand/v2"
	"testing"

	"haf/eval"
	"haf/pref"
)

func TestSignTest(t *testing.T) {
	for _, c := range []struct {
		a, b int
		p    float64
	}{
		{0, 0, 1}, {5, 5, 1}, {0, 6, 2. / 64}, {6, 0, 2. / 64}, {1, 9, 22. / 1024}, {3, 5, 2 * 93. / 256},
		{1, 2, 1},
	} {
		near(t, "p", eval.SignTest(c.a, c.b), c.p, 1e-12)
	}
	// 400 against 500, by the normal approximation with continuity correction: z = 99/30, p =
	// 0.000967.
	near(t, "p of many", eval.SignTest(400, 500), 0.000967, 2e-5)
}

func TestCompareByHand(t *testing.T) {
	groups, a := pairs(1, 1, 1, 0, -1, 1)
	_, b := pairs(1, -1, 0, -1, 1, 1)
	p, err := eval.Compare(groups, a, b)
	if err != nil {
		t.Fatal(err)
	}
	// Credits: a 1 1 1 ½ 0 1, b 1 0 ½ 0 1 1.
	if p.BetterA != 3 || p.BetterB != 1 || p.Comparisons != 6 || p.Prompts != 6 || p.Groups != 6 {
		t.Errorf("%+v", p)
	}
	near(t, "a", p.AccuracyA, 4.5/6, 1e-15)
	near(t, "b", p.AccuracyB, 3.5/6, 1e-15)
	near(t, "difference", p.Difference, 1./6, 1e-15)
	near(t, "p", p.McNemarP, 2*5./16, 1e-12)
	if !(p.Low < p.Difference && p.Difference < p.High) {
		t.Errorf("interval [%v, %v] around %v", p.Low, p.High, p.Difference)
	}
	back, err := eval.Compare(groups, b, a)
	if err != nil {
		t.Fatal(err)
	}
	if back.Difference != -p.Difference || back.McNemarP != p.McNemarP ||
		back.StandardError != p.StandardError {
		t.Errorf("the other way round: %+v, want the mirror of %+v", back, p)
	}
}

func TestCompareWithItself(t *testing.T) {
	groups, a := pairs(1, -1, 0, 2)
	p, err := eval.Compare(groups, a, a)
	if err != nil {
		t.Fatal(err)
	}
	if p.Difference != 0 || p.Low != 0 || p.High != 0 || p.McNemarP != 1 {
		t.Errorf("%+v", p)
	}
}

func TestCompareOnOnePromptKnowsNothing(t *testing.T) {
	groups, a := pairs(1)
	_, b := pairs(-1)
	p, err := eval.Compare(groups, a, b)
	if err != nil {
		t.Fatal(err)
	}
	if p.Low != -1 || p.High != 1 {
		t.Errorf("interval [%v, %v], want [-1, 1]", p.Low, p.High)
	}
}

// Two models that err on the same prompts: pairing must see the small difference that two separate
// intervals cannot.
func TestPairingIsSharper(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var am, bm []float64
	for range 600 {
		m := rng.NormFloat64() + 0.5
		am, bm = append(am, m+0.25), append(bm, m)
	}
	groups, a := pairs(am...)
	_, b := pairs(bm...)
	p, err := eval.Compare(groups, a, b)
	if err != nil {
		t.Fatal(err)
	}
	ra, err := eval.Comparisons(groups, a)
	if err != nil {
		t.Fatal(err)
	}
	rb, err := eval.Comparisons(groups, b)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "difference", p.Difference, ra.Accuracy-rb.Accuracy, 1e-12)
	if apart := (ra.AccuracyHigh - ra.AccuracyLow) +
		(rb.AccuracyHigh - rb.AccuracyLow); p.High-p.Low > apart/2 {
		t.Errorf("paired width %v, separate widths together %v", p.High-p.Low, apart)
	}
	if p.Low <= 0 || p.McNemarP > 1e-4 {
		t.Errorf("%v: want a clear difference", p)
	}
}

// Groups that share a prompt are one cluster, so that copies do not narrow the interval of a
// difference.
func TestCompareClustersByPrompt(t *testing.T) {
	groups, a := pairs(1, 1, -1, 1, 1, 1, -1, 1)
	_, b := pairs(1, -1, 1, 1, -1, -1, 1, 1)
	one, err := eval.Compare(groups, a, b)
	if err != nil {
		t.Fatal(err)
	}
	var many []pref.Group
	var ma, mb [][]float64
	for range 5 {
		many, ma, mb = append(many, groups...), append(ma, a...), append(mb, b...)
	}
	five, err := eval.Compare(many, ma, mb)
	if err != nil {
		t.Fatal(err)
	}
	if five.Low != one.Low || five.High != one.High || five.Prompts != one.Prompts {
		t.Errorf("copies change the interval: %v, want that of %v", five, one)
	}
	near(t, "standard error", five.StandardError, one.StandardError, 1e-12)
}
