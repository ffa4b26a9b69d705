package tokenizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// ErrNoTemplate is returned by Tokenizer.Template where the model's files hold none; Named has templates for such models.
var ErrNoTemplate = errors.New("tokenizer: the model has no chat template: give one, or name one of plain, phi-2, mistral")

// A Message is one turn of a conversation; Role is "system", "user" or "assistant" in most templates.
type Message struct{ Role, Content string }

// Template is a chat template. It does not change and is safe for concurrent use.
type Template struct {
	source   string
	bos, eos string
	special  map[string]string // further named tokens of the model
	compiled *exec.Template
	now      func() time.Time
	day      string         // that At has set
	args     map[string]any // further variables, see With
	argsJSON []byte
	limits   limits
}

// Template returns the model's chat template: chat_template.jinja, else chat_template of tokenizer_config.json (the one
// named default where there are several), or ErrNoTemplate. The named special tokens are variables of it.
func (t *Tokenizer) Template() (*Template, error) {
	if t.config.chatTemplate == "" {
		return nil, ErrNoTemplate
	}
	return t.TemplateOf(t.config.chatTemplate)
}

// TemplateOf compiles a chat template for the model: its named special tokens are variables of it.
func (t *Tokenizer) TemplateOf(source string) (*Template, error) {
	tpl, err := NewTemplate(source, t.config.special["bos_token"], t.config.special["eos_token"])
	if err != nil {
		return nil, err
	}
	tpl.special = t.config.special
	return tpl, nil
}

// maxTemplate bounds the source in bytes and maxNesting its open brackets: the parser is recursive.
const (
	maxTemplate = 1 << 18
	maxNesting  = 100
)

// NewTemplate compiles a chat template in Jinja. bos and eos are what the variables bos_token and eos_token hold.
func NewTemplate(source string, bos, eos string) (t *Template, err error) {
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("tokenizer: chat template: the parser failed: %v", r)
		}
	}()
	if len(source) > maxTemplate {
		return nil, fmt.Errorf("tokenizer: chat template of %d bytes: at most %d are accepted", len(source), maxTemplate)
	}
	flat, err := flatten(source)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: chat template: %w", err)
	}
	compiled, err := exec.NewTemplate(rootName, jinjaConfig(), onlyRoot(flat), jinjaEnvironment())
	if err != nil {
		// gonja quotes the whole template.
		return nil, fmt.Errorf("tokenizer: chat template: %s", strings.Replace(err.Error(), "'"+flat+"'", "", 1))
	}
	bound(compiled)
	return &Template{source: source, bos: bos, eos: eos, compiled: compiled, now: time.Now, limits: usualLimits}, nil
}

// At returns a copy whose strftime_now reads the given time: some templates write the date into the system prompt, and
// what is trained on today is to be scored alike tomorrow.
func (t *Template) At(now time.Time) *Template {
	fixed := *t
	fixed.now = func() time.Time { return now }
	if fixed.WritesDate() {
		fixed.day = now.Format(time.RFC3339)
	}
	return &fixed
}

// WritesDate says whether the template may write the date: it names strftime_now.
func (t *Template) WritesDate() bool { return strings.Contains(t.source, "strftime_now") }

// With returns a copy whose renderings have further variables, such as enable_thinking; they are JSON values. What every
// rendering sets itself is no variable of this kind.
func (t *Template) With(args map[string]json.RawMessage) (*Template, error) {
	if len(args) == 0 {
		return t, nil
	}
	with := *t
	with.args = map[string]any{}
	for name, value := range args {
		if slices.Contains([]string{"messages", "add_generation_prompt", "bos_token", "eos_token", "strftime_now", "raise_exception"}, name) {
			return nil, fmt.Errorf("tokenizer: chat template: %s is set by every rendering: it cannot be an argument of the template", name)
		}
		var err error
		if with.args[name], err = jinjaValue(value); err != nil {
			return nil, fmt.Errorf("tokenizer: chat template: argument %s: %w", name, err)
		}
	}
	var err error
	if with.argsJSON, err = json.Marshal(args); err != nil {
		return nil, fmt.Errorf("tokenizer: chat template: arguments: %w", err)
	}
	return &with, nil
}

// Source returns the template as it was given.
func (t *Template) Source() string { return t.source }

