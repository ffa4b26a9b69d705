package pref

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Readers of the published sets whose rows have several responses, or ratings of them.

// decodeBestOf decodes rows whose chosen and rejected are lists of texts, every chosen one better
// than every rejected one: RewardBench 2 and RM-Bench (whose subset is the domain). The chosen are
// the first responses of the group.
func decodeBestOf(f *fields, opt Options) (decoded, error) {
	prompt, err := f.prompt("prompt")
	if err != nil {
		return decoded{}, err
	}
	g := Group{Prompt: prompt}
	chosen, err := textsAt(f, "chosen")
	if err != nil {
		return decoded{}, err
	}
	rejected, err := textsAt(f, "rejected")
	if err != nil {
		return decoded{}, err
	}
	return bestOf(g, chosen, rejected, opt), nil
}

func bestOf(g Group, chosen, rejected []string, opt Options) decoded {
	empty := false
	for _, text := range append(append(g.Responses, chosen...), rejected...) {
		empty = empty || blank(text)
		g.Responses = append(g.Responses, text)
	}
	var all []Comparison
	for c := range chosen {
		for r := range rejected {
			all = append(all, Comparison{Chosen: c, Rejected: len(chosen) + r})
		}
	}
	return groupOf(g, all, empty, opt)
}

// textsAt decodes a list of one or more texts.
func textsAt(f *fields, key string) ([]string, error) {
	raw, err := f.get(key)
	if err != nil {
		return nil, err
	}
	return textsOf(raw, f.name(key))
}

