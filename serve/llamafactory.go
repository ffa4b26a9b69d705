package serve

import (
	"net/url"

	"haf/pref"
)

// llamaFactoryRequest is the body of POST /v1/score/evaluation: whole texts, including template and
// special tokens.
type llamaFactoryRequest struct {
	Model     string   `json:"model"`
	Messages  []string `json:"messages"`
	MaxLength *int     `json:"max_length"`
}

type llamaFactoryAnswer struct {
	ID         string    `json:"id"`
	Object     string    `json:"object"`
	Model      string    `json:"model"`
	Scores     []float64 `json:"scores"`
	Activation string    `json:"activation"`
}

func decodeLLaMAFactory(body []byte, query url.Values) (*call, error) {
	var r llamaFactoryRequest
	if err := decode(body, &r, false); err != nil {
		return nil, err
	}
	c := &call{model: r.Model, loose: true}
	if r.MaxLength != nil {
		if c.most = *r.MaxLength; c.most < 1 {
			return nil, wrong("max_length", "max_length is %d: want 1 or more, or leave it out", c.most)
		}
	}
	for _, text := range r.Messages {
		c.inputs = append(c.inputs, pref.Input{Text: text})
	}
	if err := checkTexts(c.inputs, "messages"); err != nil {
		return nil, err
	}
	c.reply = func(c *call, a *answer) any {
		return llamaFactoryAnswer{ID: newID("scoreval-"), Object: "score.evaluation", Model: a.model,
			Scores: c.scores(a), Activation: c.activation()}
	}
	return c, c.address(query)
}
