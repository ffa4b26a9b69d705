package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"

	"haf/eval"
	"haf/run"
)

// level is the adjusted p-value below which two rewards differ.
const level = 0.05

// A rated is one reward of one run with its evaluation.
type rated struct {
	run    *Run
	reward string
	eval.Result
}

func (r rated) name() string { return r.run.Name + " " + r.reward }

// A lead is the accuracy of the best reward minus that of another.
type lead struct {
	over        rated
	difference  float64
	low, high   float64 // 95 % interval
	p           float64 // adjusted for the number of leads
	paired      bool
	comparisons int // compared by both
}

// leader is the reward with the highest accuracy. leads are in the order of the other rewards'
// accuracies.
type leader struct {
	best  rated
	leads []lead
}

// rate lists the rewards of the runs' evaluations by data set, each list by falling accuracy.
func rate(runs []*Run) map[string][]rated {
	out := map[string][]rated{}
	for _, r := range runs {
		if r.Eval == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(r.Eval.Rewards)) {
			if result := r.Eval.Rewards[name]; result.Comparisons > 0 {
				data := strings.Join(r.Eval.Data, ", ")
				out[data] = append(out[data], rated{r, name, result})
			}
		}
	}
	for _, list := range out {
		slices.SortStableFunc(list, func(a, b rated) int {
			switch {
			case a.Accuracy > b.Accuracy:
				return -1
			case a.Accuracy < b.Accuracy:
				return 1
			}
			return 0
		})
	}
	return out
}

// leadOf compares the first reward of the list with all others.
func leadOf(list []rated) (leader, error) {
	out := leader{best: list[0]}
	var p []float64
	for _, other := range list[1:] {
		l, err := out.best.over(other)
		if err != nil {
			return out, err
		}
		out.leads, p = append(out.leads, l), append(p, l.p)
	}
	for i, adjusted := range eval.Holm(p) {
		out.leads[i].p = adjusted
	}
	return out, nil
}

// over compares two rewards: on their common comparisons if both runs store them, else as if their
// accuracies were independent, which makes the interval too wide if the comparisons are the same.
func (r rated) over(other rated) (lead, error) {
	l := lead{over: other, difference: r.Accuracy - other.Accuracy, comparisons: r.Comparisons}
	paired, ok, err := r.run.Pairs.pairedWith(r.reward, other.run.Pairs, other.reward)
	if err != nil {
		return l, fmt.Errorf("report: %s and %s: %w", r.name(), other.name(), err)
	}
	if ok {
		l.paired, l.comparisons = true, paired.Comparisons
		l.difference, l.low, l.high = paired.Difference, paired.Low, paired.High
		l.p = twoSided(paired.Difference, paired.StandardError)
		return l, nil
	}
	deviation := math.Hypot(r.StandardError, other.StandardError)
	l.low, l.high = l.difference-1.96*deviation, l.difference+1.96*deviation
	l.p = twoSided(l.difference, deviation)
	return l, nil
}

// twoSided is the p-value of a difference under a normal distribution, and 1 if the deviation is 0.
func twoSided(difference, deviation float64) float64 {
	if deviation <= 0 || difference == 0 {
		return 1
	}
	return 2 * distuv.UnitNormal.Survival(math.Abs(difference)/deviation)
}

// decided reports whether the reward is better than every other one.
func (l leader) decided() bool {
	return !slices.ContainsFunc(l.leads, func(x lead) bool { return !x.shown() })
}

// shown reports whether the data support the lead.
func (l lead) shown() bool { return l.p < level && l.low > 0 }

// closest is the least certain lead.
func (l leader) closest() lead {
	return slices.MaxFunc(l.leads, func(a, b lead) int {
		switch {
		case a.shown() != b.shown():
			return map[bool]int{true: -1, false: 1}[a.shown()]
		case a.difference < b.difference:
			return 1
		case a.difference > b.difference:
			return -1
		}
		return 0
	})
}

// sentence is the verdict about the rewards on one data set.
func (l leader) sentence() string {
	b := l.best
	if len(l.leads) == 0 {
		word := "undecided, because its interval holds chance"
		if b.AccuracyLow > 0.5 {
			word = "better than chance"
		} else if b.AccuracyHigh < 0.5 {
			word = "worse than chance"
		}
		return fmt.Sprintf("%s orders %.1f %% of %d comparisons as the labels do, %s: %s.", b.name(),
			100*b.Accuracy, b.Comparisons, percents(b.AccuracyLow, b.AccuracyHigh), word)
	}
	c := l.closest()
	certainty := fmt.Sprintf("%+.1f points %s, %s", 100*c.difference, points(c.low, c.high),
		c.certainty())
	if l.decided() {
		return fmt.Sprintf("%s is best with %.1f %% of %d comparisons; the closest is %s (%s).", b.name(),
			100*b.Accuracy, b.Comparisons, c.over.name(), certainty)
	}
	if c.difference == 0 {
		return l.equal()
	}
	return fmt.Sprintf("Undecided: %s has the highest accuracy, %.1f %% of %d "+
		"comparisons, but its lead over %s may be chance (%s).", b.name(),
		100*b.Accuracy, b.Comparisons, c.over.name(), certainty)
}

