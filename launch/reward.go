package launch

import (
	"context"
	"errors"

	"haf/pref"
	"haf/reward"
	"haf/rewarder"
	"haf/rewarder/source"
	"haf/run"
)

// A Reward is one reward of a Rewarder. Its Close closes the Rewarder. It is a [RewardSource].
type Reward struct {
	*rewarder.Scorer
	rewards pref.Rewarder
	from    string
	notef   func(format string, args ...any)
}

// NewReward returns the reward of that name, "" for the default, from r, which the user named from.
// If r does not have it, r is closed. notef gets a note about samples that were cut.
func NewReward(
	ctx context.Context, r pref.Rewarder, from, name string, notef func(format string, args ...any),
) (*Reward, error) {
	s, err := rewarder.NewScorer(ctx, r, name)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &Reward{s, r, from, notef}, nil
}

// From is the source of the reward as the user named it.
func (r *Reward) From() string { return r.from }

// Files is the source of the reward as a manifest records it.
func (r *Reward) Files() run.ModelFile {
	if here, ok := r.rewards.(*reward.Reader); ok {
		return run.ModelFile{Path: here.Model().Dir}
	}
	return run.ModelFile{Path: r.from, Served: source.Served(r.rewards, r.Name())}
}

// Date is the day that the chat template of a local model writes, or "".
func (r *Reward) Date() string {
	if here, ok := r.rewards.(*reward.Reader); ok {
		return here.Model().Meta.Template.Date
	}
	return ""
}

// Close reports samples that were cut, and frees the models.
func (r *Reward) Close() {
	if t := r.Truncated(); t.Cut > 0 {
		r.notef("warning: %s: %s", r.from, t)
	}
	if err := r.rewards.Close(); err != nil {
		r.notef("%s: %v", r.from, err)
	}
}
