package serve

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"haf/pref"
)

// The pooling endpoints of vLLM: /classify, /pooling, /score and /rerank. Rewards are raw unless
// the request asks for an activation; vLLM would apply a sigmoid by default.

// vllmRequest has the fields that the four share. Fields that do not affect the reward are ignored;
// those that would change it are refused.
type vllmRequest struct {
	Model            string          `json:"model"`
	UseActivation    *bool           `json:"use_activation"`
	Activation       *bool           `json:"activation"` // older names of use_activation
	Softmax          *bool           `json:"softmax"`
	Normalize        *bool           `json:"normalize"`
	Template         json.RawMessage `json:"chat_template"`
	TemplateArgs     templateArgs    `json:"chat_template_kwargs"`
	GenerationPrompt bool            `json:"add_generation_prompt"`
	Continue         bool            `json:"continue_final_message"`
	Tools            json.RawMessage `json:"tools"`
	Truncate         *int            `json:"truncate_prompt_tokens"`
	AddSpecialTokens *bool           `json:"add_special_tokens"`
}

// templateArgs are variables of the chat template with any JSON values.
type templateArgs map[string]json.RawMessage

func set(data json.RawMessage) bool {
	return len(data) > 0 && !bytes.Equal(data, []byte("null")) && !bytes.Equal(data, []byte("{}"))
}

// call makes the call of a request without its inputs.
func (r *vllmRequest) call() (*call, error) {
	switch {
	case r.Softmax != nil && *r.Softmax:
		return nil, wrong("softmax", "softmax over one value is always 1: ask for use_activation (a "+
			"sigmoid), or for neither")
	case set(r.Template):
		return nil, wrong("chat_template", "the chat template is the model's own, that of a request is "+
			"not run: leave it out, or send the text that it makes as input")
	case r.GenerationPrompt:
		return nil, wrong("add_generation_prompt", "a reward is that of a whole conversation: leave "+
			"add_generation_prompt out")
	case r.Continue:
		return nil, wrong("continue_final_message", "a reward is that of a whole conversation: leave "+
			"continue_final_message out")
	case r.Truncate != nil && *r.Truncate != -1:
		return nil, wrong("truncate_prompt_tokens", "inputs are cut by the model's own rule: leave "+
			"truncate_prompt_tokens out")
	}
	tools, err := pref.ParseTools(r.Tools, "tools")
	if err != nil {
		return nil, wrong("tools", "%v", err)
	}
	use := cmp.Or(r.UseActivation, r.Activation)
	return &call{tools: tools, model: r.Model, loose: true, sigmoid: use != nil &&
		*use, templateArgs: r.TemplateArgs}, nil
}

// vllmInputs are the inputs of /classify, /pooling and /v1/embeddings: text, tokens or a
// conversation.
type vllmInputs struct {
	Input    texts             `json:"input"`
	Messages oneOrMore[turns]  `json:"messages"`
	Format   string            `json:"encoding_format"`
	Text     oneOrMore[string] `json:"text"`      // SGLang's
	InputIDs texts             `json:"input_ids"` // SGLang's
}

// turns is one message or, if several conversations are classified at once, a conversation.
type turns []message

func (t *turns) UnmarshalJSON(data []byte) error {
	if data[0] == '[' {
		return json.Unmarshal(data, (*[]message)(t))
	}
	*t = make(turns, 1)
	return json.Unmarshal(data, &(*t)[0])
}

// addInputs adds the inputs of the request to the call.
func (c *call) addInputs(in *vllmInputs, special *bool) error {
	if in.Messages.values == nil {
		c.inputs = in.Input.inputs
		for i := range c.inputs {
			c.inputs[i].NoBOS = special != nil && !*special
		}
		return checkTexts(c.inputs, "input")
	}
	if in.Input.inputs != nil {
		return wrong("messages", "messages stands beside input: want one of them")
	}
	// One conversation is a list of messages, several are a list of such lists.
	conversations := []turns{slices.Concat(in.Messages.values...)}
	if len(in.Messages.values) > 0 && len(in.Messages.values[0]) != 1 {
		conversations = in.Messages.values
	}
	for _, conversation := range conversations {
		one, err := chat(conversation, "messages")
		if err != nil {
			return err
		}
		c.inputs = append(c.inputs, one)
	}
	return nil
}

