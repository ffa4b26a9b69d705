package source

import (
	"context"
	"encoding/json"
	"fmt"

	"haf/encode"
	"haf/pref"
)

// A Renderer turns a conversation into a model's input: tokens, or text including template and
// special tokens, together with its beginning up to the response. An encode.Encoder is one.
type Renderer interface {
	Text(prompt []pref.Message, response string) (whole, begin string, err error)
	Conversation(prompt []pref.Message, response string) (encode.Conversation, bool, error)
}

// renderer opens the renderer for a program that accepts no messages.
func (opt Options) renderer(ctx context.Context, program string) (Renderer, error) {
	if opt.Tokenizer == nil {
		return nil, fmt.Errorf("%w: %s takes no messages: name the folder or the id of its model, "+
			"whose template and tokenizer haf then uses, with -source-tokenizer "+
			"(tokenizer of rlhf.rewards)", ErrName, program)
	}
	return opt.Tokenizer(ctx)
}

// SGLang returns rewards at /classify. This follows SGLang 0.5.23 (srt/entrypoints/http_server.py,
// srt/managers/io_struct.py: EmbeddingReqInput):
//
//   - A request has tokens, as input_ids. SGLang takes no messages there, and to a text its
//     tokenizer adds special tokens, which a template has written already.
//   - The answer is [{"embedding": [r], "meta_info": {…}}], or the object alone for one input. The
//     reward is raw (srt/models/llama_classification.py). /v1/classify is not asked, because it
//     applies a softmax.
var sglang = dialect{
	program: "SGLang", scheme: "sglang+",
	paths: []string{"/classify"}, models: "/v1/models",
	batch: 16, renders: true, body: sglangBody, read: sglangRead,
}

func sglangBody(_ string, items []item, by Renderer) (any, error) {
	tokens := make([][]int32, len(items))
	for i, it := range items {
		c, _, err := by.Conversation(it.Prompt, it.Response)
		if err != nil {
			return nil, err
		}
		tokens[i] = c.Tokens
	}
	return map[string]any{"input_ids": tokens}, nil
}

func sglangRead(_ string, answer json.RawMessage, n int) ([]float64, error) {
	type entry struct {
		Embedding []*float64 `json:"embedding"`
		Meta      struct {
			Activation *string `json:"activation"` // of haf's own server
		} `json:"meta_info"`
	}
	var all []entry
	if err := json.Unmarshal(answer, &all); err != nil {
		var one entry
		if json.Unmarshal(answer, &one) != nil {
			return nil, fmt.Errorf("the answer of /classify has another form: %w", err)
		}
		all = []entry{one}
	}
	if err := countOf("the answer", len(all), n); err != nil {
		return nil, err
	}
	out := make([]float64, n)
	for i, e := range all {
		if e.Meta.Activation != nil && *e.Meta.Activation != "raw" {
			return nil, fmt.Errorf("the rewards came with activation %q, want raw", *e.Meta.Activation)
		}
		var err error
		if out[i], err = oneNumber("embedding", e.Embedding); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// OpenRLHF returns rewards at /get_reward. This follows OpenRLHF 0.11.2 (cli/serve_rm.py, and its
// client utils/agent.py):
//
//   - query has whole texts, which the server tokenizes without adding special tokens; prompts has
//     their beginnings, and labels what the data set says of each, here nothing.
//   - The answer is {"rewards": [r, …], "scores": …, "extra_logs": …}.
var openRLHF = dialect{
	program: "OpenRLHF", scheme: "openrlhf+",
	paths: []string{"/get_reward"},
	batch: 32, renders: true, body: openRLHFBody, read: openRLHFRead,
}

func openRLHFBody(_ string, items []item, by Renderer) (any, error) {
	var q struct {
		Query   []string `json:"query"`
		Prompts []string `json:"prompts"`
		Labels  []string `json:"labels"`
	}
	for _, it := range items {
		whole, begin, err := by.Text(it.Prompt, it.Response)
		if err != nil {
			return nil, err
		}
		q.Query, q.Prompts = append(q.Query, whole), append(q.Prompts, begin)
		q.Labels = append(q.Labels, "")
	}
	return q, nil
}

func openRLHFRead(_ string, answer json.RawMessage, n int) ([]float64, error) {
	var a struct {
		Rewards    []*float64 `json:"rewards"`
		Activation *string    `json:"activation"` // of haf's own server
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("the answer of /get_reward has another form: %w", err)
	}
	if a.Activation != nil && *a.Activation != "raw" {
		return nil, fmt.Errorf("the rewards came with activation %q, want raw", *a.Activation)
	}
	if err := countOf("rewards", len(a.Rewards), n); err != nil {
		return nil, err
	}
	out := make([]float64, n)
	for i := range out {
		var err error
		if out[i], err = oneNumber("rewards", a.Rewards[i:i+1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
