package paper

import (
	"context"
	"slices"

	"haf/pref"
	"haf/reward"
)

// ReadModel is the Read of a [Runner] by an opened model: validation data and test sets are read in
// one pass, so that they share programs. The combination of the heads is stored beside the model.
func ReadModel(
	ctx context.Context, r *reward.Reader, valid []pref.Group, sets [][]pref.Group,
) (Reading, error) {
	var out Reading
	all, err := r.Read(ctx, slices.Concat(valid, slices.Concat(sets...)), nil)
	if err != nil {
		return out, err
	}
	fitted, rest := all.SplitAt(len(valid))
	if fitted.Rewards[reward.ByScore] != nil && fitted.Rewards[reward.ByImplicit] != nil {
		c, err := reward.FitCombination(&fitted,
			"the validation part, which chose the checkpoint, too")
		if err != nil {
			return out, err
		}
		c.AddTo(&rest)
		if err := r.Model().SetCombination(c); err != nil {
			return out, err
		}
		out.Combination = &c
	}
	for _, set := range sets {
		var part pref.Readings
		part, rest = rest.SplitAt(len(set))
		out.Sets = append(out.Sets, SetReading{Index: part.Index, Rewards: part.Rewards})
	}
	return out, nil
}
