package report

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"haf/eval"
	"haf/internal/wholefile"
	"haf/pref"
)

// pairsName is the file in a run folder for the output of haf eval -out.
const pairsName = "pairs.jsonl"

// Pairs are the rewards of an evaluation's comparisons.
type Pairs struct {
	keys    []pairKey
	prompts map[pairKey][]pref.Message
	margins map[string]map[pairKey]float64 // by reward
}

// A pairKey identifies a comparison by its texts and the number of earlier occurrences.
type pairKey struct {
	hash [sha256.Size]byte
	copy int
}

// readPairs reads a file of haf eval -out. It returns nil if there is none.
func readPairs(path string) (*Pairs, error) {
	f, err := wholefile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	p := &Pairs{prompts: map[pairKey][]pref.Message{}, margins: map[string]map[pairKey]float64{}}
	copies := map[[sha256.Size]byte]int{}
	decoder := json.NewDecoder(f)
	for n := 1; ; n++ {
		var e eval.Example
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return p, nil
		} else if err != nil {
			return nil, fmt.Errorf("report: %s: comparison %d: %w: want what haf eval -out writes", path,
				n, err)
		}
		if e.Tied {
			continue
		}
		text, err := json.Marshal([]any{e.Prompt, e.Chosen, e.Rejected})
		if err != nil {
			return nil, fmt.Errorf("report: %s: comparison %d: %w", path, n, err)
		}
		key := pairKey{hash: sha256.Sum256(text)}
		key.copy = copies[key.hash]
		copies[key.hash]++
		p.keys = append(p.keys, key)
		p.prompts[key] = e.Prompt
		for name, r := range e.Rewards {
			if p.margins[name] == nil {
				p.margins[name] = map[pairKey]float64{}
			}
			p.margins[name][key] = r.Margin
		}
	}
}

// pairedWith compares a reward with another on the comparisons that both have. ok is false if there
// are none.
func (p *Pairs) pairedWith(reward string, other *Pairs, otherReward string) (
	out eval.Paired, ok bool, err error,
) {
	if p == nil || other == nil {
		return out, false, nil
	}
	var groups []pref.Group
	var a, b [][]float64
	for _, key := range p.keys {
		of, here := p.margins[reward][key]
		against, there := other.margins[otherReward][key]
		if here && there {
			groups = append(groups, pref.NewPair(p.prompts[key], "", "", pref.Location{}))
			a, b = append(a, []float64{of, 0}), append(b, []float64{against, 0})
		}
	}
	if len(groups) == 0 {
		return out, false, nil
	}
	out, err = eval.Compare(groups, a, b)
	return out, err == nil, err
}
