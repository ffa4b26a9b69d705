package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
)

// ggufMetadata writes a tokenizer of a Hugging Face folder as llama.cpp's converter does;
// SentencePiece's scores are the negative positions of the merges.
func ggufMetadata(t testing.TB, files map[string][]byte, kind, pre string) map[string]any {
	t.Helper()
	var file struct {
		Added []addedToken `json:"added_tokens"`
		Model struct {
			Vocab  map[string]int `json:"vocab"`
			Merges []mergePair    `json:"merges"`
		} `json:"model"`
	}
	if err := json.Unmarshal(files[tokenizerName], &file); err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, id := range file.Model.Vocab {
		size = max(size, id+1)
	}
	for _, a := range file.Added {
		size = max(size, int(a.ID)+1)
	}
	tokens, types := make([]string, size), make([]int64, size)
	for i := range types {
		tokens[i], types[i] = fmt.Sprintf("[PAD%d]", i), 5
	}
	for token, id := range file.Model.Vocab {
		tokens[id], types[id] = token, 1
		if kind == "llama" && strings.HasPrefix(token, "<0x") {
			types[id] = 6
		}
	}
	for _, a := range file.Added {
		if tokens[a.ID], types[a.ID] = a.Content, 4; a.Special {
			types[a.ID] = 3
		}
	}
	m := map[string]any{"tokenizer.ggml.model": kind, "tokenizer.ggml.pre": pre,
		"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
	if kind == "gpt2" {
		var merges []string
		for _, p := range file.Model.Merges {
			merges = append(merges, p.left+" "+p.right)
		}
		m["tokenizer.ggml.merges"] = merges
		return m
	}
	scores := make([]float32, size)
	// a token's score is that of its first merge
	for rank, p := range slices.Backward(file.Model.Merges) {
		scores[file.Model.Vocab[p.left+p.right]] = -float32(rank)
	}
	m["tokenizer.ggml.scores"] = scores
	m["tokenizer.ggml.bos_token_id"] = int64(1)
	m["tokenizer.ggml.eos_token_id"] = int64(2)
	m["tokenizer.ggml.unknown_token_id"] = int64(0)
	return m
}

// TestGGUFEncodings: the tokenizers that FromGGUF makes give the ids of those whose vocabulary it
// was given.
func TestGGUFEncodings(t *testing.T) {
	data, err := os.ReadFile("testdata/encodings.json")
	if err != nil {
		t.Fatal(err)
	}
	var stored struct{ Texts []string }
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	for name, pre := range map[string]string{"gpt2": "gpt-2", "digits": "smollm",
		"ignore-merges": "llama-bpe", "qwen": "qwen2"} {
		t.Run(name, func(t *testing.T) {
			want := small(t, name)
			got, err := FromGGUF(ggufMetadata(t, want.Files(), "gpt2", pre))
			if err != nil {
				t.Fatal(err)
			}
			sameIDs(t, got, want, stored.Texts)
			again, err := build(got.Files()) // what is saved
			if err != nil {
				t.Fatal(err)
			}
			sameIDs(t, again, want, stored.Texts)
		})
	}
}

func sameIDs(t *testing.T, got, want *Tokenizer, texts []string) {
	t.Helper()
	for _, text := range texts {
		for _, special := range []bool{false, true} {
			if a, b := got.Encode(text, special), want.Encode(text, special); !slices.Equal(a, b) {
				t.Errorf("%q: %v, want %v", text, a, b)
			}
		}
		if ids := want.Encode(text, false); got.Decode(ids, false) != want.Decode(ids, false) {
			t.Errorf("decoded %q, want %q", got.Decode(ids, false), want.Decode(ids, false))
		}
	}
}

// TestGGUFSentencePiece compares with SentencePiece itself (testdata/spm.py).
func TestGGUFSentencePiece(t *testing.T) {
	data, err := os.ReadFile("testdata/sentencepiece.json")
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Tokens []string
		Scores []float32
		Types  []int64
		Rows   []struct {
			Text string
			IDs  []int32
		}
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	metadata := map[string]any{
		"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
		"tokenizer.ggml.tokens": stored.Tokens, "tokenizer.ggml.scores": stored.Scores,
		"tokenizer.ggml.token_type": stored.Types, "tokenizer.ggml.bos_token_id": int64(1),
		"tokenizer.ggml.eos_token_id":     int64(2),
		"tokenizer.ggml.unknown_token_id": int64(0), "tokenizer.chat_template": "{{ bos_token }}",
	}
	tok, err := FromGGUF(metadata)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored.Rows) < 20 {
		t.Errorf("only %d texts", len(stored.Rows))
	}
	for _, row := range stored.Rows {
		if got := tok.Encode(row.Text, false); !slices.Equal(got, row.IDs) {
			t.Errorf("%q: %v, want %v", row.Text, got, row.IDs)
		}
		if got := tok.Encode(row.Text, true); !slices.Equal(got, append([]int32{1}, row.IDs...)) {
			t.Errorf("%q with special tokens: %v, want 1 and %v", row.Text, got, row.IDs)
		}
		// A space mark in the text itself is decoded as a space.
		if got := tok.Decode(tok.Encode(row.Text, false), false); got != strings.ReplaceAll(row.Text, "▁",
			" ") {
			t.Errorf("decoded %q, want %q", got, row.Text)
		}
	}
	if got := tok.Encode("a</s>b", false); !slices.Contains(got, 2) {
		t.Errorf("the end token in the text became %v", got)
	}
	for name, want := range map[string]string{"bos_token": "<s>", "eos_token": "</s>",
		"unk_token": "<unk>"} {
		if got, _, _ := tok.Special(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := tok.ChatTemplate(); got != metadata["tokenizer.chat_template"] || got == "" {
		t.Errorf("template %q", got)
	}
	metadata["tokenizer.ggml.add_bos_token"], metadata["tokenizer.ggml.add_eos_token"] = false, true
	if tok, err = FromGGUF(metadata); err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("", true); !slices.Equal(got, []int32{2}) {
		t.Errorf("with only an end: %v", got)
	}
}

// TestGGUFReal does the same with the published vocabularies.
func TestGGUFReal(t *testing.T) {
	data, err := os.ReadFile(shared.Path(t, "golden/tokenizers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Texts []string }
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		dir       func(t *testing.T) string
		kind, pre string
	}{
		"stories260k": {func(t *testing.T) string { return shared.Path(t, "models/stories260k") },
			"llama", "default"},
		"smollm2": {func(t *testing.T) string { return shared.Model(t, "smollm2-135m-instruct") }, "gpt2",
			"smollm"},
		"qwen3": {func(t *testing.T) string { return shared.Model(t, "tokenizer-qwen3") }, "gpt2",
			"qwen2"},
		"llama3": {func(t *testing.T) string { return shared.Model(t, "tokenizer-llama3") }, "gpt2",
			"llama-bpe"},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := Load(test.dir(t))
			if err != nil {
				t.Fatal(err)
			}
			m := ggufMetadata(t, want.Files(), test.kind, test.pre)
			if _, id, ok := want.Special("bos_token"); ok {
				m["tokenizer.ggml.bos_token_id"] = int64(id)
			}
			m["tokenizer.ggml.add_bos_token"] = len(want.Encode("", true)) > 0
			got, err := FromGGUF(m)
			if err != nil {
				t.Fatal(err)
			}
			sameIDs(t, got, want, golden.Texts)
		})
	}
}

func TestGGUFRefused(t *testing.T) {
	basic := func() map[string]any {
		return ggufMetadata(t, small(t, "gpt2").Files(), "gpt2", "gpt-2")
	}
	for name, test := range map[string]struct {
		change func(m map[string]any)
		want   string
	}{
		"no tokens": {func(m map[string]any) { delete(m, "tokenizer.ggml.tokens") },
			"the file has no tokenizer"},
		"kind": {func(m map[string]any) { m["tokenizer.ggml.model"] = "bert" },
			`tokenizer.ggml.model "bert" is not read, only gpt2 and llama`},
		"pre": {func(m map[string]any) { m["tokenizer.ggml.pre"] = "tekken" },
			`the pre-tokenizer "tekken" (tokenizer.ggml.pre) is not known exactly; known are gpt-2, llama-bpe`},
		"no pre": {func(m map[string]any) { delete(m, "tokenizer.ggml.pre") }, `the pre-tokenizer ""`},
		"no merges": {func(m map[string]any) { delete(m, "tokenizer.ggml.merges") },
			"no tokenizer.ggml.merges"},
		"prefix": {func(m map[string]any) { m["tokenizer.ggml.add_space_prefix"] = true },
			"add_space_prefix"},
		"types": {func(m map[string]any) { m["tokenizer.ggml.token_type"] = []int64{1} },
			"token types"},
		"no scores": {func(m map[string]any) { m["tokenizer.ggml.model"] = "llama" },
			"0 tokenizer.ggml.scores"},
		"no end": {func(m map[string]any) { m["tokenizer.ggml.add_eos_token"] = true },
			"add_eos_token is set, but no token"},
		"twice": {func(m map[string]any) {
			m["tokenizer.ggml.tokens"].([]string)[1] = m["tokenizer.ggml.tokens"].([]string)[0]
		}, "ids 0 and 1 are both"},
		"merge": {func(m map[string]any) { m["tokenizer.ggml.merges"] = []string{"qq zz"} },
			"merge 0 joins"},
		"merge form": {func(m map[string]any) { m["tokenizer.ggml.merges"] = []string{"a"} }, "merge"},
		"bad template": {func(m map[string]any) { m["tokenizer.ggml.tokens"] = "a" },
			"the file has no tokenizer"},
	} {
		m := basic()
		test.change(m)
		if _, err := FromGGUF(m); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant it to contain %q", name, err, test.want)
		}
	}
}
