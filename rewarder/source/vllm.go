package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"haf/pref"
)

// vLLM returns rewards at /classify and /pooling. This follows vLLM 0.33.0
// (entrypoints/pooling/classify/protocol.py, pooling/protocol.py) and all versions since 0.11.2,
// the first that accepts messages:
//
//   - A request has one conversation as messages, which the model's own chat template renders,
//     without a generation prompt and without further special tokens.
//   - use_activation is false, because vLLM would otherwise apply a sigmoid to a model of one label
//     and a softmax to one of several (model_executor/layers/pooler/activations.py).
//   - /classify answers {"data": [{"index", "label", "probs": [r], "num_classes": 1}]}.
//   - /pooling answers {"data": [{"index", "object": "pooling", "data": [r]}]}. Of a model that is
//     pooled token by token (task token_classify) data is a list of lists; the reward is the last
//     token's.
var vllm = dialect{
	program: "vLLM", scheme: "vllm+",
	paths: []string{vllmClassify, vllmPooling}, models: "/v1/models",
	batch: 1, body: vllmBody, read: vllmRead, refuses: refuseTools,
}

// refuseTools refuses prompts with tools. vLLM's pooling requests have no field for them, and vLLM
// would ignore one silently.
func refuseTools(prompt []pref.Message) error {
	if len(prompt) > 0 && prompt[0].Tools != "" {
		return errors.New("the prompt has tools, which vLLM does not take beside a conversation to " +
			"be given a reward")
	}
	return nil
}

const (
	vllmClassify = "/classify"
	vllmPooling  = "/pooling"
)

func vllmBody(model string, items []item, _ Renderer) (any, error) {
	one := items[0]
	return struct {
		Model         string         `json:"model"`
		Messages      []pref.Message `json:"messages"`
		UseActivation bool           `json:"use_activation"`
	}{model, append(slices.Clip(one.Prompt), pref.Message{
		Role: pref.Assistant, Content: one.Response,
	}), false}, nil
}

func vllmRead(path string, answer json.RawMessage, n int) ([]float64, error) {
	var a struct {
		Activation *string `json:"activation"` // haf's own server names its activation
		Data       []struct {
			Index *int            `json:"index"`
			Probs []*float64      `json:"probs"`
			Data  json.RawMessage `json:"data"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("the answer of %s has another form: %w", path, err)
	}
	if a.Activation != nil && *a.Activation != "raw" {
		return nil, fmt.Errorf("the rewards came with activation %q, want raw", *a.Activation)
	}
	if err := countOf("data", len(a.Data), n); err != nil {
		return nil, err
	}
	out := make([]float64, n)
	for i, d := range a.Data {
		if d.Index != nil && *d.Index != i {
			return nil, fmt.Errorf("entry %d of data has index %d", i, *d.Index)
		}
		var err error
		if path == vllmPooling {
			out[i], err = pooledReward(d.Data)
		} else {
			out[i], err = oneNumber("probs", d.Probs)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pooledReward returns the reward in the data of one entry of /pooling.
func pooledReward(data json.RawMessage) (float64, error) {
	var numbers []*float64
	if json.Unmarshal(data, &numbers) == nil {
		return oneNumber("data", numbers)
	}
	var tokens [][]*float64
	if err := json.Unmarshal(data, &tokens); err != nil || len(tokens) == 0 {
		return 0, fmt.Errorf("data is neither a list of one number nor a list of one number a token")
	}
	return oneNumber("data of the last token", tokens[len(tokens)-1])
}
