package pref

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
)

// Readers of rows that are one prompt with a chosen and a rejected answer.

// decodeTranscripts decodes two transcripts of HH-RLHF.
func decodeTranscripts(f *fields, _ Options) (decoded, error) {
	var sides [2][]Message
	for i, key := range [2]string{"chosen", "rejected"} {
		text, err := f.text(key)
		if err != nil {
			return decoded{}, err
		}
		if sides[i], err = parseTranscript(text); err != nil {
			for _, prompt := range []string{"prompt", "question", "instruction"} {
				if slices.Contains(f.nulls, prompt) {
					return decoded{}, wrong(prompt, "null, want a value beside %s, which are no transcripts",
						f.keys())
				}
			}
			return decoded{}, wrong(f.name(key), "%v, or a prompt beside it", err)
		}
	}
	return pairOf(nil, sides[0], sides[1]), nil
}

// decodeImplicit decodes two dialogues, whose common beginning is the prompt.
func decodeImplicit(f *fields, _ Options) (decoded, error) {
	for i, key := range [2]string{"chosen", "rejected"} {
		if other := [2]string{"rejected", "chosen"}[i]; isText(f.values[key]) && f.has(other) {
			return decoded{}, wrong(f.name(key), "text, want a list of messages as in %q", f.name(other))
		}
	}
	chosen, err := f.dialogue("chosen")
	if err != nil {
		return decoded{}, err
	}
	rejected, err := f.dialogue("rejected")
	if err != nil {
		return decoded{}, err
	}
	return pairOf(nil, chosen, rejected), nil
}

// pairBy returns the reader of rows whose prompt stands under a key.
func pairBy(key string) func(*fields, Options) (decoded, error) {
	return func(f *fields, _ Options) (decoded, error) {
		prompt, err := f.prompt(key)
		if err != nil {
			return decoded{}, err
		}
		return f.pair(prompt, isTranscriptAt(f, key))
	}
}

// isTranscriptAt reports whether the prompt under a key was a transcript.
func isTranscriptAt(f *fields, key string) bool {
	s, err := textOf(f.values[key], key)
	return err == nil && isTranscript(s)
}

// pair decodes the chosen and the rejected answer to a prompt. Each is one message, or a dialogue
// that repeats the prompt: at its end, after a system message or earlier turns, or at its
// beginning, where the prompt is the user's first message. trim says that the prompt was a
// transcript, behind which answers begin with a space.
func (f *fields) pair(prompt []Message, trim bool) (decoded, error) {
	var sides [2][]Message
	for i, key := range [2]string{"chosen", "rejected"} {
		side, err := f.side(key)
		if err != nil {
			return decoded{}, err
		}
		if before := side[:len(side)-1]; len(before) > 0 && !repeats(before, prompt) {
			return decoded{}, wrong(f.name(key), "a dialogue of %d messages that does not repeat the "+
				"prompt before its answer, want one message of the assistant, or the prompt and one",
				len(side))
		}
		if trim && len(side) == 1 {
			side[0].Content = strings.TrimSpace(side[0].Content)
		}
		sides[i] = side
	}
	return pairOf(prompt, sides[0], sides[1]), nil
}

// side decodes one answer of a pair; a text may be a whole transcript.
func (f *fields) side(key string) ([]Message, error) {
	if raw := f.values[key]; isText(raw) {
		text, err := f.text(key)
		if err == nil && printedMessages(text) {
			return nil, wrong(f.name(key), "text that is JSON of messages, want the messages themselves, "+
				"or the text of the answer")
		}
		if err == nil && strings.HasPrefix(text, humanTurn) && strings.Contains(text, assistantTurn) {
			return parseTranscript(text)
		}
		return said(text), err
	}
	return f.dialogue(key)
}

// printedMessages tells a text that is a list of messages, as some exports of tables write them.
func printedMessages(text string) bool {
	if !strings.HasPrefix(strings.TrimSpace(text), "[") {
		return false
	}
	var messages []struct{ Role, Content *string }
	return json.Unmarshal([]byte(text), &messages) == nil && len(messages) > 0 &&
		messages[0].Role != nil && messages[0].Content != nil
}

// repeats reports whether the messages before an answer have the prompt in them, at their end or,
// perhaps behind a system message, at their beginning.
func repeats(before, prompt []Message) bool {
	n := len(prompt)
	if len(before) < n {
		return false
	}
	if slices.Equal(before[len(before)-n:], prompt) || slices.Equal(before[:n], prompt) {
		return true
	}
	return before[0].Role == System && len(before) > n && slices.Equal(before[1:n+1], prompt)
}

// pairOf makes a pair of two dialogues, whose common beginning is the prompt where they have one;
// else prompt is.
func pairOf(prompt, chosen, rejected []Message) decoded {
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
	return decoded{group: NewPair(slices.Clip(prompt), chosen[c].Content, rejected[r].Content,
		Location{})}
}

// margin gives a pair the margin of its row: "margin", or score_chosen − score_rejected as in
// binarized UltraFeedback.
func (f *fields) margin(c *Comparison) error {
	if c.Stated() {
		return nil
	}
	if raw, ok := f.opt("margin"); ok {
		margin, err := numberOf(raw, f.name("margin"))
		c.state(margin)
		return err
	}
	if !f.has("score_chosen", "score_rejected") {
		return nil
	}
	chosen, err := f.number("score_chosen")
	if err != nil {
		return err
	}
	rejected, err := f.number("score_rejected")
	c.state(chosen - rejected)
	return err
}

