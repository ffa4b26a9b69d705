package rewarder

import (
	"context"
	"fmt"

	"haf/pref"
)

// FromScorer returns a Rewarder with one reward, which has the given name and comes from a Scorer.
func FromScorer(name string, s pref.Scorer) pref.Rewarder { return fromScorer{name, s} }

type fromScorer struct {
	name string
	pref.Scorer
}

func (f fromScorer) Rewards() []string { return []string{f.name} }
func (f fromScorer) Close() error      { return nil }

// Refuses asks the Scorer, if it is a [pref.Refuser].
func (f fromScorer) Refuses(prompt []pref.Message) error { return refusedBy(f.Scorer, prompt) }

// Read scores all responses in one call; no group is dropped.
func (f fromScorer) Read(
	ctx context.Context, groups []pref.Group, names []string,
) (pref.Readings, error) {
	if len(names) == 0 {
		names = f.Rewards()
	}
	out := pref.Readings{Names: names, Groups: groups, Rewards: map[string][][]float64{}}
	for _, name := range names {
		if name != "" && name != f.name {
			return pref.Readings{}, fmt.Errorf("rewarder: reward %q is not known: %s", name, f.name)
		}
	}
	var samples []pref.Sample
	for _, g := range groups {
		samples = append(samples, g.Samples()...)
	}
	rewards, err := f.Score(ctx, samples)
	if err != nil {
		return pref.Readings{}, err
	}
	if len(rewards) != len(samples) {
		return pref.Readings{}, fmt.Errorf("rewarder: %d rewards came for %d samples", len(rewards),
			len(samples))
	}
	for i, g := range groups {
		n := len(g.Responses)
		out.Index, out.Truncated = append(out.Index, i), append(out.Truncated, make([]bool, n))
		for _, name := range names {
			out.Rewards[name] = append(out.Rewards[name], rewards[:n:n])
		}
		rewards = rewards[n:]
	}
	return out, nil
}
