package serve

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"

	"haf/pref"
)

// nativeRequest is the body of POST /v1/reward, in one of the forms: prompt and response; prompt
// and responses; messages; or samples, a list of the first and third form.
type nativeRequest struct {
	Model       string   `json:"model"`
	Rewards     []string `json:"rewards"` // names; the first is data[].reward
	Tokens      bool     `json:"tokens"`  // with the implicit reward of each token
	Temperature *float64 `json:"temperature"`
	// TemplateArgs have the form of vLLM's.
	TemplateArgs templateArgs `json:"chat_template_kwargs"`
	nativeSample
	Responses []string       `json:"responses"`
	Samples   []nativeSample `json:"samples"`
}

type nativeSample struct {
	Prompt   prompt    `json:"prompt"`
	Response *string   `json:"response"`
	Messages []message `json:"messages"`
	Baseline *baseline `json:"baseline"`
}

// A baseline is another response to the same prompt, or a reward, to compare a response with.
type baseline struct {
	text   string
	isText bool
	reward float64
	input  int // index of the text in the call's inputs
}

func (b *baseline) UnmarshalJSON(data []byte) error {
	*b = baseline{}
	if b.isText = bytes.HasPrefix(data, []byte(`"`)); b.isText {
		return json.Unmarshal(data, &b.text)
	}
	return json.Unmarshal(data, &b.reward)
}

// input returns the sample as an input.
func (s *nativeSample) input() (pref.Input, error) {
	switch {
	case s.Messages != nil && (s.Prompt != nil || s.Response != nil):
		return pref.Input{}, wrong("messages",
			"messages stands beside prompt or response: want one of the forms")
	case s.Messages != nil:
		return chat(s.Messages, "messages")
	case len(s.Prompt) == 0:
		return pref.Input{}, wrong("prompt", "prompt is missing or empty: want text or messages")
	case s.Response == nil:
		return pref.Input{}, wrong("response", "response is missing: want text")
	}
	return pref.Input{Sample: pref.Sample{Prompt: s.Prompt, Response: *s.Response}}, nil
}

func decodeNative(body []byte, query url.Values) (*call, error) {
	var r nativeRequest
	if err := decode(body, &r, true); err != nil {
		return nil, err
	}
	if len(query) > 0 {
		return nil, wrong("", "the address has a query: everything stands in the body here")
	}
	c := &call{model: r.Model, rewards: r.Rewards, tokens: r.Tokens, templateArgs: r.TemplateArgs}
	samples := r.Samples
	one := r.Prompt != nil || r.Response != nil || r.Messages != nil || r.Responses != nil
	switch {
	case samples != nil && (one || r.Baseline != nil):
		return nil, wrong("samples", "samples stands beside a sample of its own: want one of the forms")
	case samples != nil && len(samples) == 0:
		return nil, wrong("samples", "samples is empty: want one or more")
	case samples == nil && r.Responses == nil:
		samples = []nativeSample{r.nativeSample}
	case samples == nil:
		if r.Response != nil || r.Messages != nil {
			return nil, wrong("responses",
				"responses stands beside response or messages: want one of the forms")
		}
		if len(r.Responses) == 0 {
			return nil, wrong("responses", "responses is empty: want one or more")
		}
		for i := range r.Responses {
			samples = append(samples, nativeSample{Prompt: r.Prompt, Response: &r.Responses[i],
				Baseline: r.Baseline})
		}
	}
	if slices.Contains(r.Rewards, "") {
		return nil, wrong("rewards", "rewards has an empty name")
	}
	compared := false
	for i := range samples {
		in, err := samples[i].input()
		if err != nil {
			return nil, err
		}
		c.inputs = append(c.inputs, in)
		compared = compared || samples[i].Baseline != nil
	}
	switch {
	case r.Temperature != nil && !compared:
		return nil, wrong("temperature", "temperature is for probabilities against a baseline, and "+
			"there is none")
	case r.Temperature != nil && !(*r.Temperature > 0):
		return nil, wrong("temperature", "temperature is %g: want more than 0", *r.Temperature)
	}
	if compared {
		c.addBaselines(samples)
	}
	n := len(samples)
	c.reply = func(c *call, a *answer) any { return nativeReply(c, a, n, r.Temperature) }
	return c, nil
}

