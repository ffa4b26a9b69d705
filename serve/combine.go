package serve

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"haf/pref"
	"haf/rewarder"
)

// A Combination is a reward made from rewards of served models: an ensemble of several models, or
// the sum of a model's heads.
type Combination struct {
	Name  string
	Rule  rewarder.Rule // on the terms' weighted rewards
	Terms []Term
}

// A Term is one model's reward in a combination.
type Term struct {
	Model  string
	Reward string  // "" is the model's default
	Weight float64 // the reward is multiplied by it
}

// combinationRules are the rules by their names in a combination's text.
var combinationRules = map[string]rewarder.Rule{
	"sum": {Name: rewarder.Sum}, "mean": {Name: rewarder.Mean}, "min": {Name: rewarder.Min},
	"mean-sigma": {Name: rewarder.LCB, Lambda: 1}, // disagreement of members lowers it
}

// combinedName is the name of a combination's own reward, beside those of its terms.
const combinedName = "combined"

// ParseCombination reads NAME=HOW:TERM,TERM,…, where a term is [WEIGHT*]MODEL[.REWARD], such as
// both=sum:m.score,0.5*m.implicit or safe=min:a,b.
func ParseCombination(text string) (Combination, error) {
	bad := func(format string, args ...any) (Combination, error) {
		return Combination{},
			fmt.Errorf("serve: combination %q: %s: want NAME=HOW:TERM,TERM with HOW sum, mean, "+
				"min or mean-sigma and a term "+
				"[WEIGHT*]MODEL[.REWARD]", text, fmt.Sprintf(format, args...))
	}
	name, rest, ok := strings.Cut(text, "=")
	how, terms, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 || name == "" || terms == "" {
		return bad("a part is missing")
	}
	rule, ok := combinationRules[how]
	if !ok {
		return bad("%q is no way to combine", how)
	}
	c := Combination{Name: name, Rule: rule}
	for term := range strings.SplitSeq(terms, ",") {
		t := Term{Weight: 1}
		if weight, of, ok := strings.Cut(term, "*"); ok {
			var err error
			if t.Weight, err = strconv.ParseFloat(weight, 64); err != nil || math.IsNaN(t.Weight) ||
				math.IsInf(t.Weight, 0) {
				return bad("%q is no weight", weight)
			}
			term = of
		}
		if t.Model, t.Reward, _ = strings.Cut(term, "."); t.Model == "" {
			return bad("a term names no model")
		}
		c.Terms = append(c.Terms, t)
	}
	return c, nil
}

// A combined is a combination with its models.
type combined struct {
	Combination
	models []*model // of the terms
}

func (c *combined) name() string { return c.Name }

// termName is the name of a term's reward in the reply.
func (c *combined) termName(i int, reward string) string { return c.models[i].Name + "." + reward }

func (c *combined) describe() (modelInfo, bool) {
	info := modelInfo{ID: c.Name, Object: "model", OwnedBy: "haf", Rewards: []string{combinedName},
		Activation: raw}
	for i, m := range c.models {
		of, ready := m.describe()
		if !ready {
			info.Rewards = info.Rewards[:0]
			return info, false
		}
		reward := c.Terms[i].Reward
		if reward == "" {
			reward = of.Rewards[0]
		}
		info.Rewards = append(info.Rewards, c.termName(i, reward))
		info.Created = max(info.Created, of.Created)
		if info.MaxLength == 0 || of.MaxLength > 0 && of.MaxLength < info.MaxLength {
			info.MaxLength = of.MaxLength
		}
	}
	return info, true
}

// read asks every term's model concurrently. The values hold the combination and all terms.
func (c *combined) read(
	ctx context.Context, client string, inputs []pref.Input, rewards []string, tokens bool,
) (*answer, error) {
	if tokens {
		return nil, wrong("tokens",
			"%s is a combination of models, which gives no rewards of single tokens: ask one of "+
				"its models", c.Name)
	}
	// One request per model, for all its rewards, so that one pass computes them together.
	byModel := map[*model][]string{}
	for i, m := range c.models {
		reward := c.Terms[i].Reward
		if reward == "" {
			info, ready := m.describe()
			if !ready {
				_, err := m.current()
				return nil, err
			}
			reward = info.Rewards[0]
		}
		byModel[m] = append(byModel[m], reward)
	}
	group, ctx := errgroup.WithContext(ctx)
	results := make([]*answer, len(c.models))
	for i, m := range c.models {
		if slices.Index(c.models, m) != i {
			continue
		}
		group.Go(func() (err error) {
			results[i], err = m.read(ctx, client, inputs, byModel[m], false)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := &answer{model: c.Name, reward: combinedName, temperature: 1,
		values: make([]pref.Values, len(inputs)), lengths: make([]length, len(inputs))}
	next := map[*model]int{}
	names := make([]string, len(c.models))
	for i, m := range c.models {
		names[i] = byModel[m][next[m]]
		next[m]++
	}
	for n := range inputs {
		values, x := map[string]float64{}, make([]float64, len(c.models))
		for i, m := range c.models {
			of := results[slices.Index(c.models, m)]
			r := of.values[n].Rewards[names[i]]
			values[c.termName(i, names[i])], x[i] = r, c.Terms[i].Weight*r
			l, seen := &out.lengths[n], of.lengths[n]
			if slices.Index(c.models, m) == i {
				l.prompt, l.response, l.truncated = l.prompt+seen.prompt, l.response+seen.response,
					l.truncated || seen.truncated
			}
		}
		values[combinedName] = c.Rule.Reduce(x)
		out.values[n].Rewards = values
	}
	for _, name := range rewards {
		if _, ok := out.values[0].Rewards[name]; !ok {
			return nil, wrong("rewards",
				"reward %q is not served of %s: it has %s and those of its terms", name, c.Name,
				combinedName)
		}
	}
	if len(rewards) > 0 {
		out.reward = rewards[0]
	}
	return out, nil
}
