package eval

import (
	"context"
	"fmt"

	"haf/pref"
)

// A scorer packs and sorts within one call: fewer groups waste positions, more make progress jump.
const (
	minChunk = 64
	maxChunk = 512
)

// Run scores every response of groups and measures the rewards, which it returns as rewards[g][k]
// for response k of group g. progress, which may be nil, is called after every chunk with the
// groups done and their total. Errors are those of the scorer, of a cancelled ctx and of
// [Comparisons]; a reward that is not finite stops the run at its chunk and names the group's
// source.
func Run(
	ctx context.Context, groups []pref.Group, scorer pref.Scorer, progress func(done, total int),
) (Result, [][]float64, error) {
	if err := checkGroups(groups); err != nil {
		return Result{}, nil, err
	}
	rewards, err := ScoreAll(ctx, groups, scorer, progress)
	if err != nil {
		return Result{}, nil, err
	}
	result, err := Comparisons(groups, rewards)
	return result, rewards, err
}

// ScoreAll scores every response of groups: rewards[g][k] for response k of group g. progress and
// errors are as in [Run], but groups need no comparisons.
func ScoreAll(
	ctx context.Context, groups []pref.Group, scorer pref.Scorer, progress func(done, total int),
) ([][]float64, error) {
	rewards := make([][]float64, 0, len(groups))
	size := min(max(len(groups)/50, minChunk), maxChunk)
	for done := 0; done < len(groups); done = len(rewards) {
		chunk := groups[done:min(done+size, len(groups))]
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("eval: stopped after %d of %d groups: %w", done, len(groups), err)
		}
		scored, err := scoreGroups(ctx, chunk, scorer)
		if err != nil {
			return nil, fmt.Errorf("eval: groups %d to %d of %d: %w", done+1, done+len(chunk), len(groups),
				err)
		}
		if err := checkRewards(chunk, scored, done); err != nil {
			return nil, fmt.Errorf("eval: %w", err)
		}
		rewards = append(rewards, scored...)
		if progress != nil {
			progress(len(rewards), len(groups))
		}
	}
	return rewards, nil
}

// scoreGroups scores groups in one call and cuts the rewards group by group.
func scoreGroups(
	ctx context.Context, groups []pref.Group, scorer pref.Scorer,
) ([][]float64, error) {
	var samples []pref.Sample
	for _, g := range groups {
		samples = append(samples, g.Samples()...)
	}
	flat, err := scorer.Score(ctx, samples)
	if err != nil {
		return nil, err
	}
	if len(flat) != len(samples) {
		return nil, fmt.Errorf("the scorer gave %d rewards for %d samples", len(flat), len(samples))
	}
	rewards := make([][]float64, len(groups))
	for i, g := range groups {
		k := len(g.Responses)
		rewards[i], flat = flat[:k:k], flat[k:]
	}
	return rewards, nil
}
