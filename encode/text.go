package encode

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"haf/pref"
)

// ErrNoResponse is wrapped by the error of a text whose response was asked for and is not known.
var ErrNoResponse = errors.New("where the response begins is not known")

// Verbatim encodes a conversation that is text or tokens already. It is read as it stands, but for what decides where
// and after what the reward is read: the BOS token of a model whose prompts begin with it is there once (unless in.NoBOS), what a
// template wrote behind the last end token (white space) is left out, and the end token is appended where it is missing.
// The group's one response is what follows in.PromptText, tokenized apart from it as [Encoder.Samples] does, and without it
// the end token alone, so that whatever was asked of the response would be of no use: needResponse makes that an error.
func (e *Encoder) Verbatim(in pref.Input, needResponse bool) (Group, error) {
	ids, prompt := in.Tokens, 0
	if ids == nil {
		response, found := strings.CutPrefix(in.Text, in.PromptText)
		if found && in.PromptText != "" {
			ids = e.text(in.PromptText, in.NoBOS)
			prompt = len(ids)
			ids = append(ids, e.tok.Encode(e.cutEnd(response), false)...)
		} else {
			ids = e.text(e.cutEnd(in.Text), in.NoBOS)
		}
	}
	if len(ids) == 0 || ids[len(ids)-1] != e.end {
		ids = append(ids[:len(ids):len(ids)], e.end)
	}
	switch {
	case len(ids) < 2:
		return Group{}, errors.New("encode: there is no token before the end token, want a text")
	case needResponse && prompt == 0:
		return Group{}, fmt.Errorf("encode: %w: send the prompt's text, too, with which the whole must begin, or messages", ErrNoResponse)
	case prompt == 0:
		prompt = len(ids) - 1
	}
	prompt = min(prompt, len(ids)-1)
	g := Group{Prompt: ids[:prompt:prompt], Responses: [][]int32{ids[prompt:]}}
	if err := e.truncate(&g); err != nil {
		return Group{}, fmt.Errorf("encode: %w", err)
	}
	return g, nil
}

// cutEnd leaves out white space behind an end token.
func (e *Encoder) cutEnd(text string) string {
	endText, _, _ := e.tok.Special("eos_token")
	if cut := strings.TrimRightFunc(text, unicode.IsSpace); endText != "" && strings.HasSuffix(cut, endText) {
		return cut
	}
	return text
}

func (e *Encoder) text(text string, noBOS bool) []int32 {
	ids := e.tok.Encode(text, false)
	if !noBOS && e.opensBOS() && (len(ids) == 0 || ids[0] != e.bos) {
		ids = append([]int32{e.bos}, ids...)
	}
	return ids
}
