package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"haf/weights"
)

// TestDoctor spoils a run, a model or data, and wants haf doctor to name the check and the cause.
// It says nothing of the sound ones. That rewards do not depend on padding has its test in package
// doctor, because no file makes haf break it.
func TestDoctor(t *testing.T) {
	c := newChaos(t, rand.New(rand.NewPCG(0, 0)), false)
	c.begin()
	for _, line := range []string{"train tiny.toml -set train.max_steps=24 -set train.epochs=0 " +
		"-set train.eval_every=0 -set train.lr=1e-3 -out sound", "rlhf rl.toml -out policy"} {
		c.run(strings.Fields(line), 0)
	}
	editRecords(t, "policy", 24, func(i int, r map[string]any) {
		r["eos_rate"], r["kl"], r["reward_std"] = 1, 0.5, 1
		r["length"], r["reward"] = 20, 0.1*float64(i)
	})
	rows := slices.Collect(bytes.Lines(readFile(t, "train.jsonl")))
	slices.SortFunc(rows, bytes.Compare)
	rows = slices.CompactFunc(rows, bytes.Equal)
	for name, data := range map[string][]byte{"sound.jsonl": bytes.Join(rows, nil),
		"small.jsonl": []byte(goodRow)} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	steps := func(f func(i int, r map[string]any)) func(*testing.T, string) {
		return func(t *testing.T, dir string) { editRecords(t, dir, 24, f) }
	}
	for _, d := range []struct {
		name string
		of   string // the sound folder or file
		want string // of what is said; "" is nothing
		// spoil changes a copy of it, and train is a command that makes another in its place.
		spoil func(t *testing.T, dir string)
		train string
	}{
		{name: "sound run", of: "sound"},
		{name: "loss below its bound", of: "sound", want: `problem: loss bound: the loss of step 3 is ` +
			`-74, and no loss of reward "bradley-terry" and policy "dpo" is below 0`,
			spoil: steps(func(i int, r map[string]any) {
				if i == 2 {
					r["loss"] = -74
				}
			})},
		{name: "not finite", want: `problem: end: an error ended the run after step 1: .*loss is .*NaN`,
			train: "train tiny.toml -set train.lr=1e30 -set train.clip=0 -out faulty"},
		{name: "exploding gradients", of: "sound", want: `warning: gradients: the gradient norm grew ` +
			`from 1 to 11 \(median of steps 5 to 8\)`,
			spoil: steps(func(i int, r map[string]any) {
				r["grad_norm"], r["loss"] = 1+min(i, 24-i)*2, 0.9
			})},
		{name: "dead score head", of: "sound", want: `problem: score head: the score head's margins ` +
			`are still 1e-09 at the end`,
			spoil: steps(func(_ int, r map[string]any) { r["margin"] = 1e-9 })},
		{name: "wrong first loss", of: "sound", want: `problem: first loss: the first policy loss is ` +
			`0.9000, and ln 2 = 0.6931 was expected: the reference is not the model`,
			spoil: steps(func(i int, r map[string]any) {
				if i == 0 {
					r["policy_loss"] = 0.9
				}
			})},
		{name: "validation set too small", want: `warning: validation size: step \d has the best ` +
			`validation: accuracy 0.* \[.*\] of score; \d of the \d other validations are within`,
			train: "train tiny.toml -set train.lr=1e-4 -set train.eval_every=1 -out faulty"},
		{name: "many truncated conversations", want: `warning: data: \d+ of \d+ training groups are ` +
			`truncated at model.max_length = 24`,
			train: "train tiny.toml -set model.max_length=24 -set model.truncation=prompt " +
				"-set train.eval_every=0 -out faulty"},

		{name: "sound optimization", of: "policy"},
		{name: "reward drift", of: "policy", want: `warning: reward drift: the reward rose from .* ` +
			`while responses grew from`,
			spoil: steps(func(i int, r map[string]any) { r["length"] = 10 + 5*i })},
		{name: "equal rewards of answers", of: "policy", want: `problem: equal rewards: all rewards are ` +
			`equal in 24 of 24 steps`, spoil: steps(func(_ int, r map[string]any) { r["reward_std"] = 0 })},
		{name: "truncated answers", of: "policy", want: `warning: truncated answers: only 10 % of the ` +
			`responses end`, spoil: steps(func(_ int, r map[string]any) { r["eos_rate"] = 0.1 })},

		{name: "sound model", of: "run/model"},
		{name: "sound base", of: "base"},
		{name: "weights that are not finite", of: "run/model", want: `problem: weights: the weight 0 of ` +
			`score.weight is NaN`,
			spoil: func(t *testing.T, dir string) { setTensor(t, dir, "score.weight", math.NaN()) }},
		{name: "equal rewards of texts", of: "run/model", want: `problem: equal rewards: 6 different ` +
			`conversations all have the reward 0`,
			spoil: func(t *testing.T, dir string) { setTensor(t, dir, "score.weight", 0) }},
		{name: "missing end token", of: "base", want: `warning: end token: the tokenizer names no end ` +
			`token`, spoil: func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, "tokenizer_config.json"), func(file map[string]any) {
				delete(file, "eos_token")
				file["chat_template"] = strings.ReplaceAll(file["chat_template"].(string),
					"{{ eos_token }}", "")
			})
			editJSON(t, filepath.Join(dir, "config.json"), func(file map[string]any) {
				delete(file, "eos_token_id")
			})
		}},
		{name: "tokenizer of another model", of: "base", want: `warning: tokenizer: the tokenizer has ` +
			`ids up to 245, the embedding only 245 rows`, spoil: func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, "tokenizer.json"), func(file map[string]any) {
				token := map[string]any{"id": 245, "content": "<new>", "special": true}
				file["added_tokens"] = append(file["added_tokens"].([]any), token)
			})
		}},

		{name: "sound data", of: "sound.jsonl -against test.jsonl"},
		{name: "leakage", of: "train.jsonl -against train.jsonl",
			want: `problem: leakage: \d+ of the \d+ test groups have a prompt that is in the data`},
		{name: "small data", of: "small.jsonl", want: `warning: size: 1 comparisons: as a test set`},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Cleanup(func() { removeAll(t, "faulty") })
			examined := strings.Fields("doctor " + d.of)
			if d.spoil != nil {
				if err := os.CopyFS("faulty", os.DirFS(d.of)); err != nil {
					t.Fatal(err)
				}
				d.spoil(t, "faulty")
				examined = []string{"doctor", "faulty"}
			}
			if d.train != "" {
				_, _ = c.execute(strings.Fields(d.train)) // it may fail: doctor says why
				examined = []string{"doctor", "faulty"}
			}
			var stdout, stderr bytes.Buffer
			code := execute(examined, &stdout, &stderr)
			said := stdout.String()
			want := exitDone
			if strings.HasPrefix(d.want, "problem") {
				want = exitGate
			}
			if code != want || !regexp.MustCompile(d.want).MatchString(said) ||
				d.want == "" && !strings.Contains(said, " checks, 0 problems, 0 warnings\n") {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", code, want, d.want, said, &stderr)
			}
		})
	}
}