// A verdict names the better of two responses, or neither.
type verdict int

const (
	first verdict = iota
	second
	neither
)

// judged makes the pair, or the tie, of two dialogues that share their beginning; prompt is used
// where they have none.
func judged(prompt []Message, a, b []Message, v verdict) decoded {
	if v == second {
		a, b = b, a
	}
	d := pairOf(prompt, a, b)
	if v == neither && d.drop == "" {
		d.group.Comparisons, d.group.Ties, d.tied = nil, [][2]int{{0, 1}}, 1
	}
	return d
}

// stated makes the verdict of a strength from −3 to 3: below 0 the first response is better, above
// 0 the second; the size of the strength is the margin.
func (f *fields) stated(prompt []Message, a, b, key string) (decoded, error) {
	strength, err := f.number(key)
	if err == nil && math.Abs(strength) > 3 {
		err = wrong(f.name(key), "%v, want a strength from -3 to 3", strength)
	}
	if err != nil {
		return decoded{}, err
	}
	v := neither
	switch {
	case strength < 0:
		v = first
	case strength > 0:
		v = second
	}
	d := judged(prompt, said(a), said(b), v)
	if len(d.group.Comparisons) == 1 {
		d.group.Comparisons[0].state(math.Abs(strength))
	}
	return d, nil
}

// textPair decodes two texts, the better one first, with the prompt.
func (f *fields) textPair(prompt []Message, better, worse string) (decoded, error) {
	a, err := f.text(better)
	if err != nil {
		return decoded{}, err
	}
	b, err := f.text(worse)
	if err != nil {
		return decoded{}, err
	}
	return pairOf(prompt, said(a), said(b)), nil
}

// decodeStackExchange decodes the paired Stack Exchange set: response_j was voted higher than
// response_k.
func decodeStackExchange(f *fields, _ Options) (decoded, error) {
	prompt, err := f.prompt("question")
	if err != nil {
		return decoded{}, err
	}
	return f.textPair(prompt, "response_j", "response_k")
}

// decodeSwift decodes rows of ms-swift: messages end in the chosen answer; rejected_response takes
// its place, or rejected_messages are the whole other dialogue.
func decodeSwift(f *fields, _ Options) (decoded, error) {
	chosen, err := f.dialogue("messages")
	if err != nil {
		return decoded{}, err
	}
	if f.has("rejected_messages") {
		rejected, err := f.dialogue("rejected_messages")
		if err != nil {
			return decoded{}, err
		}
		return pairOf(nil, chosen, rejected), nil
	}
	response, err := f.text("rejected_response")
	if err != nil {
		return decoded{}, err
	}
	rejected := slices.Clone(chosen)
	rejected[len(rejected)-1] = said(response)[0]
	return pairOf(nil, chosen, rejected), nil
}

// instructed is the prompt of LLaMA-Factory's alpaca form: the turns of history, then instruction
// and input with a line end between them.
func (f *fields) instructed() ([]Message, error) {
	var turns []string
	for _, key := range [2]string{"instruction", "input"} {
		text, err := f.optional(key)
		if err != nil {
			return nil, err
		}
		if text != "" {
			turns = append(turns, text)
		}
	}
	question := asked(strings.Join(turns, "\n"))
	raw, ok := f.opt("history")
	if !ok || question == nil {
		return question, nil
	}
	history, err := historyOf(raw, f.name("history"))
	return append(history, question...), err
}

// historyOf decodes a list of turns [question, answer].
func historyOf(raw json.RawMessage, field string) (messages []Message, err error) {
	turns, err := listOf(raw, field, "turns [question, answer]")
	if err != nil {
		return nil, err
	}
	for _, turn := range turns {
		texts, err := textsOf(turn, field)
		if err != nil {
			return nil, err
		}
		if len(texts) != 2 {
			return nil, wrong(field, "a turn of %d texts, want [question, answer]", len(texts))
		}
		messages = append(messages, Message{Role: User, Content: texts[0]}, said(texts[1])[0])
	}
	return messages, nil
}

// decodeLLaMAFactory decodes {instruction, input, chosen, rejected}.
func decodeLLaMAFactory(f *fields, _ Options) (decoded, error) {
	prompt, err := f.instructed()
	if err != nil {
		return decoded{}, err
	}
	return f.textPair(prompt, "chosen", "rejected")
}

// decodeOutputs decodes {instruction, input, output: [better, worse]}.
func decodeOutputs(f *fields, _ Options) (decoded, error) {
	prompt, err := f.instructed()
	if err != nil {
		return decoded{}, err
	}
	raw, err := f.get("output")
	if err != nil {
		return decoded{}, err
	}
	texts, err := textsOf(raw, f.name("output"))
	if err != nil {
		return decoded{}, err
	}
	if len(texts) != 2 {
		return decoded{}, wrong(f.name("output"), "%d texts, want [better, worse]", len(texts))
	}
	return pairOf(prompt, said(texts[0]), said(texts[1])), nil
}
