package tokenizer

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// row is [ids, ids with special tokens or null, these decoded, decoded without special tokens].
type row struct {
	ids, special     []int32
	decoded, skipped string
}

func (r *row) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&r.ids, &r.special, &r.decoded, &r.skipped})
}

// cut is [ids, decoded without special tokens] of ids drawn at random.
type cutRow struct {
	ids     []int32
	decoded string
}

func (c *cutRow) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&c.ids, &c.decoded})
}

func small(t testing.TB, name string) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile("testdata/tokenizer-" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// One small file a feature, with what the tokenizers library makes of the texts
// (testdata/tokenizers.py).
func TestFeatures(t *testing.T) {
	data, err := os.ReadFile("testdata/encodings.json")
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Texts     []string
		Encodings map[string]struct {
			Rows []row
			Cuts []cutRow
		}
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/tokenizer-*.json")
	if err != nil || len(files) != len(stored.Encodings) {
		t.Fatalf("%d files, %d stored (%v)", len(files), len(stored.Encodings), err)
	}
	for name, e := range stored.Encodings {
		t.Run(name, func(t *testing.T) {
			tok := small(t, name)
			checkRows(t, tok, stored.Texts, e.Rows)
			for _, c := range e.Cuts {
				if got := tok.Decode(c.ids, true); got != c.decoded {
					t.Errorf("Decode(%v, true) = %q, want %q", c.ids, got, c.decoded)
				}
			}
		})
	}
}

func checkRows(t *testing.T, tok *Tokenizer, texts []string, rows []row) {
	t.Helper()
	if len(rows) != len(texts) {
		t.Fatalf("%d rows for %d texts", len(rows), len(texts))
	}
	for i, r := range rows {
		text := texts[i]
		if r.special == nil {
			r.special = r.ids
		}
		for range 2 { // the second time from the cache
			if got := tok.Encode(text, false); !slices.Equal(got, r.ids) {
				t.Errorf("Encode(%q, false) = %v, want %v", text, got, r.ids)
			}
		}
		if got := tok.Encode(text, true); !slices.Equal(got, r.special) {
			t.Errorf("Encode(%q, true) = %v, want %v", text, got, r.special)
		}
		if got := tok.Decode(r.special, false); got != r.decoded {
			t.Errorf("Decode(%v, false) = %q, want %q", r.special, got, r.decoded)
		}
		if got := tok.Decode(r.special, true); got != r.skipped {
			t.Errorf("Decode(%v, true) = %q, want %q", r.special, got, r.skipped)
		}
	}
}

// How published families put their tokenizers together, on hostile texts (testdata/families.py).
func TestFamilies(t *testing.T) {
	data, err := os.ReadFile("testdata/families.json")
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Texts    []string
		Families map[string]struct {
			Base    string
			Replace map[string]json.RawMessage
			Rows    []row
		}
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	if len(stored.Families) < 15 {
		t.Fatalf("%d families", len(stored.Families))
	}
	for name, f := range stored.Families {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile("testdata/tokenizer-" + f.Base + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var parts map[string]json.RawMessage
			if err := json.Unmarshal(data, &parts); err != nil {
				t.Fatal(err)
			}
			maps.Copy(parts, f.Replace)
			if data, err = json.Marshal(parts); err != nil {
				t.Fatal(err)
			}
			tok, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			checkRows(t, tok, stored.Texts, f.Rows)
		})
	}
}

func TestIDAndTokenAreInverse(t *testing.T) {
	tok := small(t, "added")
	for id := range int32(tok.Size()) {
		token, ok := tok.Token(id)
		if !ok {
			t.Fatalf("id %d of %d has no token", id, tok.Size())
		}
		if token == "norm" { // "Norm", lower-cased
			token = "Norm"
		}
		if back, ok := tok.ID(token); !ok || back != id {
			t.Errorf("ID(%q) = %d, %v, want %d", token, back, ok, id)
		}
	}
	for _, id := range []int32{-1, int32(tok.Size()), 1 << 30} {
		if token, ok := tok.Token(id); ok {
			t.Errorf("Token(%d) = %q", id, token)
		}
	}
	if got := tok.Decode([]int32{-5, 1 << 30}, false); got != "" {
		t.Errorf("ids without a token decode to %q", got)
	}
}

func TestConcurrentUse(t *testing.T) {
	tok := small(t, "gpt4")
	text := strings.Repeat("The quick brown fox, naïve 1234567. ", 20)
	want := tok.Encode(text, true)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				if got := tok.Encode(text, true); !slices.Equal(got, want) {
					t.Error("ids differ between goroutines")
					return
				}
			}
		})
	}
	wait.Wait()
}

// A long piece must not take quadratic time.
func TestLongPiece(t *testing.T) {
	for _, name := range []string{"gpt4", "llama", "unigram"} {
		tok := small(t, name)
		text := strings.Repeat("ab", 200_000)
		if n := len(tok.Encode(text, false)); n == 0 || n > len(text)+1 {
			t.Errorf("%s: %d ids for %d bytes", name, n, len(text))
		}
	}
}
