package reward_test

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/pref"
	"haf/reward"
)

// python runs a script of testdata with $HAF_PYTHON (python3 if that is empty), which must have the
// packages named; the test is skipped where they are not there.
func python(t *testing.T, packages, script string, args ...string) string {
	t.Helper()
	program := requirePython(t, packages)
	cmd := exec.Command(
		program, append([]string{filepath.Join(shared.Root(), "reward", "testdata", script)}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		stderr := ""
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = string(exit.Stderr)
		}
		t.Fatalf("%s: %v\n%s", script, err, stderr)
	}
	return string(out)
}

// requirePython returns the program of python, or skips the test where it lacks the packages, those
// of transformers by default.
func requirePython(t *testing.T, packages ...string) string {
	t.Helper()
	program := os.Getenv("HAF_PYTHON")
	if program == "" {
		program = "python3"
	}
	if testing.Short() {
		t.Skip("slow: make round-trips runs it")
	}
	if packages == nil {
		packages = []string{"torch, transformers, peft, jinja2"}
	}
	if err := exec.Command(program, "-c", "import "+packages[0]).Run(); err != nil {
		t.Skipf("%s cannot import %s: set HAF_PYTHON", program, packages[0])
	}
	return program
}

// stored is the expected.json of a layout.
type stored struct {
	Prompt    []int32
	Responses [][]int32
	Rewards   []float64
	Logps     []float64
}

// TestLayouts opens checkpoints as other programs write them and wants the rewards that those read
// (testdata/layouts.py).
func TestLayouts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layouts")
	python(t, "torch, transformers, peft, safetensors", "layouts.py",
		filepath.Join(shared.Root(), "lm", "testdata", "llama"), dir)
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{
		"tokens":  "LlamaForTokenClassification, which labels every token",
		"bias":    `not supported: bias "all" (none is read)`,
		"unknown": `haf does not read the tensors reward_head.bias [1], reward_head.weight [1 32] of this llama model: reward_head.weight has the shape of a score head`,
		"score-lost": "adapts the score head score, but " + filepath.Join(shared.Root(), "lm",
			"testdata", "llama") + " has none",
	}
	columns := map[string]struct{ column, without string }{
		"labels2": {"1", "has 2 labels (0 LABEL_0, 1 LABEL_1): say which is the reward"},
		"labels5": {"0.7*LABEL_0 - 0.3*4", "has 5 labels (0 LABEL_0, 1 LABEL_1, 2 LABEL_2, " +
			"3 LABEL_3, 4 LABEL_4): say which is the reward"},
		"score-labels": {"LABEL_1", "has 2 labels (0 LABEL_0, 1 LABEL_1): say which is the reward"},
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var grown []job
	for _, entry := range entries {
		name := entry.Name()
		t.Run(name, func(t *testing.T) {
			opt := reward.Options{NoTokenizer: true, Positions: 256}
			want := columns[name].without
			if refused[name] != "" {
				want = refused[name]
			}
			if want != "" {
				if _, err := reward.Open(device, filepath.Join(dir, name), opt); err == nil ||
					!strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
				if opt.Column = columns[name].column; opt.Column == "" {
					return
				}
			}
			m, err := reward.Open(device, filepath.Join(dir, name), opt)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			compareStored(t, m, filepath.Join(dir, name))
			for form, save := range map[string]func(string) error{"saved": m.Save, "merged": m.SaveMerged} {
				if m.Adapter() == nil && form == "merged" {
					continue
				}
				saved := filepath.Join(dir, "..", form, name)
				if err := save(saved); err != nil {
					t.Fatal(err)
				}
				again, err := reward.Open(device, saved, reward.Options{NoTokenizer: true, Positions: 256})
				if err != nil {
					t.Fatal(err)
				}
				compareStored(t, again, filepath.Join(dir, name))
				again.Close()
				// An adapter of one label on a base of two is for programs that load the base with
				// ignore_mismatched_sizes.
				unusual := strings.HasPrefix(name, "grown-classifier") || strings.HasPrefix(name,
					"score-")
				if unusual && (form == "merged" || strings.HasPrefix(name, "score-") &&
					name != "score-labels") {
					grown = append(grown, storedJob(t, saved, filepath.Join(dir, name)))
				}
			}
		})
	}
	// What haf makes of the more unusual adapters, by transformers.
	for i, got := range transformers(t, grown) {
		for k := range got {
			if !(math.Abs(got[k]-grown[i].want[k]) <= 1e-4) {
				t.Errorf("%s: transformers reads reward %d as %.6f, want %.6f", grown[i].Folder, k,
					got[k], grown[i].want[k])
			}
		}
	}
}

// storedJob asks for the rewards of a saved folder that the expected.json of a layout has.
func storedJob(t *testing.T, saved, layout string) job {
	t.Helper()
	want := readStored(t, layout)
	j := job{Folder: saved, want: want.Rewards}
	for _, response := range want.Responses {
		j.Sequences = append(j.Sequences, slices.Concat(want.Prompt, response))
	}
	return j
}

