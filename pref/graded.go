package pref

import (
	"math"
	"strings"
)

// Rows of one response with columns that rate it, which Options.Attributes names.

// gradedBy returns the reader of rows whose response stands under a key. The reader of files joins
// adjacent rows of one prompt into a group, whose responses are compared by the attribute that
// Options.Label names, or the only one.
func gradedBy(key string) func(*fields, Options) (decoded, error) {
	return func(f *fields, opt Options) (decoded, error) {
		prompt, err := f.prompt("prompt")
		if err != nil {
			return decoded{}, err
		}
		response, err := f.answer(key)
		if err != nil {
			return decoded{}, err
		}
		if isTranscriptAt(f, "prompt") {
			response = strings.TrimSpace(response)
		}
		return f.rated(prompt, response, opt.ordering(), opt.Attributes)
	}
}

// decodeGradedMessages decodes {messages} with ratings of the last one.
func decodeGradedMessages(f *fields, opt Options) (decoded, error) {
	messages, err := f.dialogue("messages")
	if err != nil {
		return decoded{}, err
	}
	last := len(messages) - 1
	if messages[last].Role != Assistant {
		return decoded{drop: DropNotAssistant}, nil
	}
	if err := textAnswer(messages, "messages"); err != nil {
		return decoded{}, err
	}
	return f.rated(messages[:last:last], messages[last].Content, opt.ordering(), opt.Attributes)
}

// ordering is the attribute by which responses are compared, "" for none.
func (o Options) ordering() string {
	switch {
	case o.Label != "" && o.Label != Safer && o.Label != Better:
		return o.Label
	case len(o.Attributes) == 1:
		return o.Attributes[0]
	}
	return ""
}

// rated makes the group of one response with its ratings; by is the attribute that it is compared
// by.
func (f *fields) rated(
	prompt []Message, response, by string, attributes []string,
) (decoded, error) {
	score := math.NaN() // a row may lack the attribute that decides
	if by != "" {
		x, ok, err := f.rating(by)
		if err != nil {
			return decoded{}, err
		}
		if ok {
			score = x
		}
	}
	grades := map[string][]float64{}
	for _, attribute := range attributes {
		x, ok, err := f.rating(attribute)
		if err != nil {
			return decoded{}, err
		}
		if ok {
			grades[attribute] = []float64{x}
		}
	}
	switch {
	case len(prompt) == 0:
		return decoded{drop: DropNoPrompt}, nil
	case blank(response):
		return decoded{drop: DropEmpty}, nil
	case len(grades) == 0:
		return decoded{drop: DropNoGrade}, nil
	}
	g := Group{Prompt: prompt, Responses: []string{response}, Grades: grades}
	return decoded{single: true, score: score, group: g}, nil
}

// rating reads a rating of a column, or of a dotted path into objects; not ok where there is none.
func (f *fields) rating(attribute string) (x float64, ok bool, err error) {
	raw, top, err := f.lookup(attribute)
	f.note(top)
	if err != nil || raw == nil {
		return 0, false, err
	}
	x, err = numberOf(raw, attribute)
	return x, err == nil, err
}
