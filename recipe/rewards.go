package recipe

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"haf/reward"
	"haf/rewarder/source"
)

// A Reward is one of the rewards of haf rlhf, a table [[rlhf.rewards]]. The policy is optimized for
// their weighted sum.
type Reward struct {
	// source of the reward: a model on disk or the hub, or another source of
	// docs/reference/reward-sources.md
	Source string `toml:"source" json:"source"`
	// name of the reward in metrics; "" is "reward", or "reward1", "reward2", … if there are several
	Name string `toml:"name" json:"name"`
	// weight of the reward in the sum, below 0 for a penalty; 1 if left out
	Weight float64 `range:"[-1e9,1e9]" toml:"weight" json:"weight"`
	// "score", "implicit", "implicit-normalized" or "combined"; "" is the reward of the trained head
	Reward string `toml:"reward" json:"reward"`
	// label of a score head with several: an index, a name, or a weighted sum of them
	Column Column `toml:"column" json:"column,omitempty"`
	// how conversations become the reward model's tokens, if haf opens it or renders for it
	Chat
	// folder or id of the model behind an sglang+ or openrlhf+ source, for its template and tokenizer
	Tokenizer string `toml:"tokenizer" json:"tokenizer,omitempty"`
	// file with the prompt of a judge+ source
	JudgePrompt string `toml:"judge_prompt" json:"judge_prompt,omitempty"`
	// longest wait for one answer of a source, in seconds; 0 is 120
	Timeout float64 `range:"[0,1e6]" toml:"timeout" json:"timeout,omitempty"`
	// number of requests to a source at once; 0 is 8
	Concurrency int `range:"[0,1e5]" toml:"concurrency" json:"concurrency,omitempty"`
}

// Options returns the options for opening a local reward model.
func (r Reward) Options() reward.Options {
	return reward.Options{Chat: r.Chat.Options(), Column: string(r.Column)}
}

const rewardsKey = "rlhf.rewards"

// settleRewards gives the rewards that keys, decoded TOML, sets the defaults of what is left out. A
// manifest then has every name and weight.
func (r *RLHF) settleRewards(keys map[string]any) {
	table, _ := keys["rlhf"].(map[string]any)
	list, _ := table["rewards"].([]any)
	for i := range min(len(list), len(r.Rewards)) {
		at := &r.Rewards[i]
		if given, _ := list[i].(map[string]any); given["weight"] == nil {
			at.Weight = 1
		}
		switch {
		case at.Name != "":
		case len(list) == 1:
			at.Name = "reward"
		default:
			at.Name = fmt.Sprintf("reward%d", i+1)
		}
	}
}

// overrideRewards replaces the rewards by an array of tables in TOML, or by the source of the only
// reward. override names the override in messages.
func (r *Recipe) overrideRewards(override, value string) error {
	var given struct{ X any }
	if err := toml.Unmarshal([]byte("x = "+value), &given); err != nil {
		return fmt.Errorf("recipe: %s: %w", override, err)
	}
	switch x := given.X.(type) {
	case string:
		given.X = []any{map[string]any{"source": x}}
	case []any:
	case map[string]any:
		return fmt.Errorf("recipe: %s is a table, want a reward source or an array of tables", override)
	default:
		return fmt.Errorf("recipe: %s is %v, want a reward source or an array of tables", override, x)
	}
	// As tables, because the decoder does not name an unknown key of an inline table in full.
	text, err := toml.Marshal(map[string]any{"rlhf": map[string]any{"rewards": given.X}})
	if err != nil {
		return fmt.Errorf("recipe: %s: %w", override, err)
	}
	return r.merge(override, text, "set")
}

// overrideReward sets a key of the reward of a name: at is NAME.KEY.
func (r *Recipe) overrideReward(override, at, value string) error {
	of := func(w Reward) bool { return strings.HasPrefix(at, w.Name+".") }
	i := slices.IndexFunc(r.RLHF.Rewards, of)
	if i < 0 {
		var names []string
		for _, w := range r.RLHF.Rewards {
			names = append(names, w.Name)
		}
		return fmt.Errorf("recipe: %s: want %s.NAME.KEY with the name of a reward: %s", override,
			rewardsKey, strings.Join(names, ", "))
	}
	name := r.RLHF.Rewards[i].Name
	key := strings.TrimPrefix(at, name+".")
	var scratch map[string]any
	if toml.Unmarshal([]byte("x = "+value), &scratch) != nil {
		value = fmt.Sprintf("%q", value)
	}
	decoder := toml.NewDecoder(strings.NewReader(key + " = " + value)).DisallowUnknownFields()
	if err := decoder.Decode(&r.RLHF.Rewards[i]); err != nil {
		return explain(override, err, rewardsKey+"."+name+".")
	}
	r.origin[rewardsKey] = "set"
	return nil
}

