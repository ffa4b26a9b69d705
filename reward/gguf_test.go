package reward_test

import (
	"bytes"
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/chat"
	"haf/encode"
	"haf/internal/shared"
	"haf/pref"
	"haf/reward"
	"haf/tokenizer"
	"haf/weights"
)

// TestGGUF trains nothing, but goes the whole way of a run: opened from the file, changed, saved as
// a folder, which has the same ids, rewards and reference.
func TestGGUF(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for name, lora := range map[string]bool{"full": false, "lora": true} {
		t.Run(name, func(t *testing.T) {
			m := changed(t, device, ggufFile(), lora)
			if m.Meta.Template.Name != "model" || !m.HasPolicyHead {
				t.Errorf("template %q, policy head %t", m.Meta.Template.Name, m.HasPolicyHead)
			}
			dir := filepath.Join(t.TempDir(), "model")
			if err := m.Save(dir); err != nil {
				t.Fatal(err)
			}
			opened := open(t, device, dir, reward.Options{})
			// the file is its reference
			if r := rewards(t, opened, reward.ByImplicit); r[0] == 0 || r[1] == 0 {
				t.Errorf("implicit rewards %v", r)
			}
			if opened.Adapter() != nil {
				t.Error("an adapter of a GGUF file was not merged")
			}
			names := []string{reward.ByScore}
			if lora { // while it is trained whole, a model is its own reference
				names = append(names, reward.ByImplicit)
			}
			for i, name := range names {
				before := rewards(t, m, name)
				for k, r := range rewards(t, opened, name) {
					if r == 0 || !(math.Abs(r-before[k]) <= 1e-5*float64(1+9*i)) {
						t.Errorf("%s reward %d is %v, before saving %v", name, k, r, before[k])
					}
				}
			}
		})
	}
}

