package reward

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"haf/chat"
	"haf/encode"
	"haf/internal/wholefile"
)

// tokenizerFiles are the tokenizer's files as they are saved: with the padding token and the chat
// template that the model is read with, so that apply_chat_template of transformers makes the
// conversations that haf makes.
func (m *Model) tokenizerFiles() (map[string][]byte, error) {
	files := maps.Clone(m.Tokenizer.Files())
	change := map[string]any{}
	if pad, ok := m.Tokenizer.Token(int32(m.Config.PAD)); ok {
		change["pad_token"] = pad
	}
	if own, err := chat.Of(m.Tokenizer); err != nil || own.Source() != m.savedTemplate() {
		change["chat_template"] = m.savedTemplate()
		files["chat_template.jinja"] = []byte(m.savedTemplate())
		delete(files, "chat_template.json") // an older form of the same
	}
	// transformers 5 builds some classes from settings of their own and passes over what
	// tokenizer.json says; this one reads it.
	change["tokenizer_class"] = "PreTrainedTokenizerFast"
	if class := m.Tokenizer.Class(); class == "TokenizersBackend" {
		delete(change, "tokenizer_class")
	}
	for _, name := range []string{"tokenizer_config.json", "special_tokens_map.json"} {
		data, ok := files[name]
		if !ok && name != "tokenizer_config.json" {
			continue
		}
		var err error
		if files[name], err = withKeys(data, change); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		delete(change, "chat_template") // both stand in the first file alone
		delete(change, "tokenizer_class")
	}
	return files, nil
}

// withKeys sets keys of a JSON object, and leaves the text as it is where they have these values
// already.
func withKeys(data []byte, change map[string]any) ([]byte, error) {
	keys := map[string]json.RawMessage{}
	if len(data) > 0 {
		if err := wholefile.Unmarshal(data, &keys); err != nil {
			return nil, err
		}
	}
	changed := false
	for key, value := range change {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		if string(keys[key]) != string(raw) {
			keys[key], changed = raw, true
		}
	}
	if !changed && data != nil {
		return data, nil
	}
	return json.MarshalIndent(keys, "", "  ")
}

// dateCall is a call of strftime_now with a text.
var dateCall = regexp.MustCompile(`strftime_now\(\s*(?:'([^']*)'|"([^"]*)")\s*\)`)

// savedTemplate is the source of the template that is saved: arguments, date and BOS tokens that
// the model was read with are written into it, since a program that renders it knows none of them.
// An argument that a program sets itself goes before.
func (m *Model) savedTemplate() string {
	source := m.template.Source()
	var head strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.Meta.Template.Args)) {
		fmt.Fprintf(&head, "{%% if %s is not defined %%}{%% set %s = %s %%}{%% endif %%}", name, name,
			jinjaLiteral(m.Meta.Template.Args[name]))
	}
	if day, err := time.Parse(dateForm, m.Meta.Template.Date); err == nil {
		source = dateCall.ReplaceAllStringFunc(source, func(call string) string {
			one, err := chat.New("{{ "+call+" }}", "", "")
			if err != nil {
				return call
			}
			text, err := one.At(day).Render(nil, false)
			if err != nil {
				return call
			}
			return "'" + text + "'"
		})
	}
	opening := 0
	switch m.Meta.BOS {
	case encode.BOSNone:
		head.WriteString("{% set bos_token = '' %}")
	case encode.BOSOnce:
		opening = 1
	case encode.BOSTwice:
		opening = 2
	}
	for range opening - m.Encoder.OpeningBOS() {
		head.WriteString("{{ bos_token }}")
	}
	if head.Len() > 0 && strings.HasPrefix(source, "\n") {
		head.WriteString("\n") // a line end behind a block is dropped
	}
	return head.String() + source
}

// jinjaLiteral writes a JSON value as Jinja does.
func jinjaLiteral(value json.RawMessage) string {
	var v any
	if err := wholefile.Unmarshal(value, &v); err != nil {
		return "none"
	}
	switch v := v.(type) {
	case nil:
		return "none"
	case string:
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(v) + "'"
	case []any:
		var parts []string
		for _, item := range v {
			raw, _ := json.Marshal(item) // it was JSON
			parts = append(parts, jinjaLiteral(raw))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			raw, _ := json.Marshal(v[key])
			name, _ := json.Marshal(key)
			parts = append(parts, jinjaLiteral(name)+": "+jinjaLiteral(raw))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return strings.TrimSpace(string(value)) // a number or a truth value
}
