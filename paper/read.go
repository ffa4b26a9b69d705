package paper

import (
	"context"
	"slices"

	"haf/pref"
	"haf/reward"
)

// ReadModel implements the Read of a [Runner] with an opened model. It reads validation data and
// test sets in one pass, so that they share programs. It stores the combination of the heads beside
// the model.
func ReadModel(ctx context.Context, r *reward.Reader, of Parts) (Reading, error) {
	var out Reading
	all, err := r.Read(ctx, slices.Concat(of.Valid, slices.Concat(of.Tests...)), nil)
	if err != nil {
		return out, err
	}
	fitted, rest := all.SplitAt(len(of.Valid))
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
	for _, set := range of.Tests {
		var part pref.Readings
		part, rest = rest.SplitAt(len(set))
		out.Sets = append(out.Sets, SetReading{Index: part.Index, Rewards: part.Rewards})
	}
	if len(of.Probe) > 0 {
		return out, addProbe(ctx, r.Model(), of, &out)
	}
	return out, nil
}

// addProbe fits a probe of the hidden states and adds its reward to the readings of the test sets.
func addProbe(ctx context.Context, m *reward.Model, of Parts, out *Reading) error {
	all, err := m.States(ctx, slices.Concat(of.Probe, slices.Concat(of.Tests...)))
	if err != nil {
		return err
	}
	fitted, rest := all.SplitAt(len(of.Probe))
	probe, err := reward.FitProbe(fitted)
	if err != nil {
		return err
	}
	for i, set := range of.Tests {
		var part reward.States
		part, rest = rest.SplitAt(len(set))
		if len(set) > 0 {
			out.Sets[i].Rewards[ByProbe] = probe.Rewards(part)
		}
	}
	return nil
}
