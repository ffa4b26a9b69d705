package pref

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Roles of a [Message].
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
	Tool      = "tool"      // the answer of a tool
	Developer = "developer" // the name that some models give the system
)

// roles are those that a file may hold; a template may still refuse one.
var roles = []string{System, User, Assistant, Tool, Developer}

// A Message is one turn of a conversation. Its JSON is {role, content}, with the keys of Parts and
// Tools beside them.
type Message struct {
	Role    string
	Content string
	// Parts is a JSON object with everything else that a chat template renders, such as tool_calls. A
	// null content is in it, too. "" means that there is nothing else.
	Parts string
	// Tools is a JSON list of the tools that the conversation may call. The first message of a prompt
	// has it. A renderer gives it to the template as the variable tools.
	Tools string
}

// renderedParts are the keys of a message, besides role and content, that chat templates render.
var renderedParts = []string{"tool_calls", "tool_call_id", "function_call", "reasoning_content",
	"reasoning", "thinking"}

// ErrNotText is wrapped by the error for a message or a row with images or other media.
var ErrNotText = errors.New("haf reads text alone")

// MarshalJSON implements [json.Marshaler].
func (m Message) MarshalJSON() ([]byte, error) {
	type plain struct {
		Role    string          `json:"role"`
		Content *string         `json:"content"`
		Tools   json.RawMessage `json:"tools,omitempty"`
	}
	p := plain{m.Role, &m.Content, json.RawMessage(m.Tools)}
	if m.Parts == "" {
		return json.Marshal(p)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal([]byte(m.Parts), &parts); err != nil {
		return nil, fmt.Errorf("pref: parts of a message: %w", err)
	}
	if _, null := parts["content"]; null {
		p.Content = nil
		delete(parts, "content")
	}
	head, err := json.Marshal(p)
	if err != nil || len(parts) == 0 {
		return head, err
	}
	tail, err := json.Marshal(parts)
	return slices.Concat(head[:len(head)-1], []byte(","), tail[1:]), err
}

// UnmarshalJSON implements [json.Unmarshaler]. It takes the forms of [ParseMessage].
func (m *Message) UnmarshalJSON(data []byte) (err error) {
	*m, err = ParseMessage(data, "message")
	return err
}

// ParseMessage decodes one message of a file or a request. The content is text, or a list of text
// parts, which are joined; null only beside a call of tools. Keys that no template renders are
// ignored. field names the message in errors, which wrap [ErrNotText] if a part is not text.
func ParseMessage(raw json.RawMessage, field string) (Message, error) {
	return parseMessage(raw, field, nil)
}

func parseMessage(raw json.RawMessage, field string, row *reading) (m Message, err error) {
	if kind(raw) != "an object" {
		return m, wrong(field, "%s, want a message {role, content}", kind(raw))
	}
	f, err := (&fields{}).objectAt(raw, field)
	if err != nil {
		return m, err
	}
	if m.Role, err = f.part("role"); err != nil {
		return m, err
	}
	parts := map[string]json.RawMessage{}
	for key, v := range f.values {
		switch {
		case key == "role" || key == "content" || emptyValue(v):
		case key == "tools":
			m.Tools, err = ParseTools(v, f.name(key))
		case slices.Contains(renderedParts, key) || key == "name" && m.Role == Tool:
			var part string
			part, err = compact(v, f.name(key))
			parts[key] = json.RawMessage(part)
		case row != nil:
			row.passOver(field, key)
		}
		if err != nil {
			return m, err
		}
	}
	if slices.Contains(f.nulls, "content") && calls(parts) {
		parts["content"] = json.RawMessage("null")
	} else if m.Content, err = f.content(); err != nil {
		return m, err
	}
	m.Parts = joinParts(parts)
	return m, nil
}

// part returns a text that a message must have.
func (f *fields) part(key string) (string, error) {
	raw, ok := f.values[key]
	switch {
	case ok:
		return textOf(raw, f.name(key))
	case slices.Contains(f.nulls, key):
		return "", wrong(f.name(key), "null, want text")
	}
	return "", wrong(f.name(key), "missing, want a message {role, content}")
}

// content decodes the content of a message.
func (f *fields) content() (string, error) {
	raw := f.values["content"]
	if kind(raw) != "a list" {
		return f.part("content")
	}
	field := f.name("content")
	list, err := listOf(raw, field, "text parts")
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for i, item := range list {
		text, err := partText(item, fmt.Sprintf("%s[%d]", field, i))
		if err != nil {
			return "", err
		}
		all.WriteString(text)
	}
	return all.String(), nil
}

// partText decodes one part of a content: {type: "text", text}.
func partText(raw json.RawMessage, field string) (string, error) {
	if isText(raw) {
		return textOf(raw, field)
	}
	if kind(raw) != "an object" {
		return "", wrong(field, `%s, want a part {type: "text", text}`, kind(raw))
	}
	f, err := (&fields{}).objectAt(raw, field)
	if err != nil {
		return "", err
	}
	if f.has("type") {
		what, err := textOf(f.values["type"], f.name("type"))
		if err != nil {
			return "", err
		}
		if what != "text" {
			return "", notText(f.name("type"), "a part of type %s", quote(what))
		}
	}
	return f.part("text")
}

// notText is the error of a field that holds no text.
func notText(field, format string, args ...any) error {
	return fmt.Errorf("%w: %w", wrong(field, format, args...), ErrNotText)
}

// calls reports whether the parts of a message call tools.
func calls(parts map[string]json.RawMessage) bool {
	return parts["tool_calls"] != nil || parts["function_call"] != nil
}

// joinParts writes the parts as one object, its keys sorted.
func joinParts(parts map[string]json.RawMessage) string {
	if len(parts) == 0 {
		return ""
	}
	var b strings.Builder
	for i, key := range slices.Sorted(maps.Keys(parts)) {
		b.WriteString([2]string{"{", ","}[min(i, 1)])
		fmt.Fprintf(&b, "%q:%s", key, parts[key])
	}
	return b.String() + "}"
}

// compact returns a JSON value without spaces. Everything in it is read by a template, so it must
// be JSON as the standard has it.
func compact(raw json.RawMessage, field string) (string, error) {
	if at := invalidUTF8(raw); at >= 0 {
		return "", wrong(field, "invalid UTF-8 at byte %d of the value (0x%02x), want UTF-8",
			at, raw[at])
	}
	if escape := loneSurrogate(raw); escape != "" {
		return "", wrong(field, "%s is half of a surrogate pair, want both halves or neither", escape)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return "", wrong(field, "%v, want JSON", err)
	}
	return b.String(), nil
}

// messages decodes a list of messages of the roles that files hold.
func (f *fields) messages(raw json.RawMessage, field string) ([]Message, error) {
	list, err := listOf(raw, field, "messages")
	if err != nil {
		return nil, err
	}
	messages := make([]Message, len(list))
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		if messages[i], err = parseMessage(item, at, f.row); err != nil {
			return nil, err
		}
		if r := messages[i].Role; !slices.Contains(roles, r) {
			return nil, wrong(at+".role", "%s, want %s", quote(r), quoted(roles))
		}
		if messages[i].Tools != "" && i > 0 {
			return nil, wrong(at+".tools", "tools behind the first message, want them on it")
		}
	}
	return messages, nil
}

