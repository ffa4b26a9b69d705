package serve

import (
	"strings"
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
	const prompt = `[{"role":"user","content":[{"type":"text","text":"Weather "},
		{"type":"text","text":"in Rome?"}],"tools":[{"type":"function","function":{"name":"weather"}}]},
		{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"weather"}}]},
		{"role":"tool","name":"weather","content":"sunny"}]`
	const said = `{"role":"assistant","content":"It is sunny."}`
	behind := strings.TrimSuffix(prompt, "]") + "," + said + "]"
	for name, c := range map[string]struct {
		decode decoder
		body   string
	}{
		"classify":   {decodeClassify, body},
		"pooling":    {decodePooling, body},
		"embeddings": {decodeEmbeddings, body},
		"messages":   {decodeNative, `{"messages":` + behind + `}`},
		"samples":    {decodeNative, `{"samples":[{"messages":` + behind + `}]}`},
		"prompt":     {decodeNative, `{"prompt":` + prompt + `,"response":"It is sunny."}`},
		"slime":      {decodeSlime, `{"prompt":` + prompt + `,"response":"It is sunny."}`},
		"slime, tools beside": {decodeSlime, `{"prompt":` +
			strings.Replace(prompt, `,"tools":[{"type":"function","function":{"name":"weather"}}]`, "", 1) +
			`,"tools":[{"type":"function","function":{"name":"weather"}}],"response":"It is sunny."}`},
	} {
		call, err := c.decode([]byte(c.body), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := call.render(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		in := call.inputs[0]
		if len(in.Prompt) != len(want) || in.Response != "It is sunny." {
			t.Fatalf("%s: %+v", name, in)
		}
		for i := range want {
			if in.Prompt[i] != want[i] {
				t.Errorf("%s: message %d is %+v, want %+v", name, i, in.Prompt[i], want[i])
			}
		}
	}
}

// What no template renders is refused, never passed over: tools beside text, and a response that
// calls a tool or is null.
func TestCallsAreNotPassedOver(t *testing.T) {
	const call = `"tool_calls":[{"function":{"name":"weather"}}]`
	for _, c := range []struct {
		path, body, says string
	}{
		{"/classify", `{"input":"a","tools":[{"name":"f"}]}`, "to which no template is applied"},
		{"/remote_rm", `{"prompt":"a","response":"b","tools":[{"name":"f"}]}`,
			"to which no template is applied"},
		{"/remote_rm", `{"prompt":[{"role":"user","content":"a"}],"response":"b","tools":"f"}`,
			"want a list of tools"},
		{"/remote_rm", `{"prompt":[{"role":"user","content":"a"}],"response":null}`,
			"response is missing"},
		{"/v1/reward", `{"prompt":"a","response":{"role":"assistant",` + call + `}}`, "want a string"},
		{"/v1/reward", `{"prompt":"a","response":"b","tools":[{"name":"f"}]}`, "is not known"},
		{"/rerank", `{"query":"a","documents":[{"text":"b",` + call + `}]}`, "calls a tool"},
		{"/score", `{"queries":"a","documents":[{"role":"assistant",` + call + `}]}`, "calls a tool"},
		{"/get_reward", `{"query":[{"role":"assistant",` + call + `}]}`, "want a string"},
		{"/v1/score/evaluation", `{"messages":[{"role":"assistant",` + call + `}]}`, "want a string"},
	} {
		if err := decodedAndRendered(c.path, c.body); err == nil ||
			!strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v, want %s", c.path, c.body, err, c.says)
		}
	}
	for _, path := range []string{"/v1/reward", "/classify", "/pooling", "/v1/embeddings"} {
		for last, says := range map[string]string{
			`"content":null,` + call:   "calls a tool",
			`"content":"text",` + call: "calls a tool",
			`"content":null`:           "null, want text",
			`"content":[{"type":"x"}]`: `a part of type "x"`,
			`"tool_calls":[]`:          "missing, want a message",
		} {
			err := decodedAndRendered(path, `{"messages":[{"role":"user","content":"a"},`+
				`{"role":"assistant",`+last+`}]}`)
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s %s: %v, want %q", path, last, err, says)
			}
		}
	}
}

// decodedAndRendered is the error of a request before it comes to a model.
func decodedAndRendered(path, body string) error {
	c, err := decoders[path]([]byte(body), nil)
	if err != nil {
		return err
	}
	return c.render()
}
