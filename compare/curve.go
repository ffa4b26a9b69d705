package compare

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"haf/paper"
	"haf/pref"
)

// A Curve is the accuracy of each finalist by the number of training pairs, with a power law of the
// error, error(n) = a·n^−b, fitted by least squares to the logarithms. Its band has the percentiles
// 2.5 and 97.5 of fits to draws of prompts and seeds: prompts with replacement, and one seed fewer
// than there are, so that the variance of their mean is not underestimated (Rao and Wu 1988). A
// power law has no floor, so it is too optimistic if labels are noisy.
type Curve struct {
	Sizes []int         `json:"sizes"` // measured sizes, in training pairs
	Of    []CurveMethod `json:"of"`
	// numbers of pairs at which the fits are evaluated: the sizes, then up to [farthest] times the
	// last
	At []float64 `json:"at"`

	draws [][]powerLaw // [draw][method]
}

// CurveMethod is the curve of one finalist.
type CurveMethod struct {
	Name     string    `json:"name"`
	Accuracy []Bounded `json:"accuracy"` // measured, by size
	A        float64   `json:"a"`
	B        float64   `json:"b"`
	Fitted   []Bounded `json:"fitted"` // at Curve.At
}

// Bounded is a value with its 95 % interval.
type Bounded struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

const (
	curveDraws = 1000
	curveSeed  = 0x6861662f63757276 // arbitrary, but fixed, so that a journal has one curve
	farthest   = 4                  // a curve extends to this multiple of the largest size
)

// powerLaw is error(n) = a·n^−b.
type powerLaw struct{ a, b float64 }

func (p powerLaw) accuracy(n float64) float64 {
	return 1 - min(1, p.a*math.Pow(n, -p.b))
}

// fitPowerLaw fits errors at sizes. It replaces an error of 0 by half of the smallest error
// possible with that many comparisons.
func fitPowerLaw(sizes []int, errors []float64, comparisons int) powerLaw {
	x, y := make([]float64, len(sizes)), make([]float64, len(sizes))
	for i, n := range sizes {
		x[i] = math.Log(float64(n))
		y[i] = math.Log(max(errors[i], 0.5/float64(max(1, comparisons))))
	}
	intercept, slope := stat.LinearRegression(x, y, nil, false)
	return powerLaw{math.Exp(intercept), -slope}
}

// credits are 1 if a comparison's chosen response has the higher reward and ½ for a tie, summed
// over the comparisons of a prompt: bySeed[seed][prompt]. counts are the numbers of comparisons per
// prompt.
func credits(m paper.Measurement) (bySeed [][]float64, counts []float64) {
	at := map[pref.PromptKey]int{}
	of := make([]int, len(m.Groups))
	for g, group := range m.Groups {
		i, ok := at[group.PromptKey()]
		if !ok {
			i = len(counts)
			at[group.PromptKey()] = i
			counts = append(counts, 0)
		}
		of[g] = i
		counts[i] += float64(len(group.Comparisons))
	}
	for _, rewards := range m.Rewards {
		sums := make([]float64, len(counts))
		for g, group := range m.Groups {
			for _, c := range group.Comparisons {
				switch d := rewards[g][c.Chosen] - rewards[g][c.Rejected]; {
				case d > 0:
					sums[of[g]]++
				case d == 0:
					sums[of[g]] += 0.5
				}
			}
		}
		bySeed = append(bySeed, sums)
	}
	return bySeed, counts
}

// newCurve fits measured[method][size], which all have the same groups.
func newCurve(names []string, sizes []int, measured [][]paper.Measurement) (*Curve, error) {
	c := &Curve{Sizes: sizes}
	largest := float64(sizes[len(sizes)-1])
	for _, n := range sizes {
		c.At = append(c.At, float64(n))
	}
	for f := math.Pow(farthest, 0.125); f < farthest*1.001; f *= math.Pow(farthest, 0.125) {
		c.At = append(c.At, math.Round(f*largest))
	}
	var counts []float64
	sums := make([][][][]float64, len(names)) // [method][size][seed][prompt]
	for f, name := range names {
		of := CurveMethod{Name: name}
		for _, m := range measured[f] {
			e, err := m.Accuracy()
			if err != nil {
				return nil, err
			}
			of.Accuracy = append(of.Accuracy, Bounded{e.Mean, e.Low, e.High})
			var bySeed [][]float64
			bySeed, counts = credits(m)
			sums[f] = append(sums[f], bySeed)
		}
		c.Of = append(c.Of, of)
	}
	c.draw(sums, counts)
	return c, nil
}

// draw fits the measured values and the draws.
func (c *Curve) draw(sums [][][][]float64, counts []float64) {
	random := rand.New(rand.NewPCG(curveSeed, 0))
	prompts, seeds := len(counts), len(sums[0][0])
	weights := make([]float64, prompts)
	fit := func(picked [][]int) []powerLaw { // [size][seed]
		total := 0.0
		for i, w := range weights {
			total += w * counts[i]
		}
		var laws []powerLaw
		for f := range sums {
			errors := make([]float64, len(c.Sizes))
			for size := range c.Sizes {
				right := 0.0
				for _, s := range picked[size] {
					for i, sum := range sums[f][size][s] {
						right += weights[i] * sum
					}
				}
				errors[size] = 1 - right/total/float64(len(picked[size]))
			}
			laws = append(laws, fitPowerLaw(c.Sizes, errors, int(total)))
		}
		return laws
	}
	all := make([][]int, len(c.Sizes))
	for size := range all {
		for s := range seeds {
			all[size] = append(all[size], s)
		}
	}
	for i := range weights {
		weights[i] = 1
	}
	best := fit(all)
	for range curveDraws {
		clear(weights)
		for range prompts {
			weights[random.IntN(prompts)]++
		}
		picked := make([][]int, len(c.Sizes))
		for size := range picked {
			for range max(1, seeds-1) {
				picked[size] = append(picked[size], random.IntN(seeds))
			}
		}
		c.draws = append(c.draws, fit(picked))
	}
	for f := range c.Of {
		of := &c.Of[f]
		of.A, of.B = best[f].a, best[f].b
		for _, n := range c.At {
			low, high := c.percentiles(func(laws []powerLaw) float64 { return laws[f].accuracy(n) })
			of.Fitted = append(of.Fitted, Bounded{best[f].accuracy(n), low, high})
		}
	}
}

// percentiles returns the percentiles 2.5 and 97.5 of a value over the draws.
func (c *Curve) percentiles(value func([]powerLaw) float64) (low, high float64) {
	values := make([]float64, len(c.draws))
	for i, laws := range c.draws {
		values[i] = value(laws)
	}
	slices.Sort(values)
	return stat.Quantile(0.025, stat.Empirical, values, nil),
		stat.Quantile(0.975, stat.Empirical, values, nil)
}

// difference is the fitted difference of method a minus method b at n pairs, with its interval.
func (c *Curve) difference(a, b int, n float64) Bounded {
	low, high := c.percentiles(func(laws []powerLaw) float64 {
		return laws[a].accuracy(n) - laws[b].accuracy(n)
	})
	law := func(i int) powerLaw { return powerLaw{c.Of[i].A, c.Of[i].B} }
	return Bounded{law(a).accuracy(n) - law(b).accuracy(n), low, high}
}

// at is the fit of finalist f at n pairs.
func (c *Curve) at(f int, n float64) Bounded {
	low, high := c.percentiles(func(laws []powerLaw) float64 { return laws[f].accuracy(n) })
	return Bounded{powerLaw{c.Of[f].A, c.Of[f].B}.accuracy(n), low, high}
}