// equal is the verdict for rewards that share the highest accuracy.
func (l leader) equal() string {
	names, alike := []string{l.best.name()}, true
	widest := lead{}
	for _, x := range l.leads {
		if x.difference != 0 {
			continue
		}
		names = append(names, x.over.name())
		alike = alike && x.paired && x.low == 0 && x.high == 0
		if x.high-x.low >= widest.high-widest.low {
			widest = x
		}
	}
	list := strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	share := fmt.Sprintf("%.1f %% of %d comparisons", 100*l.best.Accuracy, l.best.Comparisons)
	if alike {
		return fmt.Sprintf("Equal: %s order every comparison alike, and %s as the labels do.",
			list, share)
	}
	kind := "unpaired"
	if widest.paired {
		kind = "paired"
	}
	return fmt.Sprintf("Undecided: %s have the same accuracy, %s (difference 0.0 points %s, %s).",
		list, share, points(widest.low, widest.high), kind)
}

func (l lead) certainty() string {
	kind := "unpaired"
	if l.paired {
		kind = "paired"
	}
	if l.p < 0.001 {
		return kind + ", p < 0.001"
	}
	return fmt.Sprintf("%s, p = %.3f", kind, l.p)
}

func percents(low, high float64) string { return fmt.Sprintf("[%.1f, %.1f]", 100*low, 100*high) }
func points(low, high float64) string   { return fmt.Sprintf("[%+.1f, %+.1f]", 100*low, 100*high) }

// verdict states first which reward is best, then the numbers behind it.
func verdict(runs []*Run) (Section, error) {
	s := Section{Title: "Verdict"}
	sets := rate(runs)
	if len(sets) == 0 {
		s.Add(Lead(unrated(runs)))
		return s, nil
	}
	unpaired := false
	for _, data := range slices.Sorted(maps.Keys(sets)) {
		l, err := leadOf(sets[data])
		if err != nil {
			return s, err
		}
		sentence := l.sentence()
		if len(sets) > 1 {
			sentence = "On " + data + ": " + sentence
		}
		s.Add(Lead(sentence))
		if len(l.leads) == 0 {
			continue
		}
		t := Table{Caption: "Lead of " + l.best.name() + " on " + data + ", points of accuracy",
			Header: []string{"over", "lead", "95 % interval", "adjusted p", "comparisons", "test"}}
		for _, x := range l.leads {
			test, p := "unpaired", fmt.Sprintf("%.3f", x.p)
			if x.paired {
				test = "paired"
			}
			if x.p < 0.001 {
				p = "< 0.001"
			}
			unpaired = unpaired || !x.paired
			t.Rows = append(t.Rows, []string{x.over.name(), fmt.Sprintf("%+.1f", 100*x.difference),
				points(x.low, x.high), p, fmt.Sprint(x.comparisons), test})
		}
		s.Add(t)
	}
	note := "Intervals resample prompts; p is adjusted for all rows of its table (Holm). A lead " +
		"counts where p is below 0.05 and the interval is above 0. They cover the test prompts, " +
		"not the seeds of the trainings."
	if unpaired {
		note += " An unpaired test sees less: store the comparisons of every run with haf -json eval " +
			"RUN -data FILE -out RUN/pairs.jsonl > RUN/eval.json."
	}
	s.Add(Text(note))
	return s, nil
}

// unrated is the verdict for runs without an evaluation.
func unrated(runs []*Run) string {
	if len(runs) == 1 && len(runs[0].PolicyEvals) > 1 {
		first := runs[0].PolicyEvals[0]
		best, _ := runs[0].BestPolicy()
		word := "undecided, because the intervals overlap"
		if best.Low > first.High {
			word = "higher"
		}
		return fmt.Sprintf("The held-out reward of %s is %.3f %s at its best step %d and %.3f %s at "+
			"step %d: %s.", runs[0].Name, best.Reward, interval(best), best.Step, first.Reward,
			interval(first), first.Step, word)
	}
	return "Undecided: no run has an eval.json, so nothing says what its rewards are worth on " +
		"held-out pairs (haf -json eval RUN -data FILE -out RUN/pairs.jsonl > RUN/eval.json)."
}

func interval(e run.PolicyEval) string { return fmt.Sprintf("[%.3f, %.3f]", e.Low, e.High) }
