// Package encode turns text into tokens: the chat template and the tokenizer make tokens of the
// conversations of a [pref.Group], and a truncation policy bounds them. Package pack then puts the
// token groups into batches.
//
// conversation.go alone decides a conversation's tokens, the position of its reward, and the tokens
// of the response.
package encode

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"haf/chat"
)

// A Tokenizer makes token ids of text. Encode adds the special tokens of its post-processor (BOS,
// EOS) where special is true, and reads the text of a special token as that token either way;
// SpecialIn lists those that it reads so. Special returns text and id of a named one, "bos_token"
// or "eos_token". Implementations are safe for concurrent use.
type Tokenizer interface {
	Encode(text string, special bool) []int32
	// TryEncode is Encode with an error where the text takes too long.
	TryEncode(text string, special bool) ([]int32, error)
	Special(name string) (string, int32, bool)
	SpecialIn(text string) []string
	Hash() string
}

// A Template writes a conversation as the text that a model was trained on; with
// addGenerationPrompt the text ends where the assistant's answer begins. Implementations are safe
// for concurrent use.
type Template interface {
	Render(messages []chat.Message, addGenerationPrompt bool) (string, error)
	Hash() string
}

// The truncation policies: what happens to a group of which the prompt and the longest response
// have together more than Options.MaxLength tokens. A policy that cannot fit the group drops it.
const (
	// TruncatePrompt keeps the prompt's end and cuts it from its left, but keeps a BOS token at its
	// beginning.
	TruncatePrompt = "prompt"
	// TruncateDrop drops the group.
	TruncateDrop = "drop"
	// TruncateResponse cuts the tails of the responses that are too long and keeps their end token.
	TruncateResponse = "response"
)

// Options say how long a group may be, and how conversations are read. The zero value reads as
// transformers reads a model without a padding token.
type Options struct {
	MaxLength  int    // most tokens of a conversation; 0: no limit
	Truncation string // a policy, "" is TruncatePrompt
	Read       string // where the reward is read, "" is ReadLast
	BOS        string // how many BOS tokens open a conversation, "" is BOSTemplate
	Pad        *int32 // the model's padding token, at which no reward is read; nil: none
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
	bos      int32 // where hasBOS
	hasBOS   bool
	opening  int     // BOS tokens with which the template opens a conversation
	closing  string  // what the template writes behind a response
	closers  []int32 // the same in tokens
	ends     []int32 // tokens that end a turn: the first of closing that is special, and eos_token
	identity string
}

// New returns an encoder. It is an error to ask for BOS tokens, or to read at an end token, where
// the tokenizer has none.
func New(tok Tokenizer, tpl Template, opt Options) (*Encoder, error) {
	if tok == nil || tpl == nil {
		return nil, errors.New(
			"encode: a tokenizer and a chat template are needed, at least one is missing")
	}
	for _, f := range []struct {
		name  string
		value *string
		known []string // the default first
	}{
		{"truncation", &opt.Truncation, []string{TruncatePrompt, TruncateDrop, TruncateResponse}},
		{"read", &opt.Read, []string{ReadLast, ReadEnd}},
		{"bos", &opt.BOS, []string{BOSTemplate, BOSOnce, BOSTwice, BOSNone}},
	} {
		if *f.value == "" {
			*f.value = f.known[0]
		}
		if !slices.Contains(f.known, *f.value) {
			return nil, fmt.Errorf("encode: %s is %q, want one of %q", f.name, *f.value, f.known)
		}
	}
	// Two tokens are the least: the prompt's last and the response's.
	if opt.MaxLength < 0 || opt.MaxLength == 1 {
		return nil, fmt.Errorf("encode: max length is %d tokens, want 2 or more, or 0 for no limit",
			opt.MaxLength)
	}
	e := &Encoder{tok: tok, tpl: tpl, opt: opt}
	_, e.bos, e.hasBOS = tok.Special("bos_token")
	if !e.hasBOS && opt.BOS != BOSTemplate {
		return nil, fmt.Errorf("encode: bos is %q, but the tokenizer has no bos_token: leave it %q, or "+
			"name the token in tokenizer_config.json", opt.BOS, BOSTemplate)
	}
	e.probe()
	if opt.Read == ReadEnd && len(e.ends) == 0 {
		return nil, fmt.Errorf("encode: read is %q, but the tokenizer has no eos_token and the template "+
			"ends a turn with no special token: read %q", ReadEnd, ReadLast)
	}
	h := sha256.New()
	// %q keeps the parts apart whatever they contain. The leading number counts changes of the rules
	// in this package.
	fmt.Fprintf(h, "haf/encode 2\ntokenizer %q\ntemplate %q\nmax length %d\ntruncation %q\nread "+
		"%q\nbos %q\n",
		tok.Hash(), tpl.Hash(), opt.MaxLength, opt.Truncation, opt.Read, opt.BOS)
	if opt.Pad != nil {
		fmt.Fprintf(h, "pad %d\n", *opt.Pad)
	}
	e.identity = hex.EncodeToString(h.Sum(nil))
	return e, nil
}

// Hash identifies everything that decides which tokens a group becomes and where its rewards are
// read: tokenizer, template and options.
func (e *Encoder) Hash() string { return e.identity }

// Ends returns the tokens that end a turn, of which a policy writes one to end its answer: the
// special token that the template writes behind a response, and the tokenizer's eos_token.
func (e *Encoder) Ends() []int32 { return e.ends }

// Read says where rewards are read: ReadLast or ReadEnd.
func (e *Encoder) Read() string { return e.opt.Read }

// BOS says how many BOS tokens open a conversation: BOSTemplate, BOSOnce, BOSTwice or BOSNone.
func (e *Encoder) BOS() string { return e.opt.BOS }

// OpeningBOS is the number of BOS tokens with which the template opens a conversation, whatever
// Options.BOS makes of it.
func (e *Encoder) OpeningBOS() int { return e.opening }

// Closers returns the tokens of Closing.
func (e *Encoder) Closers() []int32 { return e.closers }

// Closing returns the text that the template writes behind a response.
func (e *Encoder) Closing() string { return e.closing }
