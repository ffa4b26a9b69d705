package reward

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"haf/encode"
)

// Names of a model's rewards.
const (
	ByScore      = "score"               // the score head's
	ByImplicit   = "implicit"            // the reward of the policy head: see [Formula]
	ByNormalized = "implicit-normalized" // the same, divided by the number of the response's tokens
	ByCombined   = "combined"            // of both heads: see [Combination]
)

// CheckReward returns an error unless name is one of the rewards. A model opened with
// Options.Outputs also has the rewards of its labels.
func CheckReward(name string) error {
	if !slices.Contains([]string{ByScore, ByImplicit, ByNormalized, ByCombined}, name) {
		return fmt.Errorf("reward: reward %q is not known: %s, %s, %s or %s", name, ByScore,
			ByImplicit, ByNormalized, ByCombined)
	}
	return nil
}

// TrainedRewards lists the names of the rewards whose heads were trained, and of their combination
// if one is stored. For a model that haf did not train it is the score head's.
func (m *Model) TrainedRewards() []string {
	var names []string
	for _, head := range m.Meta.Heads {
		switch head {
		case "score":
			names = append(names, m.scoreRewards()...)
		case "policy":
			names = append(names, ByImplicit, ByNormalized)
		}
	}
	if len(names) == 0 {
		return m.scoreRewards()
	}
	if _, err := m.Combination(); !errors.Is(err, fs.ErrNotExist) {
		names = append(names, ByCombined) // one that cannot be read is reported where it is
	}
	return names
}

// scoreRewards are the names of the score head's rewards: of several outputs their labels.
func (m *Model) scoreRewards() []string {
	if m.Outputs() > 1 {
		return m.Meta.Labels
	}
	return []string{ByScore}
}

// A Formula computes rewards from the heads' results for a response. The implicit reward is the one
// that a policy trained by DPO implies (arXiv 2305.18290):
//
//	r(x, y) = β (log π(y|x) − log π_ref(y|x))
//
// The normalized reward is this divided by the number of the response's tokens, because the plain
// sum favours short or long responses.
type Formula struct {
	Beta        float64
	Combination Combination
	Labels      []string // of a score head with several outputs, each a reward
}

// Implicit is the implicit reward of a response or of one of its tokens.
func (f Formula) Implicit(logp, ref float64) float64 { return f.Beta * (logp - ref) }

// Reward is the named reward of a response of n tokens, from its score and its implicit reward.
func (f Formula) Reward(name string, score, implicit float64, n int) float64 {
	switch name {
	case ByScore:
		return score
	case ByNormalized:
		return implicit / float64(max(1, n))
	case ByCombined:
		return f.Combination.Of(score, implicit)
	default:
		return implicit
	}
}

// Rewards returns the named reward of the responses of groups, [group][response]. Heads that the
// reward does not need may be nil, as may the reference's log-probabilities.
func (f Formula) Rewards(
	name string, groups []encode.Group, heads HeadValues, refs [][]float64,
) [][]float64 {
	out := make([][]float64, len(groups))
	output := slices.Index(f.Labels, name)
	for g := range groups {
		out[g] = make([]float64, len(groups[g].Responses))
		for k, response := range groups[g].Responses {
			if output >= 0 {
				out[g][k] = heads.Outputs[g][k][output]
				continue
			}
			var score, implicit float64
			if heads.Scores != nil {
				score = heads.Scores[g][k]
			}
			if heads.LogProbs != nil && refs != nil {
				implicit = f.Implicit(heads.LogProbs[g][k], refs[g][k])
			}
			out[g][k] = f.Reward(name, score, implicit, response.Predicted())
		}
	}
	return out
}

// needs are the heads that the named rewards are made of.
func needs(names []string) Heads {
	var want Heads
	for _, name := range names {
		switch name {
		case ByImplicit, ByNormalized:
			want |= PolicyHead
		case ByCombined:
			want |= ScoreHead | PolicyHead
		default: // the score, or a label of the score head
			want |= ScoreHead
		}
	}
	return want
}

// formula is the model's own for the named rewards, which it must be able to give.
func (m *Model) formula(names []string) (f Formula, err error) {
	if m.Outputs() > 1 {
		f.Labels = m.Meta.Labels
	}
	for _, name := range names {
		if slices.Contains(f.Labels, name) {
			continue
		}
		if err := CheckReward(name); err != nil {
			return f, err
		}
		if needs([]string{name})&ScoreHead != 0 && f.Labels != nil {
			return f, fmt.Errorf("reward: %s has %d labels (%s), not one score: name one of them",
				m.Dir, len(f.Labels), labelList(len(f.Labels), f.Labels))
		}
	}
	if slices.Contains(names, ByCombined) {
		if f.Combination, err = m.Combination(); err != nil {
			return f, err
		}
	}
	if needs(names)&PolicyHead == 0 {
		return f, nil
	}
	if f.Beta = m.Meta.Objective.Beta; !(f.Beta > 0) {
		return f,
			fmt.Errorf("reward: %s was not trained by haf: no β of its implicit reward is known, "+
				"only its score can be read", m.Dir)
	}
	return f, nil
}
