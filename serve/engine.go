package serve

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"haf/pref"
)

// An Engine gives rewards in two steps, so that inputs are encoded, measured and refused as they come, and read together when the
// device is free. Its methods are safe for concurrent use.
type Engine interface {
	// Rewards names what can be asked for, the default first.
	Rewards() []string
	// MaxLength is the most tokens of an input, 0 where that is not known.
	MaxLength() int
	// Capacity is the number of tokens that Next is best shown at once, some batches full.
	Capacity() int
	// Next chooses those of the items, which are of one class, that are best read together now, by index: the more urgent before
	// others, the first or another of the most urgent in any case.
	Next(items []pref.Item, urgency []int) ([]int, error)
	// Encode makes an input ready to be read for the rewards named, and for those of single tokens if tokens is set. Its
	// errors are the client's.
	Encode(in pref.Input, rewards []string, tokens bool) (pref.Item, error)
	// Read gives items of one class their values, in order.
	Read(ctx context.Context, items []pref.Item) ([]pref.Values, error)
	// Close frees the engine; nothing is asked of it afterwards.
	Close()
}

// Plain is the engine of any scorer: it has one reward, "score", and takes samples alone. Lengths are counted in units of four bytes.
func Plain(scorer pref.Scorer) Engine { return plain{scorer} }

type plain struct{ scorer pref.Scorer }

const (
	scoreName     = "score"
	plainCapacity = 8192
)

type plainItem struct {
	sample pref.Sample
	prompt string
}

func (i *plainItem) PromptKey() string { return i.prompt }
func (i *plainItem) Len() (prompt, response int) {
	return 1 + len(i.prompt)/4, 1 + len(i.sample.Response)/4
}
func (i *plainItem) Truncated() bool { return false }
func (i *plainItem) Class() int      { return 0 }

func (p plain) Rewards() []string { return []string{scoreName} }
func (p plain) MaxLength() int    { return 0 }
func (p plain) Capacity() int     { return plainCapacity }
func (p plain) Close()            {}

// Next takes all: what a scorer does with them is its own affair.
func (p plain) Next(items []pref.Item, _ []int) ([]int, error) {
	all := make([]int, len(items))
	for i := range all {
		all[i] = i
	}
	return all, nil
}

func (p plain) Encode(in pref.Input, rewards []string, tokens bool) (pref.Item, error) {
	switch {
	case in.Verbatim():
		return nil, fmt.Errorf("this model takes prompt and response or messages, not text or tokens of a template")
	case len(in.TemplateArgs) > 0:
		return nil, fmt.Errorf("this model has no chat template, so it takes no chat_template_kwargs")
	case tokens:
		return nil, fmt.Errorf("this model gives no rewards of single tokens")
	case !slices.Equal(rewards, p.Rewards()):
		return nil, fmt.Errorf("rewards %q are not served of this model, which has %q", rewards, p.Rewards())
	}
	var key strings.Builder
	for _, m := range in.Prompt {
		fmt.Fprintf(&key, "%q %q\n", m.Role, m.Content)
	}
	return &plainItem{in.Sample, key.String()}, nil
}

func (p plain) Read(ctx context.Context, items []pref.Item) ([]pref.Values, error) {
	samples := make([]pref.Sample, len(items))
	for i, it := range items {
		samples[i] = it.(*plainItem).sample
	}
	rewards, err := p.scorer.Score(ctx, samples)
	if err != nil {
		return nil, err
	}
	out := make([]pref.Values, len(rewards))
	for i, r := range rewards {
		out[i].Rewards = map[string]float64{scoreName: r}
	}
	return out, nil
}
