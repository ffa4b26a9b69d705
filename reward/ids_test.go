package reward_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/pref"
	"haf/reward"
)

// largerTokenizer writes a model of 160 embeddings whose tokenizer knows a token 200.
func largerTokenizer(t *testing.T) string {
	t.Helper()
	dir := layout{}.write(t)
	writeJSONFile(t, filepath.Join(dir, "tokenizer.json"), map[string]any{
		"added_tokens": []map[string]any{
			{"id": 2, "content": "</s>", "special": true}, {"id": 200, "content": "[PAD]",
				"special": true},
		},
		"model": map[string]any{"type": "BPE", "vocab": map[string]int{"a": 0, "b": 1, "</s>": 2,
			"[PAD]": 200}, "merges": []string{}},
	})
	writeJSONFile(t, filepath.Join(dir, "tokenizer_config.json"),
		map[string]any{"eos_token": "</s>", "pad_token": "[PAD]"})
	const template = "{% for m in messages %}{{ m['content'] }}{% endfor %}</s>"
	if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template),
		0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTokenBeyondEmbedding: a tokenizer may know tokens without an embedding; a text that has one
// is refused, wherever it comes in.
func TestTokenBeyondEmbedding(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := largerTokenizer(t)
	m := open(t, device, dir, reward.Options{MaxLength: 64})
	ask := func(text string) []pref.Sample {
		return []pref.Sample{{Prompt: []pref.Message{{Role: pref.User, Content: text}}, Response: "b"}}
	}
	if _, err := scored(t.Context(), m, reward.ByScore, ask("ab")); err != nil {
		t.Errorf("without the token: %v", err)
	}
	const want = `token "[PAD]" (id 200) is in the text, but the embedding of `
	if _, err := scored(t.Context(), m, reward.ByScore, ask("a[PAD]b")); err == nil ||
		!strings.Contains(err.Error(),
			want) || !strings.Contains(err.Error(), "has rows for the ids 0 to 159") {
		t.Errorf("with it: %v", err)
	}
	group := encode.Group{Prompt: []int32{0}, Responses: []encode.Response{
		encode.Answer([]int32{1, 2}), encode.Answer([]int32{1, 200, 2})}}
	if _, err := m.Read(t.Context(), []encode.Group{group}, reward.ScoreHead, nil,
		nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("in a response: %v", err)
	}
	warm, err := m.Engine(t.Context(), reward.EngineOptions{Rewards: []string{reward.ByScore},
		MaxLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	in := pref.Input{Sample: ask("a[PAD]b")[0]}
	if _, err := warm.Encode(in, []string{reward.ByScore}, false); err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("served: %v", err)
	}
	// The padding token of config.json stays: the embedding has a row for it.
	saved := filepath.Join(t.TempDir(), "saved")
	if err := m.Save(saved); err != nil {
		t.Fatal(err)
	}
	if pad := readJSON(t, filepath.Join(saved, "config.json"))["pad_token_id"]; pad != 0.0 {
		t.Errorf("pad_token_id is %v", pad)
	}
}
