package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/url"
	"slices"
	"strings"

	"haf/pref"
)

// Activations applied to a reward before it is sent. Every reply names its activation.
const (
	raw     = "raw"     // nothing
	sigmoid = "sigmoid" // 1/(1 + e^−r): between 0 and 1; hides differences of large rewards
)

// A call is a request of any dialect in one form.
type call struct {
	model string // "" is the only model
	// With one model served, any name stands for it, because the dialects' clients send their own
	// names.
	loose    bool
	inputs   []pref.Input
	rewards  []string // names; none: the model's default
	tokens   bool
	sigmoid  bool
	baseline []*baseline // native only: for each sample, nil for none
	most     int         // maximum tokens of an input; 0 leaves the server's limit
	tools    string      // a JSON list for the template; "" is none
	// templateArgs are further variables of the chat template, for inputs that the server renders.
	templateArgs map[string]json.RawMessage
	// reply makes the body of the answer.
	reply func(*call, *answer) any
}

// render gives the template's variables to the inputs. The client has rendered text and tokens
// itself.
func (c *call) render() error {
	name := "chat_template_kwargs"
	if c.tools != "" {
		name = "tools"
	} else if len(c.templateArgs) == 0 {
		return nil
	}
	for i := range c.inputs {
		in := &c.inputs[i]
		if in.Verbatim() {
			return wrong(
				name, "%s stands beside text or tokens, to which no template is applied: send messages", name)
		}
		in.TemplateArgs = c.templateArgs
		if c.tools != "" {
			in.Prompt[0].Tools = c.tools
		}
	}
	return nil
}

// activation is the activation that the reply names.
func (c *call) activation() string {
	if c.sigmoid {
		return sigmoid
	}
	return raw
}

// reward is the default reward of input i, with the activation applied.
func (c *call) reward(a *answer, i int) float64 {
	r := a.values[i].Rewards[a.reward]
	if c.sigmoid {
		return logistic(r)
	}
	return r
}

// scores are the rewards of all inputs.
func (c *call) scores(a *answer) []float64 {
	out := make([]float64, len(a.values))
	for i := range out {
		out[i] = c.reward(a, i)
	}
	return out
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// A decoder makes a call from a request's body and the query of its address.
type decoder func(body []byte, query url.Values) (*call, error)

// decode reads one JSON object into v, a pointer to a struct. If strict, unknown keys are an error.
func decode(body []byte, v any, strict bool) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if strict {
		d.DisallowUnknownFields()
	}
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return wrong("", "the body is not a JSON object: want {…}")
	}
	if err := d.Decode(v); err != nil {
		return jsonProblem(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return wrong("", "there is something after the JSON object of the body: want nothing")
	}
	return nil
}

// jsonProblem describes a fault of a body without quoting it.
func jsonProblem(err error) error {
	var p *problem
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &syntax):
		return wrong("", "the body is not JSON: at byte %d: %v", syntax.Offset, err)
	case errors.As(err, &kind):
		return wrong(kind.Field, "%s is %s, want %s", named(kind.Field), article(kind.Value),
			article(wanted(kind.Type.Kind().String())))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return wrong("", "the body ends inside its JSON object")
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		// the name comes from the client, and param may be logged
		return wrong("", "the field %s is not known: GET /openapi.json lists those that are", field)
	}
	return wrong("", "the body cannot be read: %v", err)
}

func named(field string) string {
	if field == "" {
		return "the body"
	}
	return field
}

// wanted is the JSON word for a Go kind.
func wanted(kind string) string {
	switch {
	case kind == "slice":
		return "array"
	case kind == "struct" || kind == "map":
		return "object"
	case kind == "bool" || kind == "string":
		return kind
	default:
		return "number in its range"
	}
}

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

// oneOrMore is a value or a list of values.
type oneOrMore[T any] struct {
	values []T
	list   bool // it was a list
}

func (o *oneOrMore[T]) UnmarshalJSON(data []byte) error {
	o.values, o.list = nil, false
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil
	}
	if o.list = data[0] == '['; o.list {
		o.values = []T{}
		return json.Unmarshal(data, &o.values)
	}
	o.values = make([]T, 1)
	return json.Unmarshal(data, &o.values[0])
}

// texts is text, texts, tokens, or lists of tokens: the input of OpenAI's embeddings.
type texts struct {
	inputs []pref.Input
	list   bool
}

