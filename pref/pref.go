// Package pref defines the types of preference learning and the readers for them. A prompt is a
// conversation. A [Group] is one prompt with its responses and the comparisons between them, a
// [Sample] is one prompt with one response. A [Rewarder] gives responses their rewards, and a
// [Scorer] is one reward of a Rewarder.
package pref

import "fmt"

// A Sample is one prompt with one response, which together have a reward.
type Sample struct {
	Prompt   []Message `json:"prompt"`
	Response string    `json:"response"`
}

// A Comparison states that response Chosen of a group was preferred to response Rejected. Both are
// indices into Group.Responses. Margin is the stated strength of the preference, 0 if none was
// stated. ZeroMargin means that 0 was stated.
type Comparison struct {
	Chosen, Rejected int
	Margin           float64
	ZeroMargin       bool `json:",omitempty"`
}

// Stated reports whether the data states a margin.
func (c Comparison) Stated() bool { return c.Margin != 0 || c.ZeroMargin }

// state gives the comparison a margin that the data states.
func (c *Comparison) state(margin float64) { c.Margin, c.ZeroMargin = margin, margin == 0 }

// A Group is the unit of work: one prompt, its responses, and the comparisons between them. A pair
// is a group of two responses and one comparison. With Options.KeepUnpaired or Attributes a group
// may have a single response and no comparison. Its Labels or Grades then judge the response.
type Group struct {
	Prompt      []Message
	Responses   []string
	Comparisons []Comparison
	// pairs of responses that were judged equal; read only with Options.KeepTies
	Ties   [][2]int
	Scores []float64 // of the responses, if the row has some; else nil
	// Labels state whether each single response is desirable, from rows {prompt, completion, label};
	// nil if no row does. They are read only with Options.KeepUnpaired.
	Labels []bool
	// Grades are the ratings of each response by attribute, such as helpfulness: one number a
	// response, NaN if it has none; nil if no row has any. They are read only with Options.Attributes.
	Grades map[string][]float64
	// the part of its set that the row names, such as a RewardBench subset; "" if none
	Subset string
	ID     string // the row's own name in its set; "" if none
	Source Location
}

// NewPair returns the group of one comparison: chosen is response 0, rejected response 1.
func NewPair(prompt []Message, chosen, rejected string, source Location) Group {
	return Group{Prompt: prompt, Responses: []string{chosen, rejected},
		Comparisons: []Comparison{{Chosen: 0, Rejected: 1}}, Source: source}
}

// Samples returns the group's responses, in order, each with the prompt.
func (g Group) Samples() []Sample {
	samples := make([]Sample, len(g.Responses))
	for i, r := range g.Responses {
		samples[i] = Sample{Prompt: g.Prompt, Response: r}
	}
	return samples
}

// A Location is the place of a group: a file and the line (or, in a JSON array, the element),
// counted from 1.
type Location struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

func (s Location) String() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }
