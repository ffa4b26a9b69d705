package main

import (
	"fmt"
	"slices"

	"haf/pref"
	"haf/reward"
)

// ensembleFlags choose an ensemble of the models that are named.
type ensembleFlags struct {
	Ensemble string  `help:"One reward of several models, runs of one recipe: mean, min, or lcb, which is mean − lambda · standard deviation."`
	Lambda   float64 `default:"1" help:"Of -ensemble lcb."`
}

func (f ensembleFlags) check(models int) error {
	if f.Ensemble == "" {
		return nil
	}
	if err := reward.CheckEnsemble(f.Ensemble, f.Lambda); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if models < 2 {
		return fmt.Errorf("%w: -ensemble %s of %d model, wanted two or more", errUsage, f.Ensemble, models)
	}
	return nil
}

// An ensemble opens one member after the other for every reading, so that only one is in memory.
type ensemble struct {
	ensembleFlags
	models []string
	opt    reward.Options
}

func (e ensemble) template() string { return "" }
func (e ensemble) Close()           {}

// read reads every member and reduces the rewards that all have, on the groups that all could read.
func (e ensemble) read(a *app, groups []pref.Group, names []string, p *progress) (*reading, error) {
	var members []*reading
	for _, named := range e.models {
		model, err := a.openSubject(named, e.opt)
		if err != nil {
			return nil, err
		}
		p.Say("member: %s", named)
		r, err := model.read(a, groups, names, p)
		model.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", named, err)
		}
		members = append(members, r)
	}
	names = slices.DeleteFunc(slices.Clone(members[0].names), func(name string) bool {
		return slices.ContainsFunc(members, func(r *reading) bool { return !slices.Contains(r.names, name) })
	})
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: the members have no reward in common: name one with -rewards", errUsage)
	}
	return e.reduce(members, names)
}

func (e ensemble) reduce(members []*reading, names []string) (*reading, error) {
	out := &reading{names: names, rewards: map[string][][]float64{}}
	for i, index := range members[0].index {
		g := members[0].groups[i]
		at := make([]int, len(members))
		for m, r := range members {
			if at[m] = slices.Index(r.index, index); at[m] >= 0 {
				g = left(g, withTies([]pref.Group{r.groups[at[m]]})[0].Comparisons)
			}
		}
		if slices.Contains(at, -1) || len(g.Comparisons)+len(g.Ties) == 0 {
			continue
		}
		out.groups, out.index = append(out.groups, g), append(out.index, index)
		for _, name := range names {
			all := make([][]float64, len(members))
			for m, r := range members {
				all[m] = r.rewards[name][at[m]]
			}
			rewards, err := reward.ReduceEnsemble(e.Ensemble, e.Lambda, all)
			if err != nil {
				return nil, err
			}
			out.rewards[name] = append(out.rewards[name], rewards)
		}
	}
	out.tokens = fmt.Sprintf("%d groups that all %d members could read", len(out.groups), len(members))
	return out, nil
}