// rewardKeys are the keys of a reward's table.
func rewardKeys() []string {
	data, err := toml.Marshal(Reward{Column: "0", Chat: Chat{Args: map[string]any{}}})
	if err != nil {
		panic(err) // a constant
	}
	var keys map[string]any
	if err := toml.Unmarshal(data, &keys); err != nil {
		panic(err)
	}
	keys["template_args"] = nil
	return slices.Sorted(maps.Keys(keys))
}

// checkRewards returns an error that names the first key of a reward out of range.
func (r *Recipe) checkRewards() error {
	for i, w := range r.RLHF.Rewards {
		key := func(name string) string { return fmt.Sprintf("%s[%d].%s", rewardsKey, i, name) }
		same := func(other Reward) bool { return other.Name == w.Name }
		switch {
		case w.Source == "":
			return fmt.Errorf("recipe: %s is empty, want %s", key("source"), source.Forms())
		case w.Weight == 0:
			return fmt.Errorf("recipe: %s is 0, want a number other than 0", key("weight"))
		case slices.ContainsFunc(r.RLHF.Rewards[:i], same):
			return fmt.Errorf("recipe: %s is %q, as of another reward: give each a name of its own",
				key("name"), w.Name)
		}
		from, err := source.Parse(w.Source)
		if err != nil { // not wrapped: no flag is wrong, but a key
			return fmt.Errorf("recipe: %s: %v", key("source"), err)
		}
		if err := w.checkUses(from.Uses(), key); err != nil {
			return err
		}
		if w.Reward != "" {
			if err := reward.CheckReward(w.Reward); err != nil {
				return fmt.Errorf("recipe: %s: %w", key("reward"), err)
			}
		}
		if err := w.Chat.Options().Check(); err != nil {
			return fmt.Errorf("recipe: %s[%d]: %w", rewardsKey, i, err)
		}
	}
	return nil
}

// checkUses returns an error that names the first key that the source needs, or has no use for.
func (r Reward) checkUses(uses source.Uses, key func(string) string) error {
	for _, at := range []struct {
		key      string
		set, use bool
		of       string
	}{
		{"column", r.Column != "", uses.Model, "models that haf opens"},
		{"read", r.Read != "", uses.Model, "models that haf opens"},
		{"template", r.Template != "" && r.Template != "auto", uses.Model || uses.Tokenizer, templated},
		{"template_args", len(r.Args) > 0, uses.Model || uses.Tokenizer, templated},
		{"date", r.Date != "", uses.Model || uses.Tokenizer, templated},
		{"bos", r.BOS != "", uses.Model || uses.Tokenizer, templated},
		{"reward", r.Reward != "" && r.Reward != source.Score, uses.Rewards,
			"models; other sources have the reward score alone"},
		{"tokenizer", r.Tokenizer != "", uses.Tokenizer, "sglang+ and openrlhf+ sources"},
		{"judge_prompt", r.JudgePrompt != "", uses.Judge, "judge+ sources"},
	} {
		if at.set && !at.use {
			return fmt.Errorf("recipe: %s has no effect on %s: it is for %s; leave it out", key(at.key),
				source.Shown(r.Source), at.of)
		}
	}
	switch {
	case uses.Tokenizer && r.Tokenizer == "":
		return fmt.Errorf("recipe: %s is empty, want the folder or the id of the model behind %s, "+
			"whose template and tokenizer haf uses", key("tokenizer"), source.Shown(r.Source))
	case uses.Judge && r.JudgePrompt == "":
		return fmt.Errorf("recipe: %s is empty, want the file of the prompt of %s",
			key("judge_prompt"), source.Shown(r.Source))
	}
	return nil
}

// templated are the sources that keys of the template are for.
const templated = "models that haf opens, and sglang+ and openrlhf+ sources"
