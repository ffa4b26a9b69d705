package source

import (
	"context"
	"fmt"
	"math"
	"slices"

	"haf/pref"
)

// Score names the single reward of every source except haf's own models. It equals the name of
// haf's score heads, so that a source and a model can be members of one ensemble.
const Score = "score"

// An item is a response for which a source is asked.
type item struct {
	pref.Sample
	id, subset string // of the row, or ""
	group      int    // position among the groups read
	response   int    // position in the group
}

// A single is a Rewarder with one reward.
type single struct {
	served string // source of the reward, for messages
	// model identifies the source in manifests, independently of its address; "" is served.
	model string
	// score returns the rewards of one or more items, in order, and reports their number so far to
	// done. It returns an error instead of a reward that is not finite.
	score func(ctx context.Context, items []item, done func(n int)) ([]float64, error)
	// refuses returns the reason that a prompt cannot be read; nil refuses none.
	refuses  func(prompt []pref.Message) error
	close    func() error // nil frees nothing
	progress func(pass string, done, total int)
}

// Rewards implements [pref.Rewarder].
func (s *single) Rewards() []string { return []string{Score} }

// Close implements [pref.Rewarder].
func (s *single) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// Refuses implements [pref.Refuser].
func (s *single) Refuses(prompt []pref.Message) error {
	if s.refuses == nil {
		return nil
	}
	return s.refuses(prompt)
}

// Read implements [pref.Rewarder]. It reads every response separately.
func (s *single) Read(
	ctx context.Context, groups []pref.Group, names []string,
) (pref.Readings, error) {
	if len(names) == 0 {
		names = s.Rewards()
	}
	for _, name := range names {
		if name != "" && name != Score {
			return pref.Readings{}, fmt.Errorf("%s gives the reward %s, %q is not known", s.served,
				Score, name)
		}
	}
	if err := ctx.Err(); err != nil {
		return pref.Readings{}, err
	}
	out := pref.Readings{Names: names, Rewards: map[string][][]float64{}, Refused: map[int]error{}}
	var items []item
	for i, g := range groups {
		if err := s.Refuses(g.Prompt); err != nil {
			out.Refused[i] = err
			continue
		}
		out.Groups, out.Index = append(out.Groups, g), append(out.Index, i)
		out.Truncated = append(out.Truncated, make([]bool, len(g.Responses)))
		for k, sample := range g.Samples() {
			items = append(items, item{sample, g.ID, g.Subset, i, k})
		}
	}
	rewards, err := s.scoreAll(ctx, items)
	if err != nil {
		return pref.Readings{}, err
	}
	for _, g := range out.Groups {
		n := len(g.Responses)
		for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
			out.Rewards[name] = append(out.Rewards[name], rewards[:n:n])
		}
		rewards = rewards[n:]
	}
	out.Report = fmt.Sprintf("%d responses by %s", len(items), s.served)
	return out, nil
}

func (s *single) scoreAll(ctx context.Context, items []item) ([]float64, error) {
	if len(items) == 0 {
		return nil, nil
	}
	done := func(int) {}
	if s.progress != nil && len(items) > 1 {
		done = func(n int) { s.progress("scoring", n, len(items)) }
	}
	rewards, err := s.score(ctx, items, done)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.served, err)
	}
	if len(rewards) != len(items) {
		return nil, fmt.Errorf("%s: %d rewards for %d responses", s.served, len(rewards), len(items))
	}
	for i, x := range rewards {
		if math.Abs(x) > pref.MaxNumber {
			return nil, fmt.Errorf("%s: response %d of %d has the reward %g, want a number within "+
				"±%.2g, so that the distance of two is a float32", s.served, i+1, len(items), x,
				pref.MaxNumber)
		}
	}
	return rewards, nil
}
