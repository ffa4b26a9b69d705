package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"unicode/utf8"

	"gonum.org/v1/gonum/stat"

	"haf/pref"
)

// A Measured is a number of N comparisons or responses with its 95 % interval.
type Measured struct {
	N     int     `json:"n"`
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// A LengthControl has the accuracy of the length of responses alone, the accuracy where length
// cannot decide, and the dependence of the reward on length. Lengths are characters, so that models
// with different tokenizers have the same lengths. A tie counts half. Intervals resample prompts.
type LengthControl struct {
	// Longest is the accuracy of always choosing the longer response.
	Longest Measured `json:"longest"`
	// Matched is the accuracy on comparisons of similar lengths: the two differ by less than a fifth
	// of the longer one. Without such a comparison it is zero.
	Matched Measured `json:"matched"`
	// MatchedLongest is the accuracy of always choosing the longer response on those comparisons.
	MatchedLongest float64 `json:"matched_longest"`
	// Balanced is the mean of two accuracies: where the chosen response is longer, and where it is
	// shorter. The length as reward has ½, however often the longer response is preferred. Comparisons
	// of equal lengths are left out. It is zero if there are no comparisons of one kind.
	Balanced Measured `json:"balanced"`
	// Correlation is Spearman's correlation of reward and length within prompts, as in [LengthBias]; N
	// counts responses.
	Correlation Measured `json:"correlation"`
}

// ControlLength measures the influence of length on rewards. Errors are those of [Comparisons].
func ControlLength(groups []pref.Group, rewards [][]float64) (LengthControl, error) {
	if err := check(groups, rewards); err != nil {
		return LengthControl{}, err
	}
	lengths := responseLengths(groups)
	var c LengthControl
	c.Longest = longestOf(groups)
	c.Matched = accuracyWhere(groups, rewards, lengths, similar)
	if credits, n := creditsWhere(groups, lengths, lengths, similar); n > 0 {
		c.MatchedLongest = credits.mean()
	}
	c.Balanced = balanced(groups, rewards, lengths)
	c.Correlation = rankCorrelation(groups, rewards, lengths)
	return c, nil
}

// longestOf is the accuracy of always choosing the longer response.
func longestOf(groups []pref.Group) Measured {
	lengths := responseLengths(groups)
	all := func(pref.Comparison, []float64) bool { return true }
	return accuracyWhere(groups, lengths, lengths, all)
}

// responseLengths are the characters of every response.
func responseLengths(groups []pref.Group) [][]float64 {
	lengths := make([][]float64, len(groups))
	for g, group := range groups {
		lengths[g] = make([]float64, len(group.Responses))
		for k, r := range group.Responses {
			lengths[g][k] = float64(utf8.RuneCountInString(r))
		}
	}
	return lengths
}

// similar reports whether the lengths of two responses differ by less than a fifth of the longer.
func similar(c pref.Comparison, lengths []float64) bool {
	return SimilarLengths(lengths[c.Chosen], lengths[c.Rejected])
}

// SimilarLengths reports whether two lengths differ by less than a fifth of the longer.
func SimilarLengths(a, b float64) bool { return 5*math.Abs(a-b) < max(a, b) }

// accuracyWhere is the accuracy on the comparisons that are wanted.
func accuracyWhere(
	groups []pref.Group, rewards, lengths [][]float64,
	wanted func(c pref.Comparison, lengths []float64) bool,
) Measured {
	credits, n := creditsWhere(groups, rewards, lengths, wanted)
	if n == 0 {
		return Measured{}
	}
	e := Measured{N: n, Value: credits.mean()}
	var flat bool
	if e.Low, e.High, flat = credits.bootstrap(); flat {
		e.Low, e.High = wilson(e.Value, float64(credits.len()))
	}
	return e
}

// creditsWhere are the credits of the n comparisons that are wanted, by prompt.
func creditsWhere(
	groups []pref.Group, rewards, lengths [][]float64,
	wanted func(c pref.Comparison, lengths []float64) bool,
) (credits *clusters, n int) {
	some := slices.Clone(groups)
	for g, group := range groups {
		some[g].Comparisons = slices.DeleteFunc(slices.Clone(group.Comparisons),
			func(c pref.Comparison) bool { return !wanted(c, lengths[g]) })
	}
	credits = newClusters(some)
	for g, group := range some {
		for _, c := range group.Comparisons {
			credits.add(g, creditOf(rewards[g][c.Chosen]-rewards[g][c.Rejected]))
			n++
		}
	}
	return credits, n
}

// balanced is the mean of the accuracies with the chosen response longer and shorter.
func balanced(groups []pref.Group, rewards, lengths [][]float64) Measured {
	type side struct{ n, right float64 }
	type sides struct{ longer, shorter side }
	var prompts []sides
	e, at := Measured{}, map[pref.PromptKey]int{}
	for g, group := range groups {
		for _, c := range group.Comparisons {
			d := lengths[g][c.Chosen] - lengths[g][c.Rejected]
			if d == 0 {
				continue
			}
			i, ok := at[group.PromptKey()]
			if !ok {
				i = len(prompts)
				at[group.PromptKey()] = i
				prompts = append(prompts, sides{})
			}
			of := &prompts[i].longer
			if d < 0 {
				of = &prompts[i].shorter
			}
			of.n++
			of.right += creditOf(rewards[g][c.Chosen] - rewards[g][c.Rejected])
			e.N++
		}
	}
	// A draw without one of the sides says nothing of it: it is drawn again.
	draw := func(pick func(i int) int) (value float64, ok bool) {
		var total sides
		for i := range prompts {
			p := prompts[pick(i)]
			total.longer.n += p.longer.n
			total.longer.right += p.longer.right
			total.shorter.n += p.shorter.n
			total.shorter.right += p.shorter.right
		}
		l, s := total.longer, total.shorter
		return (l.right/l.n + s.right/s.n) / 2, l.n > 0 && s.n > 0
	}
	var ok bool
	if e.Value, ok = draw(func(i int) int { return i }); !ok {
		return Measured{}
	}
	e.Low, e.High = percentiles(len(prompts), draw)
	if e.Low == e.High {
		e.Low, e.High = wilson(e.Value, float64(len(prompts)))
	}
	return e
}

// percentiles are the 95 % interval of a value over draws of as many of n prompts as there are,
// with replacement; a draw that is not ok is repeated.
func percentiles(
	n int, draw func(pick func(i int) int) (value float64, ok bool),
) (low, high float64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	values := make([]float64, 0, draws)
	for len(values) < draws {
		if x, ok := draw(func(int) int { return rng.IntN(n) }); ok {
			values = append(values, x)
		}
	}
	slices.Sort(values)
	return stat.Quantile(0.025, stat.Empirical, values, nil),
		stat.Quantile(0.975, stat.Empirical, values, nil)
}

// rankCorrelation is Spearman's correlation of reward and length within prompts; see [LengthBias].
func rankCorrelation(groups []pref.Group, rewards, lengths [][]float64) Measured {
	type sums struct{ xx, yy, xy float64 }
	var prompts []sums
	e := Measured{}
	for _, of := range byPrompt(groups, rewards, lengths) {
		x, y := centred(ranks(of.reward)), centred(ranks(of.length))
		var s sums
		for i := range x {
			s.xx, s.yy, s.xy = s.xx+x[i]*x[i], s.yy+y[i]*y[i], s.xy+x[i]*y[i]
		}
		prompts = append(prompts, s)
		e.N += len(x)
	}
	// Means are 0 within every prompt, so the correlation is a ratio of sums over prompts.
	draw := func(pick func(i int) int) (value float64, ok bool) {
		var total sums
		for i := range prompts {
			s := prompts[pick(i)]
			total.xx, total.yy, total.xy = total.xx+s.xx, total.yy+s.yy, total.xy+s.xy
		}
		if total.xx == 0 || total.yy == 0 {
			return 0, true
		}
		return total.xy / math.Sqrt(total.xx*total.yy), true
	}
	e.Value, _ = draw(func(i int) int { return i })
	if len(prompts) < 2 { // one prompt says nothing about others
		e.Low, e.High = -1, 1
		return e
	}
	e.Low, e.High = percentiles(len(prompts), draw)
	return e
}

// lengthTable has the parts of length in several rewards of the same comparisons as cells of a
// table.
func lengthTable(names []string, of map[string]LengthControl) [][]string {
	cells := [][]string{{"length", "n", "value", "95 % interval"}}
	row := func(name string, e Measured) {
		if e.N == 0 {
			cells = append(cells, []string{oneLine(name), "0", "–", "–"})
			return
		}
		cells = append(cells, []string{oneLine(name), fmt.Sprint(e.N),
			fmt.Sprintf("%.4f", e.Value), interval(e.Low, e.High)})
	}
	longest := of[names[0]].Longest
	row("always the longer response: accuracy", longest)
	row("a constant reward: accuracy", Measured{N: longest.N, Value: 0.5, Low: 0.5, High: 0.5})
	for _, name := range names {
		c := of[name]
		row(name+": accuracy at similar lengths", c.Matched)
		row(name+": accuracy at balanced lengths", c.Balanced)
		row(name+": rank correlation with length", c.Correlation)
	}
	return cells
}
