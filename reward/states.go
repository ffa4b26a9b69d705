package reward

import (
	"context"

	"haf/eval"
	"haf/pack"
	"haf/pref"
)

// A States holds the hidden states at which the score head reads the responses of groups.
type States struct {
	Groups []pref.Group  // those that could be read, with the comparisons left after encoding
	Index  []int         // their positions in the given groups
	Values [][][]float64 // [dimension][group][response]
}

// States reads the hidden states of groups in one pass, packed.
func (m *Model) States(ctx context.Context, groups []pref.Group) (States, error) {
	var out States
	encoded, _, err := m.Encoder.Groups(groups)
	if err != nil {
		return out, err
	}
	hidden := m.Config.Hidden
	out.Values = make([][][]float64, hidden)
	for d := range out.Values {
		out.Values[d] = make([][]float64, len(encoded))
		for g := range encoded {
			out.Values[d][g] = make([]float64, len(encoded[g].Responses))
		}
	}
	err = m.each(ctx, encoded, ScoreHead|states, pack.Options{Positions: m.positions}, m.Arguments(),
		func(b *pack.Batch, r readings) error {
			for j, g := range b.Groups {
				for k, slot := range b.Slots[j] {
					for d := range hidden {
						out.Values[d][g][k] = float64(r.score[int(slot)*hidden+d])
					}
				}
			}
			return nil
		})
	if err != nil {
		return out, err
	}
	for _, e := range encoded {
		out.Groups = append(out.Groups, groups[e.Index].Keep(e.Comparisons))
		out.Index = append(out.Index, e.Index)
	}
	return out, nil
}

// SplitAt returns the states of the first n given groups, and of the rest, whose positions begin at
// 0 again.
func (s States) SplitAt(n int) (first, rest States) {
	at := 0
	for at < len(s.Index) && s.Index[at] < n {
		at++
	}
	first.Groups, first.Index = s.Groups[:at], s.Index[:at]
	rest.Groups = s.Groups[at:]
	for _, i := range s.Index[at:] {
		rest.Index = append(rest.Index, i-n)
	}
	for _, of := range s.Values {
		first.Values, rest.Values = append(first.Values, of[:at]), append(rest.Values, of[at:])
	}
	return first, rest
}

// A Probe is a linear reward of hidden states, fitted on comparisons with known truth. It measures
// the information in the states, independently of the score head.
type Probe []float64

// FitProbe fits a probe to the comparisons of states by logistic regression.
func FitProbe(s States) (Probe, error) { return eval.FitWeights(s.Groups, s.Values...) }

// Rewards are the probe's, [group][response].
func (p Probe) Rewards(s States) [][]float64 {
	out := make([][]float64, len(s.Groups))
	for g := range out {
		out[g] = make([]float64, len(s.Groups[g].Responses))
		for k := range out[g] {
			for d, w := range p {
				out[g][k] += w * s.Values[d][g][k]
			}
		}
	}
	return out
}
