package pref

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxResponses bounds a group, because scores give a comparison for every two responses.
const maxResponses = 1024

// A decoded row is a group, or the reason why there is none, or one response that the next row may
// join.
type decoded struct {
	group     Group
	drop      string // a reason, "" where the group stands
	identical int    // comparisons left out: both responses are the same text
	tied      int    // pairs judged equal
	single    bool   // the group has one response, whose score is below
	score     float64
}

// decodeRow decodes one row in the format of opt; an error means that the row is malformed.
func decodeRow(data []byte, opt Options) (decoded, error) {
	f, err := objectOf(data)
	if err != nil {
		return decoded{}, err
	}
	format := opt.Format
	if format == "" || format == Auto {
		if format, err = detect(f); err != nil {
			return decoded{}, err
		}
	}
	d, err := decoders[format](f, opt)
	if err != nil {
		return decoded{}, err
	}
	if d.drop == "" {
		if d.group.Subset == "" {
			d.group.Subset = f.label("subset", "domain", "category", "source")
		}
		if d.group.ID == "" {
			d.group.ID = f.label("id", "prompt_id", "question_id", "idx")
		}
		if !d.single {
			d.settle(opt)
		}
	}
	return d, nil
}

// decoders has every format but Auto.
var decoders = map[string]func(fields, Options) (decoded, error){
	HH:            func(f fields, _ Options) (decoded, error) { return decodeTranscripts(f) },
	Pairs:         func(f fields, _ Options) (decoded, error) { return decodePair(f) },
	Groups:        decodeGroup,
	PKU:           decodePKU,
	Arena:         decodeArena,
	Alpaca:        decodeAlpaca,
	UltraFeedback: decodeUltraFeedback,
	HelpSteer:     decodeHelpSteer,
	BestOf:        decodeBestOf,
	JudgeBench:    decodeJudgeBench,
	RMB:           decodeRMB,
	HHH:           decodeHHH,
	Unpaired:      decodeUnpaired,
}

// settle applies the options to a group that stands.
func (d *decoded) settle(opt Options) {
	g := &d.group
	if !opt.KeepTies {
		g.Ties = nil
	}
	if !opt.KeepUnpaired {
		g.Labels, g.Grades = nil, nil
	}
	unpaired := g.Labels != nil || g.Grades != nil
	switch {
	case len(g.Comparisons) == 0 && len(g.Ties) == 0 && !unpaired && d.tied == 0:
		*d = decoded{drop: DropUnpaired, identical: d.identical}
	case len(g.Comparisons) == 0 && len(g.Ties) == 0 && !unpaired:
		*d = decoded{drop: DropTied, tied: d.tied, identical: d.identical}
	case len(opt.Subsets) > 0 && !slices.Contains(opt.Subsets, g.Subset):
		*d = decoded{drop: DropSubset}
	case opt.MaxChars > 0 && g.chars() > opt.MaxChars:
		*d = decoded{drop: DropLong}
	}
}

// chars counts the characters of the prompt and of the longest response.
func (g Group) chars() int {
	n, longest := 0, 0
	for _, m := range g.Prompt {
		n += utf8.RuneCountInString(m.Content)
	}
	for _, r := range g.Responses {
		longest = max(longest, utf8.RuneCountInString(r))
	}
	return n + longest
}

// detect finds the format that a row's keys fit.
func detect(f fields) (string, error) {
	switch {
	case f.has("chosen", "rejected") && f.has("responses"):
		return "", fmt.Errorf(`keys %s: both "chosen" and "responses", wanted one form: set the format`, f.keys())
	case f.has("responses"):
		return Groups, nil
	case f.has("chosen", "rejected", "prompt") && isTexts(f["chosen"]) && kind(f["rejected"]) == "a list":
		return BestOf, nil
	case f.has("chosen", "rejected") && !f.has("prompt") && isText(f["chosen"]):
		return HH, nil
	case f.has("chosen", "rejected"):
		return Pairs, nil
	case f.has("prompt", "response_0", "response_1"):
		return PKU, nil
	case f.has("conversation_a", "conversation_b"):
		return Arena, nil
	case f.has("response_A", "response_B"):
		return JudgeBench, nil
	case f.has("completions"):
		return UltraFeedback, nil
	case f.has("conversation_input"):
		return RMB, nil
	case f.has("input", "targets"):
		return HHH, nil
	case f.has("output_1", "output_2"), f.has("response1", "response2"):
		return Alpaca, nil
	case f.has("prompt", "completion", "label"):
		return Unpaired, nil
	case f.has("prompt", "response", "helpfulness"), f.has("prompt", "response_1", "response_2"):
		return HelpSteer, nil
	}
	return "", fmt.Errorf("keys %s fit no form, wanted %s {chosen, rejected}, %s {prompt, chosen, rejected} or %s {prompt, responses, comparisons | scores}, or the keys of a published set (%s): rename the keys",
		f.keys(), HH, Pairs, Groups, strings.Join(formats[4:], ", "))
}

