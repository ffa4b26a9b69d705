package encode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"haf/chat"
	"haf/pref"
)

// This file has the one rule that turns a conversation into the tokens that other programs see, and
// that places its reward. It follows transformers' AutoModelForSequenceClassification on
// apply_chat_template(conversation):
//
//   - The template renders the whole conversation, the response as its last turn, without a
//     generation prompt.
//   - The text is tokenized whole. Special tokens in it are recognized, whoever wrote them; none
//     are added.
//   - The reward is read at the last token that is not the model's padding token (pad_token_id in
//     config.json). If the padding token is also the end token, this is the token before it.
//
// The tokens of the response are those behind the generation prompt, as in TRL's DPOTrainer. haf
// renders and tokenizes the prompt with the generation prompt; the response begins at the first
// token where the two sequences differ. A token that straddles the boundary between prompt and
// response belongs to the response.

// Where a reward is read: Options.Read.
const (
	// ReadLast reads at the last token that is not padding.
	ReadLast = "last"
	// ReadEnd reads at the last token that ends a turn, as programs that look for the end token do.
	ReadEnd = "end"
)

// How many beginning-of-sequence tokens open a conversation: Options.BOS.
const (
	// BOSTemplate leaves them as the template writes them.
	BOSTemplate = "template"
	// BOSOnce, BOSTwice and BOSNone write 1, 2 and 0 tokens, whatever the template writes.
	BOSOnce  = "once"
	BOSTwice = "twice"
	BOSNone  = "none"
)

// ErrRefused is wrapped by the error for a conversation that the chat template refuses.
var ErrRefused = errors.New("the chat template refuses the conversation")

var errNoEnd = errors.New("the conversation holds no token that ends a turn, at which its reward " +
	"is to be read")

// A Conversation is a prompt with one response, in tokens.
type Conversation struct {
	Tokens   []int32
	Response int // index of the response's first token; the prompt's tokens stand before it
	Read     int // index of the token at which the reward is read
}

// render returns the text of a conversation. An error wraps [ErrRefused].
func (e *Encoder) render(messages []pref.Message, generationPrompt bool) (string, error) {
	turns := make([]chat.Message, len(messages))
	for i, m := range messages {
		turns[i] = chat.Message(m)
	}
	text, err := e.tpl.Render(turns, generationPrompt)
	if err != nil {
		return "", fmt.Errorf("%w: chat template: %w", ErrRefused, err)
	}
	return text, nil
}

// tokens returns the tokens of a rendered text, with as many BOS tokens as Options.BOS says.
func (e *Encoder) tokens(text string) ([]int32, error) {
	ids, err := e.tok.TryEncode(text, false)
	if err != nil {
		return nil, err
	}
	want := 0
	switch e.opt.BOS {
	case BOSTemplate:
		return ids, nil
	case BOSOnce:
		want = 1
	case BOSTwice:
		want = 2
	}
	for len(ids) > 0 && ids[0] == e.bos {
		ids = ids[1:]
	}
	return append(slices.Repeat([]int32{e.bos}, want), ids...), nil
}

// Prompt returns the tokens of a prompt rendered with the generation prompt, as a policy reads it:
// they end where the answer begins.
func (e *Encoder) Prompt(messages []pref.Message) ([]int32, error) {
	ids, err := e.prompt(messages)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return ids, nil
}

func (e *Encoder) prompt(messages []pref.Message) ([]int32, error) {
	text, err := e.render(messages, true)
	if err != nil {
		return nil, err
	}
	ids, err := e.tokens(text)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, errors.New("the prompt has no token, so the first token of a response has none to " +
			"be predicted from: " +
			"give it a message, or a template that writes one")
	}
	return ids, nil
}

// conversation encodes a prompt with one response. promptIDs are the prompt's own tokens from
// [Encoder.Prompt].
func (e *Encoder) conversation(
	prompt []pref.Message, response string, promptIDs []int32,
) (Conversation, error) {
	messages := append(slices.Clip(prompt), pref.Message{Role: pref.Assistant, Content: response})
	text, err := e.render(messages, false)
	if err != nil {
		return Conversation{}, err
	}
	ids, err := e.tokens(text)
	if err != nil {
		return Conversation{}, err
	}
	return e.locate(ids, promptIDs)
}

// locate finds the first token of the response and the token at which the reward is read.
func (e *Encoder) locate(ids, promptIDs []int32) (Conversation, error) {
	if len(ids) < 2 {
		return Conversation{}, fmt.Errorf("the conversation has %d tokens, want 2 or more", len(ids))
	}
	c := Conversation{Tokens: ids}
	for c.Response < min(len(ids), len(promptIDs)) && ids[c.Response] == promptIDs[c.Response] {
		c.Response++
	}
	c.Response = max(1, c.Response) // nothing predicts the first token
	var err error
	c.Read, err = e.readAt(ids)
	return c, err
}

// readAt returns the index of the token at which the reward is read.
func (e *Encoder) readAt(ids []int32) (int, error) {
	if e.opt.Read == ReadEnd {
		for i := len(ids) - 1; i >= 0; i-- {
			if slices.Contains(e.ends, ids[i]) {
				return i, nil
			}
		}
		return 0, fmt.Errorf("%w: want one of the tokens %d", errNoEnd, e.ends)
	}
	if e.opt.Pad == nil {
		return len(ids) - 1, nil
	}
	for i := len(ids) - 1; i > 0; i-- {
		if ids[i] != *e.opt.Pad {
			return i, nil
		}
	}
	return 0, nil // as in transformers, if all tokens are padding
}

// probe finds the text that the template writes behind a response and the tokens that end a turn. A
// policy ends its answer with the first of these tokens.
func (e *Encoder) probe() {
	const marker = "haf"
	question := []pref.Message{{Role: pref.User, Content: marker}}
	text, err := e.render(append(question, pref.Message{Role: pref.Assistant, Content: marker}), false)
	if err == nil {
		ids := e.tok.Encode(text, false)
		for e.hasBOS && e.opening < len(ids) && ids[e.opening] == e.bos {
			e.opening++
		}
		if at := strings.LastIndex(text, marker); at >= 0 {
			e.closing = text[at+len(marker):]
		}
	}
	e.closers = e.tok.Encode(e.closing, false)
	if special := e.tok.SpecialIn(e.closing); len(special) > 0 {
		e.ends = e.tok.Encode(special[0], false)
	}
	if _, id, ok := e.tok.Special("eos_token"); ok && !slices.Contains(e.ends, id) {
		e.ends = append(e.ends, id)
	}
}
