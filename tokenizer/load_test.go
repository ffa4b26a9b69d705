package tokenizer

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const tiny = `{"added_tokens":[{"id":3,"content":"<x>","special":true}],
 "model":{"type":"BPE","unk_token":"<unk>","vocab":{"<unk>":0,"a":1,"</s>":2},"merges":[]}}`

func TestLoadFolder(t *testing.T) {
	config := `{"bos_token":{"content":"<x>","special":true},"eos_token":"</s>","pad_token":null,"add_bos_token":true,"add_eos_token":true,
 "added_tokens_decoder":{"4":{"content":"<y>","special":true}},"chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"{{ eos_token }}"}]}`
	dir := folder(t, map[string]string{tokenizerName: tiny, configName: config,
		specialName: `{"pad_token":"a","unk_token":"<unk>","eos_token":"a"}`})
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int32{"bos_token": 3, "eos_token": 2, "unk_token": 0,
		"pad_token": -1, "cls_token": -1} {
		_, id, ok := tok.Special(name)
		if !ok {
			id = -1
		}
		if id != want {
			t.Errorf("Special(%q) = %d, want %d", name, id, want)
		}
	}
	if got, want := tok.Encode("a<y></s>", true), []int32{3, 1, 4, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("Encode = %v, want %v", got, want)
	}
	if tok.Size() != 5 {
		t.Errorf("Size = %d, want 5", tok.Size())
	}
	if got := tok.ChatTemplate(); got != "{{ eos_token }}" {
		t.Errorf("the default template is %q", got)
	}
	files := tok.Files()
	if len(files) != 3 || string(files[configName]) != config {
		t.Errorf("Files has %d entries", len(files))
	}
	alone, err := Parse([]byte(tiny))
	if err != nil {
		t.Fatal(err)
	}
	if alone.Hash() == tok.Hash() || len(tok.Hash()) != 64 {
		t.Errorf("hashes %s and %s: the configuration changes ids", alone.Hash(), tok.Hash())
	}
	if got := alone.ChatTemplate(); got != "" {
		t.Errorf("template %q without one", got)
	}
}

func TestTemplateFileWins(t *testing.T) {
	tok, err := Load(
		folder(t, map[string]string{tokenizerName: tiny, configName: `{"chat_template":"old"}`,
			templateName: "new"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.ChatTemplate(); got != "new" {
		t.Errorf("template %q, want new", got)
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "Hugging Face layout") {
		t.Errorf("an empty folder: %v", err)
	}
	model := `"model":{"type":"BPE","vocab":{"a":0},"merges":[]}`
	for file, want := range map[string]string{
		`{`:                              "unexpected end",
		`{"model":{"type":"WordPiece"}}`: `"WordPiece" is not supported; supported are BPE, Unigram`,
		`{"model":{"type":"BPE","vocab":{"a":0},"x":1}}`:                  `unknown field "x"`,
		`{"model":{"type":"BPE","vocab":{"a":0,"b":0}}}`:                  "is given to both",
		`{"model":{"type":"BPE","vocab":{"a":-1}}}`:                       "not between 0 and",
		`{"model":{"type":"BPE","vocab":{"a":999999999}}}`:                "not between 0 and",
		`{"model":{"type":"BPE","vocab":{"a":0},"dropout":0.1}}`:          "dropout",
		`{"model":{"type":"BPE","vocab":{"a":0},"unk_token":"u"}}`:        `unk_token "u"`,
		`{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}}`: `makes "ab"`,
		`{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b c"]}}`:     "not two tokens",
		`{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","c"]]}}`:   "not both in the vocabulary",
		`{"model":{"type":"Unigram","vocab":[["a",1]]}}`:                  "unk_id",
		`{"normalizer":{"type":"BertNormalizer"},` + model +
			`}`: `normalizer: type "BertNormalizer"`,
		`{"normalizer":{"type":"Sequence","normalizers":[{"type":"Precompiled"}]},` + model +
			`}`: `"Precompiled"`,
		`{"pre_tokenizer":{"type":"BertPreTokenizer"},` + model +
			`}`: `pre_tokenizer: type "BertPreTokenizer"`,
		`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?<a>x)"},"behavior":"Isolated","invert":false},` + model + `}`: "kind that is not supported",
		`{"pre_tokenizer":{"type":"Split","pattern":{"String":"x"},"behavior":"Odd","invert":false},` +
			model + `}`: `behavior "Odd"`,
		`{"pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"x"},` + model +
			`}`: "prepend_scheme",
		`{"post_processor":{"type":"TemplateProcessing","single":[],"pair":[],"special_tokens":{}},` +
			model + `}`: "text A 0 times",
		`{"post_processor":{"type":"BertProcessing","sep":["x",7],"cls":["y",8]},` + model +
			`}`: "is no token's",
		`{"decoder":{"type":"CTC"},` + model +
			`}`: `decoder: type "CTC"`,
		`{"added_tokens":[{"id":5,"content":"x"}],` + model +
			`}`: "would give it 1",
		`{"added_tokens":[{"id":1,"content":"x"},{"id":1,"content":"x","special":true}],` + model +
			`}`: "declared twice",
	} {
		_, err := Parse([]byte(file))
		if err == nil || !strings.HasPrefix(err.Error(), "tokenizer: ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s:\nerror %v, want one with %q", file, err, want)
		}
	}
	for config, want := range map[string]string{
		`[]`:              configName,
		`{"bos_token":5}`: "bos_token",
		`{"add_bos_token":true,"bos_token":"gone"}`: "has no id",
		`{"chat_template":5}`:                       "chat_template",
		`{"split_special_tokens":true}`:             "split_special_tokens",
		`{"added_tokens_decoder":{"x":{}}}`:         "is not an id",
	} {
		_, err := Load(folder(t, map[string]string{tokenizerName: tiny, configName: config}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", config, err, want)
		}
	}
}

func TestParseKeepsNoReference(t *testing.T) {
	data := []byte(tiny)
	tok, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if !bytes.Equal(tok.Files()[tokenizerName], []byte(tiny)) {
		t.Error("Files changed with the caller's bytes")
	}
}
