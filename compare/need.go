package compare

import (
	"fmt"
	"math"
	"strings"
)

// Needed says what would decide a comparison with a probability of 80 %.
type Needed struct {
	// test comparisons needed with the present seeds, if the true difference is the observed one; 0:
	// no number suffices
	Test int `json:"test"`
	// the same if the true difference is the farther end of the interval
	TestAtBest int `json:"test_at_best"`
	// seeds and test comparisons needed, if more seeds are needed; else 0
	Seeds         int `json:"seeds"`
	TestWithSeeds int `json:"test_with_seeds"`
	// training pairs at which the learning curves differ enough for the present test data and seeds;
	// 0: none up to [mostPairs] times as many
	Pairs int `json:"pairs"`
	// the difference that the curves predict there
	At Bounded `json:"at"`
}

const (
	mostPairs = 16  // largest multiple of the training pairs considered
	mostSeeds = 20  // largest number of seeds proposed
	smallest  = 1e6 // test comparisons above which haf proposes seeds
)

// need sets c.Needed.
func (c *Comparison) need(a *Answer) {
	if c.decided() {
		return
	}
	tests, seeds := len(a.Comparisons), len(c.BySeed)
	n := a.Finalists[0].Accuracy.Comparisons
	c.Needed = &Needed{}
	c.Needed.Test, _ = c.Spread.Needed(c.Difference, seeds, tests)
	c.Needed.TestAtBest, _ = c.Spread.Needed(max(-c.Low, c.High), seeds, tests)
	if c.Needed.Test == 0 || c.Needed.Test > smallest {
		for more := seeds + 1; more <= mostSeeds; more++ {
			if test, ok := c.Spread.Needed(c.Difference, more, tests); ok && test <= smallest {
				c.Needed.Seeds, c.Needed.TestWithSeeds = more, test
				break
			}
		}
	}
	if a.Curve == nil {
		return
	}
	i, k := a.index(c.A), a.index(c.B)
	largest := float64(a.Curve.Sizes[len(a.Curve.Sizes)-1])
	for pairs := largest; pairs <= mostPairs*largest; pairs *= math.Pow(2, 0.125) {
		at := a.Curve.difference(i, k, pairs)
		if at.Value != 0 && c.Spread.Power(at.Value, n, seeds, tests) >= 0.8 {
			c.Needed.Pairs, c.Needed.At = int(math.Ceil(pairs)), at
			return
		}
	}
}

func (a *Answer) index(name string) int {
	for i, f := range a.Finalists {
		if f.Method == name {
			return i
		}
	}
	return -1
}

// sentence says what would decide the comparison.
func (c Comparison) sentence(a *Answer) string {
	n, seeds := a.Finalists[0].Accuracy.Comparisons, len(c.BySeed)
	of := c.A + " against " + c.B // differences are A minus B
	if c.Spread.Discordant == 0 {
		return fmt.Sprintf("No more data would decide %s: both gave the same answers on all %d test "+
			"pairs.", of, n)
	}
	var parts []string
	switch need := c.Needed; {
	case need.Test > 0 && need.Test <= n:
		parts = append(parts, fmt.Sprintf("the %d test pairs would have found a difference of %.1f "+
			"points in 80 %% of such studies: this one was not among them", n, 100*math.Abs(c.Difference)))
	case need.Test > 0 && need.Test <= smallest:
		parts = append(parts, fmt.Sprintf("about %s test pairs, now %d, if the difference is the "+
			"observed %.1f points", round(need.Test), n, 100*math.Abs(c.Difference)))
	case need.Seeds > 0:
		parts = append(parts, fmt.Sprintf("%d seeds, now %d, and about %s test pairs, now %d, if the "+
			"difference is the observed %.1f points: more test pairs alone cannot, because trainings "+
			"differ too much by their seeds", need.Seeds, seeds, round(need.TestWithSeeds), n,
			100*math.Abs(c.Difference)))
	default:
		parts = append(parts, fmt.Sprintf("no affordable number of test pairs and seeds, if the "+
			"difference is the observed %.1f points", 100*math.Abs(c.Difference)))
	}
	if best := c.Needed.TestAtBest; best > 0 && best < c.Needed.Test && best > n {
		parts = append(parts, fmt.Sprintf("about %s if it is %.1f, the end of its interval", round(best),
			100*max(-c.Low, c.High)))
	}
	text := fmt.Sprintf("To decide %s with a probability of 80 %% takes %s.", of,
		strings.Join(parts, "; "))
	switch {
	case a.Curve == nil:
		return text
	case c.Needed.Pairs > 0 && c.Needed.Pairs > a.Curve.Sizes[len(a.Curve.Sizes)-1]:
		return text + fmt.Sprintf(" Or about %s training pairs, now %d: there the learning curves "+
			"expect a difference of %+.1f points [%+.1f, %+.1f].", round(c.Needed.Pairs),
			a.Curve.Sizes[len(a.Curve.Sizes)-1], 100*c.Needed.At.Value, 100*c.Needed.At.Low,
			100*c.Needed.At.High)
	case c.Needed.Pairs == 0:
		return text + fmt.Sprintf(" More training pairs alone would not: the learning curves stay too "+
			"close up to %d times as many.", mostPairs)
	}
	return text
}

// round writes a number of pairs, rounded up to two significant digits.
func round(n int) string {
	unit := 1
	for n/unit >= 100 {
		unit *= 10
	}
	return fmt.Sprint((n + unit - 1) / unit * unit)
}
