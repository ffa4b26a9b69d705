package encode

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/internal/shared"
	"haf/pref"
	"haf/tokenizer"
)

// The tokens that open a prompt and close a response, with real tokenizers and published templates: BOS is not doubled
// where both tokenizer and template write it, and the end token is a response's last, is where its reward is read, and is one of the
// tokens that are trained.
func TestEndsOfRealTemplates(t *testing.T) {
	llama := filepath.Join(t.TempDir(), "llama")
	data, err := os.ReadFile("../tokenizer/testdata/tokenizer-llama.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(llama, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"tokenizer.json": data, "tokenizer_config.json": []byte(`{"bos_token":"<s>","eos_token":"</s>"}`)} {
		if err := os.WriteFile(filepath.Join(llama, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sources := map[string]string{}
	for _, file := range []string{"published", "chat_templates"} {
		data, err := os.ReadFile("../tokenizer/testdata/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var stored []struct{ Name, Template string }
		if err := json.Unmarshal(data, &stored); err != nil {
			t.Fatal(err)
		}
		for _, s := range stored {
			sources[s.Name] = s.Template
		}
	}
	for name, folder := range map[string]func(t *testing.T) string{
		"small":   func(*testing.T) string { return llama },
		"smollm2": func(t *testing.T) string { return shared.Model(t, "smollm2-135m-instruct") },
		"llama3":  func(t *testing.T) string { return shared.Model(t, "tokenizer-llama3") },
		"qwen3":   func(t *testing.T) string { return shared.Model(t, "tokenizer-qwen3") },
		"gemma3":  func(t *testing.T) string { return shared.Model(t, "tokenizer-gemma3") },
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := tokenizer.Load(folder(t))
			if err != nil {
				t.Fatal(err)
			}
			bos, bosID, hasBOS := tok.Special("bos_token")
			eos, _, _ := tok.Special("eos_token")
			templates := map[string]*tokenizer.Template{}
			for _, builtIn := range []string{"plain", "phi-2", "mistral"} {
				if templates[builtIn], err = tokenizer.Named(builtIn, bos, eos); err != nil {
					t.Fatal(err)
				}
			}
			for at, source := range sources {
				if templates[at], err = tokenizer.NewTemplate(source, bos, eos); err != nil {
					t.Fatal(err)
				}
			}
			for at, tpl := range templates {
				e, err := New(tok, tpl, Options{})
				if err != nil {
					t.Fatal(err)
				}
				g, err := e.Group(pref.Group{
					Prompt:    []pref.Message{{Role: pref.User, Content: "What is 2+2?"}, {Role: pref.Assistant, Content: "4."}, {Role: pref.User, Content: "And 3+3?"}},
					Responses: []string{"6.", "", "Seven." + eos}, Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}, {Chosen: 0, Rejected: 2}},
				})
				if err != nil {
					t.Errorf("%s: %v", at, err)
					continue
				}
				if hasBOS {
					checkBOS(t, at, tok, tpl, g, bos, bosID)
				}
				checkEnds(t, at, e, g)
			}
		})
	}
}

// checkBOS wants as many BOS as the template writes (some open every turn with it), and where it begins with none one
// more if the tokenizer adds it.
func checkBOS(t *testing.T, at string, tok *tokenizer.Tokenizer, tpl *tokenizer.Template, g Group, bos string, id int32) {
	t.Helper()
	text, err := tpl.Render([]tokenizer.Message{{Role: "user", Content: "What is 2+2?"}, {Role: "assistant", Content: "4."}, {Role: "user", Content: "And 3+3?"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Count(text, bos)
	if ids := tok.Encode("a", true); ids[0] == id && !strings.HasPrefix(text, bos) {
		want++
	}
	got := 0
	for _, token := range g.Prompt {
		if token == id {
			got++
		}
	}
	if got != want {
		t.Errorf("%s: %d BOS in the prompt %q, want %d", at, got, tok.Decode(g.Prompt, false), want)
	}
}

func checkEnds(t *testing.T, at string, e *Encoder, g Group) {
	t.Helper()
	plan, err := NewPlan([]Group{g}, PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := plan.Batch(0)
	for k, response := range g.Responses {
		if n := len(response); n == 0 || response[n-1] != e.End() || n > 1 && response[n-2] == e.End() {
			t.Errorf("%s: response %d is %v, want it to end with one %d", at, k, response, e.End())
			continue
		}
		slot := b.Slots[0][k]
		if got := b.Tokens[b.Last[slot]]; got != e.End() {
			t.Errorf("%s: the reward of response %d is read at token %d, want the end token %d", at, k, got, e.End())
		}
		trained := 0
		for i, owner := range b.Owner {
			if owner == int32(slot) && b.Target[i] == e.End() {
				trained++
			}
		}
		if trained != 1 {
			t.Errorf("%s: the end token of response %d is predicted %d times, want once", at, k, trained)
		}
	}
}