// listAnswer has the common fields of answers that are lists.
type listAnswer[T any] struct {
	ID         string `json:"id"`
	Object     string `json:"object"`
	Created    int64  `json:"created"`
	Model      string `json:"model"`
	Activation string `json:"activation"`
	Data       []T    `json:"data"`
	Usage      usage  `json:"usage"`
}

func newList[T any](
	prefix string, c *call, a *answer, item func(i int, r float64) T,
) listAnswer[T] {
	out := listAnswer[T]{ID: newID(prefix), Object: "list", Created: time.Now().Unix(), Model: a.model,
		Activation: c.activation(), Usage: a.usage(), Data: make([]T, len(a.values))}
	for i, r := range c.scores(a) {
		out.Data[i] = item(i, r)
	}
	return out
}

func newID(prefix string) string { return prefix + strings.ReplaceAll(uuid.NewString(), "-", "") }

type classified struct {
	Index      int       `json:"index"`
	Label      string    `json:"label"`
	Probs      []float64 `json:"probs"` // the reward; a probability only with the sigmoid
	NumClasses int       `json:"num_classes"`
}

// decodeClassify reads vLLM's /classify and SGLang's, which has text or input_ids.
func decodeClassify(body []byte, query url.Values) (*call, error) {
	var r struct {
		vllmRequest
		vllmInputs
	}
	if err := decode(body, &r, false); err != nil {
		return nil, err
	}
	c, err := r.call()
	if err != nil {
		return nil, err
	}
	if r.Text.values != nil || r.InputIDs.inputs != nil {
		return c, c.sglang(&r.vllmInputs, query)
	}
	if err := c.addInputs(&r.vllmInputs, r.AddSpecialTokens); err != nil {
		return nil, err
	}
	c.reply = func(c *call, a *answer) any {
		return newList("classify-", c, a, func(i int, r float64) classified {
			return classified{Index: i, Label: "LABEL_0", Probs: []float64{r}, NumClasses: 1}
		})
	}
	return c, c.address(query)
}

type pooled struct {
	Index  int    `json:"index"`
	Object string `json:"object"`
	Data   any    `json:"data"` // []float64, or base64 of float32
}

func decodePooling(body []byte, query url.Values) (*call, error) {
	var r struct {
		vllmRequest
		vllmInputs
		Task string `json:"task"`
	}
	if err := decode(body, &r, false); err != nil {
		return nil, err
	}
	c, err := r.call()
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", "classify", "score", "reward"}, r.Task) {
		return nil, wrong("task", "task %q is not served: classify gives the reward", r.Task)
	}
	vector, err := encoding(r.Format)
	if err != nil {
		return nil, err
	}
	if err := c.addInputs(&r.vllmInputs, r.AddSpecialTokens); err != nil {
		return nil, err
	}
	c.reply = func(c *call, a *answer) any {
		return newList(
			"pool-", c, a, func(i int, r float64) pooled {
				return pooled{Index: i, Object: "pooling", Data: vector(r)}
			})
	}
	return c, c.address(query)
}

// document is text, or an object with text.
type document string

func (d *document) UnmarshalJSON(data []byte) error {
	if data[0] != '{' {
		return json.Unmarshal(data, (*string)(d))
	}
	var o struct {
		Text  *string         `json:"text"`
		Calls json.RawMessage `json:"tool_calls"`
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return err
	}
	if set(o.Calls) {
		return wrong("documents", "a document calls a tool: a reward is given to text")
	}
	if o.Text == nil {
		return wrong("documents", "a document is an object without text: this server reads text alone")
	}
	*d = document(*o.Text)
	return nil
}

