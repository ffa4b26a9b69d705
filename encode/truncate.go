package encode

import (
	"fmt"
	"slices"
)

// truncate makes the conversations of a group fit Options.MaxLength by the policy. If it cuts, it
// returns new slices.
func (e *Encoder) truncate(whole []Conversation) (cut []Conversation, truncated bool, err error) {
	most := e.opt.MaxLength
	longest, prompt := 0, len(whole[0].Tokens)
	for _, c := range whole {
		longest, prompt = max(longest, len(c.Tokens)), min(prompt, c.Response)
	}
	if most == 0 || longest <= most {
		return whole, false, nil
	}
	seen := fmt.Sprintf("prompt %d and longest response %d tokens, max length %d", prompt,
		longest-prompt, most)
	cut = slices.Clone(whole)
	switch e.opt.Truncation {
	case TruncatePrompt:
		kept := prompt - (longest - most) // of the prompt
		if kept < 1 {
			return nil, false, &dropped{noPromptRoom, seen}
		}
		for i, c := range whole {
			cut[i] = e.cutPrompt(c, prompt-kept, kept)
		}
	case TruncateResponse:
		for i, c := range whole {
			if len(c.Tokens) <= most {
				continue
			}
			closers := 0
			if slices.Equal(c.Tokens[max(c.Response, len(c.Tokens)-len(e.closers)):], e.closers) {
				closers = len(e.closers)
			}
			// a cut response keeps at least one token of its own beside those that close it
			if c.Response+closers >= most {
				return nil, false, &dropped{noAnswerRoom, seen}
			}
			cut[i].Tokens = slices.Concat(c.Tokens[:most-closers], c.Tokens[len(c.Tokens)-closers:])
		}
	default:
		return nil, false, &dropped{tooLong, seen}
	}
	for i := range cut {
		if cut[i].Read, err = e.readAt(cut[i].Tokens); err != nil {
			return nil, false, err
		}
	}
	return cut, true, nil
}

// cutPrompt removes n tokens from the prompt's beginning, so that kept are left. BOS stays, because
// models are trained with it at position 0 and depend on it.
func (e *Encoder) cutPrompt(c Conversation, n, kept int) Conversation {
	opening := 0
	for e.hasBOS && opening < kept-1 && c.Tokens[opening] == e.bos {
		opening++
	}
	return Conversation{Tokens: slices.Concat(c.Tokens[:opening], c.Tokens[n+opening:]),
		Response: c.Response - n}
}
