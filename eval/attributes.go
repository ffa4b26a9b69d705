package eval

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"haf/pref"
)

// An AttributeResult compares a reward with the ratings of one attribute. Intervals resample
// prompts.
type AttributeResult struct {
	Prompts   int `json:"prompts"`   // distinct ones
	Responses int `json:"responses"` // rated ones
	// Accuracy is how often the response with the higher rating has the higher reward, over all pairs
	// of responses to one prompt that have different ratings; equal rewards count half. It is zero
	// without such a pair.
	Accuracy Measured `json:"accuracy"`
	// Spearman and Pearson correlate reward and rating over all responses; N counts them. The draws
	// for the interval keep the ranks of the whole set. 0 if either does not vary.
	Spearman Measured `json:"spearman"`
	Pearson  Measured `json:"pearson"`
	RMSE     float64  `json:"rmse"` // root of the mean squared error of the reward as a prediction
	// that of predicting the ratings' mean, the best constant prediction
	Deviation float64 `json:"deviation"`
}

// RatingsOf measures rewards against the ratings of an attribute. Responses without a rating are
// left out.
func RatingsOf(
	groups []pref.Group, rewards [][]float64, attribute string,
) (r AttributeResult, err error) {
	if err := checkRewards(groups, rewards, 0); err != nil {
		return r, fmt.Errorf("eval: %w", err)
	}
	of := clustersOf(groups, func(g pref.Group) bool { return g.Grades[attribute] != nil })
	prompts := make([]struct{ reward, rating []float64 }, of.len())
	var xs, ys []float64
	var at []int // the prompt of each response
	for g, group := range groups {
		for k, y := range group.Grades[attribute] {
			if math.IsNaN(y) {
				continue
			}
			p := of.of[g]
			prompts[p].reward = append(prompts[p].reward, rewards[g][k])
			prompts[p].rating = append(prompts[p].rating, y)
			xs, ys, at = append(xs, rewards[g][k]), append(ys, y), append(at, p)
		}
	}
	if len(xs) == 0 {
		return r, fmt.Errorf("eval: no rating of %q in %d groups, want at least one: %w", attribute,
			len(groups), ErrNoComparisons)
	}
	grade := gradeResult(xs, ys)
	r = AttributeResult{Prompts: of.len(), Responses: len(xs), RMSE: grade.RMSE,
		Deviation: grade.Deviation, Pearson: correlationOf(xs, ys, at, of.len()),
		Spearman: correlationOf(ranks(xs), ranks(ys), at, of.len())}
	pairs := &clusters{}
	for _, p := range prompts {
		var n, sum float64
		for i := range p.rating {
			for j := range i {
				d := p.rating[i] - p.rating[j]
				if d == 0 {
					continue
				}
				n++
				sum += creditOf(math.Copysign(1, d) * (p.reward[i] - p.reward[j]))
			}
		}
		if n > 0 {
			pairs.count, pairs.sum = append(pairs.count, n), append(pairs.sum, sum)
			r.Accuracy.N += int(n)
		}
	}
	if r.Accuracy.N > 0 {
		a := &r.Accuracy
		a.Value = pairs.mean()
		var flat bool
		if a.Low, a.High, flat = pairs.bootstrap(); flat {
			a.Low, a.High = wilson(a.Value, float64(pairs.len()))
		}
	}
	return r, nil
}

// correlationOf is Pearson's correlation with its interval; at is the prompt of each value.
func correlationOf(x, y []float64, at []int, prompts int) Measured {
	type sums struct{ n, x, y, xx, yy, xy float64 }
	of := make([]sums, prompts)
	x, y = centred(x), centred(y) // sums of squares lose no digits to the mean
	for i, p := range at {
		s := &of[p]
		s.n, s.x, s.y = s.n+1, s.x+x[i], s.y+y[i]
		s.xx, s.yy, s.xy = s.xx+x[i]*x[i], s.yy+y[i]*y[i], s.xy+x[i]*y[i]
	}
	draw := func(pick func(i int) int) (value float64, ok bool) {
		var t sums
		for i := range of {
			s := of[pick(i)]
			t.n, t.x, t.y = t.n+s.n, t.x+s.x, t.y+s.y
			t.xx, t.yy, t.xy = t.xx+s.xx, t.yy+s.yy, t.xy+s.xy
		}
		xx, yy, xy := t.xx-t.x*t.x/t.n, t.yy-t.y*t.y/t.n, t.xy-t.x*t.y/t.n
		if !(xx > 1e-12*t.xx) || !(yy > 1e-12*t.yy) { // of one value
			return 0, true
		}
		return max(-1, min(1, xy/math.Sqrt(xx*yy))), true
	}
	m := Measured{N: len(x), Value: correlation(x, y)}
	if prompts < 2 { // one prompt says nothing about others
		m.Low, m.High = -1, 1
		return m
	}
	m.Low, m.High = percentiles(prompts, draw)
	return m
}

// rate measures the rewards on the ratings of responses, where there are some: a reward of an
// attribute's name on that attribute, any other on each.
func (e *Evaluation) rate(r pref.Readings) error {
	all := map[string]bool{}
	for _, g := range r.Groups {
		for attribute := range g.Grades {
			all[attribute] = true
		}
	}
	if len(all) == 0 {
		return nil
	}
	e.Attributes = map[string]map[string]AttributeResult{}
	for _, name := range r.Names {
		of := slices.Sorted(maps.Keys(all))
		if all[name] {
			of = []string{name}
		}
		e.Attributes[name] = map[string]AttributeResult{}
		for _, attribute := range of {
			result, err := RatingsOf(r.Groups, r.Rewards[name], attribute)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			e.Attributes[name][attribute] = result
		}
	}
	return nil
}

// attributeTable is the results as cells of a table, a line for each reward and attribute.
func attributeTable(names []string, results map[string]map[string]AttributeResult) [][]string {
	cells := [][]string{{"ratings", "attribute", "n", "Spearman", "95 % interval", "Pearson",
		"95 % interval", "pairs", "accuracy", "95 % interval", "RMSE", "deviation"}}
	for _, name := range names {
		for _, attribute := range slices.Sorted(maps.Keys(results[name])) {
			r := results[name][attribute]
			row := []string{oneLine(name), oneLine(attribute), fmt.Sprint(r.Responses)}
			for _, m := range []Measured{r.Spearman, r.Pearson} {
				row = append(row, fmt.Sprintf("%.4f", m.Value), interval(m.Low, m.High))
			}
			accuracy, within := "–", "–"
			if r.Accuracy.N > 0 {
				accuracy = fmt.Sprintf("%.4f", r.Accuracy.Value)
				within = interval(r.Accuracy.Low, r.Accuracy.High)
			}
			cells = append(cells, append(row, fmt.Sprint(r.Accuracy.N), accuracy, within,
				fmt.Sprintf("%.4f", r.RMSE), fmt.Sprintf("%.4f", r.Deviation)))
		}
	}
	return cells
}
