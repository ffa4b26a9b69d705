package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"haf/eval"
	"haf/pref"
	"haf/reward"
)

// A reading is what a model gave on groups: its rewards by name, in the order of names.
type reading struct {
	groups  []pref.Group // those that could be read, with the comparisons and ties that encoding left
	index   []int        // position of each in what was given
	names   []string
	rewards map[string][][]float64 // [name][group][response]
	tokens  string                 // what became of the groups as tokens
}

// of is the reading of one reward.
func (r *reading) of(name string) eval.Reading {
	return eval.Reading{Groups: r.groups, Index: r.index, Rewards: r.rewards[name]}
}

// read reads the named rewards (none: those of the trained heads) of the groups.
func read(a *app, model *reward.Model, groups []pref.Group, names []string, p *progress) (*reading, error) {
	r := &reading{names: names}
	if len(names) == 0 {
		r.names = model.TrainedRewards()
	}
	warnUntrained(a, model, r.names)
	encoded, report, err := model.Encoder.Groups(withTies(groups))
	if err != nil {
		return nil, err
	}
	r.tokens = report.String()
	p.Logf("tokens: %s", report)
	dir, err := cacheDir("reference")
	if err != nil {
		return nil, err
	}
	pass := ""
	r.rewards, err = model.Rewards(a.ctx, encoded, r.names, dir, func(at string, done, total int) {
		if at != pass {
			p.EndPhase()
			p.StartPhase(at, total)
			pass = at
		}
		p.Update(done, "")
	})
	p.EndPhase()
	if err != nil {
		return nil, err
	}
	for _, e := range encoded {
		r.groups, r.index = append(r.groups, left(groups[e.Index], e.Comparisons)), append(r.index, e.Index)
	}
	return r, nil
}

// withTies gives the ties of groups the form of comparisons, for encoding drops groups without any.
func withTies(groups []pref.Group) []pref.Group {
	out := slices.Clone(groups)
	for i, g := range out {
		if len(g.Ties) == 0 {
			continue
		}
		comparisons := slices.Clone(g.Comparisons)
		for _, t := range g.Ties {
			comparisons = append(comparisons, pref.Comparison{Chosen: t[0], Rejected: t[1]})
		}
		out[i].Comparisons, out[i].Ties = comparisons, nil
	}
	return out
}

// left is the group with what encoding left of its comparisons and ties.
func left(g pref.Group, encoded []pref.Comparison) pref.Group {
	var ties [][2]int
	for _, t := range g.Ties {
		if slices.Contains(encoded, pref.Comparison{Chosen: t[0], Rejected: t[1]}) {
			ties = append(ties, t)
		}
	}
	var comparisons []pref.Comparison
	for _, c := range g.Comparisons {
		if slices.Contains(encoded, c) {
			comparisons = append(comparisons, c)
		}
	}
	g.Comparisons, g.Ties = comparisons, ties
	return g
}

// warnUntrained says if a reward is read from a score head that is zero: it ties every comparison.
func warnUntrained(a *app, model *reward.Model, names []string) {
	if model.FreshHead && slices.Contains(names, reward.ByScore) {
		fmt.Fprintf(a.stderr, "haf: warning: the score head of %s is zero, so every score is 0: it was never trained (a base model, or reward_weight 0)\n", model.Dir)
	}
}

func printJSON(a *app, v any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// cacheDir is haf's folder of that name in the user's cache.
func cacheDir(name string) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set XDG_CACHE_HOME or HOME", err)
	}
	return filepath.Join(dir, "haf", name), nil
}
