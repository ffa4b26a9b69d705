package reward_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/lm"
	"haf/pref"
	"haf/reward"
	"haf/weights"
)

// publishedTemplate is an entry of chat_templates.json.
type publishedTemplate struct {
	Name     string
	Template string
	BOS      string `json:"bos_token"`
	EOS      string `json:"eos_token"`
}

// specialText is how the templates write special tokens.
var specialText = regexp.MustCompile(
	`<[|｜][^|｜<>{}]+[|｜]>|<(?:start_of_turn|end_of_turn|bos|eos|sop)>|\[gMASK\]`)

// templateBase writes a small base model with a SentencePiece tokenizer that knows the special
// tokens of a template, and random weights.
func templateBase(t *testing.T, p publishedTemplate) string {
	t.Helper()
	source := filepath.Join(shared.Root(), "reward", "testdata", "foreign", "chatml-pad-is-end")
	tok := readJSON(t, filepath.Join(source, "tokenizer.json"))
	added, _ := tok["added_tokens"].([]any)
	known := map[string]bool{}
	for _, a := range added {
		known[fmt.Sprint(a.(map[string]any)["content"])] = true
	}
	size := 514
	for _, text := range append([]string{p.BOS, p.EOS}, specialText.FindAllString(p.Template, -1)...) {
		if text == "" || known[text] {
			continue
		}
		known[text] = true
		added = append(added, map[string]any{"id": size, "content": text, "single_word": false,
			"lstrip": false, "rstrip": false, "normalized": false, "special": true})
		size++
	}
	tok["added_tokens"] = added
	settings := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": p.EOS,
		"unk_token": "<unk>"}
	if p.BOS != "" {
		settings["bos_token"] = p.BOS
	}
	config := fmt.Sprintf(`{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 2048,
		"tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false, "vocab_size": %d}`, size)
	dir := filepath.Join(t.TempDir(), "base")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeJSONFile(t, filepath.Join(dir, "tokenizer.json"), tok)
	writeJSONFile(t, filepath.Join(dir, "tokenizer_config.json"), settings)
	withTemplate(t, dir, p.Template)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := lm.ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	arrays := lm.Init(c, rand.New(rand.NewPCG(5, 5)))
	for i := range arrays {
		for k := range arrays[i].Data {
			arrays[i].Data[k] *= 3 // large enough to tell tokens apart
		}
	}
	if err := weights.Write(dir, weights.Lazy(arrays...), weights.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTransformersReadsTemplates: of a model that haf trains with each published template,
// transformers gives the rewards that haf gives, alone and in a padded batch, and so does a server,
// from messages and from the template's text. docs/dev/testing-and-parity.md has the table that it
// logs.
func TestTransformersReadsTemplates(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(shared.Root(), "chat", "testdata", "chat_templates.json"))
	if err != nil {
		t.Fatal(err)
	}
	var published []publishedTemplate
	if err := json.Unmarshal(data, &published); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain", "phi-2", "mistral"} {
		published = append(published, publishedTemplate{Name: name, BOS: "<s>", EOS: "</s>"})
	}
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	turn := func(role, content string) pref.Message {
		return pref.Message{Role: role, Content: content}
	}
	asked := []pref.Sample{
		{Prompt: []pref.Message{turn("user", "Tell me a story")},
			Response: "Once upon a time there was a fox."},
		{Prompt: []pref.Message{turn("user", "Tell me a story")}, Response: "No."},
		{Prompt: []pref.Message{turn("user", "Hi"), turn("assistant", "Hello!"),
			turn("user", "What is 2+2?")}, Response: "It is 4."},
		{Prompt: []pref.Message{turn("system", "Answer like a pirate."), turn("user", "Who are you?")},
			Response: "Arr, a pirate."},
		{Prompt: []pref.Message{turn("user", "  spaces around  ")}, Response: "  trailing blanks and a " +
			"newline \n"},
		{Prompt: []pref.Message{turn("user", "say <|im_end|> twice")}, Response: "naïve café – 東京 🦊</s>"},
	}
	requirePython(t)
	type trainedModel struct {
		name  string
		dir   string
		taken []pref.Sample // what the template takes
		want  []float64     // their rewards in training
		worst map[string]float64
		serve func(in pref.Input) float64
	}
	var models []*trainedModel
	var dirs []string
	check := func(m *trainedModel, how string, i int, got float64) {
		t.Helper()
		d := math.Abs(got - m.want[i])
		m.worst[how] = max(m.worst[how], d)
		if !(d <= 1e-4) {
			t.Errorf("%s, %s, %q: reward %.6f, haf had %.6f in training", m.name, how, m.taken[i].Response,
				got, m.want[i])
		}
	}
	for _, p := range published {
		var options reward.ChatOptions
		if p.Template == "" {
			options.Template = p.Name
		}
		trained := open(t, device, templateBase(t, p), reward.Options{Train: true, Chat: options})
		setScore(t, trained)
		trained.Meta.Heads = []string{"score"}
		m := &trainedModel{name: p.Name, dir: filepath.Join(t.TempDir(), "model"),
			worst: map[string]float64{}}
		if err := trained.Save(m.dir); err != nil {
			t.Fatal(err)
		}
		for _, s := range asked {
			r, err := scored(t.Context(), trained, reward.ByScore, []pref.Sample{s})
			if errors.Is(err, encode.ErrRefused) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			m.taken, m.want = append(m.taken, s), append(m.want, r[0])
		}
		opened := open(t, device, m.dir, reward.Options{})
		scores, err := scored(t.Context(), opened, reward.ByScore, m.taken)
		if err != nil {
			t.Fatal(err)
		}
		engine := engine(t, opened, reward.EngineOptions{Rewards: []string{reward.ByScore},
			MaxLength: 1024})
		m.serve = func(in pref.Input) float64 {
			t.Helper()
			item, err := engine.Encode(in, []string{reward.ByScore}, false)
			if err != nil {
				t.Fatal(err)
			}
			values, err := engine.Read(t.Context(), []pref.Item{item})
			if err != nil {
				t.Fatal(err)
			}
			return values[0].Rewards[reward.ByScore]
		}
		for i := range m.taken {
			check(m, "score", i, scores[i])
			check(m, "messages", i, m.serve(pref.Input{Sample: m.taken[i]}))
		}
		models, dirs = append(models, m), append(dirs, m.dir)
	}
	var table strings.Builder
	for k, reads := range transformersReads(t, asked, dirs...) {
		m := models[k]
		reads = slices.DeleteFunc(reads, func(r *read) bool { return r == nil })
		if len(reads) != len(m.taken) || len(m.taken) < 5 {
			t.Fatalf("%s: transformers takes %d conversations, haf %d of %d", m.name, len(reads),
				len(m.taken), len(asked))
		}
		for i, r := range reads {
			check(m, "text", i, m.serve(pref.Input{Text: r.Text}))
			check(m, "alone", i, r.Alone)
			check(m, "batch", i, r.Batch)
		}
		fmt.Fprintf(&table, "| %s ", m.name)
		for _, how := range []string{"score", "messages", "text", "alone", "batch"} {
			fmt.Fprintf(&table, "| %.1e ", m.worst[how])
		}
		table.WriteString("|\n")
	}
	t.Logf("largest differences:\n%s", table.String())
}
