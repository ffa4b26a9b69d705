package launch

import (
	"context"

	"haf/pref"
	"haf/reward"
)

// Explain computes, for each of the named models in turn, the contribution of every token to the
// implicit reward of the samples.
func Explain(
	ctx context.Context, open ModelOpener, names []string, samples []pref.Sample,
	opt reward.Options, logf func(format string, args ...any),
) ([]reward.Explained, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	var out []reward.Explained
	for _, name := range names {
		model, err := open(ctx, name, opt)
		if err != nil {
			return nil, err
		}
		r := model.Reader(reward.ReaderOptions{CacheDir: cache, Log: logf})
		explained, err := r.Explain(ctx, samples)
		if err = CloseWith(r, err); err != nil {
			return nil, err
		}
		for i, e := range explained {
			out = append(out, reward.Explained{Model: name, Sample: samples[i], Explanation: e})
		}
	}
	return out, nil
}
