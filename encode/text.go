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

// Verbatim encodes a conversation that is text or tokens already, as a trainer's template made it.
// It is read as it stands, but for BOS: where the model's conversations begin with it, so does a
// text (unless in.NoBOS), since some trainers take it off for a server that adds it. The response
// is what follows in.PromptText, which is found as that of messages is; without it there is none,
// which needResponse makes an error. truncated says that the conversation was cut to fit
// Options.MaxLength.
func (e *Encoder) Verbatim(in pref.Input, needResponse bool) (c Conversation, truncated bool, err error) {
	ids, prompt := in.Tokens, in.Tokens
	if ids == nil {
		ids = e.textTokens(in.Text, in.NoBOS)
		if prompt = ids; in.PromptText != "" && strings.HasPrefix(in.Text, in.PromptText) {
			prompt = e.textTokens(in.PromptText, in.NoBOS)
		}
	}
	if needResponse && len(prompt) == len(ids) {
		return c, false, fmt.Errorf("encode: %w: send the prompt's text, too, with which the whole must begin, or messages", ErrNoResponse)
	}
	if c, err = e.locate(ids, prompt); err != nil {
		return c, false, fmt.Errorf("encode: %w", err)
	}
	return e.fit(c)
}

// textTokens are those of a text that a template made elsewhere.
func (e *Encoder) textTokens(text string, noBOS bool) []int32 {
	switch {
	case noBOS || e.opt.BOS == BOSTemplate && e.opening == 0:
		return e.tok.Encode(text, false)
	case e.opt.BOS != BOSTemplate:
		return e.tokens(text)
	}
	ids := e.tok.Encode(text, false)
	if len(ids) > 0 && ids[0] == e.bos {
		return ids
	}
	return slices.Concat([]int32{e.bos}, ids)
}