// isTexts says whether the value is a list that begins with a text.
func isTexts(raw json.RawMessage) bool {
	if kind(raw) != "a list" {
		return false
	}
	rest := bytes.TrimLeft(bytes.TrimLeft(raw, " \t\r\n")[1:], " \t\r\n")
	return len(rest) > 0 && rest[0] == '"'
}

func decodeTranscripts(f fields) (decoded, error) {
	var sides [2][]Message
	for i, key := range [2]string{"chosen", "rejected"} {
		raw, err := f.get(key)
		if err != nil {
			return decoded{}, err
		}
		text, err := textOf(raw, key)
		if err != nil {
			return decoded{}, err
		}
		if sides[i], err = parseTranscript(text); err != nil {
			return decoded{}, wrong(key, "%v", err)
		}
	}
	margin, err := pairMargin(f)
	return pairOf(nil, sides[0], sides[1], margin), err
}

func decodePair(f fields) (decoded, error) {
	chosenRaw, err := f.get("chosen")
	if err != nil {
		return decoded{}, err
	}
	rejectedRaw, err := f.get("rejected")
	if err != nil {
		return decoded{}, err
	}
	if !f.has("prompt") {
		if isText(chosenRaw) {
			return decodeTranscripts(f)
		}
		if kind(chosenRaw) == "a list" && kind(rejectedRaw) != "a list" {
			return decoded{}, wrong("rejected", "%s, wanted a list of messages as in \"chosen\"", kind(rejectedRaw))
		}
	}
	chosen, err := dialogueOf(chosenRaw, "chosen")
	if err != nil {
		return decoded{}, err
	}
	rejected, err := dialogueOf(rejectedRaw, "rejected")
	if err != nil {
		return decoded{}, err
	}
	margin, err := pairMargin(f)
	if err != nil || !f.has("prompt") {
		return pairOf(nil, chosen, rejected, margin), err
	}
	prompt, err := promptOf(f["prompt"], "prompt")
	if err != nil {
		return decoded{}, err
	}
	// Beside an explicit prompt, chosen and rejected are one message each, or dialogues that repeat
	// it, perhaps after a system message or earlier turns.
	for i, side := range [2][]Message{chosen, rejected} {
		if before := side[:len(side)-1]; len(before) > 0 && !endsIn(before, prompt) {
			return decoded{}, wrong([2]string{"chosen", "rejected"}[i],
				"a dialogue of %d messages that does not repeat the prompt before its answer, wanted one message of the assistant, or the prompt and one", len(side))
		}
	}
	return pairOf(prompt, chosen, rejected, margin), nil
}

func endsIn(messages, end []Message) bool {
	return len(messages) >= len(end) && slices.Equal(messages[len(messages)-len(end):], end)
}

// pairOf makes a pair of two dialogues, whose common beginning is the prompt where they have one;
// else prompt is.
func pairOf(prompt, chosen, rejected []Message, margin float64) decoded {
	c, r := len(chosen)-1, len(rejected)-1
	if c > 0 || r > 0 {
		prompt = chosen[:c]
	}
	switch {
	case chosen[c].Role != Assistant || rejected[r].Role != Assistant:
		return decoded{drop: DropNotAssistant}
	case blank(chosen[c].Content) || blank(rejected[r].Content):
		return decoded{drop: DropEmpty}
	case !slices.Equal(chosen[:c], rejected[:r]):
		return decoded{drop: DropPrompts}
	case len(prompt) == 0:
		return decoded{drop: DropNoPrompt}
	case chosen[c].Content == rejected[r].Content:
		return decoded{drop: DropIdentical, identical: 1}
	}
	g := NewPair(slices.Clip(prompt), chosen[c].Content, rejected[r].Content, Source{})
	g.Comparisons[0].Margin = margin
	return decoded{group: g}
}

// pairMargin is the margin of a pair's row: "margin", or score_chosen − score_rejected as in
// binarized UltraFeedback.
func pairMargin(f fields) (float64, error) {
	if f.has("margin") || !f.has("score_chosen", "score_rejected") {
		return marginOf(f, "margin")
	}
	var scores [2]float64
	for i, key := range [2]string{"score_chosen", "score_rejected"} {
		if kind(f[key]) == "null" {
			return 0, nil
		}
		var err error
		if scores[i], err = numberOf(f[key], key); err != nil {
			return 0, err
		}
	}
	return scores[0] - scores[1], nil
}

