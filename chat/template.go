// Package chat renders conversations as the text that a model was trained on, by chat templates in
// Jinja as transformers runs them: the model's own, a file's, or one of those for models without
// one.
package chat

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"haf/internal/jinja"
	"haf/tokenizer"
)

// ErrNoTemplate is returned by [Of] if the model's files hold no template. [Named] has templates
// for such models.
var ErrNoTemplate = errors.New("chat: the model has no chat template: " +
	"give one, or name one of plain, phi-2, mistral")

// A Message is one turn of a conversation. Role is "system", "user" or "assistant" in most
// templates. Parts is a JSON object of further keys, such as tool_calls; they take precedence over
// Role and Content. Tools, on the first message, is a JSON list that becomes the variable tools.
// Empty strings mean none.
type Message struct{ Role, Content, Parts, Tools string }

// Template is a chat template in Jinja, as transformers runs it: docs/dev/decisions/0060-jinja.md.
// It does not change and is safe for concurrent use.
type Template struct {
	source   string
	bos, eos string
	special  map[string]string          // the model's other named tokens
	args     map[string]json.RawMessage // arguments of With, compacted
	vars     jinja.Variables            // special, args, bos_token and eos_token
	parsed   *jinja.Template
	now      func() time.Time
	day      string       // set by At, if the template mentions the date
	dated    *atomic.Bool // whether a rendering read the date
	limits   jinja.Limits
}

// Of returns the chat template in a tokenizer's files, or [ErrNoTemplate]. The named special tokens
// are its variables.
func Of(tok *tokenizer.Tokenizer) (*Template, error) {
	source := tok.ChatTemplate()
	if source == "" {
		return nil, ErrNoTemplate
	}
	return For(tok, source)
}

// For parses a chat template for a model. The named special tokens of the model are its variables.
func For(tok *tokenizer.Tokenizer, source string) (*Template, error) {
	special := tok.NamedSpecials()
	tpl, err := New(source, special["bos_token"], special["eos_token"])
	if err != nil {
		return nil, err
	}
	tpl.special = special
	return tpl, tpl.setVars()
}

// New parses a chat template in Jinja. bos and eos are the values of its variables bos_token and
// eos_token.
func New(source string, bos, eos string) (t *Template, err error) {
	defer recovered("the parser", &err)
	parsed, err := jinja.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	t = &Template{source: source, bos: bos, eos: eos, parsed: parsed, now: time.Now,
		dated: &atomic.Bool{}}
	return t, t.setVars()
}

// recovered turns a panic into an error, because a template comes from the model's author and must
// not end the process.
func recovered(what string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("chat template: %s failed: %v", what, r)
	}
}

// setVars sets the variables that do not depend on the conversation.
func (t *Template) setVars() error {
	t.vars = jinja.Variables{}
	for name, token := range t.special {
		t.vars[name] = jinja.Str(token)
	}
	for name, raw := range t.args {
		v, err := jinja.FromJSON(raw)
		if err != nil {
			return fmt.Errorf("chat template: argument %s: %w", name, err)
		}
		t.vars[name] = v
	}
	// transformers gives a template only the tokens that the tokenizer has, but always these two.
	for name, token := range map[string]string{"bos_token": t.bos, "eos_token": t.eos} {
		if token != "" {
			t.vars[name] = jinja.Str(token)
		}
	}
	for _, name := range []string{"tools", "documents"} {
		if _, given := t.vars[name]; !given {
			t.vars[name] = jinja.None{}
		}
	}
	return nil
}

// At returns a copy whose strftime_now reads the given time. Some templates write the date into the
// system prompt, and a later scoring must render the same text as the training.
func (t *Template) At(now time.Time) *Template {
	fixed := *t
	fixed.now = func() time.Time { return now }
	if fixed.MentionsDate() {
		fixed.day = now.Format(time.RFC3339)
	}
	return &fixed
}

var argName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reservedArgs are the variables that a rendering sets itself. The names of Jinja's functions and
// constants are reserved too.
var reservedArgs = []string{"messages", "add_generation_prompt", "bos_token", "eos_token", "true",
	"false", "none", "True", "False", "None", "loop", "continue_final_message", "chat_template"}

