package launch_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"haf/launch"
	"haf/pref"
	"haf/rewarder"
)

// cutting is a Rewarder that cuts every sample, and fails to close.
type cutting struct{ pref.Rewarder }

func (c cutting) Read(
	ctx context.Context, groups []pref.Group, names []string,
) (pref.Readings, error) {
	r, err := c.Rewarder.Read(ctx, groups, names)
	r.Cut = "the prompt was cut"
	for _, of := range r.Truncated {
		for k := range of {
			of[k] = true
		}
	}
	return r, err
}

func (cutting) Close() error { return errors.New("stuck") }

// TestReward scores by an opened reward, which says at its end what was cut and what failed.
func TestReward(t *testing.T) {
	told := &lines{}
	var source launch.RewardSource
	source, err := launch.NewReward(t.Context(),
		cutting{rewarder.FromScorer("length", &byLength{})}, "a rule", "", told.Logf)
	if err != nil {
		t.Fatal(err)
	}
	got, err := source.Score(t.Context(), []pref.Sample{{Response: "mice"}})
	if err != nil || got[0] != 4 || source.Name() != "length" || source.From() != "a rule" ||
		source.Date() != "" || source.Files().Path != "a rule" {
		t.Errorf("%v, %s of %s, %+v: %v", got, source.Name(), source.From(), source.Files(), err)
	}
	source.Close()
	if len(*told) != 2 || !strings.HasPrefix((*told)[0], "warning: a rule: of 1 of 1 samples") ||
		(*told)[1] != "a rule: stuck" {
		t.Errorf("told %q", *told)
	}
	if _, err := launch.NewReward(t.Context(), rewarder.FromScorer("length", &byLength{}), "a rule",
		"score", told.Logf); err == nil {
		t.Error("a reward that is not there was opened")
	}
}
