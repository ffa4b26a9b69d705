package pref

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

func checkWeights(weights []float64) error {
	for i, w := range weights {
		if !(w > 0 && w <= math.MaxFloat32) { // also NaN
			return fmt.Errorf("pref: weight %d of the mix is %v, want a positive number: leave the file "+
				"out instead", i+1, w)
		}
	}
	return nil
}

// Mix takes from every set its share weights[i] / Σ weights of the groups, without repetition. The
// total is as large as the set with the fewest groups for its weight allows, and at most limit (0:
// no limit). The draw depends on the prompts and the seed alone, and groups that share a prompt are
// adjacent in it. Every set keeps its order. There are as many weights as sets, all positive.
func Mix(sets [][]Group, weights []float64, limit int, seed uint64) ([]Group, error) {
	if len(weights) != len(sets) {
		return nil, fmt.Errorf("pref: %d weights for %d files, want one for each file", len(weights),
			len(sets))
	}
	if err := checkWeights(weights); err != nil {
		return nil, err
	}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	total := math.Inf(1)
	if limit > 0 {
		total = float64(limit)
	}
	for i, w := range weights {
		total = min(total, float64(len(sets[i]))*sum/w)
	}
	var out []Group
	for i, set := range sets {
		// Beyond rounding, take is never more than the set holds.
		out = append(out, draw(set, min(int(math.Round(total*weights[i]/sum)), len(set)), seed)...)
	}
	return out, nil
}

// draw takes n of the groups, ranked by a hash of seed and prompt, and leaves them in their order.
func draw(groups []Group, n int, seed uint64) []Group {
	type ranked struct {
		rank  PromptKey
		index int
	}
	order := make([]ranked, len(groups))
	for i, g := range groups {
		order[i] = ranked{rankOf(g.PromptKey(), seed, "mix"), i}
	}
	slices.SortFunc(order, func(a, b ranked) int {
		return cmp.Or(slices.Compare(a.rank[:], b.rank[:]), cmp.Compare(a.index, b.index))
	})
	taken := make([]int, 0, n)
	for _, r := range order[:n] {
		taken = append(taken, r.index)
	}
	slices.Sort(taken)
	out := make([]Group, n)
	for i, t := range taken {
		out[i] = groups[t]
	}
	return out
}

// rankOf hashes seed, stream and key.
func rankOf(key PromptKey, seed uint64, stream string) PromptKey {
	b := appendText(binary.LittleEndian.AppendUint64(nil, seed), stream)
	return sha256.Sum256(append(b, key[:]...))
}