// With returns a copy whose renderings have further variables, such as enable_thinking or
// date_string. A value is any JSON; objects keep the order of their keys. The variables add to
// those of an earlier With and are part of Hash. Variables of RenderAny take precedence.
func (t *Template) With(args map[string]json.RawMessage) (*Template, error) {
	with := *t
	with.args = maps.Clone(t.args)
	if with.args == nil {
		with.args = map[string]json.RawMessage{}
	}
	with.dated = &atomic.Bool{} // the variables may keep a template from reading the clock
	for _, name := range slices.Sorted(maps.Keys(args)) {
		switch {
		case !argName.MatchString(name):
			return nil, fmt.Errorf("chat template: argument %q: "+
				"want a name of letters, digits and _", name)
		case slices.Contains(reservedArgs, name) || jinja.IsGlobal(name):
			return nil, fmt.Errorf("chat template: argument %q: "+
				"the name is reserved, choose one that the template reads", name)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, args[name]); err != nil {
			return nil, fmt.Errorf("chat template: argument %s: %w", name, err)
		}
		with.args[name] = compact.Bytes()
	}
	return &with, with.setVars()
}

// MentionsDate reports whether the template could read the date: it names strftime_now.
func (t *Template) MentionsDate() bool { return strings.Contains(t.source, "strftime_now") }

// WritesDate reports whether some rendering so far, by this template or a copy from At, read the
// date (strftime_now). A copy from With reports on its own renderings only.
func (t *Template) WritesDate() bool { return t.dated.Load() }

// Reads reports whether the template names the variable.
func (t *Template) Reads(variable string) bool {
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(variable) + `\b`)
	return word.MatchString(t.source)
}

// Source returns the template as it was given.
func (t *Template) Source() string { return t.source }

