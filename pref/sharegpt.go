package pref

import (
	"encoding/json"
	"fmt"
	"slices"
)

// speakers are ShareGPT's names of who speaks.
var speakers = map[string]string{"human": User, "user": User, "gpt": Assistant,
	"assistant": Assistant, "system": System, "observation": Tool, "tool": Tool,
	functionCall: Assistant}

// functionCall is the speaker of a call of tools, which is JSON: {name, arguments} or a list of
// them.
const functionCall = "function_call"

// decodeShareGPT decodes {conversations, chosen, rejected} of messages {from, value}. The answers
// are one message each.
func decodeShareGPT(f *fields, _ Options) (decoded, error) {
	raw, err := f.get("conversations")
	if err != nil {
		return decoded{}, err
	}
	list, err := listOf(raw, f.name("conversations"), "messages {from, value}")
	if err != nil {
		return decoded{}, err
	}
	prompt := make([]Message, len(list))
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", f.name("conversations"), i)
		if prompt[i], err = f.spoken(item, at); err != nil {
			return decoded{}, err
		}
	}
	var sides [2][]Message
	for i, key := range [2]string{"chosen", "rejected"} {
		if raw, err = f.get(key); err != nil {
			return decoded{}, err
		}
		answer, err := f.spoken(raw, f.name(key))
		if err != nil {
			return decoded{}, err
		}
		sides[i] = []Message{answer}
		if err := textAnswer(sides[i], f.name(key)); err != nil {
			return decoded{}, err
		}
	}
	return pairOf(prompt, sides[0], sides[1]), nil
}

// spoken decodes a message {from, value}, or {role, content}.
func (f *fields) spoken(raw json.RawMessage, field string) (m Message, err error) {
	inner, err := f.objectAt(raw, field)
	if err != nil {
		return m, err
	}
	if !inner.has("from") && inner.has("role") {
		m, err = parseMessage(raw, field, f.row)
		if err == nil && !slices.Contains(roles, m.Role) {
			err = wrong(field+".role", "%s, want %s", quote(m.Role), quoted(roles))
		}
		return m, err
	}
	from, err := inner.text("from")
	if err != nil {
		return m, err
	}
	role, ok := speakers[from]
	if !ok {
		return m, wrong(inner.name("from"), `%s, want "human", "gpt", "system", "function_call" or `+
			`"observation"`, quote(from))
	}
	m.Role = role
	if m.Content, err = inner.text("value"); err != nil || from != functionCall {
		return m, err
	}
	m.Parts, err = calledParts(m.Content, inner.name("value"))
	m.Content = ""
	return m, err
}

// calledParts makes the parts of a message of a call that is text.
func calledParts(text, field string) (string, error) {
	raw := json.RawMessage(text)
	if !json.Valid(raw) {
		return "", wrong(field, "%s, want the JSON of a call {name, arguments}", quote(text))
	}
	list := []json.RawMessage{raw}
	if kind(raw) == "a list" {
		var err error
		if list, err = listOf(raw, field, "calls {name, arguments}"); err != nil {
			return "", err
		}
	}
	type call struct {
		Type     string          `json:"type"`
		Function json.RawMessage `json:"function"`
	}
	calls := make([]call, len(list))
	for i, one := range list {
		f, err := (&fields{}).objectAt(one, field)
		if err != nil {
			return "", err
		}
		if !f.has("name", "arguments") {
			return "", wrong(field, "keys %s, want a call {name, arguments}", f.keys())
		}
		calls[i] = call{"function", one}
	}
	if len(calls) == 0 {
		return "", wrong(field, "no call, want one or more {name, arguments}")
	}
	data, err := json.Marshal(map[string]any{"tool_calls": calls, "content": nil})
	return string(data), err
}