// promptOf decodes a prompt: a text is one message of the user, unless it is a transcript of
// HH-RLHF. It is nil where there is nothing in it.
func (f *fields) promptOf(raw json.RawMessage, field string) ([]Message, error) {
	switch kind(raw) {
	case "text":
		s, err := textOf(raw, field)
		if err != nil || blank(s) {
			return nil, err
		}
		if isTranscript(s) {
			return transcriptPrompt(s, field)
		}
		return asked(s), nil
	case "a list":
		return f.messages(raw, field)
	}
	return nil, wrong(field, "%s, want text or a list of messages", kind(raw))
}

// prompt decodes a prompt that must be there.
func (f *fields) prompt(key string) ([]Message, error) {
	raw, err := f.get(key)
	if err != nil {
		return nil, err
	}
	return f.promptOf(raw, f.name(key))
}

// dialogueOf decodes an answer, or a whole dialogue that ends in one: a text is one message of the
// assistant. It is never empty.
func (f *fields) dialogueOf(raw json.RawMessage, field string) ([]Message, error) {
	switch kind(raw) {
	case "text":
		s, err := textOf(raw, field)
		return said(s), err
	case "a list":
		m, err := f.messages(raw, field)
		if err == nil && len(m) == 0 {
			err = wrong(field, "an empty list, want messages that end in one of the assistant")
		}
		return m, err
	}
	return nil, wrong(field, "%s, want text or a list of messages", kind(raw))
}

// dialogue decodes an answer or a dialogue that must be there.
func (f *fields) dialogue(key string) ([]Message, error) {
	raw, err := f.get(key)
	if err != nil {
		return nil, err
	}
	m, err := f.dialogueOf(raw, f.name(key))
	if err == nil {
		err = textAnswer(m, f.name(key))
	}
	return m, err
}

// textAnswer makes sure that the answer at the end of a dialogue is text: haf gives rewards to
// text.
func textAnswer(m []Message, field string) error {
	last := m[len(m)-1]
	if last.Parts == "" || last.Role != Assistant {
		return nil
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal([]byte(last.Parts), &parts); err != nil {
		return wrong(field, "%v", err)
	}
	delete(parts, "content")
	return wrong(field, "the answer has %s, want text alone: leave the row out, or put the text "+
		"into content", quoted(slices.Sorted(maps.Keys(parts))))
}

// answerOf decodes one response: text, or a list of one message of the assistant.
func (f *fields) answerOf(raw json.RawMessage, field string) (string, error) {
	m, err := f.dialogueOf(raw, field)
	switch {
	case err != nil:
		return "", err
	case len(m) != 1:
		return "", wrong(field, "%d messages, want text or one message of the assistant", len(m))
	case m[0].Role != Assistant:
		return "", wrong(field+"[0].role", "%q, want %q", m[0].Role, Assistant)
	}
	return m[0].Content, textAnswer(m, field)
}

// answer decodes a response that must be there.
func (f *fields) answer(key string) (string, error) {
	raw, err := f.get(key)
	if err != nil {
		return "", err
	}
	return f.answerOf(raw, f.name(key))
}

func said(text string) []Message { return []Message{{Role: Assistant, Content: text}} }

// asked is the prompt of a text; nil, which is dropped, where there is nothing in it.
func asked(text string) []Message {
	if blank(text) {
		return nil
	}
	return []Message{{Role: User, Content: text}}
}

// passOver notes a key of a message or a comparison that nobody reads: field is prompt[3], say, of
// which the name has no index.
func (r *reading) passOver(field, key string) {
	if i := strings.IndexByte(field, '['); i >= 0 {
		field = field[:i] + "[]"
	}
	if r.extra == nil {
		r.extra = map[string]bool{}
	}
	r.extra[field+"."+key] = true
}
