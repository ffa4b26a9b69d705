package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// Byte-level models without a normalizer lose nothing.
func FuzzRoundTrip(f *testing.F) {
	for _, text := range []string{"", "Hello  world's\r\n\t 123", "é😀\u0301\u00a0", "<s>\xff\xe4\xb8",
		" ᲊ½ſ'S", strings.Repeat("a", 300)} {
		f.Add(text)
	}
	var all []*Tokenizer
	for _, name := range []string{"gpt2", "digits", "gpt4", "tiktoken", "gpt4o", "deepseek",
		"ignore-merges"} {
		all = append(all, small(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for i, tok := range all {
			want := text
			if !utf8.ValidString(text) {
				want = validUTF8([]byte(text))
			}
			if got := tok.Decode(tok.Encode(text, true), false); got != want {
				t.Errorf("tokenizer %d: %q comes back as %q", i, text, got)
			}
		}
	})
}

// No text makes a tokenizer fail, and every id it gives is a token's.
func FuzzEncode(f *testing.F) {
	for _, text := range []string{"", "a<tok> <word>\x00", "\xf0\x9f", "▁<0x41>", "İ \u0301 hello"} {
		f.Add(text)
	}
	files, err := filepath.Glob("testdata/tokenizer-*.json")
	if err != nil {
		f.Fatal(err)
	}
	var all []*Tokenizer
	for _, file := range files {
		all = append(
			all, small(f, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "tokenizer-"),
				".json")))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for i, tok := range all {
			ids := tok.Encode(text, true)
			for _, id := range ids {
				if _, ok := tok.Token(id); !ok {
					t.Errorf("%s: %q gives id %d", files[i], text, id)
				}
			}
			tok.Decode(ids, true)
		}
	})
}

// No bytes make Parse fail otherwise than by an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(tiny))
	for _, name := range []string{"suffix", "unigram", "added", "gemma"} {
		data, err := os.ReadFile("testdata/tokenizer-" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(
		`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?i:a{1,2}+)|[^\\s\\P{L}]"},"behavior":"MergedWithNext","invert":true},` + tiny[1:]))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := Parse(data)
		if err != nil {
			return
		}
		tok.Decode(tok.Encode("a b\n<x>é\xff 12", true), false)
	})
}

// No pattern makes the package fail otherwise than by an error, and what it finds are stretches of
// the text in order.
func FuzzPattern(f *testing.F) {
	for pattern := range scanners {
		f.Add(pattern, "It's 1234 hé!\r\n  ")
	}
	f.Add(`[^a-z&&[^b\s]]+|\b\w(?=\d)|(?<!x)[[a]b]`, "ab1 x\xff")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if strings.ContainsAny(pattern, "*+{") && len(text) > 12 {
			text = text[:12] // a pattern that backtracks takes time that doubles with every character
		}
		find, err := compilePattern(pattern)
		if err != nil {
			return
		}
		at := 0
		find(text, func(start, end int) {
			if start < at || end < start || end > len(text) {
				t.Fatalf("%q on %q: from %d to %d after %d", pattern, text, start, end, at)
			}
			at = end
		})
	})
}
