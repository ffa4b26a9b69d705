package pref

import (
	"context"
	"errors"
	"slices"
)

// ErrMemory is wrapped by the error of work that needs more memory than is available. It is found
// before the memory is taken, so less work at once may succeed.
var ErrMemory = errors.New("not enough memory")

// A Rewarder gives named rewards for the responses of groups. Local models, models behind a server
// and ensembles are Rewarders. A Rewarder is safe for concurrent use, and the rewards of a group do
// not depend on other groups.
type Rewarder interface {
	// Rewards names the rewards, the default first.
	Rewards() []string
	// Read returns the named rewards of every response; without names, all of Rewards. The name ""
	// stands for the default, whose rewards are then under "". A name that cannot be read is an error,
	// even if there are no groups.
	//
	// A group with comparisons or ties is read so that its responses can be compared. All of them keep
	// the same part of the prompt, comparisons between responses of the same tokens are removed, and a
	// group without any left is dropped. A group with neither is read response by response, each
	// independently of the others.
	Read(ctx context.Context, groups []Group, names []string) (Readings, error)
	// Close frees the Rewarder. Nothing is read afterwards.
	Close() error
}

// A Scorer returns the reward of each sample, in order. It is one reward of a [Rewarder].
// Implementations are safe for concurrent use and give a sample the same reward alone or in a
// batch.
type Scorer interface {
	Score(ctx context.Context, samples []Sample) ([]float64, error)
}

// A Refuser reports the prompts that it cannot read, because its chat template refuses them.
type Refuser interface {
	Refuses(prompt []Message) error
}

// Readings are the rewards that a [Rewarder] gave groups.
type Readings struct {
	Names     []string               // of the rewards, the default first
	Groups    []Group                // groups that could be read, with the comparisons and ties left
	Index     []int                  // position of each in the given groups
	Rewards   map[string][][]float64 // [name][group][response]
	Truncated [][]bool               // [group][response]: tokens were cut to fit the model
	// Cut describes what was cut, such as "the end of the response was cut to fit 512 tokens".
	Cut string
	// Refused has the reason for every group that the chat template refuses, by position in the given
	// groups.
	Refused map[int]error
	// Report is a line about the groups as tokens: how many were cut, refused or dropped.
	Report string
}

// SplitAt splits the readings into those of the first n given groups and those of the rest, whose
// positions then begin at 0.
func (r Readings) SplitAt(n int) (first, rest Readings) {
	at, _ := slices.BinarySearch(r.Index, n)
	first, rest = r.slice(0, at), r.slice(at, len(r.Groups))
	for i := range rest.Index {
		rest.Index[i] -= n
	}
	first.Refused, rest.Refused = map[int]error{}, map[int]error{}
	for index, err := range r.Refused {
		if index < n {
			first.Refused[index] = err
		} else {
			rest.Refused[index-n] = err
		}
	}
	return first, rest
}

func (r Readings) slice(from, to int) Readings {
	out := r
	out.Groups, out.Index = r.Groups[from:to], slices.Clone(r.Index[from:to])
	if r.Truncated != nil {
		out.Truncated = r.Truncated[from:to]
	}
	out.Rewards = map[string][][]float64{}
	for name, of := range r.Rewards {
		out.Rewards[name] = of[from:to]
	}
	return out
}

// Compared reports whether the group has comparisons or ties.
func (g Group) Compared() bool { return len(g.Comparisons)+len(g.Ties) > 0 }

// WithTiesCompared returns the groups with every tie added as a comparison.
func WithTiesCompared(groups []Group) []Group {
	out := slices.Clone(groups)
	for i, g := range out {
		out[i].Comparisons, out[i].Ties = g.compared(), nil
	}
	return out
}

// compared lists the comparisons and, behind them, the ties in their form.
func (g Group) compared() []Comparison {
	if len(g.Ties) == 0 {
		return g.Comparisons
	}
	all := slices.Clone(g.Comparisons)
	for _, t := range g.Ties {
		all = append(all, Comparison{Chosen: t[0], Rejected: t[1]})
	}
	return all
}

// Keep returns the group with only those comparisons and ties that are also in kept, where ties
// have the form of comparisons.
func (g Group) Keep(kept []Comparison) Group {
	var ties [][2]int
	for _, t := range g.Ties {
		if slices.Contains(kept, Comparison{Chosen: t[0], Rejected: t[1]}) {
			ties = append(ties, t)
		}
	}
	var comparisons []Comparison
	for _, c := range g.Comparisons {
		if slices.Contains(kept, c) {
			comparisons = append(comparisons, c)
		}
	}
	g.Comparisons, g.Ties = comparisons, ties
	return g
}

// KeepBoth returns the group with only those comparisons and ties that other has, too.
func (g Group) KeepBoth(other Group) Group { return g.Keep(other.compared()) }
