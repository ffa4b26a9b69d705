package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"
)

// Rendered by jinja2 as transformers sets it up (testdata/jinja.py); null: an error.
func TestAgainstJinja(t *testing.T) {
	data, err := os.ReadFile("testdata/jinja.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Template        string
		Messages, Tools json.RawMessage
		Rendered        *string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		tpl, err := New(c.Template, "<s>", "</s>")
		got := ""
		if err == nil {
			got, err = tpl.RenderAny(c.Messages, map[string]any{"tools": c.Tools,
				"documents": nil, "add_generation_prompt": true})
		}
		switch {
		case c.Rendered == nil && err == nil:
			t.Errorf("%.60s: rendered %q, want an error", c.Template, got)
		case c.Rendered != nil && err != nil:
			t.Errorf("%.60s: want %q: %.300v", c.Template, *c.Rendered, err)
		case c.Rendered != nil && got != *c.Rendered:
			t.Errorf("%.60s:\n got %q\nwant %q", c.Template, got, *c.Rendered)
		}
	}
}

// Every stored template with many conversations, some with tools, rendered by transformers
// (testdata/grid.py).
func TestGrid(t *testing.T) {
	type entry struct {
		File, Name, Template string
		BOS                  string `json:"bos_token"`
		EOS                  string `json:"eos_token"`
		Renderings           []*string
	}
	read := func(file string, to any) {
		t.Helper()
		data, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, to); err != nil {
			t.Fatal(err)
		}
	}
	var grid struct {
		Tools     json.RawMessage
		Chats     []json.RawMessage
		Templates []entry
	}
	read("grid.json", &grid)
	stored := map[string]entry{}
	for _, file := range []string{"chat_templates.json", "published.json"} {
		var entries []entry
		read(file, &entries)
		for _, e := range entries {
			stored[file+e.Name] = e
		}
	}
	for _, g := range grid.Templates {
		e, ok := stored[g.File+g.Name]
		if !ok {
			e = entry{Template: g.Template, BOS: "<s>", EOS: "</s>"}
		}
		tpl, err := New(e.Template, e.BOS, e.EOS)
		if err != nil {
			t.Errorf("%s: %v", g.Name, err)
			continue
		}
		tpl = tpl.At(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
		rest := g.Renderings
		for _, chat := range grid.Chats {
			for _, tools := range []json.RawMessage{nil, grid.Tools} {
				for _, prompt := range []bool{false, true} {
					got, err := tpl.RenderAny(chat, map[string]any{"tools": tools,
						"documents": nil, "add_generation_prompt": prompt})
					sum := sha256.Sum256([]byte(got))
					want := rest[0]
					rest = rest[1:]
					if want == nil && err == nil ||
						want != nil && (err != nil || hex.EncodeToString(sum[:6]) != *want) {
						t.Errorf("%s: %.300s, tools %v, prompt %v: %.300q (%v)", g.Name, chat,
							tools != nil, prompt, got, err)
					}
				}
			}
		}
	}
}
