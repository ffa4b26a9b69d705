package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/report"
)

// TestPolicies shows a policy's run beside a training: each is in its own table alone.
func TestPolicies(t *testing.T) {
	policy := folder(t, "ppo", map[string]string{
		"manifest.json": `{"format": 3, "verb": "rlhf", "recipe": {"rlhf": {"algorithm": "ppo", "rewards": [{"source": "http://h:1", "name": "reward", "weight": 1}]}}, "origin": {"rlhf.algorithm": "file"}, "models": [{"path": "http://h:1", "served": "reward score of a"}]}`,
		"metrics.jsonl": `{"kind":"step","step":1,"reward":0.25,"kl":0,"entropy":2,"length":30,"eos_rate":0.5,"tokens":60,"seconds":2}` + "\n" +
			`{"kind":"step","step":2,"reward":1.5,"kl":3.25,"entropy":1.75,"length":20.5,"eos_rate":1,"tokens":40,"seconds":2}` + "\n",
	})
	var runs []*report.Run
	for _, dir := range []string{policy,
		folder(t, "train", map[string]string{"manifest.json": manifest, "metrics.jsonl": metrics})} {
		run, err := report.ReadRun(dir)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	page, err := report.Runs(runs)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := page.Write(out, "report"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(out, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{
		"| ppo | ppo | http://h:1 (reward score of a) | 2 | 0.250 | 1.500 | 3.250 | 1.750 | 20.5 | " +
			"1.00 | – | finished |", "(policy-reward-kl.svg)", "- 2 steps in 4 s, 25 tokens/s",
		"| train | 1 | 0.2 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if strings.Count(text, "\n| ppo |") != 1 || strings.Count(text, "\n| train |") != 1 {
		t.Errorf("a run is in the wrong table:\n%s", text)
	}
	if page, err = report.Runs(runs[:1]); err != nil ||
		strings.Contains(page.Markdown(), "## Training") {
		t.Errorf("a policy alone has a section of trainings: %v", err)
	}
}

// TestPolicyRewards shows several rewards, each with its moments, and the evaluations.
func TestPolicyRewards(t *testing.T) {
	dir := folder(t, "grpo", map[string]string{
		"manifest.json": `{"format": 3, "verb": "rlhf", "recipe": {"rlhf": {"algorithm": "grpo", "rewards": [
			{"source": "exec:rule", "name": "rule", "weight": 0.5}, {"source": "http://h:1", "name": "model", "weight": 1}]}},
			"models": [{"path": "http://h:1", "served": "reward score of a"}]}`,
		"metrics.jsonl": `{"kind":"eval","step":0,"reward":0.1,"reward_low":-0.2,"reward_high":0.4}
{"kind":"step","step":1,"reward":0.25,"rewards":{"rule":{"mean":0.5,"std":0.25},"model":{"mean":0,"std":2}}}
{"kind":"step","step":2,"reward":1.5,"rewards":{"rule":{"mean":1,"std":0},"model":{"mean":1,"std":1.5}}}
{"kind":"eval","step":2,"reward":0.1,"reward_low":0,"reward_high":0.2}
`,
	})
	r, err := report.ReadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	page, err := report.Runs([]*report.Run{r})
	if err != nil {
		t.Fatal(err)
	}
	text := page.Markdown()
	for _, want := range []string{
		"| 0.5 · rule: exec:rule; 1 · model: http://h:1 (reward score of a) | 2 |",
		"| 0.100 [-0.200, 0.400] at step 0 |", "(policy-held-out.svg)",
		"| grpo | rule | 0.500 | 0.250 | 1.000 | 0.000 |",
		"| grpo | model | 0.000 | 2.000 | 1.000 | 1.500 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
}
