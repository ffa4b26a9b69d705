package doctor

import (
	"math"
	"unicode/utf8"

	"haf/pref"
)

// Data examines preference data and, with other data such as the test set, their overlap. opt sets
// how the files are read.
func Data(paths, others []string, opt pref.Options) (*Report, error) {
	if err := opt.Check(); err != nil {
		return nil, err
	}
	opt.KeepTies, opt.KeepUnpaired = true, true
	r := &Report{Path: paths[0], Kind: KindData}
	groups, counts, err := pref.Load(paths, opt)
	if err != nil {
		r.checked("rows", problem("fix the rows, or tolerate some with -skip-bad", "%v", err))
		return r, nil
	}
	var bad []Finding
	if counts.Bad > 0 {
		bad = append(bad, warning("fix them; haf data lists the reasons",
			"%d of %d rows are bad", counts.Bad, counts.Read))
	}
	r.checked("rows", bad...)
	s := pref.Summarize(groups, utf8.RuneCountInString)
	r.checked("conflicts", conflicts(s)...)
	r.checked("duplicates", duplicates(s)...)
	r.checked("length", lengthBias(s)...)
	r.checked("labels", labels(s)...)
	r.checked("size", few(s)...)
	if len(others) == 0 {
		return r, nil
	}
	tests, _, err := pref.Load(others, opt)
	if err != nil {
		r.checked("leakage", problem("fix the rows, or tolerate some with -skip-bad", "%v", err))
		return r, nil
	}
	r.checked("leakage", leakage(pref.Overlaps(groups, tests), len(tests))...)
	return r, nil
}

// conflicts finds pairs compared in both directions. For each such pair one of the labels is wrong.
func conflicts(s pref.Summary) []Finding {
	if s.Comparisons == 0 || 100*s.Conflicts <= s.Comparisons {
		return nil
	}
	return []Finding{warning("remove one direction, or train with objective.smoothing",
		"%d of %d comparisons are stated in both directions", s.Conflicts, s.Comparisons)}
}

func duplicates(s pref.Summary) []Finding {
	if 100*s.Duplicates <= s.Groups {
		return nil
	}
	return []Finding{warning("remove them: they are counted more than once",
		"%d of %d groups stand there more than once", s.Duplicates, s.Groups)}
}

// lengthBias finds data in which length alone predicts the label: at least three standard errors
// and ten points away from chance.
func lengthBias(s pref.Summary) []Finding {
	n := s.ChosenLonger + s.ChosenShorter
	if n == 0 {
		return nil
	}
	away := math.Abs(s.ChosenLongerRate - 0.5)
	if away < 0.1 || away < 3*0.5/math.Sqrt(float64(n)) {
		return nil
	}
	which := "longer"
	if s.ChosenLongerRate < 0.5 {
		which = "shorter"
	}
	return []Finding{warning("look at the length-controlled accuracy of haf eval",
		"always preferring the %s response is right on %.1f %% of %d comparisons", which,
		100*(0.5+away), n)}
}

// labels finds labelled responses of which less than 5 % are of one kind. A model that always
// predicts the other kind is right on nearly all of them.
func labels(s pref.Summary) []Finding {
	all := s.Desirable + s.Undesirable
	if all == 0 || 100*min(s.Desirable, s.Undesirable) >= 5*all {
		return nil
	}
	advice := "collect more of the rarer kind, or raise its weight: objective.desirable_weight or " +
		"objective.undesirable_weight"
	if s.Desirable == 0 || s.Undesirable == 0 {
		advice = "add responses of the other kind, because a model cannot learn from one kind alone"
	}
	return []Finding{warning(advice, "of %d labelled responses %d are desirable and %d undesirable",
		all, s.Desirable, s.Undesirable)}
}

// few finds sets so small that an accuracy of 70 % has a 95 % interval wider than ten points, even
// if no comparisons or labelled responses share a prompt.
func few(s pref.Summary) (found []Finding) {
	labelled := s.Desirable + s.Undesirable
	for _, c := range []struct {
		n    int
		what string
		part bool // only a part of the data
	}{
		{s.Comparisons, "comparisons", s.Comparisons > 0 || labelled == 0},
		{labelled, "labelled responses", labelled > 0},
	} {
		width := 2 * 1.96 * math.Sqrt(0.7*0.3/math.Max(1, float64(c.n)))
		if !c.part || width <= 0.1 {
			continue
		}
		found = append(found, warning("collect more before choosing between models by it",
			"%d %s: as a test set its 95 %% interval is at least %.0f points wide", c.n, c.what,
			100*width))
	}
	return found
}

func leakage(o pref.Overlap, tests int) []Finding {
	if o.Groups == 0 {
		return nil
	}
	return []Finding{problem("remove these prompts from one of the sets",
		"%d of the %d test groups have a prompt that is in the data, %d of them with the same responses",
		o.Groups, tests, o.Pairs)}
}
