package serve

import (
	"encoding/json"
	"net/url"
	"strings"

	"haf/pref"
)

// OpenRLHF's remote reward model: POST /get_reward with whole texts, including special tokens.

type openRLHFRequest struct {
	Query   oneOrMore[string] `json:"query"`
	Prompts oneOrMore[string] `json:"prompts"`
	Labels  json.RawMessage   `json:"labels"`   // the dataset's, for other reward functions
	Meta    json.RawMessage   `json:"metadata"` // the name in older versions
}

type openRLHFAnswer struct {
	Rewards    []float64            `json:"rewards"`
	Scores     []float64            `json:"scores"`
	ExtraLogs  map[string][]float64 `json:"extra_logs"`
	Model      string               `json:"model"`
	Activation string               `json:"activation"`
}

func decodeOpenRLHF(body []byte, query url.Values) (*call, error) {
	var r openRLHFRequest
	if err := decode(body, &r, false); err != nil {
		return nil, err
	}
	c := &call{loose: true}
	for _, text := range r.Query.values {
		c.inputs = append(c.inputs, pref.Input{Text: text})
	}
	if err := checkTexts(c.inputs, "query"); err != nil {
		return nil, err
	}
	if n := len(r.Prompts.values); n > 0 && n != len(c.inputs) {
		return nil, wrong("prompts", "there are %d prompts for %d texts in query: want as many, or none",
			n, len(c.inputs))
	}
	for i, p := range r.Prompts.values {
		if strings.HasPrefix(c.inputs[i].Text, p) {
			c.inputs[i].PromptText = p
		}
	}
	c.reply = func(c *call, a *answer) any {
		scores := c.scores(a)
		return openRLHFAnswer{Rewards: scores, Scores: scores,
			ExtraLogs: map[string][]float64{"haf_" + a.reward: scores}, Model: a.model,
			Activation: c.activation()}
	}
	return c, c.address(query)
}
