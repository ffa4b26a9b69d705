package paper

import (
	"fmt"

	"haf/eval"
)

// headline is the verdict in one sentence: the first comparison of the first table that has one,
// and how many comparisons of all tables are decided.
func headline(title string, of []compared, all []compared) string {
	first := of[0]
	e, p := first.each[0], first.p[0]
	on := " on " + first.names[0]
	if first.mean != nil {
		e, p, on = *first.mean, first.p[len(first.each)], ""
	}
	counts := map[string]int{}
	for _, c := range all {
		for i, each := range c.each {
			counts[outcome(each, c.p[i])]++
		}
	}
	decided := fmt.Sprintf("of %d differences on this page %d are better, %d worse and %d undecided",
		counts[isBetter]+counts[isWorse]+counts[isOpen], counts[isBetter], counts[isWorse],
		counts[isOpen])
	return fmt.Sprintf("%s: %s is %s than %s%s (%+.1f points [%+.1f, %+.1f]); %s.", title, first.a,
		words[outcome(e, p)], first.b, on, 100*e.Mean, 100*e.Low, 100*e.High, decided)
}

// Outcomes of a comparison.
const (
	isBetter = "better"
	isWorse  = "worse"
	isOpen   = "undecided"
)

var words = map[string]string{
	isBetter: "better", isWorse: "worse", isOpen: "not shown to be better",
}

func outcome(e eval.Estimate, p float64) string {
	switch {
	case p >= level:
		return isOpen
	case e.Mean > 0:
		return isBetter
	}
	return isWorse
}
