package serve

import (
	"testing"

	"haf/pref"
)

// Calls of tools, their answers, parts of a content and tools reach the model's template through
// /classify and /pooling as they do through files.
func TestToolsReachTheTemplate(t *testing.T) {
	const body = `{"messages":[
		{"role":"user","content":[{"type":"text","text":"Weather "},{"type":"text","text":"in Rome?"}]},
		{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"weather"}}]},
		{"role":"tool","name":"weather","content":"sunny"},
		{"role":"assistant","content":"It is sunny."}],
		"tools":[{"type":"function","function":{"name":"weather"}}]}`
	want := []pref.Message{
		{Role: pref.User, Content: "Weather in Rome?",
			Tools: `[{"type":"function","function":{"name":"weather"}}]`},
		{Role: pref.Assistant,
			Parts: `{"content":null,"tool_calls":[{"function":{"name":"weather"}}]}`},
		{Role: pref.Tool, Content: "sunny", Parts: `{"name":"weather"}`},
	}
	for name, decode := range map[string]decoder{"classify": decodeClassify,
		"pooling": decodePooling} {
		c, err := decode([]byte(body), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.render(); err != nil {
			t.Fatal(err)
		}
		in := c.inputs[0]
		if len(in.Prompt) != len(want) || in.Response != "It is sunny." {
			t.Fatalf("%s: %+v", name, in)
		}
		for i := range want {
			if in.Prompt[i] != want[i] {
				t.Errorf("%s: message %d is %+v, wanted %+v", name, i, in.Prompt[i], want[i])
			}
		}
	}
	c, err := decodeClassify([]byte(`{"input":"a","tools":[{"name":"f"}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.render(); err == nil {
		t.Error("tools beside text are passed over")
	}
}
