package serve

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"haf/pref"
	"haf/rewarder"
)

// An Engine computes rewards in two steps: it encodes, measures and refuses inputs as they arrive,
// and reads them together when the device is free. Its methods are safe for concurrent use.
type Engine interface {
	// Rewards names the rewards, the default first.
	Rewards() []string
	// MaxLength is the maximum number of tokens of an input, 0 if unknown.
	MaxLength() int
	// Capacity is the number of tokens that Next should be offered at once, enough for several
	// batches.
	Capacity() int
	// Next chooses, by index, the items that are best read together now. All items are of one class.
	// More urgent items go first; one of the most urgent is always chosen.
	Next(items []pref.Item, urgency []int) ([]int, error)
	// Encode makes an input ready to be read for the named rewards, and for rewards of single tokens
	// if tokens is set. Its errors are the client's faults.
	Encode(in pref.Input, rewards []string, tokens bool) (pref.Item, error)
	// Read returns the values of items of one class, in order.
	Read(ctx context.Context, items []pref.Item) ([]pref.Values, error)
	// Close frees the engine. No method may be called afterwards.
	Close()
}

// NewEngine makes an engine of any Rewarder, which its Close closes. It accepts samples only. It
// estimates lengths in units of four bytes.
func NewEngine(r pref.Rewarder) Engine { return rewarderEngine{r} }

type rewarderEngine struct{ from pref.Rewarder }

// plainCapacity is in units of four bytes.
const plainCapacity = 8192

type plainItem struct {
	sample pref.Sample
	prompt string   // key
	length int      // of the prompt, in units of four bytes
	names  []string // of the requested rewards
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

// Next takes all items, because a Rewarder makes its own batches.
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

// Read reads the rewards that any item needs.
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
