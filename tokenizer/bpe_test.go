package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// crossing has tokens that reach over a ▁ behind "b" and behind a byte token, and none behind "a".
const crossing = `{"version":"1.0","added_tokens":[],"model":{"type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":true,
"vocab":{"<unk>":0,"▁":1,"a":2,"b":3,"▁▁":4,"▁a":5,"b▁":6,"b▁a":7,"<0xC3>":8,"<0xA9>":9,"<0xA9>▁":10},
"merges":[["▁","▁"],["b","▁"],["▁","a"],["b▁","a"],["<0xA9>","▁"]]}}`

// Pieces are cut at spaces for speed alone: a text has the ids that it has as one piece.
func TestWordsAreExact(t *testing.T) {
	tok, err := Parse([]byte(crossing))
	if err != nil {
		t.Fatal(err)
	}
	models := map[string]*bpe{"crossing": tok.model.(*bpe)}
	for _, name := range []string{"llama", "gemma", "unk", "fuse-unk", "no-unk"} {
		models[name] = small(t, name).model.(*bpe)
	}
	if b := models["crossing"]; !b.endsWord['a'] || b.endsWord['b'] || b.endsWord['▁'] ||
		b.endsWord['é'] {
		t.Errorf("words end behind %v", b.endsWord)
	}
	if !models["llama"].endsWord['e'] {
		t.Error("no word ends behind e")
	}
	parts := []string{"a", "b", "é", "▁", "▁▁", "the", "hello", "▁world", "中", "\xff", "\x00", "<unk>",
		"ab▁a", "😀"}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		var text strings.Builder
		for range rng.IntN(12) {
			text.WriteString(parts[rng.IntN(len(parts))])
		}
		for name, b := range models {
			if got, want := b.encode(nil, text.String()), b.merge(nil, text.String()); !slices.Equal(got,
				want) {
				t.Fatalf("%s: %q: %v, as one piece %v", name, text.String(), got, want)
			}
		}
	}
}