// Hash is the hexadecimal SHA-256 of source, bos_token and eos_token, and of the arguments and the time of At where they are set
// and of use.
func (t *Template) Hash() string {
	sum := sha256.New()
	for _, part := range []string{t.source, t.bos, t.eos} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	for _, part := range []string{string(t.argsJSON), t.day} {
		if part != "" {
			fmt.Fprintf(sum, "%d:%s", len(part), part)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Render writes a conversation as the model was trained to read it; with addGenerationPrompt it ends where the
// assistant's next answer begins. The text holds the special tokens, BOS included where the template writes it: encode
// it with special false. A template that refuses the conversation (raise_exception) is an error.
func (t *Template) Render(messages []Message, addGenerationPrompt bool) (string, error) {
	list := make(jinjaList, len(messages))
	for i, m := range messages {
		list[i] = jinjaDict("role", m.Role, "content", m.Content)
	}
	return t.execute(list, map[string]any{"add_generation_prompt": addGenerationPrompt})
}

// RenderAny renders messages of any JSON-like form, with tool calls for instance, and further variables: tools,
// documents, add_generation_prompt, and what else the template reads. json.RawMessage keeps the order of its keys and
// structs that of their fields; a Go map is taken in the order of its sorted keys.
func (t *Template) RenderAny(messages any, vars map[string]any) (string, error) {
	converted, err := jinjaValue(messages)
	if err != nil {
		return "", fmt.Errorf("tokenizer: chat template: messages: %w", err)
	}
	all := map[string]any{"add_generation_prompt": false}
	for name, v := range vars {
		if all[name], err = jinjaValue(v); err != nil {
			return "", fmt.Errorf("tokenizer: chat template: %s: %w", name, err)
		}
	}
	return t.execute(converted, all)
}

func (t *Template) execute(messages any, vars map[string]any) (text string, err error) {
	defer func() {
		if r := recover(); r != nil {
			text, err = "", fmt.Errorf("tokenizer: chat template: rendering failed: %v", r)
		}
	}()
	data := map[string]any{}
	for name, token := range t.special {
		data[name] = token
	}
	data["messages"] = messages
	data["bos_token"], data["eos_token"] = t.bos, t.eos
	data["strftime_now"] = func(params *exec.VarArgs) (string, error) { return strftime(t.now(), params) }
	data[budgetName] = newBudget(t.limits)
	for name, v := range t.args {
		data[name] = v
	}
	for name, v := range vars {
		data[name] = v
	}
	var out bytes.Buffer
	if err := t.compiled.Execute(&limited{to: &out, left: maxOutput}, exec.NewContext(data)); err != nil {
		return "", fmt.Errorf("tokenizer: chat template: %w", explained(err))
	}
	return out.String(), nil
}

type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, fmt.Errorf("more than %d bytes were written", maxOutput)
	}
	return l.to.Write(p)
}

// The templates for models that have none. An answer ends with eos; a conversation rendered up to its last question
// with addGenerationPrompt is a prefix of the same with the answer.
var named = map[string]string{
	"plain": `{{ bos_token }}{% for m in messages %}{% if not loop.first %}{{ '\n\n' }}{% endif %}{{ m.role[:1] | upper }}{{ m.role[1:] }}: ` +
		`{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}` +
		`{% if add_generation_prompt %}{% if messages %}{{ '\n\n' }}{% endif %}Assistant:{% endif %}`,
	"phi-2": `{% for m in messages %}{% if m.role == 'user' %}Instruct: {{ m.content }}{{ '\n' }}` +
		`{% elif m.role == 'assistant' %}Output: {{ m.content }}{{ eos_token }}{% if not loop.last %}{{ '\n' }}{% endif %}` +
		`{% else %}{{ m.content }}{{ '\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}Output:{% endif %}`,
	"mistral": `{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}` +
		`{% set ns.system = m.content + '\n\n' %}{% elif m.role == 'user' %}[INST] {{ ns.system }}{{ m.content }} [/INST]` +
		`{% set ns.system = '' %}{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}`,
}

// Named returns a template for models without one.
//
//   - plain: a readable transcript, "User: …\n\nAssistant: …" with eos after each answer, bos before it all;
//   - phi-2: "Instruct: {question}\nOutput:", then a space and the answer; no bos;
//   - mistral: bos, then "[INST] {question} [/INST]" and the answer without a space; a system message stands before
//     the question that follows it.
func Named(name, bos, eos string) (*Template, error) {
	source, ok := named[name]
	if !ok {
		return nil, fmt.Errorf("tokenizer: chat template %q is not known: plain, phi-2 and mistral are", name)
	}
	return NewTemplate(source, bos, eos)
}