// pair is the input for a query and a document: the query is a user's prompt, the document the
// response.
func pair(query, document document) pref.Input {
	return pref.Input{
		Sample: pref.Sample{Prompt: []pref.Message{{Role: pref.User, Content: string(query)}},
			Response: string(document)}}
}

type scoredPair struct {
	Index  int     `json:"index"`
	Object string  `json:"object"`
	Score  float64 `json:"score"`
}

func decodeScore(body []byte, query url.Values) (*call, error) {
	var r struct {
		vllmRequest
		Queries   oneOrMore[document] `json:"queries"`
		Documents oneOrMore[document] `json:"documents"`
		Text1     oneOrMore[document] `json:"text_1"` // older names
		Text2     oneOrMore[document] `json:"text_2"`
	}
	if err := decode(body, &r, false); err != nil {
		return nil, err
	}
	c, err := r.call()
	if err != nil {
		return nil, err
	}
	queries, documents := r.Queries.values, r.Documents.values
	if queries == nil && documents == nil {
		queries, documents = r.Text1.values, r.Text2.values
	}
	if len(queries) == 0 || len(documents) == 0 || len(queries) != 1 &&
		len(queries) != len(documents) {
		return nil, wrong("documents", "there are %d queries and %d documents: want one query, or as "+
			"many as documents", len(queries), len(documents))
	}
	for i, d := range documents {
		c.inputs = append(c.inputs, pair(queries[min(i, len(queries)-1)], d))
	}
	c.reply = func(c *call, a *answer) any {
		return newList("score-", c, a,
			func(i int, r float64) scoredPair { return scoredPair{Index: i, Object: "score", Score: r} })
	}
	return c, c.address(query)
}

type rerankAnswer struct {
	ID         string     `json:"id"`
	Model      string     `json:"model"`
	Activation string     `json:"activation"`
	Usage      usage      `json:"usage"`
	Results    []reranked `json:"results"`
}

type reranked struct {
	Index     int            `json:"index"`
	Document  documentAnswer `json:"document"`
	Relevance float64        `json:"relevance_score"`
}

type documentAnswer struct {
	Text string `json:"text"`
}

// decodeRerank reads /rerank, /v1/rerank and Cohere's /v2/rerank, which sort by falling reward.
func decodeRerank(body []byte, query url.Values) (*call, error) {
	var r struct {
		vllmRequest
		Query     *document           `json:"query"`
		Documents oneOrMore[document] `json:"documents"`
		TopN      *int                `json:"top_n"` // 0: all
	}
	if err := decode(body, &r, false); err != nil {
		return nil, err
	}
	c, err := r.call()
	if err != nil {
		return nil, err
	}
	documents := r.Documents.values
	switch {
	case r.Query == nil:
		return nil, wrong("query", "query is missing: want the prompt's text")
	case len(documents) == 0:
		return nil, wrong("documents", "documents is missing or empty: want one response or more")
	case r.TopN != nil && *r.TopN < 0:
		return nil, wrong("top_n", "top_n is %d: want 0 or more", *r.TopN)
	}
	for _, d := range documents {
		c.inputs = append(c.inputs, pair(*r.Query, d))
	}
	c.reply = func(c *call, a *answer) any {
		out := rerankAnswer{ID: newID("rerank-"), Model: a.model, Activation: c.activation(),
			Usage: a.usage()}
		for i, r := range c.scores(a) {
			out.Results = append(out.Results, reranked{i, documentAnswer{string(documents[i])}, r})
		}
		slices.SortStableFunc(out.Results,
			func(a, b reranked) int { return cmp.Compare(b.Relevance, a.Relevance) })
		if r.TopN != nil && *r.TopN > 0 {
			out.Results = out.Results[:min(*r.TopN, len(out.Results))]
		}
		return out
	}
	return c, c.address(query)
}