func (t *texts) UnmarshalJSON(data []byte) error {
	t.inputs, t.list = nil, false
	form := func() error {
		return wrong("input", "input is neither text, a list of texts, a list of tokens nor a list of "+
			"lists of tokens")
	}
	switch data[0] {
	case 'n': // null
		return nil
	case '"':
		var one string
		if err := json.Unmarshal(data, &one); err != nil {
			return form()
		}
		t.inputs = []pref.Input{{Text: one}}
		return nil
	case '[':
	default:
		return form()
	}
	// Read a list of tokens at once: as a list of values it would take twelve times the memory.
	if first := bytes.TrimLeft(data[1:], " \t\r\n"); len(first) > 0 && isNumber(first) {
		tokens, err := tokenIDs(data)
		if err != nil {
			return form()
		}
		t.inputs = []pref.Input{{Tokens: tokens}}
		return nil
	}
	var many []json.RawMessage
	if err := json.Unmarshal(data, &many); err != nil {
		return form()
	}
	t.list = true
	t.inputs = []pref.Input{}
	for _, one := range many {
		var in pref.Input
		switch one[0] {
		case '"':
			if err := json.Unmarshal(one, &in.Text); err != nil {
				return form()
			}
		case '[':
			tokens, err := tokenIDs(one)
			if err != nil {
				return form()
			}
			in.Tokens = tokens
		default:
			return form()
		}
		t.inputs = append(t.inputs, in)
	}
	return nil
}

func isNumber(data []byte) bool { return data[0] == '-' || data[0] >= '0' && data[0] <= '9' }

func tokenIDs(data []byte) ([]int32, error) {
	ids := []int32{}
	return ids, json.Unmarshal(data, &ids)
}

// checkTexts returns an error unless every text is a non-empty text.
func checkTexts(inputs []pref.Input, field string) error {
	if len(inputs) == 0 {
		return wrong(field, "%s is missing or empty: want one text or more", field)
	}
	for i, in := range inputs {
		if in.Text == "" && len(in.Tokens) == 0 {
			return wrong(field, "%s: text %d is empty", field, i)
		}
	}
	return nil
}

// chat returns the input of a conversation whose last turn is the response.
func chat(messages []message, field string) (pref.Input, error) {
	n := len(messages) - 1
	switch {
	case n < 1:
		return pref.Input{}, wrong(field, "%s has %d messages: want a prompt of one or more and the "+
			"assistant's response", field, n+1)
	case messages[n].Role != pref.Assistant:
		return pref.Input{}, wrong(field, "the last of %s is of role %q: want the assistant's response, "+
			"which is given the reward", field, messages[n].Role)
	}
	var in pref.Input
	for i, m := range messages[:n] {
		if m.Role == "" {
			return pref.Input{}, wrong(field, "%s: message %d has no role: want system, user or assistant",
				field, i)
		}
		if i > 0 && m.Tools != "" {
			return pref.Input{}, wrong(field, "%s: message %d has tools: want them on the first message",
				field, i)
		}
		in.Prompt = append(in.Prompt, m.Message)
	}
	if messages[n].Parts != "" {
		return pref.Input{}, wrong(field, "the last of %s calls a tool or holds reasoning apart: a "+
			"reward is given to text, so put it into content, or send the conversation as text", field)
	}
	in.Response = messages[n].Content
	return in, nil
}

// A message is a turn in any form that data files use: its content is text or a list of text parts,
// and the model's template renders tool calls.
type message struct{ pref.Message }

func (m *message) UnmarshalJSON(data []byte) (err error) {
	if m.Message, err = pref.ParseMessage(data, "message"); err != nil {
		return wrong("messages", "%v", err)
	}
	return nil
}

// prompt is text, which stands for one user message, or messages.
type prompt []pref.Message

func (p *prompt) UnmarshalJSON(data []byte) error {
	*p = nil
	if data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		*p = prompt{{Role: pref.User, Content: text}}
		return nil
	}
	var messages []message
	if err := json.Unmarshal(data, &messages); err != nil {
		return err
	}
	for i, m := range messages {
		if m.Role == "" {
			return wrong("prompt", "prompt: message %d has no role: want system, user or assistant", i)
		}
		if i > 0 && m.Tools != "" {
			return wrong("prompt", "prompt: message %d has tools: want them on the first message", i)
		}
		*p = append(*p, m.Message)
	}
	return nil
}

// address reads settings from the address that the dialects' fixed bodies lack: ?model=, ?reward=
// and ?activation=.
func (c *call) address(query url.Values) error {
	for key, values := range query {
		if !slices.Contains([]string{"model", "reward", "activation"}, key) || len(values) != 1 {
			return wrong("", "the address has %d values of %q: it may have one of model, reward and "+
				"activation", len(values), key)
		}
	}
	if query.Has("model") {
		c.model, c.loose = query.Get("model"), false
	}
	if query.Has("reward") {
		c.rewards = []string{query.Get("reward")}
	}
	switch activation := query.Get("activation"); activation {
	case "":
	case raw:
		c.sigmoid = false
	case sigmoid:
		c.sigmoid = true
	default:
		return wrong("activation", "activation %q is not known: %s or %s", activation, raw, sigmoid)
	}
	return nil
}
