package chat

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrUnrendered is wrapped by the error for a conversation of which the template leaves out a part:
// the text, and so the reward, would belong to another conversation.
var ErrUnrendered = errors.New("the template leaves out")

// plainRoles are the roles that every template supports.
var plainRoles = []string{"system", "user", "assistant"}

// linkingParts are keys of a message that link it to another message. A template may leave them
// out.
var linkingParts = []string{"content", "name", "tool_call_id"}

// checkRendered returns an error if the text lacks a tool, a tool call or an answer to one. A
// variable or a part counts as rendered if the template names it, because a template may leave it
// out on purpose, such as the reasoning of earlier turns.
func (t *Template) checkRendered(messages []Message, addGenerationPrompt bool, text string) error {
	if len(messages) > 0 && messages[0].Tools != "" {
		if err := t.checkTools(messages, addGenerationPrompt, text); err != nil {
			return err
		}
	}
	for i, m := range messages {
		if m.Parts != "" {
			if err := t.checkParts(messages, i, addGenerationPrompt, text); err != nil {
				return err
			}
		}
		if slices.Contains(plainRoles, m.Role) || strings.TrimSpace(m.Content) == "" {
			continue
		}
		other := slices.Clone(messages)
		other[i].Content = "x" + m.Content + "x"
		if changed, err := t.render(other, addGenerationPrompt); err == nil && changed == text {
			return fmt.Errorf("chat template: %w messages of the role %q", ErrUnrendered, m.Role)
		}
	}
	return nil
}

// checkTools wants the name of every tool to occur more often in the text than in the text rendered
// without tools.
func (t *Template) checkTools(messages []Message, addGenerationPrompt bool, text string) error {
	var list []struct {
		Name     string
		Function struct{ Name string }
	}
	err := json.Unmarshal([]byte(messages[0].Tools), &list)
	if err != nil || !t.Reads("tools") {
		return fmt.Errorf("chat template: %w the tools", ErrUnrendered)
	}
	other := slices.Clone(messages)
	other[0].Tools = ""
	without, err := t.render(other, addGenerationPrompt)
	if err != nil {
		return nil // the template refuses a conversation without tools
	}
	for _, tool := range list {
		name := cmp.Or(tool.Function.Name, tool.Name)
		if name != "" && strings.Count(text, name) <= strings.Count(without, name) {
			return fmt.Errorf("chat template: %w the tool %q", ErrUnrendered, name)
		}
	}
	return nil
}

// checkParts checks that the parts of message i are rendered.
func (t *Template) checkParts(
	messages []Message, i int, addGenerationPrompt bool, text string,
) error {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal([]byte(messages[i].Parts), &parts); err != nil {
		return fmt.Errorf("chat template: parts of message %d: %w", i, err)
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if !slices.Contains(linkingParts, name) && !t.Reads(name) {
			return fmt.Errorf("chat template: %w %s of a message", ErrUnrendered, name)
		}
	}
	if string(parts["content"]) != "null" {
		return nil
	}
	// Without its own case for null, a template writes null as Python's None.
	parts["content"] = json.RawMessage(`""`)
	raw, err := json.Marshal(parts)
	if err != nil {
		return err
	}
	other := slices.Clone(messages)
	other[i].Parts = string(raw)
	empty, err := t.render(other, addGenerationPrompt)
	if err == nil && strings.Count(text, "None") > strings.Count(empty, "None") {
		return errors.New(`chat template: it writes "None" for a message whose content is null`)
	}
	return nil
}
