package tokenizer

import (
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"

	"haf/internal/shared"
)

// english is a megabyte of conversations as they are stored, JSON and all.
func english(b *testing.B) string {
	f, err := os.Open(shared.Path(b, "data/hh/helpful-base.test.jsonl.gz"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	data, err := io.ReadAll(io.LimitReader(z, 1<<20))
	if err != nil {
		b.Fatal(err)
	}
	return string(data)
}

func benchmark(b *testing.B, tok *Tokenizer) {
	text := english(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Encode(text, false)
	}
}

func BenchmarkEncodeSmall(b *testing.B) {
	for _, name := range []string{"gpt2", "gpt4", "gpt4o", "llama", "unigram"} {
		b.Run(name, func(b *testing.B) { benchmark(b, small(b, name)) })
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, name := range []string{"smollm2-135m-instruct", "tokenizer-llama3", "tokenizer-qwen3", "tokenizer-gemma3"} {
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
