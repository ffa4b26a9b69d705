package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
		if models > 1 {
			return fmt.Errorf("%w: %d models: name one, or make one of them with -ensemble", errUsage, models)
		}
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

// open opens the one model, or the ensemble of several.
func (f ensembleFlags) open(a *app, models []string, opt reward.Options) (subject, error) {
	if f.Ensemble != "" {
		return &ensemble{ensembleFlags: f, models: models, opt: opt}, nil
	}
	return a.openSubject(models[0], opt)
}

// name is what the model, or the ensemble, is called.
func (f ensembleFlags) name(models []string) string {
	if f.Ensemble != "" {
		return f.Ensemble + " of " + strings.Join(models, ", ")
	}
	return models[0]
}

// goldFlags name a gold reward model, or several whose mean is the gold reward.
type goldFlags struct {
	Gold []string `help:"Gold reward model: run or model folder, GGUF file, Hugging Face id or URL of a server; may be repeated: the mean of their rewards." sep:"none"`

	GoldChat chatFlags `embed:"" prefix:"gold-"`
}

func (f goldFlags) rule() ensembleFlags {
	if len(f.Gold) > 1 {
		return ensembleFlags{Ensemble: reward.EnsembleMean}
	}
	return ensembleFlags{}
}

// openGold opens the gold reward; nil where none is named.
func (f goldFlags) openGold(a *app) (*openScorer, error) {
	if len(f.Gold) == 0 {
		return nil, nil
	}
	chat, err := f.GoldChat.options()
	if err != nil {
		return nil, err
	}
	return a.openScorer(f.Gold, f.rule(), "", reward.Options{Chat: chat})
}

// An ensemble opens one member after the other for a reading, so that only one is in memory; for a scorer, which is asked again and again,
// all at once.
type ensemble struct {
	ensembleFlags
	models []string
	opt    reward.Options
	opened []subject // of the scorer
}

func (e *ensemble) template() string { return "" }

func (e *ensemble) Close() {
	for _, member := range e.opened {
		member.Close()
	}
	e.opened = nil
}

// scorer reduces the named reward of all members.
func (e *ensemble) scorer(a *app, name string) (*scorer, error) {
	var members []*scorer
	for i, named := range e.models {
		if i == len(e.opened) {
			model, err := a.openSubject(named, e.opt)
			if err != nil {
				return nil, err
			}
			e.opened = append(e.opened, model)
		}
		member, err := e.opened[i].scorer(a, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", named, err)
		}
		members = append(members, member)
	}
	return &scorer{
		refuses: func(prompt []pref.Message) error {
			var errs []error
			for _, member := range members {
				errs = append(errs, member.Refuses(prompt))
			}
			return errors.Join(errs...)
		},
		of: members[0].of, limit: "something was cut to fit a member",
		read: func(ctx context.Context, samples []pref.Sample) ([]float64, []bool, error) {
			all, cut := make([][]float64, len(members)), make([]bool, len(samples)) // by any member
			for i, member := range members {
				rewards, short, err := member.read(ctx, samples)
				if err != nil {
					return nil, nil, fmt.Errorf("%s: %w", e.models[i], err)
				}
				all[i] = rewards
				for k := range cut {
					cut[k] = cut[k] || short[k]
				}
			}
			rewards, err := reward.ReduceEnsemble(e.Ensemble, e.Lambda, all)
			return rewards, cut, err
		},
	}, nil
}

// read reads every member and reduces the rewards that all have, on the groups that all could read.
func (e *ensemble) read(a *app, groups []pref.Group, names []string, p *progress) (*reading, error) {
	var members []*reading
	for _, named := range e.models {
		model, err := a.openSubject(named, e.opt)
		if err != nil {
			return nil, err
		}
		p.Logf("member: %s", named)
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

func (e *ensemble) reduce(members []*reading, names []string) (*reading, error) {
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
