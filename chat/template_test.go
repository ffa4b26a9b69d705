package chat

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"haf/internal/jinja"
	"haf/internal/shared"
)

// The conversations were rendered by transformers on the day that the one template with a date
// shows; null: an error. HAF_GOLDEN may name a folder with others of the same form, and
// HAF_GOLDEN_DAY (2026-11-24) their day.
func TestStoredConversations(t *testing.T) {
	day := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	path := "testdata/chat_templates.json"
	if os.Getenv("HAF_GOLDEN") != "" {
		path = shared.Golden(t, "chat_templates.json")
	}
	if text := os.Getenv("HAF_GOLDEN_DAY"); text != "" {
		var err error
		if day, err = time.Parse(time.DateOnly, text); err != nil {
			t.Fatal(err)
		}
	}
	checkConversations(t, path, day)
}

// Further published templates, rendered by jinja2 (testdata/published.py).
func TestPublishedTemplates(t *testing.T) {
	checkConversations(t, "testdata/published.json", time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
}

func checkConversations(t *testing.T, path string, day time.Time) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Name, Template string
		BOS            string `json:"bos_token"`
		EOS            string `json:"eos_token"`
		Cases          []struct {
			Messages            json.RawMessage
			AddGenerationPrompt bool `json:"add_generation_prompt"`
			Rendered            *string
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	for _, g := range golden {
		t.Run(g.Name, func(t *testing.T) {
			tpl, err := New(g.Template, g.BOS, g.EOS)
			if err != nil {
				t.Fatal(err)
			}
			tpl = tpl.At(day)
			for _, c := range g.Cases {
				var messages []Message
				if err := json.Unmarshal(c.Messages, &messages); err != nil {
					t.Fatal(err)
				}
				got, err := tpl.Render(messages, c.AddGenerationPrompt)
				if errors.Is(err, ErrUnrendered) && messages[0].Role == "nobody" {
					// transformers renders this without the message
					got, err = tpl.render(messages, c.AddGenerationPrompt)
				}
				raw, rawErr := tpl.RenderAny(c.Messages,
					map[string]any{"add_generation_prompt": c.AddGenerationPrompt})
				if raw != got || (err == nil) != (rawErr == nil) {
					t.Errorf("%s: RenderAny gives %q (%v), Render %q (%v)", c.Messages, raw, rawErr, got, err)
				}
				switch {
				case c.Rendered == nil && err == nil:
					t.Errorf("%s: rendered %q, want an error", c.Messages, got)
				case c.Rendered != nil && err != nil:
					t.Errorf("%s: %v", c.Messages, err)
				case c.Rendered != nil && got != *c.Rendered:
					t.Errorf("%s, %v:\n got %q\nwant %q", c.Messages, c.AddGenerationPrompt, got, *c.Rendered)
				}
			}
		})
	}
}

func TestNamed(t *testing.T) {
	for name, want := range map[string]string{
		"plain": "<s>System: Be brief.\n\nUser: Hi\n\nAssistant: Hello.</s>\n\nUser: " +
			"2+2?\n\nAssistant:",
		"phi-2":   "Be brief.\nInstruct: Hi\nOutput: Hello.</s>\nInstruct: 2+2?\nOutput:",
		"mistral": "<s>[INST] Be brief.\n\nHi [/INST]Hello.</s>[INST] 2+2? [/INST]",
	} {
		tpl, err := Named(name, "<s>", "</s>")
		if err != nil {
			t.Fatal(err)
		}
		chat := []Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Hi"},
			{Role: "assistant", Content: "Hello."}, {Role: "user", Content: "2+2?"}}
		prompt, err := tpl.Render(chat, true)
		if err != nil || prompt != want {
			t.Errorf("%s: %q (%v), want %q", name, prompt, err, want)
		}
		answer := "4"
		whole, err := tpl.Render(append(chat, Message{Role: "assistant", Content: answer}), false)
		if name != "mistral" {
			answer = " " + answer
		}
		if err != nil || whole != want+answer+"</s>" {
			t.Errorf("%s: with the answer %q (%v), want the prompt, the answer and the end token", name,
				whole, err)
		}
	}
	if _, err := Named("nonsense", "", ""); err == nil || !strings.Contains(err.Error(), "phi-2") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestTransformersExtensions(t *testing.T) {
	day := time.Date(2024, 3, 5, 7, 8, 9, 0, time.UTC)
	for _, c := range [][2]string{
		{"{{ strftime_now('%d %b %Y %-d %H:%M:%S %A %j %%') }}",
			"05 Mar 2024 5 07:08:09 Tuesday 065 %"},
		{"{% generation %}{{ messages[-1].content }}{% endgeneration %}!", "Hi!"},
		{"{% for m in messages %}{%- generation -%} x {% endgeneration %}{%endfor%}", "x "},
	} {
		source, want := c[0], c[1]
		tpl, err := New(source, "", "")
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := tpl.At(day).Render([]Message{{Role: "user", Content: "Hi"}}, false); err != nil ||
			got != want {
			t.Errorf("%s: %q (%v), want %q", source, got, err, want)
		}
	}
}

func TestTemplatesRefused(t *testing.T) {
	for source, want := range map[string]string{
		"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "macros call each other",
		"{{ raise_exception('alternate roles') }}":        "alternate roles",
		"{{ range(1000000) | length }}":                   "more than 100000",
		"{{ strftime_now('%Q') }}":                        "%Q is not supported",
		"{% include 'x' %}":                               "include",
		"{% if x %}":                                      "EOF",
		"{{ x":                                            "not closed",
		"{# x":                                            "not closed",
		"{{ " + strings.Repeat("(", 200) + " }}":          "nest deeper",
		strings.Repeat("x", 1<<18+1):                      "at most",
	} {
		tpl, err := New(source, "", "")
		if err == nil {
			_, err = tpl.Render([]Message{{Role: "user", Content: "Hi"}}, false)
		}
		if err == nil || !strings.HasPrefix(err.Error(), "chat template") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: error %v, want one with %q", source, err, want)
		}
	}
}

