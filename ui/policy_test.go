package ui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"haf/run"
)

// TestPolicyRun wants a run of haf rlhf to have its own curves and its best evaluation.
func TestPolicyRun(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "policy")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"manifest.json": asJSON(t, map[string]any{"format": run.ManifestFormat, "verb": run.VerbRLHF,
			"created": time.Unix(1e9, 0)}),
		"metrics.jsonl": []byte(string(asJSON(t, run.PolicyStep{Kind: run.KindStep, Step: 1, Reward: 2,
			KL: 0.5, Tokens: 30, Seconds: 3})) + "\n" + string(asJSON(t, run.PolicyEval{
			Kind: run.KindEval, Step: 1, Reward: 2.5, Low: 2, High: 3})) + "\n"),
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := app(t, nil, root)
	s := seriesOf(t, a, "run", "policy")
	if *s.Columns["reward"][0] != 2 || *s.Columns["kl"][0] != 0.5 || s.Evals["reward"].Y[0] != 2.5 ||
		*s.Columns["tokens_per_second"][0] != 10 {
		t.Errorf("%+v", s)
	}
	for path, want := range map[string]string{"/": "[2.0000, 3.0000]",
		"/runs?run=policy": "haf rlhf -resume"} {
		if code, body := get(t, a, path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, no %q", path, code, want)
		}
	}
}
