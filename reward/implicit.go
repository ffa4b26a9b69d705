package reward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"haf/encode"
	"haf/pref"
)

// Implicit is the Scorer of the reward that a policy trained by DPO implies (arXiv 2305.18290):
//
//	r(x, y) = β (log π(y|x) − log π_ref(y|x))
//
// divided by the number of the response's tokens if Normalize is set: the plain sum favours short or long responses.
type Implicit struct {
	Model     *Model
	Reference *Reference
	Beta      float64
	Normalize bool
}

// Score implements [pref.Scorer].
func (s *Implicit) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	groups, at, err := s.Model.encodeSamples(samples)
	if err != nil {
		return nil, err
	}
	_, logps, _, err := s.Model.read(ctx, groups, PolicyHead, s.Model.requests(), nil)
	if err != nil {
		return nil, err
	}
	refs, _, err := s.Reference.LogProbs(ctx, groups, nil, nil)
	if err != nil {
		return nil, err
	}
	return scatter(at, ImplicitRewards(groups, logps, refs, s.Beta, s.Normalize)), nil
}

// ImplicitRewards returns β(logp − ref) of every response, a token's mean if normalize is set.
func ImplicitRewards(groups []encode.Group, logps, refs [][]float64, beta float64, normalize bool) [][]float64 {
	out := make([][]float64, len(groups))
	for g := range groups {
		out[g] = make([]float64, len(logps[g]))
		for k := range logps[g] {
			out[g][k] = beta * (logps[g][k] - refs[g][k])
			if normalize {
				out[g][k] /= float64(max(1, groups[g].Responses[k].Predicted()))
			}
		}
	}
	return out
}

// Names of the rewards of [Model.Rewards].
const (
	ByScore      = "score"
	ByImplicit   = "implicit"
	ByNormalized = "implicit-normalized"
)

// CheckReward returns an error unless name is one of the rewards.
func CheckReward(name string) error {
	if !slices.Contains([]string{ByScore, ByImplicit, ByNormalized, ByCombined}, name) {
		return fmt.Errorf("reward: reward %q is not known: %s, %s, %s or %s", name, ByScore, ByImplicit, ByNormalized, ByCombined)
	}
	return nil
}

// Scorer returns the named reward of the model as a Scorer; cacheDir is where the reference's log-probabilities are kept.
func (m *Model) Scorer(name, cacheDir string) (pref.Scorer, error) {
	if err := CheckReward(name); err != nil || name == ByScore {
		return m, err
	}
	beta, err := m.beta()
	if err != nil {
		return nil, err
	}
	reference, err := m.Reference(cacheDir)
	if err != nil {
		return nil, err
	}
	implicit := &Implicit{Model: m, Reference: reference, Beta: beta, Normalize: name == ByNormalized}
	if name != ByCombined {
		return implicit, nil
	}
	weights, err := m.Combination()
	if err != nil {
		return nil, err
	}
	return &Combined{Weights: weights, Implicit: implicit}, nil
}

// beta is the β of the implicit reward, as the model was trained.
func (m *Model) beta() (float64, error) {
	if beta := m.Meta.Objective.Beta; beta > 0 {
		return beta, nil
	}
	return 0, fmt.Errorf("reward: %s was not trained by haf: no β of its implicit reward is known, only its score can be read", m.Dir)
}

// Rewards reads the named rewards of the groups, the model's in one pass and where an implicit one is asked for the
// reference's in a second. The result is indexed [name][group][response]. progress is told of both passes.
func (m *Model) Rewards(ctx context.Context, groups []encode.Group, names []string, cacheDir string, progress func(pass string, done, total int)) (map[string][][]float64, error) {
	var want Heads
	var weights Combination
	for _, name := range names {
		if err := CheckReward(name); err != nil {
			return nil, err
		}
		switch name {
		case ByScore:
			want |= ScoreHead
		case ByCombined:
			want |= ScoreHead | PolicyHead
			var err error
			if weights, err = m.Combination(); err != nil {
				return nil, err
			}
		default:
			want |= PolicyHead
		}
	}
	var beta float64
	var refs [][]float64
	if want&PolicyHead != 0 {
		var err error
		if beta, err = m.beta(); err != nil {
			return nil, err
		}
		reference, err := m.Reference(cacheDir)
		if err != nil {
			return nil, err
		}
		refs, _, err = reference.LogProbs(ctx, groups, nil, func(done, total int) { progress("reference", done, total) })
		if err != nil {
			return nil, err
		}
	}
	scores, logps, err := m.Read(ctx, groups, want, nil, func(done, total int) { progress("scoring", done, total) })
	if err != nil {
		return nil, err
	}
	out := map[string][][]float64{}
	for _, name := range names {
		switch name {
		case ByScore:
			out[name] = scores
		case ByCombined:
			out[name] = weights.Of(scores, ImplicitRewards(groups, logps, refs, beta, false))
		default:
			out[name] = ImplicitRewards(groups, logps, refs, beta, name == ByNormalized)
		}
	}
	return out, nil
}

// TrainedRewards lists the names of the rewards whose heads were trained, and of their combination where one is stored; of a
// model that haf did not train, the score head's.
func (m *Model) TrainedRewards() []string {
	var names []string
	for _, head := range m.Meta.Heads {
		switch head {
		case "score":
			names = append(names, ByScore)
		case "policy":
			names = append(names, ByImplicit, ByNormalized)
		}
	}
	if len(names) == 0 {
		return []string{ByScore}
	}
	if _, err := m.Combination(); !errors.Is(err, fs.ErrNotExist) {
		names = append(names, ByCombined) // one that cannot be read is reported where it is
	}
	return names
}
