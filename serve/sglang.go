package serve

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/url"

	"haf/pref"
)

// SGLang's /classify with text or input_ids, and /v1/embeddings in OpenAI's form, of which verl
// reads data[-1].embedding[-1].

type embedded struct {
	Embedding []float64    `json:"embedding"` // one value, the reward
	Meta      embeddedMeta `json:"meta_info"`
}

type embeddedMeta struct {
	ID           string `json:"id"`
	PromptTokens int    `json:"prompt_tokens"`
	Model        string `json:"model"`
	Activation   string `json:"activation"`
}

// sglang completes the call for a /classify with text or input_ids. The answer is an object for one
// text, else a list.
func (c *call) sglang(in *vllmInputs, query url.Values) error {
	if in.Input.inputs != nil || in.Messages.values != nil || in.Text.values != nil &&
		in.InputIDs.inputs != nil {
		return wrong("text", "two of input, messages, text and input_ids are given: want one of them")
	}
	list := in.Text.list
	if c.inputs = in.InputIDs.inputs; c.inputs != nil {
		list = in.InputIDs.list
		for _, one := range c.inputs {
			if one.Tokens == nil {
				return wrong("input_ids", "input_ids is text: want tokens")
			}
		}
	}
	for _, text := range in.Text.values {
		c.inputs = append(c.inputs, pref.Input{Text: text})
	}
	if err := checkTexts(c.inputs, "text"); err != nil {
		return err
	}
	c.reply = func(c *call, a *answer) any {
		id := newID("")
		out := make([]embedded, len(a.values))
		for i, r := range c.scores(a) {
			out[i] = embedded{[]float64{r}, embeddedMeta{id, a.lengths[i].prompt + a.lengths[i].response,
				a.model, c.activation()}}
		}
		if !list {
			return out[0]
		}
		return out
	}
	return c.address(query)
}

type embedding struct {
	Index     int    `json:"index"`
	Object    string `json:"object"`
	Embedding any    `json:"embedding"` // []float64, or base64 of float32
}

func decodeEmbeddings(body []byte, query url.Values) (*call, error) {
	var r struct {
		vllmRequest
		vllmInputs
		Dimensions *int `json:"dimensions"`
	}
	if err := decode(body, &r, false); err != nil {
		return nil, err
	}
	c, err := r.call()
	if err != nil {
		return nil, err
	}
	if r.Dimensions != nil && *r.Dimensions != 1 {
		return nil, wrong("dimensions", "%d dimensions are asked for, a reward has one: leave "+
			"dimensions out", *r.Dimensions)
	}
	vector, err := encoding(r.Format)
	if err != nil {
		return nil, err
	}
	if err := c.addInputs(&r.vllmInputs, r.AddSpecialTokens); err != nil {
		return nil, err
	}
	c.reply = func(c *call, a *answer) any {
		return newList("embd-", c, a, func(i int, r float64) embedding {
			return embedding{Index: i, Object: "embedding", Embedding: vector(r)}
		})
	}
	return c, c.address(query)
}

// encoding returns a function that writes a vector of one value: as a list of numbers, or in base64
// as little-endian float32, which OpenAI's clients request.
func encoding(format string) (func(float64) any, error) {
	switch format {
	case "", "float":
		return func(r float64) any { return []float64{r} }, nil
	case "base64":
		return func(r float64) any {
			return base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint32(nil,
				math.Float32bits(float32(r))))
		}, nil
	default:
		return nil, wrong("encoding_format", "encoding_format %q is not known: float or base64", format)
	}
}