func readStored(t *testing.T, dir string) stored {
	t.Helper()
	var want stored
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err == nil {
		err = json.Unmarshal(data, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// compareStored reads both heads and compares them with expected.json to 1e-4.
func compareStored(t *testing.T, m *reward.Model, dir string) {
	t.Helper()
	want, heads := readStored(t, dir), reward.ScoreHead
	if m.HasPolicyHead || want.Logps != nil {
		heads |= reward.PolicyHead
	}
	group := encode.Group{Prompt: want.Prompt}
	for _, ids := range want.Responses {
		group.Responses = append(group.Responses, encode.Answer(ids))
	}
	read, err := m.Read(t.Context(), []encode.Group{group}, heads, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Responses {
		if !(math.Abs(read.Scores[0][i]-want.Rewards[i]) <= 1e-4) {
			t.Errorf("%s: reward %d is %.6f, the source's %.6f", m.Dir, i, read.Scores[0][i],
				want.Rewards[i])
		}
		if want.Logps != nil && !(math.Abs(read.LogProbs[0][i]-want.Logps[i]) <= 1e-4) {
			t.Errorf("%s: log-probability %d is %.6f, the source's %.6f", m.Dir, i, read.LogProbs[0][i],
				want.Logps[i])
		}
	}
}

// TestSavedLayouts lets transformers read what haf saves: whole, in shards, an adapter, and a model
// that was trained from a GGUF file.
func TestSavedLayouts(t *testing.T) {
	device, base := demoBase(t)
	type saved struct {
		name string
		m    *reward.Model
	}
	full, adapter := changed(t, device, base, false), changed(t, device, base, true)
	sharded := changed(t, device, base, false)
	sharded.MaxShard = 20_000
	gguf := changed(t, device, ggufFile(), true)
	for _, s := range []saved{{"full", full}, {"sharded", sharded}, {"adapter", adapter},
		{"gguf", gguf}} {
		t.Run(s.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "model")
			if err := s.m.Save(dir); err != nil {
				t.Fatal(err)
			}
			shards, err := filepath.Glob(filepath.Join(dir, "model-*-of-*.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = os.Stat(filepath.Join(dir, "model.safetensors.index.json"))
			if (s.name == "sharded") != (err == nil && len(shards) > 2) {
				t.Errorf("%d shards, index: %v", len(shards), err)
			}
			want := rewards(t, s.m, reward.ByScore)
			opened := open(t, device, dir, reward.Options{})
			for i, r := range rewards(t, opened, reward.ByScore) {
				if !(math.Abs(r-want[i]) <= 1e-5) {
					t.Errorf("opened again, reward %d is %v, want %v", i, r, want[i])
				}
			}
			rewards(t, opened, reward.ByImplicit) // its reference is found
			for i, got := range transformersReads(t, samples(), dir)[0] {
				if !(math.Abs(got.Alone-want[i]) <= 1e-4) || !(math.Abs(got.Batch-want[i]) <= 1e-4) {
					t.Errorf("transformers reads reward %d as %v alone and %v in a batch, haf %v", i, got.Alone,
						got.Batch, want[i])
				}
			}
		})
	}
}

// read is what transformers makes of a conversation.
type read struct {
	Alone, Batch float64
	Text         string
}

// transformersReads has transformers read conversations by the models in folders:
// [model][conversation]; one that its template refuses is nil.
func transformersReads(t *testing.T, samples []pref.Sample, dirs ...string) [][]*read {
	t.Helper()
	file := filepath.Join(t.TempDir(), "conversations.jsonl")
	var lines []byte
	for _, s := range samples {
		line, err := json.Marshal(append(slices.Clip(s.Prompt),
			pref.Message{Role: pref.Assistant, Content: s.Response}))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	if err := os.WriteFile(file, lines, 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{filepath.Join(shared.Root(), "docs", "reference", "model-formats.md"),
		file}, dirs...)
	var all []*read
	for _, line := range strings.Split(strings.TrimSpace(python(t, "torch, transformers, peft, jinja2",
		"transformers_rewards.py", args...)), "\n") {
		var r *read
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if len(all) != len(samples)*len(dirs) {
		t.Fatalf("%d rewards, want %d of %d models", len(all), len(samples), len(dirs))
	}
	return slices.Collect(slices.Chunk(all, len(samples)))
}

// TestCompanions: what stands beside the weights is copied along.
func TestCompanions(t *testing.T) {
	device, base := demoBase(t)
	files := map[string]string{
		"generation_config.json": `{"eos_token_id": 2}`,
		"chat_template.jinja":    `{{ messages[0]['content'] }} `, "vocab.json": "{}",
		"special_tokens_map.json": `{"unk_token": "<unk>"}`,
	}
	for name, content := range files {
		if name == "special_tokens_map.json" {
			continue // the demo has none to compare with: it must not appear by itself
		}
		if err := os.WriteFile(filepath.Join(base, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, lora := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "model")
		if err := changed(t, device, base, lora).Save(dir); err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			_, before := os.Stat(filepath.Join(base, name))
			data, err := os.ReadFile(filepath.Join(dir, name))
			if (before == nil) != (err == nil) {
				t.Errorf("%s: %v beside the model, %v in the base", name, err, before)
			}
			if err == nil && name != "special_tokens_map.json" && string(data) != content {
				t.Errorf("%s was changed to %s", name, data)
			}
		}
	}
}

// ggufFile is a small model with a tokenizer (lm/testdata/gguf/make.py).
func ggufFile() string {
	return filepath.Join(shared.Root(), "lm", "testdata", "gguf", "text.gguf")
}
