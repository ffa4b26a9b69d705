package encode

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"haf/pref"
)

// TestVerbatim: a text of a template is read as it stands, but for BOS, and its response is what
// follows the prompt's text.
func TestVerbatim(t *testing.T) {
	e := newEncoder(t, words{bos: true, eos: true, addBOS: true}, turns{before: "<s>"},
		Options{MaxLength: 10})
	bos, eos := []int32{bosID}, []int32{eosID}
	for _, c := range []struct {
		in     pref.Input
		prompt int
		want   []int32
	}{
		{pref.Input{Text: "a b"}, 3, join(bos, ids("a b"))},
		{pref.Input{Text: "<s>a b</s>\n"}, 5, join(bos, ids("a b"), eos, ids("\n"))},
		{pref.Input{Text: "<s>a b</s>", PromptText: "<s>a"}, 2, join(bos, ids("a b"), eos)},
		{pref.Input{Text: "a b</s>", PromptText: "a"}, 2, join(bos, ids("a b"), eos)},
		{pref.Input{Text: "a b", NoBOS: true}, 2, ids("a b")},
		{pref.Input{Tokens: []int32{7, 8}}, 2, []int32{7, 8}},
		{pref.Input{Tokens: []int32{7, eosID}}, 2, []int32{7, eosID}},
	} {
		got, truncated, err := e.Verbatim(c.in, false)
		if err != nil || truncated {
			t.Errorf("%+v: truncated %v, %v", c.in, truncated, err)
			continue
		}
		if !slices.Equal(got.Tokens, c.want) || got.Response != c.prompt || got.Read != len(c.want)-1 {
			t.Errorf("%+v: %+v, want %v with a prompt of %d", c.in, got, c.want, c.prompt)
		}
	}
	for _, in := range []pref.Input{{Text: "a b"}, {Text: "a b", PromptText: "c"},
		{Text: "a b", PromptText: "a b"}, {Tokens: []int32{7, 8}}} {
		if _, _, err := e.Verbatim(in, true); !errors.Is(err, ErrNoResponse) {
			t.Errorf("%+v: error %v, want ErrNoResponse", in, err)
		}
	}
	// The same conversation as messages and as text is the same.
	prompt := user("hi there")
	whole, _, err := e.Conversation(prompt, "fine")
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := e.Verbatim(pref.Input{Text: "<s>user hi there\nassistant fine\n",
		PromptText: "<s>user hi there\nassistant "}, true)
	if err != nil || !reflect.DeepEqual(text, whole) {
		t.Errorf("text %+v, %v; messages %+v", text, err, whole)
	}
	// Where the template writes no BOS, a text gets none, whatever the tokenizer would add.
	bare := newEncoder(t, words{bos: true, eos: true, addBOS: true}, turns{}, Options{})
	if c, _, err := bare.Verbatim(pref.Input{Text: "a b"}, false); err != nil || c.Tokens[0] == bosID {
		t.Errorf("%+v, %v: want no BOS", c, err)
	}
	c, truncated, err := e.Verbatim(pref.Input{Text: strings.Repeat("a ", 30)}, false)
	if err != nil || !truncated || len(c.Tokens) != 10 || c.Tokens[0] != bosID || c.Read != 9 {
		t.Errorf("%+v, %v, %v: want BOS and the text's end", c, truncated, err)
	}
}

// TestText: the text of a conversation has the tokens of the conversation, once it is tokenized
// without further special tokens.
func TestText(t *testing.T) {
	prompt := user("hi there")
	for name, opt := range map[string]Options{
		"as the template": {}, "once": {BOS: BOSOnce}, "twice": {BOS: BOSTwice}, "none": {BOS: BOSNone},
	} {
		tok := words{bos: true, eos: true, addBOS: true}
		e := newEncoder(t, tok, turns{before: "<s>"}, opt)
		whole, begin, err := e.Text(prompt, "fine")
		if err != nil || !strings.HasPrefix(whole, begin) {
			t.Fatalf("%s: %q does not begin with %q, %v", name, whole, begin, err)
		}
		want, _, err := e.Conversation(prompt, "fine")
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Encode(whole, false); !slices.Equal(got, want.Tokens) {
			t.Errorf("%s: %q has the tokens %v, want %v", name, whole, got, want.Tokens)
		}
	}
}
