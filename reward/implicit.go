package reward

import (
	"context"
	"fmt"

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
	_, logps, err := s.Model.read(ctx, groups, PolicyHead, s.Model.requests(), nil)
	if err != nil {
		return nil, err
	}
	refs, _, err := s.Reference.LogProbs(ctx, groups, nil)
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
				out[g][k] /= float64(len(groups[g].Responses[k]))
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

// Rewards reads all the rewards that the model can give of the groups in one pass: the score head's, and with a
// reference (else nil) the implicit one and its length-normalized form. The result is indexed [name][group][response].
func (m *Model) Rewards(ctx context.Context, groups []encode.Group, reference *Reference, progress func(done, total int)) (map[string][][]float64, error) {
	want := ScoreHead
	if reference != nil {
		want |= PolicyHead
	}
	scores, logps, err := m.Read(ctx, groups, want, progress)
	if err != nil {
		return nil, err
	}
	out := map[string][][]float64{ByScore: scores}
	if reference != nil {
		refs, _, err := reference.LogProbs(ctx, groups, nil)
		if err != nil {
			return nil, err
		}
		beta := m.Meta.Objective.Beta
		if beta <= 0 {
			return nil, fmt.Errorf("reward: %s was not trained by haf: no β of its implicit reward is known", m.Dir)
		}
		out[ByImplicit] = ImplicitRewards(groups, logps, refs, beta, false)
		out[ByNormalized] = ImplicitRewards(groups, logps, refs, beta, true)
	}
	return out, nil
}

// TrainedRewards lists the names of the rewards whose heads were trained; of a model that haf did not train, the score
// head's.
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
	return names
}
