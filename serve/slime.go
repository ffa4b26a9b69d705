package serve

import (
	"encoding/json"
	"net/url"

	"haf/pref"
)

// slimeRequest is the body of slime's remote_rm. A prompt that is text was rendered by a template,
// and the response follows it. A prompt that is a list of messages is a conversation.
type slimeRequest struct {
	Prompt   json.RawMessage `json:"prompt"`
	Response *string         `json:"response"`
	Label    json.RawMessage `json:"label"` // the dataset's, for other reward functions
	Tools    json.RawMessage `json:"tools"` // for the template, beside messages
}

func decodeSlime(body []byte, query url.Values) (*call, error) {
	var r slimeRequest
	if err := decode(body, &r, false); err != nil {
		return nil, err
	}
	if r.Response == nil {
		return nil, wrong("response", "response is missing: want text")
	}
	if !set(r.Prompt) {
		return nil, wrong("prompt", "prompt is missing: want text or messages")
	}
	tools, err := pref.ParseTools(r.Tools, "tools")
	if err != nil {
		return nil, wrong("tools", "%v", err)
	}
	c := &call{loose: true, tools: tools}
	var in pref.Input
	if r.Prompt[0] == '"' {
		if err := json.Unmarshal(r.Prompt, &in.PromptText); err != nil {
			return nil, jsonProblem(err)
		}
		in.Text = in.PromptText + *r.Response
		if in.PromptText == "" {
			return nil, wrong("prompt", "prompt is empty")
		}
	} else {
		var p prompt
		if err := json.Unmarshal(r.Prompt, &p); err != nil {
			return nil, jsonProblem(err)
		}
		if len(p) == 0 {
			return nil, wrong("prompt", "prompt has no message")
		}
		in.Sample = pref.Sample{Prompt: p, Response: *r.Response}
	}
	c.inputs = []pref.Input{in}
	// a number; the header X-Haf-Activation names its activation
	c.reply = func(c *call, a *answer) any { return c.reward(a, 0) }
	return c, c.address(query)
}
