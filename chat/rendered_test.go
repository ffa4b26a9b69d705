package chat

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// toolTalk is a conversation with a call of a tool; raw is the same as transformers takes it.
var toolTalk = []Message{
	{Role: "user", Content: "Weather in Rome?",
		Tools: `[{"type":"function","function":{"name":"weather","description":"Tells it.","parameters":{"type":"object","properties":{}}}}]`},
	{Role: "assistant",
		Parts: `{"content":null,"tool_calls":[{"id":"123456789","type":"function","function":{"name":"weather","arguments":{"city":"Rome"}}}]}`},
	{Role: "tool", Content: "sunny\n\"warm\"", Parts: `{"name":"weather","tool_call_id":"123456789"}`},
	{Role: "assistant", Content: "It is sunny."},
}

const rawToolTalk = `[{"role":"user","content":"Weather in Rome?"},
{"role":"assistant","content":null,"tool_calls":[{"id":"123456789","type":"function","function":{"name":"weather","arguments":{"city":"Rome"}}}]},
{"role":"tool","content":"sunny\n\"warm\"","name":"weather","tool_call_id":"123456789"},
{"role":"assistant","content":"It is sunny."}]`

// Templates that know tools render such a conversation as RenderAny does, which the stored texts of
// transformers hold; the others refuse it.
func TestToolsAreRenderedOrRefused(t *testing.T) {
	rendered, refused := 0, 0
	for _, file := range []string{"published", "chat_templates"} {
		data, err := os.ReadFile("testdata/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var stored []struct{ Name, Template string }
		if err := json.Unmarshal(data, &stored); err != nil {
			t.Fatal(err)
		}
		for _, s := range stored {
			tpl, err := New(s.Template, "<s>", "</s>")
			if err != nil {
				t.Fatal(err)
			}
			text, err := tpl.Render(toolTalk, false)
			if err != nil {
				refused++
				continue
			}
			rendered++
			raw, err := tpl.RenderAny(json.RawMessage(rawToolTalk),
				map[string]any{"tools": json.RawMessage(toolTalk[0].Tools)})
			if err != nil || raw != text {
				t.Errorf("%s: %q, RenderAny gives %q, %v", s.Name, text, raw, err)
			}
			for _, part := range []string{"Tells it.", "Rome?", "city", "sunny", "warm", "It is"} {
				if !strings.Contains(text, part) {
					t.Errorf("%s: %q leaves out %q", s.Name, text, part)
				}
			}
		}
	}
	if rendered < 3 || refused < 3 {
		t.Errorf("%d templates render tools, %d refuse them", rendered, refused)
	}
}

func TestUnrendered(t *testing.T) {
	const turns = `{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}`
	for _, c := range []struct {
		template string
		messages []Message
		want     string // "" where the conversation is rendered
	}{
		{turns, []Message{{Role: "tool", Content: "x"}}, ""},
		{turns, []Message{{Role: "user", Content: "x", Tools: `[{}]`}}, "leaves out the tools"},
		{turns + `{{ tools }}`, []Message{{Role: "user", Content: "x", Tools: `[{}]`}}, ""},
		{turns, []Message{{Role: "assistant", Content: "x", Parts: `{"tool_calls":[]}`}},
			"leaves out tool_calls of a message"},
		{turns + `{{ messages[0].tool_calls }}`,
			[]Message{{Role: "assistant", Content: "x", Parts: `{"tool_calls":[]}`}}, ""},
		{turns + `{{ messages[0].tool_calls }}`,
			[]Message{{Role: "assistant", Parts: `{"content":null,"tool_calls":[1]}`}}, `writes "None"`},
		{`{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}`,
			[]Message{{Role: "user", Content: "x"}, {Role: "tool", Content: "y"}},
			`leaves out messages of the role "tool"`},
	} {
		tpl, err := New(c.template, "", "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = tpl.Render(c.messages, false)
		if c.want == "" && err != nil || c.want != "" &&
			(err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s of %+v: %v, want %q", c.template, c.messages, err, c.want)
		}
		if strings.HasPrefix(c.want, "leaves") && !errors.Is(err, ErrUnrendered) {
			t.Errorf("%v does not wrap ErrUnrendered", err)
		}
	}
}
