package pref

import (
	"encoding/json"
	"fmt"
)

// decodeGroup decodes one prompt with several responses.
func decodeGroup(f *fields, opt Options) (decoded, error) {
	prompt, err := f.prompt("prompt")
	if err != nil {
		return decoded{}, err
	}
	g := Group{Prompt: prompt}
	raw, err := f.get("responses")
	if err != nil {
		return decoded{}, err
	}
	field := f.name("responses")
	list, err := listOf(raw, field, "responses")
	if err != nil {
		return decoded{}, err
	}
	if len(list) < 2 || len(list) > maxResponses {
		return decoded{}, wrong(field, "%d of them, want 2 to %d", len(list), maxResponses)
	}
	empty := false
	for i, item := range list {
		text, err := f.answerOf(item, fmt.Sprintf("%s[%d]", field, i))
		if err != nil {
			return decoded{}, err
		}
		empty = empty || blank(text)
		g.Responses = append(g.Responses, text)
	}
	all, ties, scores, err := comparisonsOf(f, len(list))
	if err != nil {
		return decoded{}, err
	}
	g.Ties, g.Scores = ties, scores
	return groupOf(g, all, empty, opt), nil
}

// groupOf closes a group over its comparisons, without those between equal texts.
func groupOf(g Group, all []Comparison, empty bool, opt Options) decoded {
	d := decoded{tied: len(g.Ties)}
	for _, c := range all {
		if g.Responses[c.Chosen] == g.Responses[c.Rejected] {
			d.identical++
		} else {
			g.Comparisons = append(g.Comparisons, c)
		}
	}
	switch {
	case len(g.Prompt) == 0:
		d.drop = DropNoPrompt
	case empty:
		d.drop = DropEmpty
	case g.Grades != nil:
		d.group = g
	case len(g.Comparisons) == 0 && d.identical > 0:
		d.drop = DropIdentical
	case len(g.Comparisons) == 0 && (len(g.Ties) == 0 || !opt.KeepTies):
		d.drop = DropNoComparison
	default:
		d.group = g
	}
	return d
}

// comparisonsOf decodes the comparisons among n responses: [chosen, rejected] or {chosen, rejected,
// margin}; or derives them from scores, which state an order, and are kept.
func comparisonsOf(
	f *fields, n int,
) (all []Comparison, ties [][2]int, scores []float64, err error) {
	switch {
	case f.has("comparisons") && f.has("scores"):
		return nil, nil, nil, wrong(f.name("scores"),
			`stands beside "comparisons", want one of the two`)
	case f.has("scores"):
		if scores, err = f.scores(n); err != nil {
			return nil, nil, nil, err
		}
		all, ties = ordered(scores)
		return all, ties, scores, nil
	case !f.has("comparisons"):
		return nil, nil, nil, wrong("comparisons", `missing, want "comparisons" or "scores" beside %s`,
			f.keys())
	}
	raw, err := f.get("comparisons")
	if err != nil {
		return nil, nil, nil, err
	}
	list, err := listOf(raw, "comparisons", "comparisons [chosen, rejected]")
	if err != nil {
		return nil, nil, nil, err
	}
	for i, item := range list {
		c, err := f.comparisonOf(item, fmt.Sprintf("comparisons[%d]", i), n)
		if err != nil {
			return nil, nil, nil, err
		}
		all = append(all, c)
	}
	return all, nil, nil, nil
}

func (f *fields) comparisonOf(raw json.RawMessage, field string, n int) (c Comparison, err error) {
	var chosen, rejected json.RawMessage
	switch kind(raw) {
	case "a list":
		pair, err := listOf(raw, field, "two indices")
		if err != nil {
			return c, err
		}
		if len(pair) != 2 {
			return c, wrong(field, "%d elements, want [chosen, rejected]", len(pair))
		}
		chosen, rejected = pair[0], pair[1]
	case "an object":
		inner, err := f.objectAt(raw, field)
		if err != nil {
			return c, err
		}
		if !inner.has("chosen", "rejected") {
			return c, wrong(field, "keys %s, want {chosen, rejected}", inner.keys())
		}
		for key := range inner.values {
			if key != "chosen" && key != "rejected" && key != "margin" {
				f.row.passOver(field, key)
			}
		}
		chosen, rejected = inner.values["chosen"], inner.values["rejected"]
		if inner.has("margin") {
			margin, err := inner.number("margin")
			if err != nil {
				return c, err
			}
			c.state(margin)
		}
	default:
		return c, wrong(field, "%s, want [chosen, rejected]", kind(raw))
	}
	if c.Chosen, err = indexOf(chosen, field, n); err != nil {
		return c, err
	}
	if c.Rejected, err = indexOf(rejected, field, n); err != nil {
		return c, err
	}
	if c.Chosen == c.Rejected {
		return c, wrong(field, "response %d against itself, want two responses", c.Chosen)
	}
	return c, nil
}

// scores decodes the scores of n responses.
func (f *fields) scores(n int) ([]float64, error) {
	raw, err := f.get("scores")
	if err != nil {
		return nil, err
	}
	field := f.name("scores")
	list, err := listOf(raw, field, "numbers")
	if err != nil {
		return nil, err
	}
	if len(list) != n {
		return nil, wrong(field, "%d of them, want one for each of the %d responses", len(list), n)
	}
	scores := make([]float64, n)
	for i, item := range list {
		if scores[i], err = numberOf(item, fmt.Sprintf("%s[%d]", field, i)); err != nil {
			return nil, err
		}
	}
	return scores, nil
}

// ordered compares every two scores.
func ordered(scores []float64) (all []Comparison, ties [][2]int) {
	for i := range scores {
		for j := range i {
			switch {
			case scores[i] == scores[j]:
				ties = append(ties, [2]int{j, i})
			case scores[i] > scores[j]:
				all = append(all, Comparison{Chosen: i, Rejected: j})
			case scores[i] < scores[j]: // and not where either is NaN
				all = append(all, Comparison{Chosen: j, Rejected: i})
			}
		}
	}
	return all, ties
}
