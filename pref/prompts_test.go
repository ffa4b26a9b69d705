package pref

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadPrompts(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "p.jsonl")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mixed := write(`{"prompt": "a", "id": 3}
{"prompt": [{"role": "user", "content": "b"}], "response": "x"}
{"prompt": "a"}
{"prompt": " "}
{"chosen": "\n\nHuman: c\n\nAssistant: yes", "rejected": "\n\nHuman: c\n\nAssistant: no"}
{"prompt": "d", "chosen": "x", "rejected": "y"}
`)
	prompts, repeated, err := LoadPrompts([]string{mixed}, Options{})
	if err != nil || repeated != 1 || len(prompts) != 4 {
		t.Fatalf("%d prompts, %d repeated, %v; want 4, 1", len(prompts), repeated, err)
	}
	for i, want := range []string{"a", "b", "c", "d"} {
		if m := prompts[i][0]; m.Content != want || m.Role != User {
			t.Errorf("prompt %d is %+v, want %q", i, m, want)
		}
	}
	if prompts, _, err = LoadPrompts([]string{mixed, mixed}, Options{Limit: 2}); err != nil ||
		len(prompts) != 2 {
		t.Errorf("the first 2 are %v, %v", prompts, err)
	}
	for text, want := range map[string]string{
		`{"prompt": 3}`:                                 `p.jsonl:1: field "prompt"`,
		`{"prompt": [{"role": "user"}]}`:                "content",
		`{"text": "x"}`:                                 `no "prompt", and no preference`,
		"{\"prompt\": \"a\"}\n{\"prompt\": {\"x\": 1}}": "p.jsonl:2",
	} {
		if _, _, err := LoadPrompts([]string{write(text)}, Options{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s gave %v, want an error with %q", text, err, want)
		}
	}
	if _, _, err := LoadPrompts([]string{write("")}, Options{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("an empty file gave %v", err)
	}
}
