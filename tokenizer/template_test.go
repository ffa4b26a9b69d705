package tokenizer

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"haf/internal/shared"
)

// The conversations were rendered by transformers on the day that the one template with a date shows; null: an error.
// HAF_GOLDEN may name a folder with others of the same form, and HAF_GOLDEN_DAY (2026-11-24) their day.
func TestStoredConversations(t *testing.T) {
	path, day := "testdata/chat_templates.json", time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	if os.Getenv("HAF_GOLDEN") != "" {
		path = shared.Golden(t, "chat_templates.json")
	}
	if text := os.Getenv("HAF_GOLDEN_DAY"); text != "" {
		var err error
		if day, err = time.Parse(time.DateOnly, text); err != nil {
			t.Fatal(err)
		}
	}
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
			tpl, err := NewTemplate(g.Template, g.BOS, g.EOS)
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
				raw, rawErr := tpl.RenderAny(c.Messages, map[string]any{"add_generation_prompt": c.AddGenerationPrompt})
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
		"plain":   "<s>System: Be brief.\n\nUser: Hi\n\nAssistant: Hello.</s>\n\nUser: 2+2?\n\nAssistant:",
		"phi-2":   "Be brief.\nInstruct: Hi\nOutput: Hello.</s>\nInstruct: 2+2?\nOutput:",
		"mistral": "<s>[INST] Be brief.\n\nHi [/INST]Hello.</s>[INST] 2+2? [/INST]",
	} {
		tpl, err := Named(name, "<s>", "</s>")
		if err != nil {
			t.Fatal(err)
		}
		chat := []Message{{"system", "Be brief."}, {"user", "Hi"}, {"assistant", "Hello."}, {"user", "2+2?"}}
		prompt, err := tpl.Render(chat, true)
		if err != nil || prompt != want {
			t.Errorf("%s: %q (%v), want %q", name, prompt, err, want)
		}
		answer := "4"
		whole, err := tpl.Render(append(chat, Message{"assistant", answer}), false)
		if name != "mistral" {
			answer = " " + answer
		}
		if err != nil || whole != want+answer+"</s>" {
			t.Errorf("%s: with the answer %q (%v), want the prompt, the answer and the end token", name, whole, err)
		}
	}
	if _, err := Named("nonsense", "", ""); err == nil || !strings.Contains(err.Error(), "phi-2") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestTransformersExtensions(t *testing.T) {
	day := time.Date(2024, 3, 5, 7, 8, 9, 0, time.UTC)
	for source, want := range map[string]string{
		"{{ strftime_now('%d %b %Y %-d %H:%M:%S %A %j %%') }}":                      "05 Mar 2024 5 07:08:09 Tuesday 065 %",
		"{% generation %}{{ messages[-1].content }}{% endgeneration %}!":            "Hi!",
		"{% for m in messages %}{%- generation -%} x {% endgeneration %}{%endfor%}": "x ",
	} {
		tpl, err := NewTemplate(source, "", "")
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := tpl.At(day).Render([]Message{{"user", "Hi"}}, false); err != nil || got != want {
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
		strings.Repeat("x", maxTemplate+1):                "at most",
	} {
		tpl, err := NewTemplate(source, "", "")
		if err == nil {
			_, err = tpl.Render([]Message{{"user", "Hi"}}, false)
		}
		if err == nil || !strings.HasPrefix(err.Error(), "tokenizer: chat template") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: error %v, want one with %q", source, err, want)
		}
	}
}

func TestTemplateHash(t *testing.T) {
	hash := func(source, bos, eos string) string {
		tpl, err := NewTemplate(source, bos, eos)
		if err != nil {
			t.Fatal(err)
		}
		return tpl.Hash()
	}
	if a := hash("x", "a", "b"); a != hash("x", "a", "b") || a == hash("x", "ab", "") || a == hash("y", "a", "b") || len(a) != 64 {
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
				if got, err := tpl.Render([]Message{{"system", "s"}, {"user", "u"}}, true); err != nil || got != "<s>[INST] s\n\nu [/INST]" {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	wait.Wait()
}
