package pref

import "encoding/json"

// An Input is an input to a server of rewards: a sample or, if Text or Tokens is set, a
// conversation that a trainer has already rendered as text or tokens by its own chat template.
type Input struct {
	Sample
	// Text is the whole conversation, template and special tokens included. PromptText, if not "", is
	// its beginning up to the response.
	Text, PromptText string
	// Tokens are the whole conversation in the model's own tokens.
	Tokens []int32
	// NoBOS leaves the beginning-of-sequence token out in front of Text. Otherwise, if the model's
	// conversations begin with that token, it is there once, whether Text has it or not.
	NoBOS bool
	// TemplateArgs are further variables for rendering a Sample with the chat template.
	TemplateArgs map[string]json.RawMessage
}

// Verbatim reports whether the input is text or tokens, to which no template applies.
func (in Input) Verbatim() bool { return in.Text != "" || in.Tokens != nil }

// An Item is an input as a model reads it: encoded, cut if it is too long, and ready to run.
type Item interface {
	// PromptKey identifies the prompt's tokens. The prompt is run once for all items with the same
	// key.
	PromptKey() string
	// Len is the number of tokens of prompt and response.
	Len() (prompt, response int)
	// Truncated reports whether tokens were cut to fit. The reward then belongs to the remaining
	// tokens.
	Truncated() bool
	// Class separates items that cannot run together, such as those that need one head and those that
	// need both.
	Class() int
}

// Values are the results of a model for an item.
type Values struct {
	Rewards map[string]float64 // by the reward's name
	Tokens  []TokenReward      // of the response, if they were requested
}

// A TokenReward is the part of one response token in the implicit reward: β(log π − log π_ref).
type TokenReward struct {
	Token  string  `json:"token"`
	Reward float64 `json:"reward"`
}
