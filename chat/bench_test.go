package chat

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A conversation of eight turns in published templates.
func BenchmarkRender(b *testing.B) {
	data, err := os.ReadFile("testdata/chat_templates.json")
	if err != nil {
		b.Fatal(err)
	}
	var published []struct{ Name, Template string }
	if err := json.Unmarshal(data, &published); err != nil {
		b.Fatal(err)
	}
	chat := []Message{{Role: "system", Content: "Be brief."}}
	for range 4 {
		chat = append(chat, Message{Role: "user", Content: strings.Repeat("What is it? ", 20)},
			Message{Role: "assistant", Content: strings.Repeat("It is what it is. ", 20)})
	}
	for _, p := range published {
		if p.Name != "smollm2" && p.Name != "llama3_1" && p.Name != "qwen3" {
			continue
		}
		tpl, err := New(p.Template, "<s>", "</s>")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(p.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tpl.Render(chat, true); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(p.Name+"/parse", func(b *testing.B) {
			for b.Loop() {
				if _, err := New(p.Template, "<s>", "</s>"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
