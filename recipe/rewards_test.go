package recipe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/pref"
	"haf/rewarder/source"
	"haf/run"
)

const twoRewards = `
[model]
path = "base"
[data]
train = ["x.jsonl"]
[[rlhf.rewards]]
source = "runs/a"
[[rlhf.rewards]]
source = "runs/b"
name = "harm"
weight = -0.5
reward = "implicit"
column = 1
template = "plain"
`

// TestRewards: what is left out has a default that depends on the number of rewards; overrides
// replace all of them or one key of one.
func TestRewards(t *testing.T) {
	load := func(sets ...string) []Reward {
		t.Helper()
		r, err := Parse("two.toml", []byte(twoRewards), sets)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ForRLHF(); err != nil {
			t.Fatal(err)
		}
		return r.RLHF.Rewards
	}
	two := load("rlhf.algorithm=grpo") // which reads the recipe twice
	if len(two) != 2 || two[0].Name != "reward1" || two[0].Weight != 1 || two[1].Name != "harm" ||
		two[1].Weight != -0.5 || two[1].Reward != "implicit" || two[1].Column != "1" ||
		two[1].Template != "plain" {
		t.Errorf("%+v", two)
	}
	one := load("rlhf.rewards=runs/c")
	if len(one) != 1 || one[0].Source != "runs/c" || one[0].Name != "reward" ||
		one[0].Weight != 1 || one[0].Template != "" {
		t.Errorf("%+v", one)
	}
	changed := load("rlhf.rewards.harm.weight=2", "rlhf.rewards.reward1.source=http://h:1#x",
		"rlhf.rewards.harm.column=a")
	if changed[1].Weight != 2 || changed[1].Reward != "implicit" || changed[1].Column != "a" ||
		changed[0].Source != "http://h:1#x" {
		t.Errorf("%+v", changed)
	}
	inline := load(`rlhf.rewards=[{source="a", name="x", weight=3}, {source="b"}]`)
	if len(inline) != 2 || inline[0].Weight != 3 || inline[1].Name != "reward2" ||
		inline[1].Weight != 1 {
		t.Errorf("%+v", inline)
	}
}

// TestRewardErrors names the key of the reward that is wrong.
func TestRewardErrors(t *testing.T) {
	for set, want := range map[string]string{
		"rlhf.rewards=[]":                   "rlhf.rewards is empty",
		"rlhf.rewards=":                     "rlhf.rewards[0].source is empty",
		"rlhf.rewards.harm.weight=0":        "rlhf.rewards[1].weight is 0",
		"rlhf.rewards.harm.weight=inf":      "rlhf.rewards[1].weight is +Inf",
		"rlhf.rewards.harm.weight=much":     "rlhf.rewards.harm.weight is a string, want a number",
		"rlhf.rewards.harm.name=reward1":    `rlhf.rewards[1].name is "reward1", as of another reward`,
		"rlhf.rewards.harm.reward=best":     "rlhf.rewards[1].reward",
		"rlhf.rewards.harm.read=middle":     "rlhf.rewards[1]",
		"rlhf.rewards.helpful.weight=2":     "with the name of a reward: reward1, harm",
		"rlhf.rewards.harm=2":               "want rlhf.rewards.NAME.KEY",
		"rlhf.rewards=3":                    "is 3, want a reward source or an array of tables",
		"rlhf.rewards.harm.wait=2":          `unknown key "rlhf.rewards.harm.wait"; a reward has`,
		`rlhf.rewards=[{source="a", n=1}]`:  `unknown key "rlhf.rewards.n"; a reward has`,
		"rlhf.rewards.harm.source=odd:name": `rlhf.rewards[1].source: wrong reward source`,
		"rlhf.rewards.harm.source=http://127.0.0.1:1": "rlhf.rewards[1].column has no effect on " +
			"http://127.0.0.1:1",
		`rlhf.rewards=[{source="exec:true", template="plain"}]`:  "rlhf.rewards[0].template has no effect",
		`rlhf.rewards=[{source="exec:true", reward="implicit"}]`: "rlhf.rewards[0].reward has no effect",
		`rlhf.rewards=[{source="sglang+http://h"}]`:              "rlhf.rewards[0].tokenizer is empty",
		`rlhf.rewards=[{source="judge+http://h#m"}]`:             "rlhf.rewards[0].judge_prompt is empty",
		`rlhf.rewards=[{source="a", tokenizer="b"}]`:             "rlhf.rewards[0].tokenizer has no effect on a",
		`rlhf.rewards=[{source="a", judge_prompt=1}]`:            "judge_prompt",
		"rlhf.reward=runs/a":                                     "unknown key",
		"data.valid=x.jsonl":                                     "set rlhf.eval_every",
		"train.eval_every=3": "train.eval_every has no effect on haf " +
			"rlhf",
		"rlhf.load_best_model_at_end=true": "set eval_every",
		"rlhf.max_sampling_rounds=0":       "max_sampling_rounds is 0",
		"rlhf.dynamic_sampling=true":       "dynamic_sampling is for rloo and grpo",
		"rlhf.overlong_cache=200":          "overlong_cache is 200 tokens",
	} {
		r, err := Parse("two.toml", []byte(twoRewards), []string{set})
		if err == nil {
			err = r.ForRLHF()
		}
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, source.ErrName) {
			t.Errorf("%s: %v, want %q in it, and no fault of a flag", set, err, want)
		}
	}
}

