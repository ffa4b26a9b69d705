package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"haf/encode"
	"haf/pack"
	"haf/pref"
)

// Score returns the score head's reward of each sample. Samples with the same prompt share its computation.
func (m *Model) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	groups, at, err := m.encodeSamples(samples)
	if err != nil {
		return nil, err
	}
	scores, _, _, err := m.read(ctx, groups, ScoreHead, m.requests(), nil)
	if err != nil {
		return nil, err
	}
	return scatter(at, scores), nil
}

// Variances returns the variance of the score head's reward of each sample, by a model that was trained to predict it.
func (m *Model) Variances(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	groups, at, err := m.encodeSamples(samples)
	if err != nil {
		return nil, err
	}
	_, _, logVars, err := m.read(ctx, groups, VarianceHead, m.requests(), nil)
	if err != nil {
		return nil, err
	}
	out := scatter(at, logVars)
	for i, u := range out {
		out[i] = m.Meta.Objective.Variance(u)
	}
	return out, nil
}

// Truncated says of each sample whether tokens of it are cut to fit the model's max length, so that its reward is of what
// is left.
func (m *Model) Truncated(samples []pref.Sample) ([]bool, error) {
	cut := make([]bool, len(samples))
	for i, s := range samples {
		g, err := m.Encoder.Samples(s.Prompt, []string{s.Response})
		if err != nil {
			return nil, fmt.Errorf("reward: sample %d: %w", i+1, err)
		}
		cut[i] = g.Truncated
	}
	return cut, nil
}

// Refuses returns an error, of encode.ErrRefused, if the model's chat template refuses the prompt or an answer to it.
func (m *Model) Refuses(prompt []pref.Message) error {
	_, _, err := m.Encoder.Conversation(prompt, "a")
	if errors.Is(err, encode.ErrRefused) {
		return fmt.Errorf("reward: %w", err)
	}
	return nil
}

// requests are the plan options for texts as they come: in rounded shapes, so that later ones find programs compiled.
func (m *Model) requests() pack.Options {
	return pack.Options{Positions: m.positions, PowerOfTwoSizes: true}
}

// place says which response of which group a sample became.
type place struct{ group, response int }

func scatter(at []place, values [][]float64) []float64 {
	out := make([]float64, len(at))
	for i, p := range at {
		out[i] = values[p.group][p.response]
	}
	return out
}

// encodeSamples groups the samples by prompt and encodes them; a group grows no longer than a packed batch.
func (m *Model) encodeSamples(samples []pref.Sample) ([]encode.Group, []place, error) {
	type open struct {
		prompt    []pref.Message
		responses []string
		samples   []int
	}
	var order []*open
	byPrompt := map[string]*open{}
	for i, s := range samples {
		key, err := json.Marshal(s.Prompt)
		if err != nil {
			return nil, nil, fmt.Errorf("reward: sample %d: %w", i+1, err)
		}
		o := byPrompt[string(key)]
		if o == nil {
			o = &open{prompt: s.Prompt}
			byPrompt[string(key)] = o
			order = append(order, o)
		}
		o.responses, o.samples = append(o.responses, s.Response), append(o.samples, i)
	}
	var groups []encode.Group
	at := make([]place, len(samples))
	for _, o := range order {
		whole, err := m.Encoder.Samples(o.prompt, o.responses)
		if err != nil || whole.Truncated {
			// How much of the prompt is cut must not depend on the responses beside: each is encoded alone.
			for k, response := range o.responses {
				alone, err := m.Encoder.Samples(o.prompt, []string{response})
				if err != nil {
					return nil, nil, fmt.Errorf("reward: sample %d: %w", o.samples[k]+1, err)
				}
				at[o.samples[k]] = place{len(groups), 0}
				groups = append(groups, alone)
			}
			continue
		}
		part := encode.Group{Prompt: whole.Prompt}
		for k, response := range whole.Responses {
			if len(part.Responses) > 0 && part.Positions()+len(response.Tokens) > m.positions {
				groups = append(groups, part)
				part = encode.Group{Prompt: whole.Prompt}
			}
			at[o.samples[k]] = place{len(groups), len(part.Responses)}
			part.Responses = append(part.Responses, response)
		}
		groups = append(groups, part)
	}
	return groups, at, nil
}