// A template that would run forever, or make texts without end, is stopped: in every statement
// that can hold a body or an expression, and before the memory is taken.
func TestTemplatesStopped(t *testing.T) {
	const (
		steps = "steps: it was stopped"
		text  = "a text of more than 64 MB: it was stopped"
		made  = "MB of text: it was stopped"
	)
	const (
		loops  = "{% for a in range(100000) %}{% for b in range(100000) %}"
		ends   = "{% endfor %}{% endfor %}"
		double = "{% for i in range(99) %}"
		large  = "{% set s = 'x' * 10000000 %}"
		lists  = large + "{% set l = [s] * 1000000 %}"
		grow   = large + "{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = ns.l + "
	)
	for _, c := range [][2]string{
		{loops + ends, steps},
		{loops + "{% if false %}{% endif %}" + ends, steps},
		{loops + "{% set x = 1 %}" + ends, steps},
		{"{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}" + loops + "{% set x = 'a' %}" + ends, steps},
		{"{{ 'x' * 1000000000000 }}", text},
		{"{{ 1000000000000 * 'x' }}", text},
		{"{{ ('x' * 1000000) * 1000 }}", text},
		{"{{ [0] * 1000000000000 }}", "elements: it was stopped"},
		{"{% set x = 'x' * 1000000000 %}", text},
		{"{% if 'x' * 1000000000 %}{% endif %}", text},
		{"{% if false %}{% elif 'x' * 1000000000 %}{% endif %}", text},
		{"{% for a in 'x' * 1000000000 %}{% endfor %}", text},
		{"{% for a in [1] if 'x' * 1000000000 %}{% endfor %}", ""},
		{"{% with a='x' * 1000000000 %}{% endwith %}", text},
		{"{% macro f(a) %}{{ a * 1000000000 }}{% endmacro %}{{ f('x') }}", text},
		{"{% macro f(a='x' * 1000000000) %}{{ a }}{% endmacro %}{{ f() }}", text},
		{"{% macro f() %}{{ caller() }}{% endmacro %}" +
			"{% call f() %}{{ 'x' * 1000000000 }}{% endcall %}", text},
		{"{% filter upper %}{{ 'x' * 1000000000 }}{% endfilter %}", text},
		{"{% generation %}{{ 'x' * 1000000000 }}{% endgeneration %}", text},
		{"{{ ['a', {'b': 'x' * 1000000000}][1].b }}", text},
		{"{{ messages[('x' * 1000000000)] }}", ""},
		{"{{ 'a' | default('x' * 1000000000) }}", text},
		{"{{ 'a'.replace('a', 'x' * 1000000000) }}", text},
		{"{{ 'a' is eq('x' * 1000000000) }}", text},
		{"{{ not ('x' * 1000000000) }}", text},
		{"{{ ('x' * 1000000000).upper() }}", ""},
		{"{% set ns = namespace(s='x') %}" + double + "{% set ns.s = ns.s ~ ns.s %}{% endfor %}", text},
		{"{% set ns = namespace(s='x') %}" + double + "{% set ns.s = ns.s + ns.s %}{% endfor %}", text},
		{"{% set ns = namespace(s=['x']) %}" + double + "{% set ns.s = ns.s + ns.s %}{% endfor %}", made},
		{lists + "{{ l | join }}", text},
		{lists + "{{ l | tojson }}", text},
		{lists + "{{ l }}", text},
		{lists + "{{ l ~ '' }}", text},
		{lists + "{{ l | string }}", text},
		{lists + "{{ ','.join(l) }}", text},
		{large + "{{ s.replace('x', s) }}", text},
		{large + "{{ s | replace('x', s) }}", text},
		{"{% set s = '\n' * 10000000 %}{{ s | indent(1000) }}", text},
		{"{{ 'x' | center(1000000000) }}", text},
		{"{{ 'x'.zfill(1000000000) }}", "zfill"},
		{grow + "[s.lower()] %}{% endfor %}", made},
		{grow + "[s | lower] %}{% endfor %}", made},
		{grow + "[s[1:]] %}{% endfor %}", made},
		{large + "{% set x %}{% for i in range(1000) %}{{ s }}{% endfor %}{% endset %}", made},
		{large + "{% for i in range(1000) %}{{ s }}{% endfor %}", ""},
		{"{% set x %}{% for i in range(100000) %}" + strings.Repeat("text ", 40000) +
			"{% endfor %}{% endset %}", made},
		{"{{ 1 // 0 }}", "division by zero"},
		{"{{ 1 % 0 }}", "division by zero"},
		{"{{ 1 / 0 }}", "division by zero"},
	} {
		source, want := c[0], c[1]
		tpl, err := New(source, "", "")
		if err != nil {
			t.Errorf("%.90s: %v", source, err)
			continue
		}
		// less than usual, to be quick
		tpl.limits = jinja.Limits{Steps: 20_000, Bytes: 1 << 28, Time: time.Minute}
		if want == made {
			tpl.limits.Bytes = 1 << 25
		}
		out, err := tpl.Render([]Message{{Role: "user", Content: "Hi"}}, false)
		if err == nil && !(want == "" && len(out) == 0) || err != nil &&
			!strings.Contains(err.Error(), want) {
			t.Errorf("%.90s: %d bytes, error %.300v, want one with %q", source, len(out), err, want)
		}
	}
}

