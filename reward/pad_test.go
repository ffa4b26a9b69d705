package reward_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/reward"
)

// TestPaddingToken: a model to be trained is padded with a token that ends no conversation, so that
// its reward is read at the end of the turn; where the tokenizer has no other than the end token,
// as GPT-2's, that is the padding, and the reward is read at the token before it. What is saved
// says so to other programs.
func TestPaddingToken(t *testing.T) {
	for _, c := range []struct {
		name  string
		token string // that the tokenizer names as everything but the end token
		pad   string
		id    float64
		read  string
	}{
		{"another", "<s>", "<s>", 0, "</s>"},
		{"the end token alone", "</s>", "</s>", 1, "berries"},
	} {
		device, base := demoBase(t)
		path := filepath.Join(base, "tokenizer_config.json")
		settings := readJSON(t, path)
		for _, name := range []string{"bos_token", "unk_token", "pad_token"} {
			settings[name] = c.token
		}
		data, err := json.Marshal(settings)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "model")
		trained := open(t, device, base, reward.Options{Train: true})
		if err := trained.Save(dir); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*reward.Model{trained, open(t, device, dir, reward.Options{})} {
			conversation, _, err := m.Encoder.Conversation(samples()[0].Prompt, "the fox eats berries")
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Tokenizer.Decode(conversation.Tokens[conversation.Read:conversation.Read+1],
				false); strings.TrimSpace(got) != c.read {
				t.Errorf("%s: %s: the reward is read at %q, want %q", c.name, m.Dir, got, c.read)
			}
		}
		if id := readJSON(t, filepath.Join(dir, "config.json"))["pad_token_id"]; id != c.id {
			t.Errorf("%s: pad_token_id is %v, want %v", c.name, id, c.id)
		}
		if pad := readJSON(t, filepath.Join(dir, "tokenizer_config.json"))["pad_token"]; pad != c.pad {
			t.Errorf("%s: pad_token is %v, want %v", c.name, pad, c.pad)
		}
	}
}

func readJSON(t *testing.T, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