// Read runs the wanted heads over encoded groups, packed. scores[g][k] is the reward and logps[g][k] the summed
// log-probability of response k of group g; a head that is not wanted gives nil. shapes, if not nil, are those to pack
// into (see [pack.CommonShapes]). progress, if not nil, is told the number of groups done.
func (m *Model) Read(ctx context.Context, groups []encode.Group, want Heads, shapes []pack.Shape, progress func(done, total int)) (scores, logps [][]float64, err error) {
	scores, logps, _, err = m.ReadAll(ctx, groups, want, shapes, progress)
	return scores, logps, err
}

// ReadAll is [Model.Read] with the variance head: logVars[g][k] is the log-variance of the reward, see [objective.Uncertain].
func (m *Model) ReadAll(ctx context.Context, groups []encode.Group, want Heads, shapes []pack.Shape, progress func(done, total int)) (scores, logps, logVars [][]float64, err error) {
	return m.read(ctx, groups, want, pack.Options{Positions: m.positions, Shapes: shapes}, progress)
}

func (m *Model) read(ctx context.Context, groups []encode.Group, want Heads, opt pack.Options, progress func(done, total int)) (scores, logps, logVars [][]float64, err error) {
	table := func(wanted bool) [][]float64 {
		if !wanted {
			return nil
		}
		t := make([][]float64, len(groups))
		for i, g := range groups {
			t[i] = make([]float64, len(g.Responses))
		}
		return t
	}
	scores, logps, logVars = table(want&ScoreHead != 0), table(want&PolicyHead != 0), table(want&VarianceHead != 0)
	done := 0
	err = m.each(ctx, groups, want, opt, m.Arguments(), func(b *pack.Batch, r readings) error {
		for j, g := range b.Groups {
			for k, slot := range b.Slots[j] {
				if scores != nil {
					scores[g][k] = float64(r.score[slot])
				}
				if logps != nil {
					logps[g][k] = float64(r.logp[slot])
				}
				if logVars != nil {
					logVars[g][k] = float64(r.logVar[slot])
				}
			}
		}
		done += len(b.Groups)
		if progress != nil {
			progress(done, len(groups))
		}
		return nil
	})
	return scores, logps, logVars, err
}

// checkLengths returns an error if a sequence has tokens that the model has no embedding for, or
// is longer than a model with learned positions can run.
func (m *Model) checkLengths(groups []encode.Group) error {
	if err := m.CheckIDs(groups); err != nil {
		return err
	}
	longest := m.Config.MaxLength()
	if longest == 0 {
		return nil
	}
	for _, g := range groups {
		for _, response := range g.Responses {
			if n := len(g.Prompt) + len(response.Tokens); n > longest {
				return fmt.Errorf("reward: prompt and response have %d tokens, the model has positions for %d", n, longest)
			}
		}
	}
	return nil
}

// each packs the groups and runs the wanted heads with the given weights, one packed batch after the other.
func (m *Model) each(ctx context.Context, groups []encode.Group, want Heads, opt pack.Options, weights []any, yield func(b *pack.Batch, r readings) error) error {
	if want&PolicyHead != 0 && !m.HasPolicyHead {
		return fmt.Errorf("reward: %s has no policy head (no lm_head.weight): only its score head can be read", m.Dir)
	}
	if want&VarianceHead != 0 && !m.HasVariance {
		return fmt.Errorf("reward: %s has no variance head (%s): train one with objective.reward = \"uncertain\"", m.Dir, varianceFile)
	}
	if len(groups) == 0 {
		return nil
	}
	if err := m.checkLengths(groups); err != nil {
		return err
	}
	plan, err := pack.New(groups, opt)
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	for i := range plan.Batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := plan.Batch(i)
		r, err := m.readBatch(b, want, weights)
		if err != nil {
			return err
		}
		if err := yield(b, r); err != nil {
			return err
		}
	}
	return nil
}
