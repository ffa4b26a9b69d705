package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"haf/internal/shared"
)

// tokenizerFolder finds the tokenizer that stored encodings are of: in $HAF_GOLDEN_TOKENIZERS, else
// among the fetched models, else in the shared material.
func tokenizerFolder(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv("HAF_GOLDEN_TOKENIZERS"); dir != "" {
		if folder := filepath.Join(dir, name); fileExists(filepath.Join(folder, tokenizerName)) {
			return folder
		}
	}
	switch name {
	case "stories260k":
		return shared.Path(t, "models/stories260k")
	case "smollm2":
		return shared.Model(t, "smollm2-135m-instruct")
	}
	return shared.Model(t, "tokenizer-"+name)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// The stored values were computed by the tokenizers library; ids_with_special null means the same
// ids.
func TestStoredEncodings(t *testing.T) {
	data, err := os.ReadFile(shared.Golden(t, "tokenizers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Texts     []string
		Encodings map[string][]struct {
			IDs         []int32 `json:"ids"`
			WithSpecial []int32 `json:"ids_with_special"`
			Decoded     string
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	for name, rows := range golden.Encodings {
		t.Run(name, func(t *testing.T) {
			tok, err := Load(tokenizerFolder(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) != len(golden.Texts) {
				t.Fatalf("%d rows for %d texts", len(rows), len(golden.Texts))
			}
			for i, row := range rows {
				text := golden.Texts[i]
				if row.WithSpecial == nil {
					row.WithSpecial = row.IDs
				}
				if got := tok.Encode(text, false); !slices.Equal(got, row.IDs) {
					t.Errorf("Encode(%q, false) = %v, want %v", text, got, row.IDs)
				}
				if got := tok.Encode(text, true); !slices.Equal(got, row.WithSpecial) {
					t.Errorf("Encode(%q, true) = %v, want %v", text, got, row.WithSpecial)
				}
				if got := tok.Decode(row.IDs, false); got != row.Decoded {
					t.Errorf("Decode(%q's ids) = %q, want %q", text, got, row.Decoded)
				}
			}
		})
	}
}
