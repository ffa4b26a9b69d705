package pref

import "encoding/json"

// An Input is what a server is asked to give a reward: a sample; or, where Text or Tokens are set,
// a conversation of which a trainer has made text or tokens already, by a chat template of its own.
type Input struct {
	Sample
	// Text is the whole conversation, template and special tokens included. PromptText, if not "", is
	// its beginning up to the response.
	Text, PromptText string
	// Tokens are the whole conversation in the model's own tokens.
	Tokens []int32
	// NoBOS says that the beginning-of-sequence token is not to be put in front of Text; without it,
	// where the model's conversations begin with it, it is there once, whether Text has it or not.
	NoBOS bool
	// TemplateArgs are further variables of the chat template, which a Sample is rendered with.
	TemplateArgs map[string]json.RawMessage
}

// Verbatim says whether no template is to be applied.
func (in Input) Verbatim() bool { return in.Text != "" || in.Tokens != nil }

// An Item is an input as a model reads it: encoded, cut where it is too long, and ready to be run.
type Item interface {
	// PromptKey identifies the prompt's tokens: items that share it cost the prompt once.
	PromptKey() string
	// Len is the number of tokens of prompt and response.
	Len() (prompt, response int)
	// Truncated says that tokens were cut to fit: the reward is of what is left.
	Truncated() bool
	// Class tells apart items that cannot be run together, such as those of which one head is wanted
	// and those of which both are.
	Class() int
}

// Values are what a model gives an item.
type Values struct {
	Rewards map[string]float64 // by the reward's name
	Tokens  []TokenReward      // of the response, where they were asked for
}

// A TokenReward is the part of the implicit reward that one token of the response has: β(log π −
// log π_ref) of it.
type TokenReward struct {
	Token  string  `json:"token"`
	Reward float64 `json:"reward"`
}
