package encode

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/chat"
	"haf/internal/shared"
	"haf/pref"
	"haf/tokenizer"
)

// With real tokenizers and published templates, a conversation is the tokens of the template's
// text, its response begins behind the generation prompt wherever the conversation goes on from
// there, and a policy knows the token that ends it.
func TestEndsOfRealTemplates(t *testing.T) {
	llama := filepath.Join(t.TempDir(), "llama")
	data, err := os.ReadFile("../tokenizer/testdata/tokenizer-llama.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(llama, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"tokenizer.json": data,
		"tokenizer_config.json": []byte(`{"bos_token":"<s>","eos_token":"</s>"}`)} {
		if err := os.WriteFile(filepath.Join(llama, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sources := map[string]string{}
	for _, file := range []string{"published", "chat_templates"} {
		data, err := os.ReadFile("../chat/testdata/" + file + ".json")
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
			bos, _, _ := tok.Special("bos_token")
			eos, _, _ := tok.Special("eos_token")
			templates := map[string]*chat.Template{}
			for _, builtIn := range []string{"plain", "phi-2", "mistral"} {
				if templates[builtIn], err = chat.Named(builtIn, bos, eos); err != nil {
					t.Fatal(err)
				}
			}
			for at, source := range sources {
				if templates[at], err = chat.New(source, bos, eos); err != nil {
					t.Fatal(err)
				}
			}
			for at, tpl := range templates {
				e, err := New(tok, tpl, Options{})
				if err != nil {
					t.Fatal(err)
				}
				checkConversation(t, at, tok, tpl, e)
			}
		})
	}
}

func checkConversation(
	t *testing.T, at string, tok *tokenizer.Tokenizer, tpl *chat.Template, e *Encoder,
) {
	t.Helper()
	question := []pref.Message{{Role: pref.User, Content: "What is 2+2?"},
		{Role: pref.Assistant, Content: "4."}, {Role: pref.User, Content: "And 3+3?"}}
	turns := []chat.Message{{Role: "user", Content: "What is 2+2?"},
		{Role: "assistant", Content: "4."}, {Role: "user", Content: "And 3+3?"}}
	prompt, err := tpl.Render(turns, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, response := range []string{"6.", "", "Seven."} {
		text, err := tpl.Render(append(turns, chat.Message{Role: "assistant", Content: response}), false)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := e.Conversation(question, response)
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		if want := tok.Encode(text, false); !slices.Equal(c.Tokens, want) || c.Read != len(want)-1 {
			t.Errorf("%s: %v read at %d, want the tokens of %q", at, c.Tokens, c.Read, text)
		}
		// A token that straddles the boundary belongs to the response, with the end of the prompt's text
		// that it holds.
		behind, ok := strings.CutPrefix(text, prompt)
		got, bare := strings.Join(strings.Fields(tok.Decode(c.Tokens[c.Response:], false)), ""),
			strings.Join(strings.Fields(behind), "")
		if ok && !strings.HasSuffix(got, bare) || ok && len(got) > len(bare)+
			len(tok.Decode(c.Tokens[c.Response:c.Response+1], false)) {
			t.Errorf("%s: the response is %q, want %q", at, got, behind)
		}
	}
	if special := tok.SpecialIn(e.Closing()); len(special) > 0 &&
		!slices.Equal(tok.Encode(special[0], false), e.Ends()[:1]) {
		t.Errorf("%s: a turn ends with %v, want %q first", at, e.Ends(), special[0])
	}
}
