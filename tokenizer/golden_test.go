package tokenizer

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"haf/internal/shared"
)

// The stored values were computed by the tokenizers library; ids_with_special null means the same ids.
func TestStoredEncodings(t *testing.T) {
	data, err := os.ReadFile(shared.Path(t, "golden/tokenizers.json"))
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
	folders := map[string]func(t *testing.T) string{
		"stories260k": func(t *testing.T) string { return shared.Path(t, "models/stories260k") },
		"smollm2":     func(t *testing.T) string { return shared.Model(t, "smollm2-135m-instruct") },
		"llama3":      func(t *testing.T) string { return shared.Model(t, "tokenizer-llama3") },
		"qwen3":       func(t *testing.T) string { return shared.Model(t, "tokenizer-qwen3") },
		"gemma3":      func(t *testing.T) string { return shared.Model(t, "tokenizer-gemma3") },
	}
	for name, rows := range golden.Encodings {
		t.Run(name, func(t *testing.T) {
			folder := folders[name]
			if folder == nil {
				t.Fatalf("no folder is known for %q", name)
			}
			tok, err := Load(folder(t))
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
