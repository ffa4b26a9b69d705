package pref

import (
	"encoding/json"
	"slices"
	"strings"
)

// Columns that may belong to a prompt: input and context, which other trainers join to it, and
// history. haf joins them where it is told to, and refuses the row where nobody says which.

// besideKeys are columns of text that may belong to a prompt.
var besideKeys = []string{"input", "context"}

// join puts the column that is named input behind the prompt, and refuses a row with such a column
// that nobody named or read.
func (f *fields) join(prompt []Message) ([]Message, error) {
	if len(prompt) == 0 {
		return prompt, nil
	}
	if raw, ok := f.values["history"]; ok && !emptyValue(raw) && !f.row.read["history"] {
		return nil, wrong("history", "stands beside the prompt, want earlier turns in the prompt, as "+
			"messages, or under the keys {instruction, history, chosen, rejected}")
	}
	if _, named := f.columns["input"]; named {
		if f.row.input {
			return prompt, nil
		}
		return f.joinInput(prompt)
	}
	for _, key := range besideKeys {
		if raw := f.values[key]; !f.alone && !f.row.read[key] && belongs(raw, prompt) {
			return nil, wrong(f.name(key), "stands beside the prompt and may belong to it: -columns "+
				"input=%s (data.columns.input) joins it to the prompt, input=%s leaves it out", key, NoColumn)
		}
	}
	return prompt, nil
}

// belongs reports whether a value is text that the prompt may need and does not repeat.
func belongs(raw json.RawMessage, prompt []Message) bool {
	switch kind(raw) {
	case "a list":
		return !emptyValue(raw)
	case "text":
		text, err := textOf(raw, "")
		text = strings.TrimSpace(text)
		return err != nil || text != "" && !slices.ContainsFunc(prompt, func(m Message) bool {
			return strings.Contains(m.Content, text)
		})
	}
	return false
}

// joinInput puts a line end and the input behind the last message of the prompt.
func (f *fields) joinInput(prompt []Message) ([]Message, error) {
	text, err := f.optional("input")
	if err != nil || blank(text) {
		return prompt, err
	}
	prompt = slices.Clone(prompt)
	last := &prompt[len(prompt)-1]
	if last.Role != User {
		return nil, wrong(f.name("input"), "stands beside a prompt that ends in a message of role %s, "+
			"want one of %s to join it to", quote(last.Role), quote(User))
	}
	last.Content += "\n" + text
	return prompt, nil
}