// TestSmolLM2GGUF: in bfloat16, to which the folder's weights were rounded, both give the same
// numbers, bit for bit; the ids of real texts are the same.
func TestSmolLM2GGUF(t *testing.T) {
	file, dir := shared.Model(t, "smollm2-135m-instruct.gguf"),
		shared.Model(t, "smollm2-135m-instruct")
	device, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	var scores, logps [2][][]float64
	var toks [2]*tokenizer.Tokenizer
	for i, path := range []string{file, dir} {
		m, err := reward.Open(device, path, reward.Options{DType: "bfloat16", Positions: 256})
		if err != nil {
			t.Fatal(err)
		}
		setScore(t, m)
		var groups []encode.Group
		for _, s := range samples()[:2] {
			g, err := m.Encoder.Samples(s.Prompt, []string{s.Response})
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, g)
		}
		heads, err := m.Read(t.Context(), groups, reward.ScoreHead|reward.PolicyHead, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		scores[i], logps[i] = heads.Scores, heads.LogProbs
		toks[i] = m.Tokenizer
		m.Close()
	}
	for g := range scores[0] {
		if scores[0][g][0] != scores[1][g][0] || logps[0][g][0] != logps[1][g][0] ||
			scores[0][g][0] == 0 {
			t.Errorf("sample %d: reward %v and %v, log-probability %v and %v", g, scores[0][g], scores[1][g],
				logps[0][g], logps[1][g])
		}
	}
	t.Logf("rewards %v, log-probabilities %v", scores[0], logps[0])
	groups, _, err := pref.Load([]string{shared.Path(t, "data/hh/helpful-base.test.jsonl.gz")},
		pref.Options{Format: "auto", Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	ids := 0
	for _, g := range groups {
		texts := slices.Clone(g.Responses)
		for _, m := range g.Prompt {
			texts = append(texts, m.Content)
		}
		for _, text := range texts {
			a, b := toks[0].Encode(text, true), toks[1].Encode(text, true)
			if ids += len(a); !slices.Equal(a, b) {
				t.Fatalf("%q: %v and %v", text, a, b)
			}
		}
	}
	t.Logf("%d ids of %d groups", ids, len(groups))
	a, errA := chat.Of(toks[0])
	b, errB := chat.Of(toks[1])
	if errA != nil || errB != nil || a.Source() != b.Source() {
		t.Errorf("templates differ: %v, %v", errA, errB)
	}
}

// head is a layout with one head among the weights.
func head(name string, values []float32, labels int) layout {
	return layout{
		head: map[string][]weights.Array{"model.safetensors": {array(name, values, labels, hidden)}}}
}

// TestInspect describes layouts from their headers.
func TestInspect(t *testing.T) {
	device, base := demoBase(t)
	inspect := func(path string) *reward.Inspection {
		t.Helper()
		in, err := reward.Inspect(path, reward.ChatOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	warned := func(in *reward.Inspection, text string) bool {
		return slices.ContainsFunc(in.Warnings, func(w string) bool { return strings.Contains(w, text) })
	}
	in := inspect(ggufFile())
	if in.Form != "GGUF" || in.ScoreHead.Kind != "none" || in.Tokenizer.Kind != "byte-level BPE" ||
		!in.Tokenizer.GenerationPrompt ||
		in.Tokenizer.TemplateSource != "tokenizer.chat_template" || in.MainDType() != "Q8_0" ||
		in.Tokenizer.ReadAt != "\n" {
		t.Errorf("%+v, %+v", in, in.Tokenizer)
	}
	if in = inspect(base); in.ScoreHead.Kind != "none" || in.Form != "folder" || in.Trained != nil {
		t.Errorf("%+v", in)
	}
	params := in.Parameters
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := changed(t, device, base, true).Save(dir); err != nil {
		t.Fatal(err)
	}
	in = inspect(dir)
	if in.Form != "adapter" || in.Adapter.Rank != 4 || in.Adapter.Kind != "LoRA" ||
		in.Adapter.Parameters == 0 || in.Trained == nil ||
		in.Parameters != params+in.Adapter.Parameters+in.Hidden || in.ScoreHead.Kind != "linear" ||
		len(in.Adapter.Targets) != 2 {
		t.Errorf("%+v, %+v", in, in.Adapter)
	}
	if in := inspect(largerTokenizer(t)); !warned(in, "the tokenizer has ids up to 200, the "+
		"embedding only 160 rows: a text with one of the ids beyond them is refused") {
		t.Errorf("warnings %q", in.Warnings)
	}
	for name, test := range map[string]struct {
		layout layout
		kind   string
		warn   string
	}{
		"zero": {head("score.weight", make([]float32, hidden), 1), "linear", "the score head is zero"},
		"labels": {head("score.weight", slices.Concat(row(1), row(2)), 2), "labels",
			"its head has 2 labels: say which is the reward"},
		"many": {head("score.weight", slices.Concat(row(1), row(2), row(3)), 3), "labels",
			"its head has 3 labels"},
		"no head": {
			layout{config: map[string]any{"architectures": []string{"LlamaForSequenceClassification"}}},
			"none", "promises a score head"},
		"class": {
			layout{config: map[string]any{"architectures": []string{"LlamaForTokenClassification"}}}, "none",
			"labels every token"},
		"vocab": {layout{config: map[string]any{"vocab_size": 99}}, "none",
			"model.embed_tokens.weight has shape [160 32], config.json wants [99 32]"},
		"missing": {layout{config: map[string]any{"num_hidden_layers": 3}}, "none",
			"6 more weights are missing"},
		"dtype": {layout{config: map[string]any{"dtype": "bfloat16"}}, "none",
			"config.json says bfloat16, but most weights are stored as F32"},
		"no words": {layout{}, "none", "no tokenizer.json"},
	} {
		in := inspect(test.layout.write(t))
		if in.ScoreHead.Kind != test.kind || !warned(in, test.warn) {
			t.Errorf("%s: score head %q, warnings %q", name, in.ScoreHead.Kind, in.Warnings)
		}
		if data, err := json.Marshal(in); err != nil || !bytes.Contains(data, []byte(`"warnings":`)) {
			t.Errorf("%s: %s, %v", name, data, err)
		}
	}
}