// editRecords gives a run n steps, copies of its last one, lets f change each, and makes the
// checksums anew.
func editRecords(t *testing.T, dir string, n int, f func(i int, record map[string]any)) {
	t.Helper()
	path := filepath.Join(dir, "metrics.jsonl")
	var steps []map[string]any
	var out bytes.Buffer
	for line := range bytes.Lines(readFile(t, path)) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		if record["kind"] == "step" {
			steps = append(steps, record)
		} else {
			out.Write(line)
		}
	}
	for i := range n {
		record := maps.Clone(steps[min(i, len(steps)-1)])
		record["step"] = i + 1
		f(i, record)
		line, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	sums := fmt.Sprintf("%x  manifest.json\n%x  metrics.jsonl\n",
		sha256.Sum256(readFile(t, filepath.Join(dir, "manifest.json"))), sha256.Sum256(out.Bytes()))
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums), 0o644); err != nil {
		t.Fatal(err)
	}
}

// editJSON changes a JSON file.
func editJSON(t *testing.T, path string, f func(file map[string]any)) {
	t.Helper()
	var file map[string]any
	if err := json.Unmarshal(readFile(t, path), &file); err != nil {
		t.Fatal(err)
	}
	f(file)
	data, err := json.Marshal(file)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// setTensor sets all weights of a tensor, and forgets the checksums of the weights.
func setTensor(t *testing.T, dir, name string, value float64) {
	t.Helper()
	ck, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var arrays []weights.Array
	for _, n := range ck.Names() {
		a, err := ck.Read(n)
		if err != nil {
			t.Fatal(err)
		}
		if n == name {
			a.Data = slices.Repeat([]float32{float32(value)}, len(a.Data))
		}
		arrays = append(arrays, a)
	}
	if err := ck.Close(); err != nil {
		t.Fatal(err)
	}
	if err := weights.Write(dir, weights.Lazy(arrays...), weights.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	editJSON(t, filepath.Join(dir, "haf.json"), func(file map[string]any) {
		delete(file, "weights_crc32c")
	})
}
