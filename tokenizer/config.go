package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"haf/internal/wholefile"
)

const (
	configName   = "tokenizer_config.json"
	specialName  = "special_tokens_map.json"
	templateName = "chat_template.jinja"
)

// settings are the contents of the files beside tokenizer.json.
type settings struct {
	AddBOS, AddEOS *bool
	special        map[string]string // "bos_token" → content
	added          []addedToken      // added_tokens_decoder, by id
	chatTemplate   string
}

// parseConfig reads tokenizer_config.json, special_tokens_map.json and the chat template files, if
// they exist. If both name a special token, tokenizer_config.json wins.
func parseConfig(files map[string][]byte) (settings, error) {
	c := settings{special: map[string]string{}}
	for _, name := range []string{specialName, configName} {
		data, ok := files[name]
		if !ok {
			continue
		}
		var fields map[string]json.RawMessage
		if err := wholefile.Unmarshal(data, &fields); err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		if fields == nil {
			return c, fmt.Errorf("%s: it is null, want an object", name)
		}
		if err := c.specials(fields); err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		if name != configName {
			continue
		}
		if err := c.apply(fields); err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
	}
	if data, ok := files["chat_template.json"]; ok {
		var file struct {
			Template json.RawMessage `json:"chat_template"`
		}
		if err := wholefile.Unmarshal(data, &file); err != nil {
			return c, fmt.Errorf("chat_template.json: %w", err)
		}
		source, err := templateSource(file.Template)
		if err != nil {
			return c, fmt.Errorf("chat_template.json: %w", err)
		}
		if source != "" {
			c.chatTemplate = source
		}
	}
	if data, ok := files[templateName]; ok {
		c.chatTemplate = string(data)
	}
	return c, nil
}

// specials reads the fields *_token; null removes a token named by an earlier file.
func (c *settings) specials(fields map[string]json.RawMessage) error {
	for name, raw := range fields {
		if !strings.HasSuffix(name, "_token") || strings.HasPrefix(name, "add_") {
			continue
		}
		if string(raw) == "null" {
			delete(c.special, name)
			continue
		}
		var object struct {
			Content string `json:"content"`
		}
		if err := wholefile.Unmarshal(raw, &object.Content); err != nil {
			if err := wholefile.Unmarshal(raw, &object); err != nil {
				return fmt.Errorf("%s: %s is neither a string nor an object with content", name, raw)
			}
		}
		c.special[name] = object.Content
	}
	return nil
}

func (c *settings) apply(fields map[string]json.RawMessage) error {
	for name, to := range map[string]**bool{"add_bos_token": &c.AddBOS, "add_eos_token": &c.AddEOS} {
		if raw, ok := fields[name]; ok {
			if err := wholefile.Unmarshal(raw, to); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if string(fields["split_special_tokens"]) == "true" {
		return fmt.Errorf("split_special_tokens is not supported: remove it to have special tokens in " +
			"the text recognized")
	}
	if raw, ok := fields["added_tokens_decoder"]; ok {
		var tokens map[string]addedToken
		if err := wholefile.Unmarshal(raw, &tokens); err != nil {
			return fmt.Errorf("added_tokens_decoder: %w", err)
		}
		for key, token := range tokens {
			id, err := strconv.ParseInt(key, 10, 32)
			if err != nil {
				return fmt.Errorf("added_tokens_decoder: key %q is not an id", key)
			}
			token.ID = int32(id)
			c.added = append(c.added, token)
		}
		slices.SortFunc(c.added, func(a, b addedToken) int { return cmp.Compare(a.ID, b.ID) })
	}
	source, err := templateSource(fields["chat_template"])
	if err != nil {
		return err
	}
	c.chatTemplate = source
	return nil
}

// templateSource returns the template: a string, or the entry named default in a list [{name,
// template}].
func templateSource(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var source string
	if wholefile.Unmarshal(raw, &source) == nil {
		return source, nil
	}
	var list []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := wholefile.Unmarshal(raw, &list); err != nil {
		return "", fmt.Errorf("chat_template is neither a string nor a list of {name, template}: %w", err)
	}
	for _, entry := range list {
		if entry.Name == "default" {
			return entry.Template, nil
		}
	}
	return "", nil
}

// addTo returns the added tokens of tokenizer.json, followed by those that only
// tokenizer_config.json declares. Flags in tokenizer_config.json win. A named special token of the
// vocabulary becomes an added token even if no list has it. transformers does the same.
func (c *settings) addTo(tokens []addedToken, m model) []addedToken {
	tokens = slices.Clone(tokens)
	find := func(content string) int {
		return slices.IndexFunc(tokens, func(t addedToken) bool { return t.Content == content })
	}
	for _, a := range c.added {
		if at := find(a.Content); at < 0 {
			tokens = append(tokens, a)
		} else if tokens[at].ID == a.ID {
			tokens[at] = a
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.special)) {
		content := c.special[name]
		if id, ok := m.id(content); ok && find(content) < 0 {
			tokens = append(tokens, addedToken{ID: id, Content: content, Special: true})
		}
	}
	return tokens
}
