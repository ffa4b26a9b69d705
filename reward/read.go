package reward

import (
	"context"
	"fmt"

	"haf/encode"
	"haf/pack"
)

// HeadValues are the results of the heads for the responses of groups, [group][response]. Those of
// a head that was not wanted are nil.
type HeadValues struct {
	Scores   [][]float64
	Outputs  [][][]float64 // in place of Scores, for a score head with several outputs
	LogProbs [][]float64   // of the responses, summed over tokens
	LogVars  [][]float64   // log-variances of the rewards: see [objective.Uncertain]
}

// Read runs the wanted heads over encoded groups, packed into shapes, if these are not nil (see
// [pack.CommonShapes]). progress, if not nil, is called with the number of finished groups.
func (m *Model) Read(
	ctx context.Context, groups []encode.Group, want Heads, shapes []pack.Shape,
	progress func(done, total int),
) (HeadValues, error) {
	return m.read(ctx, groups, want, pack.Options{Positions: m.positions, Shapes: shapes}, progress)
}

func (m *Model) read(
	ctx context.Context, groups []encode.Group, want Heads, opt pack.Options,
	progress func(done, total int),
) (HeadValues, error) {
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
	outputs := m.Outputs()
	out := HeadValues{Scores: table(want&ScoreHead != 0 && outputs == 1),
		LogProbs: table(want&PolicyHead != 0), LogVars: table(want&VarianceHead != 0)}
	if want&ScoreHead != 0 && outputs > 1 {
		out.Outputs = make([][][]float64, len(groups))
		for i, g := range groups {
			out.Outputs[i] = make([][]float64, len(g.Responses))
		}
	}
	done := 0
	err := m.each(ctx, groups, want, opt, m.Arguments(), func(b *pack.Batch, r readings) error {
		for j, g := range b.Groups {
			for k, slot := range b.Slots[j] {
				if out.Scores != nil {
					out.Scores[g][k] = float64(r.score[slot])
				}
				if out.Outputs != nil {
					out.Outputs[g][k] = widened(r.score[int(slot)*outputs : int(slot+1)*outputs])
				}
				if out.LogProbs != nil {
					out.LogProbs[g][k] = float64(r.logp[slot])
				}
				if out.LogVars != nil {
					out.LogVars[g][k] = float64(r.logVar[slot])
				}
			}
		}
		done += len(b.Groups)
		if progress != nil {
			progress(done, len(groups))
		}
		return nil
	})
	return out, err
}

func widened(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// maxTokens bounds a conversation, whatever positions a model has: the mask of a row takes the
// square of its length in memory.
const maxTokens = 1 << 16

// checkLengths returns an error if a sequence has tokens that the model has no embedding for, or
// is longer than a model with learned positions can run.
func (m *Model) checkLengths(groups []encode.Group) error {
	if err := m.CheckIDs(groups); err != nil {
		return err
	}
	longest := maxTokens
	if m.Config.MaxPositions > 0 {
		longest = min(longest, max(m.Config.MaxPositions, m.Meta.MaxLength))
	}
	if learned := m.Config.MaxLength(); learned > 0 {
		longest = min(longest, learned)
	}
	for _, g := range groups {
		for _, response := range g.Responses {
			if n := len(g.Prompt) + len(response.Tokens); n > longest {
				return fmt.Errorf("reward: %w: the conversation has %d tokens, the model reads up to %d: "+
					"-max-length %d cuts longer ones", ErrTooLong, n, longest, longest)
			}
		}
	}
	return nil
}

// each packs the groups and runs the wanted heads with the given weights, one packed batch after
// the other.
func (m *Model) each(
	ctx context.Context, groups []encode.Group, want Heads, opt pack.Options, weights []any,
	yield func(b *pack.Batch, r readings) error,
) error {
	if want&PolicyHead != 0 && !m.HasPolicyHead {
		return fmt.Errorf("reward: %s has no policy head (no lm_head.weight): only its score "+
			"head can be read", m.Dir)
	}
	if want&VarianceHead != 0 && !m.HasVariance {
		return fmt.Errorf("reward: %s has no variance head (%s): train one with objective.reward "+
			"= \"uncertain\"", m.Dir, varianceFile)
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
