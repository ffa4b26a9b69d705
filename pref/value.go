package pref

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A fieldError says which field of a row is wrong, what was seen and what was wanted.
type fieldError struct{ field, problem string }

func (e *fieldError) Error() string { return fmt.Sprintf("field %q: %s", e.field, e.problem) }

func wrong(field, format string, args ...any) error {
	return &fieldError{field, fmt.Sprintf(format, args...)}
}

// fields are the keys of a JSON object with their undecoded values; a key whose value is null
// counts as absent. encoding/json's structs would match keys whatever their case, and hide which
// keys a row has.
type fields map[string]json.RawMessage

// objectOf decodes a whole row.
func objectOf(data []byte) (fields, error) {
	if i := invalidUTF8(data); i >= 0 {
		return nil, fmt.Errorf("invalid UTF-8 at byte %d of the row (0x%02x), wanted UTF-8", i, data[i])
	}
	if k := kind(data); k != "an object" && json.Valid(data) {
		return nil, fmt.Errorf("%s, wanted a JSON object", k)
	}
	var f fields
	if err := json.Unmarshal(data, &f); err != nil {
		at := ""
		if syntax, ok := err.(*json.SyntaxError); ok {
			at = fmt.Sprintf(" at byte %d of the row", syntax.Offset)
		}
		return nil, fmt.Errorf("invalid JSON%s: %w, wanted one JSON object", at, err)
	}
	maps.DeleteFunc(f, func(_ string, v json.RawMessage) bool { return kind(v) == "null" })
	return f, nil
}

// invalidUTF8 returns where data stops being UTF-8, −1 where it never does. encoding/json would
// replace such bytes without a word.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

func (f fields) has(keys ...string) bool {
	for _, k := range keys {
		if _, ok := f[k]; !ok {
			return false
		}
	}
	return true
}

// get returns the value of a field that must be there.
func (f fields) get(key string) (json.RawMessage, error) {
	v, ok := f[key]
	if !ok {
		return nil, wrong(key, "missing, wanted it beside %s", f.keys())
	}
	return v, nil
}

