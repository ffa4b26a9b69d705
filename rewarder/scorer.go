package rewarder

import (
	"context"
	"fmt"
	"sync"

	"haf/pref"
)

// A Scorer is one reward of a Rewarder. It counts the samples that were cut to fit the model.
type Scorer struct {
	from pref.Rewarder
	name string

	mu        sync.Mutex
	truncated Truncation
}

// NewScorer returns the named reward of r; "" names the default. It is an error if r cannot give
// it.
func NewScorer(ctx context.Context, r pref.Rewarder, name string) (*Scorer, error) {
	if _, err := r.Read(ctx, nil, []string{name}); err != nil {
		return nil, err
	}
	return &Scorer{from: r, name: name}, nil
}

// Name is the name of the reward, even if it is the default.
func (s *Scorer) Name() string {
	if names := s.from.Rewards(); s.name == "" && len(names) > 0 {
		return names[0]
	}
	return s.name
}

// Score implements [pref.Scorer]. A sample that the chat template refuses is an error.
func (s *Scorer) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	r, err := s.from.Read(ctx, Alone(samples), []string{s.name})
	if err != nil {
		return nil, err
	}
	for i := range samples {
		if refused := r.Refused[i]; refused != nil {
			return nil, fmt.Errorf("sample %d: %w", i+1, refused)
		}
	}
	if len(r.Groups) != len(samples) {
		return nil, fmt.Errorf("rewarder: %d rewards of %d samples were read", len(r.Groups),
			len(samples))
	}
	s.mu.Lock()
	s.truncated.Add(r)
	s.mu.Unlock()
	out := make([]float64, len(samples))
	for i, of := range r.Rewards[s.name] {
		out[i] = of[0]
	}
	return out, nil
}

// Truncated counts the samples that were cut so far.
func (s *Scorer) Truncated() Truncation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.truncated
}

// Refuses implements [pref.Refuser]. A Rewarder that cannot know beforehand, such as a server,
// refuses nothing.
func (s *Scorer) Refuses(prompt []pref.Message) error { return refusedBy(s.from, prompt) }

// Alone makes each sample a group without comparisons, so that it is read independently.
func Alone(samples []pref.Sample) []pref.Group {
	groups := make([]pref.Group, len(samples))
	for i, s := range samples {
		groups[i] = pref.Group{Prompt: s.Prompt, Responses: []string{s.Response}}
	}
	return groups
}

// A Truncation counts the samples that were cut to fit a model.
type Truncation struct {
	Read, Cut int
	First     int    // number of the first cut sample, counted from 1
	What      string // see [pref.Readings]
}

// Add counts the truncated samples of readings.
func (t *Truncation) Add(r pref.Readings) {
	for _, of := range r.Truncated {
		for _, cut := range of {
			t.AddOne(cut, r.Cut)
		}
	}
}

// AddOne counts one reading; what describes the cut.
func (t *Truncation) AddOne(cut bool, what string) {
	if t.Read++; !cut {
		return
	}
	if t.Cut == 0 {
		t.First, t.What = t.Read, what
	}
	t.Cut++
}

// String returns a warning, "" if nothing was cut.
func (t Truncation) String() string {
	if t.Cut == 0 {
		return ""
	}
	return fmt.Sprintf("of %d of %d samples (the first is number %d) %s: the reward is of what "+
		"was left", t.Cut, t.Read, t.First, t.What)
}
