// Package encode turns groups into the token rows that a model runs: the chat template and the tokenizer make
// tokens of a [pref.Group], a truncation policy bounds them, and a [Plan] of the whole data set packs the groups
// into rows of a few fixed shapes, with the positions, masks and read-out indices of a shared prompt.
//
// A group is laid out in a row as prompt, response 1, response 2, …. The prompt is run once: a response token sees
// the prompt and the earlier tokens of its own response, and its position continues from the prompt's end, so that
// every sequence gives the numbers that it would give alone. See [Visible] for the mask.
//
// The text is tokenized in pieces, prompt and responses each for themselves, because that is what a policy sees
// when it writes a response after a given prompt. A tokenizer whose normalizer puts "▁" before every text (those
// converted from SentencePiece with a dummy prefix, stories260k for one) therefore puts one before every response
// too. That is accepted: training, scoring and serving all pass here, so it is the same everywhere.
package encode

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"haf/pref"
	"haf/tokenizer"
)

// A Tokenizer makes token ids of text. Encode adds the special tokens of its post-processor (BOS, EOS) where
// special is true, and reads the text of a special token as that token either way. Special returns text and id of
// a named one, "bos_token" or "eos_token". Implementations are safe for concurrent use.
type Tokenizer interface {
	Encode(text string, special bool) []int32
	Special(name string) (string, int32, bool)
	Hash() string
}

// A Template writes a conversation as the text that a model was trained on; with addGenerationPrompt the text ends
// where the assistant's answer begins. Implementations are safe for concurrent use.
type Template interface {
	Render(messages []tokenizer.Message, addGenerationPrompt bool) (string, error)
	Hash() string
}

// The truncation policies: what happens to a group of which the prompt and the longest response have together more
// than Options.MaxLength tokens. A policy that cannot fit the group drops it.
const (
	// TruncatePrompt keeps the prompt's end and cuts it from its left, but keeps a BOS token at its beginning.
	TruncatePrompt = "prompt"
	// TruncateDrop drops the group.
	TruncateDrop = "drop"
	// TruncateResponse cuts the tails of the responses that are too long and keeps their end token.
	TruncateResponse = "response"
)

// Options say how long a group may be.
type Options struct {
	MaxLength  int    // most tokens of prompt and longest response together; 0: no limit
	Truncation string // a policy, "" is TruncatePrompt
}

var (
	// ErrDropped is wrapped by the error of a group that the options exclude.
	ErrDropped = errors.New("group dropped")
	// ErrEmpty is wrapped by the error of a data set of which nothing is left.
	ErrEmpty = errors.New("no group is left")
)

// An Encoder makes token groups of text groups. It is safe for concurrent use.
type Encoder struct {
	tok      Tokenizer
	tpl      Template
	opt      Options
	end      int32  // closes every response
	bos      int32  // opens every prompt, where hasBOS
	bosText  string // the text of bos: a template may write it itself
	hasBOS   bool
	addsBOS  bool        // the tokenizer's post-processor puts BOS in front
	opensBOS func() bool // prompts begin with BOS, whoever puts it there
	identity string
}

// New returns an encoder. It is an error if the tokenizer has no eos_token: nothing could close a response.
func New(tok Tokenizer, tpl Template, opt Options) (*Encoder, error) {
	if tok == nil || tpl == nil {
		return nil, errors.New("encode: a tokenizer and a chat template are needed, at least one is missing")
	}
	switch opt.Truncation {
	case "":
		opt.Truncation = TruncatePrompt
	case TruncatePrompt, TruncateDrop, TruncateResponse:
	default:
		return nil, fmt.Errorf("encode: truncation is %q, want %q, %q or %q", opt.Truncation, TruncatePrompt, TruncateDrop, TruncateResponse)
	}
	// Two tokens are the least: the prompt's last and the response's end token.
	if opt.MaxLength < 0 || opt.MaxLength == 1 {
		return nil, fmt.Errorf("encode: max length is %d tokens, want 2 or more, or 0 for no limit", opt.MaxLength)
	}
	_, end, ok := tok.Special("eos_token")
	if !ok {
		return nil, errors.New("encode: the tokenizer has no eos_token to close a response with: name one in its tokenizer_config.json")
	}
	e := &Encoder{tok: tok, tpl: tpl, opt: opt, end: end}
	e.bosText, e.bos, e.hasBOS = tok.Special("bos_token")
	if e.hasBOS {
		// Whether the post-processor adds BOS does not depend on the text, so one probe tells it for all texts, and
		// the EOS or whatever else it adds never has to be taken off again.
		with, without := tok.Encode("a", true), tok.Encode("a", false)
		e.addsBOS = len(with) > len(without) && with[0] == e.bos && (len(without) == 0 || without[0] != e.bos)
	}
	e.opensBOS = sync.OnceValue(func() bool {
		ids, err := e.prompt([]pref.Message{{Role: pref.User, Content: "a"}})
		return e.addsBOS || err == nil && e.hasBOS && ids[0] == e.bos
	})
	h := sha256.New()
	// %q keeps the parts apart whatever they contain. The leading number counts changes of the rules in this package.
	fmt.Fprintf(h, "haf/encode 1\ntokenizer %q\ntemplate %q\nmax length %d\ntruncation %q\n", tok.Hash(), tpl.Hash(), opt.MaxLength, opt.Truncation)
	e.identity = hex.EncodeToString(h.Sum(nil))
	return e, nil
}

// Hash identifies everything that decides which tokens a group becomes: tokenizer, template and options.
func (e *Encoder) Hash() string { return e.identity }

// End returns the id of the token that closes every response.
func (e *Encoder) End() int32 { return e.end }

// Prompt returns the tokens of a conversation, up to where the answer begins: the template rendered with the
// generation prompt, BOS in front where the tokenizer adds one (once, whether template or tokenizer or both write
// it), never an EOS behind.
func (e *Encoder) Prompt(messages []pref.Message) ([]int32, error) {
	ids, err := e.prompt(messages)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return ids, nil
}

func (e *Encoder) prompt(messages []pref.Message) ([]int32, error) {
	turns := make([]tokenizer.Message, len(messages))
	for i, m := range messages {
		turns[i] = tokenizer.Message{Role: m.Role, Content: m.Content}
	}
	text, err := e.tpl.Render(turns, true)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	ids := e.tok.Encode(text, false)
	if e.addsBOS && (len(ids) == 0 || ids[0] != e.bos) {
		ids = append([]int32{e.bos}, ids...)
	}
	if len(ids) == 0 {
		return nil, errors.New("the prompt has no token, so the first token of a response has none to be predicted from: give it a message, or a template that writes one")
	}
	return ids, nil
}

// response returns the tokens of an answer, its end token included. An answer that already ends in it gets no second.
func (e *Encoder) response(text string) []int32 {
	ids := e.tok.Encode(text, false)
	if n := len(ids); n > 0 && ids[n-1] == e.end {
		return ids
	}
	return append(ids[:len(ids):len(ids)], e.end)
}
