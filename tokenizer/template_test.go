package tokenizer

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// The conversations were rendered by transformers on the day that the one template with a date shows; null: an error.
func TestStoredConversations(t *testing.T) {
	data, err := os.ReadFile("testdata/chat_templates.json")
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
	day := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
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