// label returns the first of the keys that has a text or a number, as text; "" where none has.
func (f fields) label(keys ...string) string {
	for _, k := range keys {
		switch v := f[k]; kind(v) {
		case "text":
			if s, err := textOf(v, k); err == nil {
				return s
			}
		case "a number":
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

func (f fields) keys() string {
	if len(f) == 0 {
		return "no key at all"
	}
	const most = 20
	keys := slices.Sorted(maps.Keys(f))
	for i, k := range keys {
		keys[i] = quote(k)
	}
	if len(keys) > most {
		keys = append(keys[:most], "…")
	}
	return strings.Join(keys, ", ")
}

// kind names the type of a JSON value, with its article.
func kind(raw json.RawMessage) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '"':
		return "text"
	case '[':
		return "a list"
	case '{':
		return "an object"
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

func isText(raw json.RawMessage) bool { return kind(raw) == "text" }

func textOf(raw json.RawMessage, field string) (string, error) {
	var s string
	if !isText(raw) {
		return "", wrong(field, "%s, wanted text", kind(raw))
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", wrong(field, "%v, wanted text", err)
	}
	return s, nil
}

func numberOf(raw json.RawMessage, field string) (float64, error) {
	var x float64
	if kind(raw) != "a number" {
		return 0, wrong(field, "%s, wanted a number", kind(raw))
	}
	if err := json.Unmarshal(raw, &x); err != nil { // out of float64's range
		return 0, wrong(field, "%s, wanted a number that a float64 holds", quote(string(raw)))
	}
	return x, nil
}

// indexOf decodes an index below n.
func indexOf(raw json.RawMessage, field string, n int) (int, error) {
	var i int
	if kind(raw) != "a number" {
		return 0, wrong(field, "%s, wanted the index of a response", kind(raw))
	}
	if err := json.Unmarshal(raw, &i); err != nil || i < 0 || i >= n {
		return 0, wrong(field, "%s, wanted the index of a response, 0 to %d", quote(string(raw)), n-1)
	}
	return i, nil
}

func listOf(raw json.RawMessage, field, of string) ([]json.RawMessage, error) {
	if kind(raw) != "a list" {
		return nil, wrong(field, "%s, wanted a list of %s", kind(raw), of)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, wrong(field, "%v, wanted a list of %s", err, of)
	}
	return list, nil
}

// messagesOf decodes a list of {role, content}; other keys of a message are passed over.
func messagesOf(raw json.RawMessage, field string) ([]Message, error) {
	list, err := listOf(raw, field, "messages")
	if err != nil {
		return nil, err
	}
	messages := make([]Message, len(list))
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		var f fields
		if kind(item) != "an object" {
			return nil, wrong(at, "%s, wanted a message {role, content}", kind(item))
		}
		if err := json.Unmarshal(item, &f); err != nil {
			return nil, wrong(at, "%v, wanted a message {role, content}", err)
		}
		for _, key := range unreadParts {
			if part, ok := f[key]; ok && !emptyPart(part) {
				return nil, wrong(at+"."+key, "haf renders role and content alone, so the reward would be that of another conversation: "+
					"leave the row out, or put the text into content")
			}
		}
		if messages[i].Role, err = partOf(f, "role", at); err != nil {
			return nil, err
		}
		if messages[i].Content, err = partOf(f, "content", at); err != nil {
			return nil, err
		}
		if r := messages[i].Role; r != System && r != User && r != Assistant {
			return nil, wrong(at+".role", "%s, wanted %q, %q or %q", quote(r), System, User, Assistant)
		}
	}
	return messages, nil
}

// unreadParts are keys of a message that chat templates render and haf does not.
var unreadParts = []string{"tool_calls", "tool_call_id", "function_call", "reasoning_content", "reasoning", "thinking"}

// emptyPart tells whether a part of a message says nothing.
func emptyPart(part json.RawMessage) bool {
	return slices.Contains([]string{"null", "[]", "{}", `""`, "false"}, string(part))
}

// partOf decodes the role or the content of the message that stands at field.
func partOf(message fields, key, field string) (string, error) {
	v, ok := message[key]
	if !ok {
		return "", wrong(field+"."+key, "missing, wanted a message {role, content}")
	}
	return textOf(v, field+"."+key)
}

// promptOf decodes a prompt: a text is one message of the user. It is nil where there is nothing in
// it.
func promptOf(raw json.RawMessage, field string) ([]Message, error) {
	switch kind(raw) {
	case "text":
		s, err := textOf(raw, field)
		if err != nil || blank(s) {
			return nil, err
		}
		return []Message{{Role: User, Content: s}}, nil
	case "a list":
		return messagesOf(raw, field)
	}
	return nil, wrong(field, "%s, wanted text or a list of messages", kind(raw))
}

// dialogueOf decodes an answer, or a whole dialogue that ends in one: a text is one message of the
// assistant. It is never empty.
func dialogueOf(raw json.RawMessage, field string) ([]Message, error) {
	switch kind(raw) {
	case "text":
		s, err := textOf(raw, field)
		return []Message{{Role: Assistant, Content: s}}, err
	case "a list":
		m, err := messagesOf(raw, field)
		if err == nil && len(m) == 0 {
			err = wrong(field, "an empty list, wanted messages that end in one of the assistant")
		}
		return m, err
	}
	return nil, wrong(field, "%s, wanted text or a list of messages", kind(raw))
}

// objectAt decodes an object inside a row.
func objectAt(raw json.RawMessage, field string) (fields, error) {
	if kind(raw) != "an object" {
		return nil, wrong(field, "%s, wanted an object", kind(raw))
	}
	var f fields
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, wrong(field, "%v, wanted an object", err)
	}
	maps.DeleteFunc(f, func(_ string, v json.RawMessage) bool { return kind(v) == "null" })
	return f, nil
}

// text returns a field that must be there and be text.
func (f fields) text(key string) (string, error) {
	raw, err := f.get(key)
	if err != nil {
		return "", err
	}
	return textOf(raw, key)
}

// optional returns a field that is text where it is there.
func (f fields) optional(key string) (string, error) {
	if !f.has(key) {
		return "", nil
	}
	return textOf(f[key], key)
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }
