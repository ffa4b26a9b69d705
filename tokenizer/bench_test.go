package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"haf/internal/shared"
)

// english is about a megabyte of HH conversations, and its bytes.
func english(b *testing.B) (texts []string, size int64) {
	f, err := os.Open(shared.Path(b, "data/hh/helpful-base.test.jsonl.gz"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	for d := json.NewDecoder(z); size < 1<<20; {
		var row struct{ Chosen, Rejected string }
		if err := d.Decode(&row); err != nil {
			b.Fatal(err)
		}
		texts = append(texts, row.Chosen, row.Rejected)
		size += int64(len(row.Chosen) + len(row.Rejected))
	}
	return texts, size
}

func benchmark(b *testing.B, tok *Tokenizer) {
	texts, size := english(b)
	b.SetBytes(size)
	for b.Loop() {
		for _, text := range texts {
			tok.Encode(text, false)
		}
	}
}

func BenchmarkEncodeSmall(b *testing.B) {
	for _, name := range []string{"gpt2", "gpt4", "gpt4o", "llama", "unigram"} {
		b.Run(name, func(b *testing.B) { benchmark(b, small(b, name)) })
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, name := range []string{"smollm2-135m-instruct", "tokenizer-llama3", "tokenizer-qwen3",
		"tokenizer-gemma3"} {
		b.Run(strings.TrimPrefix(name, "tokenizer-"), func(b *testing.B) {
			tok, err := Load(shared.Model(b, name))
			if err != nil {
				b.Fatal(err)
			}
			benchmark(b, tok)
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := shared.Model(b, "smollm2-135m-instruct")
	for b.Loop() {
		if _, err := Load(dir); err != nil {
			b.Fatal(err)
		}
	}
}