func textsOf(raw json.RawMessage, field string) ([]string, error) {
	list, err := listOf(raw, field, "texts")
	if err != nil {
		return nil, err
	}
	if len(list) < 1 || len(list) > maxResponses/2 {
		return nil, wrong(field, "%d of them, want 1 to %d", len(list), maxResponses/2)
	}
	texts := make([]string, len(list))
	for i, item := range list {
		if texts[i], err = textOf(item, fmt.Sprintf("%s[%d]", field, i)); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// decodeRMB decodes both parts of RMB: {conversation_input, chosen: {answer}, reject: {answer}} and
// {conversation_input, bon_best: {answer}, loser_list: [{answer}]}; the subset is the category
// path.
func decodeRMB(f *fields, opt Options) (decoded, error) {
	prompt, err := f.prompt("conversation_input")
	if err != nil {
		return decoded{}, err
	}
	g := Group{Prompt: prompt}
	if g.Subset, err = f.label("category_path"); err != nil {
		return decoded{}, err
	}
	best, worse, id := "chosen", "reject", "pair_uid"
	if f.has("bon_best") {
		best, worse, id = "bon_best", "loser_list", "bon_uid"
	}
	if g.ID, err = f.label(id); err != nil {
		return decoded{}, err
	}
	raw, err := f.get(best)
	if err != nil {
		return decoded{}, err
	}
	chosen, err := f.answerAt(raw, best)
	if err != nil {
		return decoded{}, err
	}
	if raw, err = f.get(worse); err != nil {
		return decoded{}, err
	}
	losers := []json.RawMessage{raw}
	if worse == "loser_list" {
		if losers, err = listOf(raw, worse, "answers"); err != nil {
			return decoded{}, err
		}
		if len(losers) < 1 || len(losers) > maxResponses/2 {
			return decoded{}, wrong(worse, "%d of them, want 1 to %d", len(losers), maxResponses/2)
		}
	}
	rejected := make([]string, len(losers))
	for i, item := range losers {
		if rejected[i], err = f.answerAt(item, worse); err != nil {
			return decoded{}, err
		}
	}
	return bestOf(g, []string{chosen}, rejected, opt), nil
}

func (f *fields) answerAt(raw json.RawMessage, field string) (string, error) {
	answer, err := f.objectAt(raw, field)
	if err != nil {
		return "", err
	}
	return answer.text("answer")
}

// decodeHHH decodes the HHH alignment set: {input, targets: {choices, labels}}, whose choices of
// label 1 are better than those of label 0. The input is a transcript or a plain question.
func decodeHHH(f *fields, opt Options) (decoded, error) {
	input, err := f.text("input")
	if err != nil {
		return decoded{}, err
	}
	g := Group{Prompt: asked(input)}
	if turns, err := parseTranscript(input); err == nil {
		g.Prompt = turns
	}
	targets, err := f.object("targets")
	if err != nil {
		return decoded{}, err
	}
	choices, err := textsAt(targets, "choices")
	if err != nil {
		return decoded{}, err
	}
	raw, err := targets.get("labels")
	if err != nil {
		return decoded{}, err
	}
	labels, err := listOf(raw, "targets.labels", "0 and 1")
	if err != nil {
		return decoded{}, err
	}
	if len(labels) != len(choices) {
		return decoded{}, wrong("targets.labels", "%d of them, want one for each of the %d choices",
			len(labels), len(choices))
	}
	var chosen, rejected []string
	for i, item := range labels {
		label, err := numberOf(item, fmt.Sprintf("targets.labels[%d]", i))
		if err != nil {
			return decoded{}, err
		}
		switch label {
		case 1:
			chosen = append(chosen, choices[i])
		case 0:
			rejected = append(rejected, choices[i])
		default:
			return decoded{}, wrong(fmt.Sprintf("targets.labels[%d]", i), "%v, want 0 or 1", label)
		}
	}
	return bestOf(g, chosen, rejected, opt), nil
}

// decodeUltraFeedback decodes UltraFeedback's own rows, four completions with ratings, as a group
// of scores. The score is the mean of the ratings of the aspects, as in the binarized sets (the
// published overall_score is known to be unreliable); Options.Label names one aspect, or
// overall_score. Completions without a rating are left out.
func decodeUltraFeedback(f *fields, opt Options) (decoded, error) {
	instruction, err := f.text("instruction")
	if err != nil {
		return decoded{}, err
	}
	raw, err := f.get("completions")
	if err != nil {
		return decoded{}, err
	}
	list, err := listOf(raw, "completions", "completions {response, annotations}")
	if err != nil {
		return decoded{}, err
	}
	if len(list) > maxResponses {
		return decoded{}, wrong("completions", "%d of them, want at most %d", len(list), maxResponses)
	}
	g := Group{Prompt: asked(instruction)}
	if g.Subset, err = f.label("source"); err != nil {
		return decoded{}, err
	}
	var scores []float64
	empty := false
	for i, item := range list {
		at := fmt.Sprintf("completions[%d]", i)
		c, err := f.objectAt(item, at)
		if err != nil {
			return decoded{}, err
		}
		text, err := c.text("response")
		if err != nil {
			return decoded{}, err
		}
		score, rated, err := ultraScore(c, opt.Label)
		if err != nil {
			return decoded{}, err
		}
		if rated {
			empty = empty || blank(text)
			g.Responses, scores = append(g.Responses, text), append(scores, score)
		}
	}
	if len(scores) < 2 {
		return decoded{drop: DropNoComparison}, nil
	}
	all, ties := ordered(scores)
	g.Ties, g.Scores = ties, scores
	return groupOf(g, all, empty, opt), nil
}

// ultraScore is the score of one completion; not rated where the published rating is missing or
// "N/A".
func ultraScore(c *fields, choose string) (score float64, rated bool, err error) {
	if choose == "overall_score" {
		if !c.has("overall_score") {
			return 0, false, nil
		}
		score, err = c.number("overall_score")
		return score, err == nil, err
	}
	if !c.has("annotations") {
		return 0, false, nil
	}
	annotations, err := c.object("annotations")
	if err != nil {
		return 0, false, err
	}
	aspects := []string{"helpfulness", "honesty", "instruction_following", "truthfulness"}
	if choose != "" && choose != Safer && choose != Better {
		aspects = []string{choose}
	}
	n := 0
	for _, aspect := range aspects {
		if !annotations.has(aspect) {
			continue
		}
		a, err := annotations.object(aspect)
		if err != nil {
			return 0, false, err
		}
		x, stated, err := ratingOf(a)
		if err != nil {
			return 0, false, err
		}
		if stated {
			score += x
			n++
		}
	}
	if n == 0 {
		return 0, false, nil
	}
	return score / float64(n), true, nil
}

// ratingOf reads an aspect's rating: a number, also as text, as it is published. "N/A" is none.
func ratingOf(aspect *fields) (x float64, stated bool, err error) {
	raw, err := aspect.get("Rating")
	if err != nil {
		return 0, false, err
	}
	field := aspect.name("Rating")
	if !isText(raw) {
		x, err = numberOf(raw, field)
		return x, err == nil, err
	}
	text, err := textOf(raw, field)
	if err != nil || text == "N/A" {
		return 0, false, err
	}
	x, err = strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, false, wrong(field, `%s, want a number or "N/A"`, quote(text))
	}
	return x, true, nil
}

// decodeHelpSteer decodes both forms of HelpSteer2. {prompt, response, helpfulness, correctness, …}
// is one response: the reader joins adjacent rows of one prompt into a group of scores, by
// helpfulness or the attribute that Options.Label names. {prompt, response_1, response_2,
// preference_strength} is a pair: strength −3 to −1 prefers response 1, 1 to 3 response 2, 0 is a
// tie; its size is the margin.
func decodeHelpSteer(f *fields, opt Options) (decoded, error) {
	prompt, err := f.prompt("prompt")
	if err != nil {
		return decoded{}, err
	}
	if f.has("response_1") || f.has("response_2") {
		return decodeStrength(f, prompt)
	}
	response, err := f.text("response")
	if err != nil {
		return decoded{}, err
	}
	key := opt.Label
	if key == "" || key == Safer || key == Better {
		key = "helpfulness"
	}
	if len(opt.Attributes) > 0 {
		return f.rated(prompt, response, key, opt.Attributes)
	}
	score, err := f.number(key)
	switch {
	case err != nil:
		return decoded{}, err
	case len(prompt) == 0:
		return decoded{drop: DropNoPrompt}, nil
	case blank(response):
		return decoded{drop: DropEmpty}, nil
	}
	g := Group{Prompt: prompt, Responses: []string{response}}
	return decoded{single: true, score: score, group: g}, nil
}

func decodeStrength(f *fields, prompt []Message) (decoded, error) {
	a, err := f.text("response_1")
	if err != nil {
		return decoded{}, err
	}
	b, err := f.text("response_2")
	if err != nil {
		return decoded{}, err
	}
	return f.stated(prompt, a, b, "preference_strength")
}

// decodeHelpSteer3 decodes HelpSteer3's preferences: {context, response1, response2,
// overall_preference}, whose sign and size are those of HelpSteer2's strength. The subset is the
// domain.
func decodeHelpSteer3(f *fields, _ Options) (decoded, error) {
	prompt, err := f.prompt("context")
	if err != nil {
		return decoded{}, err
	}
	a, err := f.text("response1")
	if err != nil {
		return decoded{}, err
	}
	b, err := f.text("response2")
	if err != nil {
		return decoded{}, err
	}
	return f.stated(prompt, a, b, "overall_preference")
}
