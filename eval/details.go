package eval

import (
	"fmt"
	"math"

	"haf/pref"
)

// Details are the measures beside a [Result].
type Details struct {
	Length      LengthBias   `json:"length"`
	Reliability []Bin        `json:"reliability"`           // at temperature 1
	Calibration *Calibration `json:"calibration,omitempty"` // if there is validation data
	Subsets     []Row        `json:"subsets,omitempty"`     // where there are several
	Sources     []Row        `json:"sources,omitempty"`     // where there are several
	// if groups of more than two responses have a best one
	Recall *Recall `json:"recall,omitempty"`
	Tied   *Tied   `json:"tied,omitempty"` // if ties of the data were kept
	// of the score head with the policy head, if both were read
	Conflict *Conflict `json:"conflict,omitempty"`
}

// Tied compares the margins of pairs that people judged equal with those of pairs that they
// decided.
type Tied struct {
	Pairs         int     `json:"pairs"`
	Margin        float64 `json:"margin"`         // mean of |m| over them
	DecidedMargin float64 `json:"decided_margin"` // mean of |m| over the comparisons
	// probability that a decided pair has the larger |m|; ½ means no relation
	AUC float64 `json:"auc"`
}

// Describe measures everything in [Details] except the conflict. It fits a temperature to the
// validation margins; without any there is no calibration.
func Describe(groups []pref.Group, rewards [][]float64, validation []float64) (Details, error) {
	var d Details
	var err error
	if d.Length, err = Lengths(groups, rewards); err != nil {
		return d, err
	}
	margins := Margins(groups, rewards)
	d.Reliability = Reliability(margins)
	if len(validation) > 0 {
		c := Calibrate(margins, validation)
		d.Calibration = &c
	}
	if d.Subsets, err = BySubset(groups, rewards); err != nil {
		return d, err
	}
	if len(d.Subsets) < 2 {
		d.Subsets = nil
	}
	if d.Sources, err = BySource(groups, rewards); err != nil {
		return d, err
	}
	if len(d.Sources) < 2 {
		d.Sources = nil
	}
	most := 0
	for _, g := range groups {
		most = max(most, len(g.Responses))
	}
	if most > 2 {
		r, err := TopK(groups, rewards, most-1)
		if err != nil {
			return d, err
		}
		if r.Groups > 0 {
			d.Recall = &r
		}
	}
	d.Tied = tiedOf(groups, rewards, margins)
	return d, nil
}

func tiedOf(groups []pref.Group, rewards [][]float64, margins []float64) *Tied {
	var t Tied
	var sizes []float64
	var decided []bool
	for g, group := range groups {
		for _, pair := range group.Ties {
			size := math.Abs(rewards[g][pair[0]] - rewards[g][pair[1]])
			t.Pairs++
			t.Margin += size
			sizes, decided = append(sizes, size), append(decided, false)
		}
	}
	if t.Pairs == 0 {
		return nil
	}
	for _, m := range margins {
		t.DecidedMargin += math.Abs(m)
		sizes, decided = append(sizes, math.Abs(m)), append(decided, true)
	}
	t.Margin, t.DecidedMargin = ratio(t.Margin, t.Pairs), ratio(t.DecidedMargin, len(margins))
	t.AUC = AUC(sizes, decided)
	return &t
}

// Lines returns the details as lines to print.
func (d Details) Lines() []string {
	l := d.Length
	lines := []string{
		fmt.Sprintf("length: accuracy with the chosen response longer %.4f (%d), shorter %.4f (%d), "+
			"equal %.4f (%d)", l.AccuracyLonger, l.Longer, l.AccuracyShorter, l.Shorter, l.AccuracyEqual,
			l.Equal),
		fmt.Sprintf("length: the longer response has the higher reward in %.4f, is preferred in %.4f; "+
			"correlation of reward and length within prompts %.3f (Pearson), %.3f (Spearman)", l.LongerRate,
			l.ChosenLongerRate, l.Pearson, l.Spearman),
	}
	if c := d.Calibration; c != nil {
		lines = append(lines, fmt.Sprintf("calibration: temperature %.4g fitted on %d comparisons: "+
			"log-likelihood %.4f, brier %.4f, ece %.4f", c.Temperature, c.FittedOn, c.LogLikelihood, c.Brier,
			c.ECE))
	}
	for _, b := range d.Reliability {
		if b.Count > 0 {
			lines = append(lines, fmt.Sprintf("reliability: confidence %.2f to %.2f: %d comparisons, mean "+
				"%.4f, accuracy %.4f", b.Low, b.High, b.Count, b.Confidence, b.Accuracy))
		}
	}
	for _, part := range []struct {
		what string
		rows []Row
	}{{"subset", d.Subsets}, {"source", d.Sources}} {
		for _, row := range part.rows {
			r := row.Result
			lines = append(lines, fmt.Sprintf("%s %s: accuracy %.4f [%.4f, %.4f] on %d", part.what,
				oneLine(row.Name), r.Accuracy, r.AccuracyLow, r.AccuracyHigh, r.Comparisons))
		}
	}
	if r := d.Recall; r != nil {
		for k := range min(len(r.At), 4) {
			lines = append(
				lines, fmt.Sprintf("recall of the best response at %d: %.4f (by chance %.4f) of %d groups", k+1,
					r.At[k], r.Random[k], r.Groups))
		}
	}
	if t := d.Tied; t != nil {
		lines = append(lines, fmt.Sprintf("ties: %d pairs judged equal, mean |margin| %.4f against %.4f "+
			"of decided pairs, AUC %.4f", t.Pairs, t.Margin, t.DecidedMargin, t.AUC))
	}
	if c := d.Conflict; c != nil {
		lines = append(lines, fmt.Sprintf("conflict of the heads: Kendall distance %.4f over %d groups, "+
			"%d comparisons ordered differently, mean |PACS| %.4f; AUC for the score's errors: distance "+
			"%.4f, PACS %.4f, small margin %.4f",
			c.Distance, c.Prompts, c.Disagree, c.MeanPACS, c.AUCDistance, c.AUCPACS, c.AUCMargin))
	}
	return lines
}