// addBaselines sets each sample's baseline. Texts become inputs behind the samples, without
// duplicates.
func (c *call) addBaselines(samples []nativeSample) {
	c.baseline = make([]*baseline, len(samples))
	type key struct {
		prompt, text string
	}
	at := map[key]int{}
	for i := range samples {
		if samples[i].Baseline == nil {
			continue
		}
		b := *samples[i].Baseline // samples may share a baseline
		c.baseline[i] = &b
		if !b.isText {
			continue
		}
		prompt, err := json.Marshal(c.inputs[i].Prompt)
		if err != nil {
			prompt = []byte{byte(i)} // cannot happen: it came as JSON
		}
		k := key{string(prompt), b.text}
		n, ok := at[k]
		if !ok {
			n = len(c.inputs)
			at[k] = n
			c.inputs = append(
				c.inputs, pref.Input{Sample: pref.Sample{Prompt: c.inputs[i].Prompt, Response: b.text}})
		}
		b.input = n
	}
}

// nativeAnswer is the body of the reply.
type nativeAnswer struct {
	Object      string       `json:"object"`
	Model       string       `json:"model"`
	Reward      string       `json:"reward"` // the name of the reward in data[].reward
	Activation  string       `json:"activation"`
	Temperature *float64     `json:"temperature,omitempty"` // of the probabilities
	Data        []nativeItem `json:"data"`
	Usage       usage        `json:"usage"`
}

type nativeItem struct {
	Index          int                `json:"index"`
	Reward         float64            `json:"reward"`
	Rewards        map[string]float64 `json:"rewards"`
	Tokens         []pref.TokenReward `json:"tokens,omitempty"`
	BaselineReward *float64           `json:"baseline_reward,omitempty"`
	// Probability is σ((reward − baseline)/temperature): the probability that a person prefers the
	// response, as far as the rewards are calibrated.
	Probability    *float64 `json:"probability,omitempty"`
	PromptTokens   int      `json:"prompt_tokens"`
	ResponseTokens int      `json:"response_tokens"`
	Truncated      bool     `json:"truncated"`
}

func nativeReply(c *call, a *answer, n int, temperature *float64) nativeAnswer {
	out := nativeAnswer{Object: "list", Model: a.model, Reward: a.reward, Activation: c.activation(),
		Usage: a.usage(), Data: make([]nativeItem, n)}
	if c.baseline != nil {
		if temperature == nil {
			temperature = &a.temperature
		}
		out.Temperature = temperature
	}
	for i := range out.Data {
		l := a.lengths[i]
		item := nativeItem{Index: i, Reward: c.reward(a, i), Rewards: c.wanted(a, i),
			PromptTokens: l.prompt, ResponseTokens: l.response, Truncated: l.truncated}
		if c.tokens {
			item.Tokens = a.values[i].Tokens
		}
		if c.baseline != nil && c.baseline[i] != nil {
			b := c.baseline[i].reward
			if c.baseline[i].isText {
				b = a.values[c.baseline[i].input].Rewards[a.reward]
			}
			p := logistic((item.Reward - b) / *temperature)
			item.BaselineReward, item.Probability = &b, &p
		}
		out.Data[i] = item
	}
	return out
}

// wanted returns the requested rewards of input i. For a combination without requested names it
// returns all.
func (c *call) wanted(a *answer, i int) map[string]float64 {
	if len(c.rewards) == 0 && a.reward == combinedName {
		return a.values[i].Rewards
	}
	out := map[string]float64{a.reward: a.values[i].Rewards[a.reward]}
	for _, name := range c.rewards {
		out[name] = a.values[i].Rewards[name]
	}
	return out
}
