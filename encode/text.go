package encode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"haf/pref"
)

// ErrNoResponse is wrapped by the error of a text whose response was asked for and is not known.
var ErrNoResponse = errors.New("where the response begins is not known")

// Verbatim encodes a conversation that a trainer's template has already made text or tokens. The
// text is read as it stands, except for BOS: if the model's conversations begin with it, it is
// added (unless in.NoBOS), because some trainers remove it for a server that adds it. The response
// is the part behind in.PromptText. Without that text the response is unknown, which is an error if
// needResponse is set. truncated reports that the conversation was cut to fit Options.MaxLength.
func (e *Encoder) Verbatim(
	in pref.Input, needResponse bool,
) (c Conversation, truncated bool, err error) {
	ids, prompt := in.Tokens, in.Tokens
	if ids == nil {
		if ids, err = e.textTokens(in.Text, in.NoBOS); err != nil {
			return c, false, fmt.Errorf("encode: %w", err)
		}
		if prompt = ids; in.PromptText != "" && strings.HasPrefix(in.Text, in.PromptText) {
			if prompt, err = e.textTokens(in.PromptText, in.NoBOS); err != nil {
				return c, false, fmt.Errorf("encode: %w", err)
			}
		}
	}
	if needResponse && len(prompt) == len(ids) {
		return c, false, fmt.Errorf("encode: %w: send the prompt's text, too, with which the whole must "+
			"begin, or messages", ErrNoResponse)
	}
	if c, err = e.locate(ids, prompt); err != nil {
		return c, false, fmt.Errorf("encode: %w", err)
	}
	return e.fit(c)
}

// textTokens returns the tokens of a text that a template made elsewhere.
func (e *Encoder) textTokens(text string, noBOS bool) ([]int32, error) {
	switch {
	case noBOS || e.opt.BOS == BOSTemplate && e.opening == 0:
		return e.tok.TryEncode(text, false)
	case e.opt.BOS != BOSTemplate:
		return e.tokens(text)
	}
	ids, err := e.tok.TryEncode(text, false)
	if err != nil || len(ids) > 0 && ids[0] == e.bos {
		return ids, err
	}
	return slices.Concat([]int32{e.bos}, ids), nil
}

// Text returns a conversation as text, including template and special tokens, for a server that
// tokenizes it without adding any. begin is its beginning up to the response, rendered with the
// generation prompt. If the template refuses the conversation, the error wraps [ErrRefused].
func (e *Encoder) Text(prompt []pref.Message, response string) (whole, begin string, err error) {
	messages := append(slices.Clip(prompt), pref.Message{Role: pref.Assistant, Content: response})
	if whole, err = e.render(messages, false); err != nil {
		return "", "", fmt.Errorf("encode: %w", err)
	}
	if begin, err = e.render(prompt, true); err != nil {
		return "", "", fmt.Errorf("encode: %w", err)
	}
	return e.withBOS(whole), e.withBOS(begin), nil
}

// withBOS gives a rendered text as many BOS tokens as Options.BOS says.
func (e *Encoder) withBOS(text string) string {
	want := 0
	switch e.opt.BOS {
	case BOSTemplate:
		return text
	case BOSOnce:
		want = 1
	case BOSTwice:
		want = 2
	}
	bos, _, _ := e.tok.Special("bos_token")
	for bos != "" && strings.HasPrefix(text, bos) {
		text = text[len(bos):]
	}
	return strings.Repeat(bos, want) + text
}
