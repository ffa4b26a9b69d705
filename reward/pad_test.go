package reward_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"haf/reward"
)

// TestNoPaddingToken saves a model whose tokenizer names the end token as everything, as GPT-2's does: without a padding
// token, or transformers would read the reward one token early.
func TestNoPaddingToken(t *testing.T) {
	device, base := demoBase(t)
	path := filepath.Join(base, "tokenizer_config.json")
	settings := readJSON(t, path)
	for _, name := range []string{"bos_token", "unk_token", "pad_token"} {
		settings[name] = settings["eos_token"]
	}
	data, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "model")
	if err := open(t, device, base, reward.Options{Train: true}).Save(dir); err != nil {
		t.Fatal(err)
	}
	if pad, ok := readJSON(t, filepath.Join(dir, "config.json"))["pad_token_id"]; !ok || pad != nil {
		t.Errorf("pad_token_id is %v, want null", pad)
	}
	if pad, ok := readJSON(t, filepath.Join(dir, "tokenizer_config.json"))["pad_token"]; ok {
		t.Errorf("pad_token is %v, want none", pad)
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