func marginOf(f fields, field string) (float64, error) {
	raw, ok := f["margin"]
	if !ok || kind(raw) == "null" {
		return 0, nil
	}
	return numberOf(raw, field)
}

func decodeGroup(f fields, opt Options) (decoded, error) {
	raw, err := f.get("prompt")
	if err != nil {
		return decoded{}, err
	}
	g := Group{}
	if g.Prompt, err = promptOf(raw, "prompt"); err != nil {
		return decoded{}, err
	}
	if raw, err = f.get("responses"); err != nil {
		return decoded{}, err
	}
	list, err := listOf(raw, "responses", "responses")
	if err != nil {
		return decoded{}, err
	}
	if len(list) < 2 || len(list) > maxResponses {
		return decoded{}, wrong("responses", "%d of them, wanted 2 to %d", len(list), maxResponses)
	}
	empty := false
	for i, item := range list {
		text, err := answerOf(item, fmt.Sprintf("responses[%d]", i))
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
	case opt.KeepUnpaired && g.Grades != nil:
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

// answerOf decodes one response: text, or a list of one message of the assistant.
func answerOf(raw json.RawMessage, field string) (string, error) {
	m, err := dialogueOf(raw, field)
	switch {
	case err != nil:
		return "", err
	case len(m) != 1:
		return "", wrong(field, "%d messages, wanted text or one message of the assistant", len(m))
	case m[0].Role != Assistant:
		return "", wrong(field+"[0].role", "%q, wanted %q", m[0].Role, Assistant)
	}
	return m[0].Content, nil
}

// comparisonsOf decodes the comparisons among n responses: [chosen, rejected] or {chosen, rejected,
// margin}; or derives them from scores, which state an order, and are kept.
func comparisonsOf(f fields, n int) (all []Comparison, ties [][2]int, scores []float64, err error) {
	switch {
	case f.has("comparisons") && f.has("scores"):
		return nil, nil, nil, wrong("scores", `stands beside "comparisons", wanted one of the two`)
	case f.has("scores"):
		if scores, err = scoresOf(f["scores"], n); err != nil {
			return nil, nil, nil, err
		}
		all, ties = ordered(scores)
		return all, ties, scores, nil
	case !f.has("comparisons"):
		return nil, nil, nil, wrong("comparisons", `missing, wanted "comparisons" or "scores" beside %s`, f.keys())
	}
	list, err := listOf(f["comparisons"], "comparisons", "comparisons [chosen, rejected]")
	if err != nil {
		return nil, nil, nil, err
	}
	for i, item := range list {
		c, err := comparisonOf(item, fmt.Sprintf("comparisons[%d]", i), n)
		if err != nil {
			return nil, nil, nil, err
		}
		all = append(all, c)
	}
	return all, nil, nil, nil
}

func comparisonOf(raw json.RawMessage, field string, n int) (c Comparison, err error) {
	var chosen, rejected json.RawMessage
	switch kind(raw) {
	case "a list":
		pair, err := listOf(raw, field, "two indices")
		if err != nil {
			return c, err
		}
		if len(pair) != 2 {
			return c, wrong(field, "%d elements, wanted [chosen, rejected]", len(pair))
		}
		chosen, rejected = pair[0], pair[1]
	case "an object":
		var f fields
		if err := json.Unmarshal(raw, &f); err != nil {
			return c, wrong(field, "%v, wanted {chosen, rejected}", err)
		}
		if !f.has("chosen", "rejected") {
			return c, wrong(field, "keys %s, wanted {chosen, rejected}", f.keys())
		}
		chosen, rejected = f["chosen"], f["rejected"]
		if c.Margin, err = marginOf(f, field+".margin"); err != nil {
			return c, err
		}
	default:
		return c, wrong(field, "%s, wanted [chosen, rejected]", kind(raw))
	}
	if c.Chosen, err = indexOf(chosen, field, n); err != nil {
		return c, err
	}
	if c.Rejected, err = indexOf(rejected, field, n); err != nil {
		return c, err
	}
	if c.Chosen == c.Rejected {
		return c, wrong(field, "response %d against itself, wanted two responses", c.Chosen)
	}
	return c, nil
}

func scoresOf(raw json.RawMessage, n int) ([]float64, error) {
	list, err := listOf(raw, "scores", "numbers")
	if err != nil {
		return nil, err
	}
	if len(list) != n {
		return nil, wrong("scores", "%d of them, wanted one for each of the %d responses", len(list), n)
	}
	scores := make([]float64, n)
	for i, item := range list {
		if scores[i], err = numberOf(item, fmt.Sprintf("scores[%d]", i)); err != nil {
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
			default:
				all = append(all, Comparison{Chosen: j, Rejected: i})
			}
		}
	}
	return all, ties
}
