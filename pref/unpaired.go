package pref

import (
	"encoding/json"
	"strings"
)

// decodeUnpaired decodes {prompt, completion, label}: one response, and whether it is desirable, as
// in KTO. The label is true or false, or 1 or 0.
func decodeUnpaired(f *fields, _ Options) (decoded, error) {
	prompt, err := f.prompt("prompt")
	if err != nil {
		return decoded{}, err
	}
	response, err := f.answer("completion")
	if err != nil {
		return decoded{}, err
	}
	if isTranscriptAt(f, "prompt") {
		response = strings.TrimSpace(response)
	}
	return f.labelled(prompt, response)
}

// decodeLabelled decodes {messages, label}, whose last message is the response.
func decodeLabelled(f *fields, _ Options) (decoded, error) {
	messages, err := f.dialogue("messages")
	if err != nil {
		return decoded{}, err
	}
	last := len(messages) - 1
	if messages[last].Role != Assistant {
		return decoded{drop: DropNotAssistant}, nil
	}
	return f.labelled(messages[:last:last], messages[last].Content)
}

// labelled makes the group of one response with the row's label.
func (f *fields) labelled(prompt []Message, response string) (decoded, error) {
	raw, err := f.get("label")
	if err != nil {
		return decoded{}, err
	}
	label, err := labelOf(raw, f.name("label"))
	switch {
	case err != nil:
		return decoded{}, err
	case len(prompt) == 0:
		return decoded{drop: DropNoPrompt}, nil
	case blank(response):
		return decoded{drop: DropEmpty}, nil
	}
	g := Group{Prompt: prompt, Responses: []string{response}, Labels: []bool{label}}
	return decoded{group: g}, nil
}

// labelOf decodes whether a response is desirable.
func labelOf(raw json.RawMessage, field string) (bool, error) {
	if kind(raw) != "a number" {
		return boolOf(raw, field)
	}
	switch x, err := numberOf(raw, field); {
	case err != nil:
		return false, err
	case x == 0 || x == 1:
		return x == 1, nil
	default:
		return false, wrong(field, "%v, want true or false, or 1 or 0", x)
	}
}
