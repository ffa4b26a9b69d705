package tokenizer

import (
	"strings"
	"testing"
)

// TestRebuilt: tokenizers that transformers 5 builds from their class, and not from tokenizer.json,
// are named.
func TestRebuilt(t *testing.T) {
	const bytes = `"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},`
	const digits = `"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},` +
		`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},`
	const model = `"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}`
	for _, c := range []struct {
		class, tokenizer, family string
		want                     bool
	}{
		{"GPT2Tokenizer", `{` + bytes + model, "gpt2", false},
		{"GPT2Tokenizer", `{` + digits + model, "llama", true},
		{"GPT2TokenizerFast", `{` + digits + model, "llama", true},
		{"PreTrainedTokenizerFast", `{` + digits + model, "llama", false},
		{"PreTrainedTokenizerFast", `{` + digits + model, "qwen2", true},
	} {
		tok, err := Load(
			folder(t, map[string]string{tokenizerName: c.tokenizer, configName: `{"tokenizer_class":"` +
				c.class + `"}`}))
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Rebuilt(c.family); (got != "") != c.want || c.want &&
			!strings.Contains(got, "passes over a part of tokenizer.json") {
			t.Errorf("%s of a %s: %q", c.class, c.family, got)
		}
	}
}