// TestRewardsOfARun: a run with other weights or another name is another run; one whose reward
// model lies elsewhere is the same.
func TestRewardsOfARun(t *testing.T) {
	manifest := func(sets ...string) *Manifest {
		r, err := Parse("two.toml", []byte(twoRewards), sets)
		if err != nil {
			t.Fatal(err)
		}
		return &Manifest{run.Manifest[*Recipe]{Recipe: r}}
	}
	for set, same := range map[string]bool{
		"rlhf.rewards.reward1.source=elsewhere": true, "rlhf.rewards.harm.weight=-0.4": false,
		"rlhf.rewards.harm.name=damage": false, "rlhf.rewards.harm.reward=score": false,
	} {
		if got, err := manifest(set).SameRun(manifest()); err != nil || got != same {
			t.Errorf("%s: the same run %v, %v", set, got, err)
		}
	}
	served := "http://127.0.0.1:1#a"
	absolute, err := manifest("rlhf.rewards.reward1.source=" + served).Recipe.absolute()
	if err != nil {
		t.Fatal(err)
	}
	if all := absolute.RLHF.Rewards; all[0].Source != served ||
		!filepath.IsAbs(all[1].Source) {
		t.Errorf("%+v", all)
	}
	if manifest().Recipe.RLHF.Rewards[0].Source != "runs/a" {
		t.Error("the recipe itself has changed")
	}
}

// TestPrompts holds out a part of the prompts, or those of a file, which are then learned from no
// more.
func TestPrompts(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, prompts ...string) string {
		text := ""
		for _, p := range prompts {
			text += `{"prompt": "` + p + `"}` + "\n"
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	train := write("train.jsonl", "a", "b", "c", "d", "a", "e")
	valid := write("valid.jsonl", "d", "f", "f")
	load := func(sets ...string) (Prompts, error) {
		t.Helper()
		r, err := Parse("two.toml", []byte(twoRewards), append(sets, "data.train="+train))
		if err != nil {
			t.Fatal(err)
		}
		return r.Prompts()
	}
	text := func(prompts [][]pref.Message) (s string) {
		for _, p := range prompts {
			s += p[0].Content
		}
		return s
	}
	all, err := load()
	if err != nil || text(all.Train) != "abcde" || len(all.HeldOut) != 0 || len(all.Report) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	file, err := load("rlhf.eval_every=2", "data.valid="+valid)
	if err != nil || text(file.Train) != "abce" || text(file.HeldOut) != "df" ||
		!strings.Contains(file.Report[1], "read: 2, 1 repeated ones left out; 1 taken out") {
		t.Errorf("%+v, %v", file, err)
	}
	part, err := load("rlhf.eval_every=2", "data.valid_fraction=0.4")
	if err != nil || len(part.Train) != 3 || len(part.HeldOut) != 2 ||
		strings.ContainsAny(text(part.Train), text(part.HeldOut)) {
		t.Errorf("%+v, %v", part, err)
	}
	_, err = load("rlhf.eval_every=2", "data.valid_fraction=0")
	if err == nil || !strings.Contains(err.Error(), "0 are held out") {
		t.Errorf("nothing held out: %v", err)
	}
}
