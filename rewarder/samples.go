package rewarder

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"haf/pref"
)

// A ScoredSample is a sample with its reward. If the chat template refuses the conversation, it has
// the reason instead of a reward.
type ScoredSample struct {
	pref.Sample
	Reward   *float64 `json:"reward"`
	Refused  string   `json:"refused,omitempty"`
	Variance *float64 `json:"variance,omitempty"` // of the reward, if the model predicts it
	// tokens were cut to fit; the reward is for the remaining ones
	Truncated bool `json:"truncated,omitempty"`
}

// A VarianceReader is a Rewarder that may predict the variance of a reward.
type VarianceReader interface {
	// Variances returns the variance of the named reward of each sample, nil if it is not predicted;
	// "" is the default reward.
	Variances(ctx context.Context, name string, samples []pref.Sample) ([]float64, error)
}

// SampleOptions are the options of [ScoreSamples].
type SampleOptions struct {
	Name   string                           // of the Rewarder, for warnings and errors
	Reward string                           // "" is the default
	Warnf  func(format string, args ...any) // gets warnings about refused and truncated samples
}

// ScoreSamples reads the reward of each sample independently, and its variance if r predicts it. It
// is an error if every conversation is refused.
func ScoreSamples(
	ctx context.Context, r pref.Rewarder, samples []pref.Sample, opt SampleOptions,
) ([]ScoredSample, error) {
	rows, read, err := scoreEach(ctx, r, samples, opt.Reward)
	if err != nil {
		return nil, err
	}
	if err := warnRefused(read, len(samples), opt); err != nil {
		return nil, err
	}
	var cut Truncation
	if cut.Add(read); cut.Cut > 0 {
		opt.Warnf("warning: %s: %s", opt.Name, cut)
	}
	return rows, nil
}

// ScoreEach is [ScoreSamples] without its warnings, and without an error if every conversation is
// refused. It also returns a description of the cuts, as in [pref.Readings].
func ScoreEach(
	ctx context.Context, r pref.Rewarder, samples []pref.Sample, reward string,
) (rows []ScoredSample, cut string, err error) {
	rows, read, err := scoreEach(ctx, r, samples, reward)
	return rows, read.Cut, err
}

func scoreEach(
	ctx context.Context, r pref.Rewarder, samples []pref.Sample, reward string,
) ([]ScoredSample, pref.Readings, error) {
	read, err := r.Read(ctx, Alone(samples), []string{reward})
	if err != nil {
		return nil, read, err
	}
	rows := make([]ScoredSample, len(samples))
	for i, s := range samples {
		rows[i].Sample = s
		if refused := read.Refused[i]; refused != nil {
			rows[i].Refused = Reason(refused)
		}
	}
	accepted := make([]pref.Sample, len(read.Index))
	for i, index := range read.Index {
		rows[index].Reward = &read.Rewards[reward][i][0]
		rows[index].Truncated = read.Truncated[i][0]
		accepted[i] = samples[index]
	}
	by, ok := r.(VarianceReader)
	if !ok || len(accepted) == 0 {
		return rows, read, nil
	}
	variances, err := by.Variances(ctx, reward, accepted)
	if err != nil || variances == nil {
		return rows, read, err
	}
	for i, index := range read.Index {
		rows[index].Variance = &variances[i]
	}
	return rows, read, nil
}

// warnRefused warns of refused conversations, and returns an error if all of n are.
func warnRefused(read pref.Readings, n int, opt SampleOptions) error {
	if len(read.Refused) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(read.Refused)))
	reason := Reason(read.Refused[first])
	if len(read.Refused) == n {
		return fmt.Errorf("%s: no conversation can be read; the first: %s", opt.Name, reason)
	}
	opt.Warnf("warning: %s: %d of %d conversations cannot be read and have no reward; the first, "+
		"number %d: %s", opt.Name, len(read.Refused), n, first+1, reason)
	return nil
}

// Write writes the reward as a line, with its variance if there is one.
func (s ScoredSample) Write(w io.Writer) error {
	var err error
	switch {
	case s.Refused != "":
		_, err = fmt.Fprintln(w, "refused")
	case s.Variance != nil:
		_, err = fmt.Fprintf(w, "%.6f\t%.6f\n", *s.Reward, *s.Variance)
	default:
		_, err = fmt.Fprintf(w, "%.6f\n", *s.Reward)
	}
	return err
}
