package paper

import (
	"fmt"

	"haf/eval"
	"haf/pref"
	"haf/report"
)

// lengthTable shows for every row how far its reward depends on length.
func (g accuracyTable) lengthTable() (report.Table, error) {
	t := report.Table{Caption: "Length: accuracy on pairs of similar lengths (less than a fifth " +
		"apart) with 95 % interval, and how often the longer response of a pair has the higher reward",
		Header: []string{""}}
	for _, column := range g.columns {
		t.Header = append(t.Header, column+", similar lengths", column+", longer is higher")
	}
	some := false
	for _, row := range g.rows {
		line := []string{row.label}
		for _, cell := range row.cells {
			matched, longer, err := cell.byLength()
			if err != nil {
				return t, err
			}
			some = some || cell != nil
			line = append(line, accuracyText(matched), accuracyText(longer))
		}
		t.Rows = append(t.Rows, line)
	}
	if !some {
		t.Rows = nil
	}
	return t, nil
}

// byLength returns the accuracy on pairs of similar lengths, and how often the longer response has
// the higher reward; nil without such pairs.
func (c accuracyCell) byLength() (matched, longer *eval.Estimate, err error) {
	var similar, longest []eval.Estimate
	for _, m := range c {
		of, err := m.SimilarLengths()
		if err != nil || of == nil {
			return nil, nil, err
		}
		similar = append(similar, *of)
		if of, err = m.TowardsLonger(); err != nil || of == nil {
			return nil, nil, err
		}
		longest = append(longest, *of)
	}
	if len(similar) == 0 {
		return nil, nil, nil
	}
	a, err := meanAccuracy(similar)
	if err != nil {
		return nil, nil, err
	}
	b, err := meanAccuracy(longest)
	return &a, &b, err
}

// SimilarLengths is the accuracy on pairs whose lengths differ by less than a fifth, or nil without
// such pairs.
func (m Measurement) SimilarLengths() (*eval.Estimate, error) {
	return m.where(func(chosen, rejected int) bool {
		return eval.SimilarLengths(float64(chosen), float64(rejected))
	})
}

// where is the accuracy on the pairs with wanted lengths, or nil without such pairs.
func (m Measurement) where(wanted func(chosen, rejected int) bool) (*eval.Estimate, error) {
	var groups []pref.Group
	rewards := make([][][]float64, len(m.Rewards))
	for g, group := range m.Groups {
		if !wanted(len(group.Responses[0]), len(group.Responses[1])) {
			continue
		}
		groups = append(groups, group)
		for s := range rewards {
			rewards[s] = append(rewards[s], m.Rewards[s][g])
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	e, err := eval.SeedAccuracy(groups, rewards)
	return &e, err
}

// TowardsLonger is how often the longer response has the higher reward, or nil if all lengths are
// equal.
func (m Measurement) TowardsLonger() (*eval.Estimate, error) {
	flipped := Measurement{Groups: m.Groups, Rewards: make([][][]float64, len(m.Rewards))}
	for s, of := range m.Rewards {
		for g, pair := range of {
			r := m.Groups[g].Responses
			if len(r[0]) < len(r[1]) {
				pair = []float64{pair[1], pair[0]}
			}
			flipped.Rewards[s] = append(flipped.Rewards[s], pair)
		}
	}
	return flipped.where(func(chosen, rejected int) bool { return chosen != rejected })
}

// powerTable shows the difference between two methods that the grid can detect.
func (p *Grid) powerTable(data *Data) report.Table {
	t := report.Table{Caption: fmt.Sprintf("Difference that is detected with a probability of "+
		"80 %% at the 5 %% level, in points of accuracy, where the two methods disagree on %.0f %% "+
		"of the comparisons and differ between seeds by a standard deviation of %.1f points",
		100*p.Power.Discordant, 100*p.Power.SeedSD),
		Header: []string{"on", "test comparisons", "seeds", "alone", "among 10 tests"}}
	var total, sets float64
	seeds := float64(len(p.Seeds))
	add := func(name string, n int, variance float64) {
		t.Rows = append(t.Rows, []string{name, fmt.Sprint(n), fmt.Sprint(len(p.Seeds)),
			fmt.Sprintf("%.1f", 100*eval.Detectable(variance, 0.05)),
			fmt.Sprintf("%.1f", 100*eval.Detectable(variance, 0.005))})
	}
	between := p.Power.SeedSD * p.Power.SeedSD / seeds
	all := 0
	for _, part := range data.Parts {
		prompts := p.Power.Discordant / float64(part.Test)
		add(part.Set, part.Test, prompts+between)
		total, sets, all = total+prompts+between, sets+1, all+part.Test
	}
	if sets > 1 {
		add("mean", all, total/sets/sets)
	}
	return t
}