// Hash is the hexadecimal SHA-256 of source, bos_token, eos_token, the arguments of With, and the
// time of At where the template mentions the date.
func (t *Template) Hash() string {
	sum := sha256.New()
	parts := []string{t.source, t.bos, t.eos}
	for _, name := range slices.Sorted(maps.Keys(t.args)) {
		parts = append(parts, name, string(t.args[name]))
	}
	if t.day != "" {
		parts = append(parts, t.day)
	}
	for _, part := range parts {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Render writes a conversation as the model was trained to read it. With addGenerationPrompt the
// text ends where the assistant's next answer begins. The text includes special tokens, and BOS if
// the template writes it: encode it with special false. If the template refuses the conversation
// (raise_exception), Render returns an error.
//
// Tools, parts of messages and turns of other roles are rendered by the template, or the
// conversation is refused: see [ErrUnrendered].
func (t *Template) Render(messages []Message, addGenerationPrompt bool) (string, error) {
	text, err := t.render(messages, addGenerationPrompt)
	if err == nil {
		err = t.checkRendered(messages, addGenerationPrompt, text)
	}
	if err != nil {
		return "", err
	}
	return text, nil
}

func (t *Template) render(messages []Message, addGenerationPrompt bool) (string, error) {
	vars := maps.Clone(t.vars)
	list, err := messageList(messages)
	if err != nil {
		return "", err
	}
	vars["messages"] = list
	vars["add_generation_prompt"] = jinja.Bool(addGenerationPrompt)
	if len(messages) > 0 && messages[0].Tools != "" {
		if vars["tools"], err = jinja.FromJSON([]byte(messages[0].Tools)); err != nil {
			return "", fmt.Errorf("chat template: tools: %w", err)
		}
	}
	return t.execute(vars)
}

// RenderAny renders messages of any JSON-like form, with tool calls for instance. vars are further
// variables: tools, documents, add_generation_prompt, and others that the template reads. A
// json.RawMessage keeps the order of its keys, a struct that of its fields; the keys of a Go map
// are sorted.
func (t *Template) RenderAny(messages any, vars map[string]any) (string, error) {
	all := maps.Clone(t.vars)
	all["add_generation_prompt"] = jinja.Bool(false)
	var err error
	if all["messages"], err = jinjaValue(messages); err != nil {
		return "", fmt.Errorf("chat template: messages: %w", err)
	}
	for name, v := range vars {
		if all[name], err = jinjaValue(v); err != nil {
			return "", fmt.Errorf("chat template: %s: %w", name, err)
		}
	}
	return t.execute(all)
}

func (t *Template) execute(vars jinja.Variables) (text string, err error) {
	defer recovered("rendering", &err)
	now := func() time.Time {
		t.dated.Store(true)
		return t.now()
	}
	if text, err = t.parsed.Render(vars, now, t.limits); err != nil {
		return "", fmt.Errorf("chat template: %w", err)
	}
	return text, nil
}

func messageList(messages []Message) (jinja.Value, error) {
	list := make([]jinja.Value, len(messages))
	for i, m := range messages {
		dict := jinja.NewDict(jinja.Str("role"), jinja.Str(m.Role),
			jinja.Str("content"), jinja.Str(m.Content))
		if m.Parts != "" {
			parts, err := jinja.FromJSON([]byte(m.Parts))
			more, ok := parts.(*jinja.Dict)
			if err != nil || !ok {
				return nil, fmt.Errorf("chat template: parts of message %d are no JSON object: %v", i, err)
			}
			dict.Update(more)
		}
		list[i] = dict
	}
	return jinja.NewList(list...), nil
}

// jinjaValue converts a Go value through its JSON form.
func jinjaValue(v any) (jinja.Value, error) {
	switch v := v.(type) {
	case nil:
		return jinja.None{}, nil
	case bool:
		return jinja.Bool(v), nil
	case string:
		return jinja.Str(v), nil
	case int:
		return jinja.Int(v), nil
	case float64:
		return jinja.Float(v), nil
	case []Message:
		return messageList(v)
	case json.RawMessage:
		if v != nil {
			return jinja.FromJSON(v)
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jinja.FromJSON(raw)
}

// Templates for models without one. An answer ends with eos. A conversation rendered with
// addGenerationPrompt is a prefix of the same conversation with the answer.
var named = map[string]string{
	"plain": `{{ bos_token }}{% for m in messages %}` +
		`{% if not loop.first %}{{ '\n\n' }}{% endif %}` +
		`{{ m.role[:1] | upper }}{{ m.role[1:] }}: ` +
		`{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}` +
		`{% if add_generation_prompt %}` +
		`{% if messages %}{{ '\n\n' }}{% endif %}Assistant:{% endif %}`,
	"phi-2": `{% for m in messages %}{% if m.role == 'user' %}Instruct: {{ m.content }}{{ '\n' }}` +
		`{% elif m.role == 'assistant' %}Output: {{ m.content }}{{ eos_token }}` +
		`{% if not loop.last %}{{ '\n' }}{% endif %}` +
		`{% else %}{{ m.content }}{{ '\n' }}{% endif %}{% endfor %}` +
		`{% if add_generation_prompt %}Output:{% endif %}`,
	"mistral": `{{ bos_token }}{% set ns = namespace(system='') %}` +
		`{% for m in messages %}{% if m.role == 'system' %}` +
		`{% set ns.system = m.content + '\n\n' %}` +
		`{% elif m.role == 'user' %}[INST] {{ ns.system }}{{ m.content }} [/INST]` +
		`{% set ns.system = '' %}{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}`,
}

// IsNamed reports whether [Named] has a template of that name.
func IsNamed(name string) bool { return named[name] != "" }

// Named returns a template for models without one.
//
//   - plain: a readable transcript, "User: …\n\nAssistant: …" with eos after each answer, bos
//     before it all;
//   - phi-2: "Instruct: {question}\nOutput:", then a space and the answer; no bos;
//   - mistral: bos, then "[INST] {question} [/INST]" and the answer without a space; a system
//     message stands before the question that follows it.
func Named(name, bos, eos string) (*Template, error) {
	source, ok := named[name]
	if !ok {
		return nil, fmt.Errorf("chat template %q is not known: "+
			"plain, phi-2 and mistral are", name)
	}
	return New(source, bos, eos)
}
