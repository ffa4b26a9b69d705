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

// A Tokenizer turns text into token ids. With special, Encode adds the special tokens of the
// post-processor (BOS, EOS). Either way it reads the text of a special token as that token;
// SpecialIn lists those tokens. Special returns the text and id of a named token, "bos_token" or
// "eos_token". Implementations are safe for concurrent use.
type Tokenizer interface {
	Encode(text string, special bool) []int32
	// TryEncode is Encode, but returns an error for a text that takes too long.
	TryEncode(text string, special bool) ([]int32, error)
	Special(name string) (string, int32, bool)
	SpecialIn(text string) []string
	Hash() string
}

// A Template writes a conversation as the text that a model was trained on. With
// addGenerationPrompt the text ends where the assistant's answer begins. Implementations are safe
// for concurrent use.
type Template interface {
	Render(messages []chat.Message, addGenerationPrompt bool) (string, error)
	Hash() string
}

// The truncation policies: what to do with a group whose prompt and longest response together
// exceed Options.MaxLength tokens. If a policy cannot make the group fit, the group is dropped.
const (
	// TruncatePrompt cuts the prompt's beginning, but keeps a BOS token there.
	TruncatePrompt = "prompt"
	// TruncateDrop drops the group.
	TruncateDrop = "drop"
	// TruncateResponse cuts the ends of responses that are too long, but keeps their end tokens.
	TruncateResponse = "response"
)

// Options set the length limit of a group, and how conversations are read. The zero value reads
// them as transformers does for a model without a padding token.
type Options struct {
	MaxLength  int    // most tokens of a conversation; 0: no limit
	Truncation string // a policy, "" is TruncatePrompt
	Read       string // where the reward is read, "" is ReadLast
	BOS        string // how many BOS tokens open a conversation, "" is BOSTemplate
	Pad        *int32 // the model's padding token, at which no reward is read; nil: none
}

var (
	// ErrDropped is wrapped by the error for a group that the options exclude.
	ErrDropped = errors.New("group dropped")
	// ErrEmpty is wrapped by the error for a data set without any group left.
	ErrEmpty = errors.New("no group is left")
)

// An Encoder turns text groups into token groups. It is safe for concurrent use.
type Encoder struct {
	tok      Tokenizer
	tpl      Template
	opt      Options
	bos      int32 // valid if hasBOS
	hasBOS   bool
	opening  int     // BOS tokens with which the template opens a conversation
	closing  string  // what the template writes behind a response
	closers  []int32 // the tokens of closing
	ends     []int32 // tokens that end a turn: the first of closing that is special, and eos_token
	identity string
}

// New returns an encoder. It returns an error if the options ask for BOS tokens, or for reading at
// an end token, and the tokenizer has none.
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
	// Two tokens is the minimum: the prompt's last and one of the response.
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

// Hash identifies everything that decides a group's tokens and where its rewards are read:
// tokenizer, template and options.
func (e *Encoder) Hash() string { return e.identity }

// Ends returns the tokens that end a turn: the special token that the template writes behind a
// response, and the tokenizer's eos_token. A policy ends its answer with one of them.
func (e *Encoder) Ends() []int32 { return e.ends }

// Read says where rewards are read: ReadLast or ReadEnd.
func (e *Encoder) Read() string { return e.opt.Read }

// BOS says how many BOS tokens open a conversation: BOSTemplate, BOSOnce, BOSTwice or BOSNone.
func (e *Encoder) BOS() string { return e.opt.BOS }

// OpeningBOS is the number of BOS tokens that the template itself writes at the beginning of a
// conversation, before Options.BOS applies.
func (e *Encoder) OpeningBOS() int { return e.opening }

// Closers returns the tokens of Closing.
func (e *Encoder) Closers() []int32 { return e.closers }

// Closing returns the text that the template writes behind a response.
func (e *Encoder) Closing() string { return e.closing }
