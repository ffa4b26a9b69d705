package pref

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Sampling has the settings for generating a response. The zero value of a setting turns it off;
// Temperature 0 is greedy.
type Sampling struct {
	MaxTokens         int     `json:"max_tokens"`
	Temperature       float64 `json:"temperature"`
	TopK              int     `json:"top_k,omitempty"`
	TopP              float64 `json:"top_p,omitempty"`
	MinP              float64 `json:"min_p,omitempty"`
	RepetitionPenalty float64 `json:"repetition_penalty,omitempty"`
	// texts that end the response; the response does not include them
	Stop []string `json:"stop,omitempty"`
	Seed uint64   `json:"seed"`
}

// Check returns an error that names the first setting out of range.
func (s Sampling) Check() error {
	switch {
	case s.MaxTokens < 1:
		return fmt.Errorf("pref: %d tokens of a response, want at least 1", s.MaxTokens)
	case !(s.Temperature >= 0 && s.Temperature < math.Inf(1)):
		return fmt.Errorf("pref: temperature %g, want a positive number, or 0 for greedy", s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("pref: top-k %d, want a positive number, or 0 for all", s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("pref: top-p %g, want a probability, or 0 for all", s.TopP)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return fmt.Errorf("pref: min-p %g, want a share from 0 to 1", s.MinP)
	case !(s.RepetitionPenalty >= 0 && s.RepetitionPenalty < math.Inf(1)):
		return fmt.Errorf("pref: repetition penalty %g, want a positive number, or 0 for none",
			s.RepetitionPenalty)
	}
	for _, stop := range s.Stop {
		if stop == "" {
			return errors.New("pref: an empty stop text would end every response at once")
		}
	}
	return nil
}

// A Request asks for one response to a prompt.
type Request struct {
	Prompt []Message
	Sampling
}

// A Generated response.
type Generated struct {
	Text string `json:"response"`
	// "stop": it ended by itself or by a stop text; "length": it was cut
	Finish string `json:"finish"`
	Tokens int    `json:"tokens"` // of the response; 0 if the generator does not report it
	// sum of the tokens' log-probabilities under the model; 0 if not known
	LogP  float64 `json:"logp,omitempty"`
	Usage Usage   `json:"-"`
}

// Finish reasons of a [Generated] response.
const (
	FinishStop   = "stop"
	FinishLength = "length"
)

// Usage counts the tokens that a remote server charges for.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// Add adds another count.
func (u *Usage) Add(v Usage) {
	u.PromptTokens += v.PromptTokens
	u.CompletionTokens += v.CompletionTokens
}

// A Generator writes responses. It calls done with each response as soon as it is complete, one
// call at a time, in no particular order. An error of done ends the run and is returned. The
// response to a request does not depend on the other requests. Implementations are safe for
// concurrent use.
type Generator interface {
	Generate(ctx context.Context, requests []Request, done func(i int, g Generated) error) error
}

// A Trial shows a judge two or more responses to a prompt, in this order.
type Trial struct {
	Prompt    []Message
	Responses []string
}

// A Verdict is the result of a judge. Ranks[k] is the rank of response k, 1 for the best; equal
// ranks are a tie.
type Verdict struct {
	Ranks []int `json:"ranks"`
	// Rewards are the rewards of the responses, in the order of the trial, if the judge ranks by
	// rewards; otherwise nil.
	Rewards []float64 `json:"rewards,omitempty"`
	Text    string    `json:"text,omitempty"` // the judge's own words
	Usage   Usage     `json:"usage"`
}

// A Judge ranks responses. It calls done as a [Generator] does. If a judge gives no usable verdict,
// the Verdict has no ranks; that is not an error.
type Judge interface {
	Judge(ctx context.Context, trials []Trial, done func(i int, v Verdict) error) error
}
