package hub

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// python runs a program with the client of the hub that this cache is shared with: of $HAF_PYTHON,
// else of python3.
func python(t *testing.T, program string, env ...string) string {
	t.Helper()
	name := os.Getenv("HAF_PYTHON")
	if name == "" {
		name = "python3"
	}
	if err := exec.Command(name, "-c", "import huggingface_hub").Run(); err != nil {
		t.Skipf("%s has no huggingface_hub (%v): name one that has in HAF_PYTHON", name, err)
	}
	cmd := exec.Command(name, "-c", program)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "HF_") && !strings.HasPrefix(pair, "HUGGING") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, "HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_TELEMETRY=1",
		"HF_HUB_DISABLE_PROGRESS_BARS=1", "NO_PROXY=127.0.0.1")
	cmd.Env = append(cmd.Env, env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// What haf has fetched the Python client finds without a network, and what that has fetched haf
// finds.
func TestPython(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	s.put("datasets/org/prefs", map[string]string{"data/train.jsonl": strings.Repeat("x", 4000),
		"README.md": "y"})

	ours := t.TempDir()
	c := s.client(t)
	c.Cache = filepath.Join(ours, "hub")
	got, err := c.Model(ctx, "org/name")
	must(t, got, err)
	data, err := c.Data(ctx, "datasets/org/prefs/train")
	must(t, data, err)
	var found []string
	out := python(t, `
import json
from huggingface_hub import hf_hub_download, snapshot_download, scan_cache_dir
repos = sorted((r.repo_type, r.repo_id, sorted(f.file_name for v in r.revisions for f in v.files)) for r in scan_cache_dir().repos)
assert not scan_cache_dir().warnings, scan_cache_dir().warnings
print(json.dumps([
    snapshot_download("org/name"),
    hf_hub_download("org/name", "model.safetensors"),
    hf_hub_download("org/name", "config.json", revision="`+commit1+`"),
    hf_hub_download("org/prefs", "data/train.jsonl", repo_type="dataset"),
    json.dumps(repos)]))
`, "HF_HUB_OFFLINE=1", "HF_HOME="+ours)
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	dir := got.Paths[0]
	want := []string{dir, filepath.Join(dir, "model.safetensors"), filepath.Join(dir, "config.json"),
		data.Paths[0],
		`[["dataset", "org/prefs", ["train.jsonl"]], ["model", "org/name", ["chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]]]`}
	if !slices.Equal(found, want) {
		t.Errorf("Python finds %q, want %q", found, want)
	}

	theirs := t.TempDir()
	dir = python(t, `
from huggingface_hub import hf_hub_download, snapshot_download
hf_hub_download("org/prefs", "data/train.jsonl", repo_type="dataset")
print(snapshot_download("org/name", allow_patterns=["*.json", "*.safetensors"]))
`, "HF_ENDPOINT="+s.URL, "HF_HOME="+theirs, "HF_HUB_OFFLINE=0")
	c.Cache, c.Offline = filepath.Join(theirs, "hub"), true
	s.asked("")
	if got, err = c.Model(ctx, "org/name"); err != nil || got.Paths[0] != dir ||
		got.Commit != commit1 {
		t.Errorf("haf finds %+v, %v; want %s", got, err, dir)
	}
	if data, err = c.Data(ctx, "datasets/org/prefs/data/train.jsonl"); err != nil ||
		read(t, data.Paths[0]) != strings.Repeat("x", 4000) {
		t.Errorf("haf finds %+v, %v", data, err)
	}
	c.Offline = false
	if _, err = c.Model(ctx, "org/name"); err != nil {
		t.Error(err)
	}
	if asked := s.asked("resolve"); !slices.Equal(asked,
		[]string{"HEAD /org/name/resolve/" + commit1 + "/chat_template.jinja", "GET /org/name/resolve/" +
			commit1 + "/chat_template.jinja"}) {
		t.Errorf("of Python's snapshot haf fetches %v again, want what Python left out", asked)
	}
}
