package serve

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"haf/pref"
	"haf/rewarder"
)

// An Engine gives rewards in two steps, so that inputs are encoded, measured and refused as they
// come, and read together when the device is free. Its methods are safe for concurrent use.
type Engine interface {
	// Rewards names what can be asked for, the default first.
	Rewards() []string
	// MaxLength is the most tokens of an input, 0 where that is not known.
	MaxLength() int
	// Capacity is the number of tokens that Next is best shown at once, some batches full.
	Capacity() int
	// Next chooses those of the items, which are of one class, that are best read together now, by
	// index: the more urgent before others, the first or another of the most urgent in any case.
	Next(items []pref.Item, urgency []int) ([]int, error)
	// Encode makes an input ready to be read for the rewards named, and for those of single tokens
	// if tokens is set. Its errors are the client's.
	Encode(in pref.Input, rewards []string, tokens bool) (pref.Item, error)
	// Read gives items of one class their values, in order.
	Read(ctx context.Context, items []pref.Item) ([]pref.Values, error)
	// Close frees the engine; nothing is asked of it afterwards.
	Close()
}

// NewEngine returns the engine of any Rewarder, which its Close closes. It takes samples alone;
// lengths are counted in units of four bytes.
func NewEngine(r pref.Rewarder) Engine { return rewarderEngine{r} }

type rewarderEngine struct{ from pref.Rewarder }

// plainCapacity is in units of four bytes.
const plainCapacity = 8192

type plainItem struct {
	sample pref.Sample
	prompt string   // key
	length int      // of the prompt
	names  []string // of the rewards asked for
}

func (i *plainItem) PromptKey() string { return i.prompt }
func (i *plainItem) Len() (prompt, response int) {
	return 1 + i.length/4, 1 + len(i.sample.Response)/4
}
func (i *plainItem) Truncated() bool { return false }
func (i *plainItem) Class() int      { return 0 }

func (e rewarderEngine) Rewards() []string { return e.from.Rewards() }
func (e rewarderEngine) MaxLength() int    { return 0 }
func (e rewarderEngine) Capacity() int     { return plainCapacity }

// Close frees the Rewarder.
func (e rewarderEngine) Close() {
	if err := e.from.Close(); err != nil {
		slog.Warn("closing a model", "error", err)
	}
}

// Next takes all: what a Rewarder does with them is its own affair.
func (e rewarderEngine) Next(items []pref.Item, _ []int) ([]int, error) {
	all := make([]int, len(items))
	for i := range all {
		all[i] = i
	}
	return all, nil
}

func (e rewarderEngine) Encode(in pref.Input, rewards []string, tokens bool) (pref.Item, error) {
	switch {
	case in.Verbatim():
		return nil,
			fmt.Errorf("this model takes prompt and response or messages, not text or tokens of " +
				"a template")
	case len(in.TemplateArgs) > 0:
		return nil,
			fmt.Errorf("this model has no chat template, so it takes no chat_template_kwargs")
	case tokens:
		return nil, fmt.Errorf("this model gives no rewards of single tokens")
	}
	for _, name := range rewards {
		if !slices.Contains(e.Rewards(), name) {
			return nil, fmt.Errorf("rewards %q are not served of this model, which has %q", rewards,
				e.Rewards())
		}
	}
	if r, ok := e.from.(pref.Refuser); ok {
		if err := r.Refuses(in.Prompt); err != nil {
			return nil, err
		}
	}
	key := pref.Group{Prompt: in.Prompt}.PromptKey()
	item := &plainItem{sample: in.Sample, prompt: string(key[:]), names: rewards}
	for _, m := range in.Prompt {
		item.length += len(m.Role) + len(m.Content)
	}
	return item, nil
}

// Read reads the rewards that any item is asked for.
func (e rewarderEngine) Read(ctx context.Context, items []pref.Item) ([]pref.Values, error) {
	samples := make([]pref.Sample, len(items))
	var names []string
	for i, it := range items {
		item := it.(*plainItem)
		samples[i] = item.sample
		for _, name := range item.names {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	r, err := e.from.Read(ctx, rewarder.Alone(samples), names)
	if err != nil {
		return nil, err
	}
	if len(r.Groups) != len(samples) {
		return nil, fmt.Errorf("serve: %d of %d samples were read", len(r.Groups), len(samples))
	}
	out := make([]pref.Values, len(samples))
	for i := range out {
		out[i].Rewards = map[string]float64{}
		for _, name := range names {
			out[i].Rewards[name] = r.Rewards[name][i][0]
		}
	}
	return out, nil
}
