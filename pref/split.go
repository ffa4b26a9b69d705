package pref

import (
	"crypto/sha256"
	"math"
	"slices"
)

// A PromptKey identifies a prompt by its exact roles and contents. Groups with equal keys have the
// same prompt.
type PromptKey [sha256.Size]byte

// PromptKey returns the key of the group's prompt.
func (g Group) PromptKey() PromptKey { return sha256.Sum256(appendPrompt(nil, g.Prompt)) }

// SplitByPrompt holds out a fraction of the distinct prompts: groups that share a prompt stay on
// one side, so nothing leaks. The choice depends on the prompts and the seed alone, not on the
// order of the groups. Both sides keep that order. With 0 < fraction < 1 and at least two prompts
// neither side is empty. fraction ≤ 0 holds out nothing, fraction ≥ 1 everything.
func SplitByPrompt(groups []Group, fraction float64, seed uint64) (rest, held []Group) {
	return pick(groups, seed, "split", func(n int) int {
		switch {
		case fraction >= 1:
			return n
		case !(fraction > 0): // also NaN
			return 0
		}
		return max(0, min(max(int(math.Round(fraction*float64(n))), 1), n-1))
	})
}

// pick ranks the n distinct prompts by a hash of seed, stream and prompt, and takes the first
// count(n) of them. Ranking, unlike a threshold on the hash, gives the exact number, and a smaller
// number is always a subset of a larger one. Streams keep two draws of one seed independent.
func pick(groups []Group, seed uint64, stream string, count func(n int) int) (rest, taken []Group) {
	keys := make([]PromptKey, len(groups))
	ranks := map[PromptKey]PromptKey{}
	for i, g := range groups {
		keys[i] = g.PromptKey()
		if _, ok := ranks[keys[i]]; !ok {
			ranks[keys[i]] = rankOf(keys[i], seed, stream)
		}
	}
	order := make([]PromptKey, 0, len(ranks))
	for key := range ranks {
		order = append(order, key)
	}
	slices.SortFunc(order, func(a, b PromptKey) int {
		ra, rb := ranks[a], ranks[b]
		return slices.Compare(ra[:], rb[:])
	})
	chosen := map[PromptKey]bool{}
	for _, key := range order[:count(len(order))] {
		chosen[key] = true
	}
	for i, g := range groups {
		if chosen[keys[i]] {
			taken = append(taken, g)
		} else {
			rest = append(rest, g)
		}
	}
	return rest, taken
}