func TestTemplateHash(t *testing.T) {
	hash := func(source, bos, eos string) string {
		tpl, err := New(source, bos, eos)
		if err != nil {
			t.Fatal(err)
		}
		return tpl.Hash()
	}
	if a := hash("x", "a", "b"); a != hash("x", "a", "b") || a == hash("x", "ab", "") ||
		a == hash("y", "a", "b") || len(a) != 64 {
		t.Errorf("hash %s", a)
	}
}

func TestConcurrentRender(t *testing.T) {
	tpl, err := Named("mistral", "<s>", "</s>")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				if got, err := tpl.Render([]Message{{Role: "system", Content: "s"},
					{Role: "user", Content: "u"}}, true); err != nil || got != "<s>[INST] s\n\nu [/INST]" {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

func TestWith(t *testing.T) {
	tpl, err := New(
		"{{ bos_token }}{{ effort | default('low') }} {{ o | tojson }} {{ messages | length }}", "<s>",
		"</s>")
	if err != nil {
		t.Fatal(err)
	}
	with := func(from *Template, args string) *Template {
		t.Helper()
		raw := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(args), &raw); err != nil {
			t.Fatal(err)
		}
		out, err := from.With(raw)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	check := func(tpl *Template, want string) {
		t.Helper()
		if got, err := tpl.Render([]Message{{Role: "user", Content: "Hi"}}, true); err != nil ||
			got != want {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
		got, err := tpl.RenderAny([]Message{{Role: "user", Content: "Hi"}},
			map[string]any{"effort": "other"})
		if want := "<s>other " + want[strings.IndexByte(want, ' ')+1:]; err != nil || got != want {
			t.Errorf("RenderAny: %q (%v), want %q", got, err, want)
		}
	}
	one := with(tpl, `{"o": {"z": 1, "a": [true, null]}}`)
	check(one, `<s>low {"z": 1, "a": [true, null]} 1`)
	two := with(one, `{"effort": "high", "o": 1.0}`)
	check(two, "<s>high 1.0 1")
	check(one, `<s>low {"z": 1, "a": [true, null]} 1`)
	if _, err := tpl.Render(nil, false); err == nil {
		t.Error("the template itself has the arguments, too")
	}
	hashes := map[string]bool{}
	for _, tpl := range []*Template{tpl, one, two, with(tpl, `{"o": {"a": [true, null], "z": 1}}`),
		with(tpl, `{"o": 1}`), with(tpl, `{"o": "1"}`)} {
		hashes[tpl.Hash()] = true
	}
	if len(hashes) != 6 || with(tpl, `{}`).Hash() != tpl.Hash() ||
		with(tpl, `{"o":  {"z":1, "a":[true,null]}}`).Hash() != one.Hash() ||
		one.At(time.Now()).Hash() != one.Hash() {
		t.Errorf("%d hashes of 6 templates", len(hashes))
	}
	for name, value := range map[string]string{"messages": "1", "add_generation_prompt": "1",
		"bos_token": "1", "eos_token": "1", "strftime_now": "1", "range": "1", "none": "1", "loop": "1",
		"": "1", "a b": "1", "1a": "1", "x": "{", "y": ""} {
		if _, err := tpl.With(map[string]json.RawMessage{name: json.RawMessage(value)}); err == nil ||
			!strings.HasPrefix(err.Error(), "chat template: argument ") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

func TestWritesDate(t *testing.T) {
	tpl, err := New(
		"{% if not date is defined %}{% set date = strftime_now('%Y') %}{% endif %}{{ date }}", "", "")
	if err != nil {
		t.Fatal(err)
	}
	fixed := tpl.At(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))
	given, err := tpl.With(map[string]json.RawMessage{"date": json.RawMessage(`"then"`)})
	if err != nil {
		t.Fatal(err)
	}
	if tpl.WritesDate() || fixed.WritesDate() || given.WritesDate() {
		t.Error("a date was written before anything was rendered")
	}
	for tpl, want := range map[*Template]string{given: "then", fixed: "2026"} {
		if got, err := tpl.Render(nil, false); err != nil || got != want {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
	}
	if !tpl.WritesDate() || !fixed.WritesDate() || given.WritesDate() {
		t.Errorf("dates written: %v, fixed %v, given %v", tpl.WritesDate(), fixed.WritesDate(),
			given.WritesDate())
	}
}
