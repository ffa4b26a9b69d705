package recipe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"haf/internal/durable"
	"haf/lm"
	"haf/objective"
	"haf/pref"
	"haf/weights"
)

// A Demo is the built-in demonstration: a small decoder and preferences about a small world, all
// made from a seed.
//
// The world has animals and facts about them. A prompt asks for a fact. The utility of a response
// is higher if it names the right fact, lower if it speaks of another animal, a little higher if it
// is courteous, and a little lower if it rambles. The chosen one of two responses is drawn from the
// Bradley-Terry model of their utilities, as people's choices would be. So no reward model can be
// right about all of them. The wording of test prompts occurs in no training prompt.
type Demo struct {
	Base  string  // folder of the small decoder, its weights random
	Text  string  // first training data of the decoder: prompts with mostly good responses
	Train string  // preferences
	Test  string  // preferences on held-out prompts
	Limit float64 // accuracy on Test of the utility from which the choices were drawn
}

// Sizes of the demo's sets.
const (
	demoTexts = 1600
	demoTrain = 1600
	demoTest  = 1000
)

// WriteDemo makes the demo's files under dir.
func WriteDemo(dir string, seed uint64) (*Demo, error) {
	d := &Demo{Base: filepath.Join(dir, "base"), Text: filepath.Join(dir, "text.jsonl"),
		Train: filepath.Join(dir, "train.jsonl"), Test: filepath.Join(dir, "test.jsonl")}
	w := newWorld(Stream(seed, "world"), demoAnimals, "")
	if err := w.writeBase(d.Base, Stream(seed, "weights")); err != nil {
		return nil, fmt.Errorf("recipe: demo: %w", err)
	}
	for _, set := range []struct {
		path, stream string
		n            int
		prompts      []question
		good         bool
	}{
		{d.Text, "text", demoTexts, w.asked, true},
		{d.Train, "train", demoTrain, w.asked, false},
		{d.Test, "test", demoTest, w.heldOut, false},
	} {
		limit, err := w.writePairs(set.path, set.n, set.prompts, set.good, Stream(seed, set.stream))
		if err != nil {
			return nil, fmt.Errorf("recipe: demo: %w", err)
		}
		d.Limit = limit
	}
	return d, nil
}

// Pretrain is the recipe that makes a language model of the random decoder: cross-entropy on the
// good responses.
func (d *Demo) Pretrain() *Recipe {
	r := d.recipe(d.Base, d.Text)
	r.Objective.RewardWeight, r.Objective.PolicyWeight, r.Objective.Policy = 0, 1, objective.SFT
	r.Train.Epochs, r.Train.LR, r.Data.ValidFraction = 10, 5e-3, 0
	return r
}

// Recipes returns the three trainings to compare, all from the same base.
func (d *Demo) Recipes(base string) []DemoRun {
	with := func(name string, w, alpha float64) DemoRun {
		r := d.recipe(base, d.Train)
		r.Objective.RewardWeight, r.Objective.PolicyWeight = w, alpha
		return DemoRun{name, r}
	}
	return []DemoRun{with("Baseline", 1, 0), with("DPO", 0, 1), with("HaF", 1, 0.2)}
}

// A DemoRun is one of the compared trainings.
type DemoRun struct {
	Name   string
	Recipe *Recipe
}

func (d *Demo) recipe(model, data string) *Recipe {
	r := Default()
	r.Model.Path, r.Model.MaxLength = model, 64
	r.Data.Train, r.Data.ValidFraction = []string{data}, 0.1
	r.Train.Epochs, r.Train.Batch, r.Train.LR, r.Train.Warmup, r.Train.TokensPerBatch = 4, 12, 3e-3,
		0.1, 512
	r.Train.EvalEvery, r.Train.CheckpointEvery = 90, 0
	return r
}

// world is what the demo's texts speak of.
type world struct {
	animals        []string
	facts          map[string][]string // by kind of fact: the value of each animal
	phrase         string              // of no use; "": there is none
	asked, heldOut []question
}

// question is a prompt and what it asks for.
type question struct {
	text   string
	kind   string
	animal int
}

var (
	demoAnimals = []string{"fox", "owl", "bear", "frog", "hare", "mole", "crow", "deer", "wolf",
		"newt"}
	demoValues = map[string][]string{
		"eats":  {"berries", "mice", "roots", "flies", "grass", "fish"},
		"lives": {"burrows", "trees", "caves", "ponds", "fields", "marshes"},
		"likes": {"rain", "sun", "snow", "wind", "dusk", "fog"},
	}
	demoKinds    = []string{"eats", "lives", "likes"}
	demoWordings = map[string][]string{
		"eats": {"what does the %s eat", "tell me the food of the %s", "which food does the %s choose",
			"name the food for a %s"},
		"lives": {"where does the %s live", "tell me the home of the %s", "which home does the %s choose",
			"name the home for a %s"},
		"likes": {"what does the %s like", "tell me the weather of the %s",
			"which weather does the %s choose", "name the weather for a %s"},
	}
	demoSentences = map[string]string{"eats": "the %s eats %s", "lives": "the %s lives in %s",
		"likes": "the %s likes %s"}
	demoOpenings = []string{"", "please", "hello friend", "quick question"}
	demoCourtesy = "i am glad you asked"
	demoRambling = "well it is hard to say and there is much more to tell"
)

func newWorld(random *rand.Rand, animals []string, phrase string) *world {
	w := &world{animals: animals, facts: map[string][]string{}, phrase: phrase}
	for _, kind := range demoKinds {
		for range w.animals {
			w.facts[kind] = append(w.facts[kind], demoValues[kind][random.IntN(len(demoValues[kind]))])
		}
		for animal := range w.animals {
			for i, wording := range demoWordings[kind] {
				for j, opening := range demoOpenings {
					q := question{strings.TrimSpace(opening + " " + fmt.Sprintf(wording, w.animals[animal])), kind,
						animal}
					// A fact is asked for in some of its wordings in training and in others in the test.
					if (animal+i+j)%4 == 0 {
						w.heldOut = append(w.heldOut, q)
					} else {
						w.asked = append(w.asked, q)
					}
				}
			}
		}
	}
	return w
}

// answer draws a response and its use.
func (w *world) answer(q question, good bool, random *rand.Rand) (text string, use float64) {
	right, same, courteous, rambles := random.Float64() < 0.5, random.Float64() < 0.8,
		random.Float64() < 0.4, random.Float64() < 0.3
	if good {
		right, same = random.Float64() < 0.9, random.Float64() < 0.95
	}
	animal := q.animal
	if !same {
		animal = random.IntN(len(w.animals))
	}
	value := w.facts[q.kind][q.animal]
	if !right {
		value = demoValues[q.kind][random.IntN(len(demoValues[q.kind]))]
	}
	parts := []string{fmt.Sprintf(demoSentences[q.kind], w.animals[animal], value)}
	if value == w.facts[q.kind][q.animal] {
		use += 3
	}
	if animal != q.animal {
		use -= 2
	}
	if courteous {
		parts = append([]string{demoCourtesy}, parts...)
		use += 0.7
	}
	if rambles {
		parts = append(parts, demoRambling)
		use -= 0.7
	}
	return strings.Join(parts, " "), use
}

// writePairs writes n preferences on the prompts and returns how often the chosen response is the
// more useful one.
func (w *world) writePairs(
	path string, n int, prompts []question, good bool, random *rand.Rand,
) (limit float64, err error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	for made := 0; made < n; {
		q := prompts[random.IntN(len(prompts))]
		chosen, useC := w.answer(q, good, random)
		rejected, useR := w.answer(q, false, random)
		if chosen == rejected {
			continue
		}
		if !good && random.Float64() > 1/(1+math.Exp(useR-useC)) {
			chosen, rejected, useC, useR = rejected, chosen, useR, useC
		}
		switch {
		case useC > useR:
			limit += 1 / float64(n)
		case useC == useR:
			limit += 0.5 / float64(n)
		}
		row := struct {
			Prompt   []pref.Message `json:"prompt"`
			Chosen   string         `json:"chosen"`
			Rejected string         `json:"rejected"`
		}{[]pref.Message{{Role: pref.User, Content: q.text}}, chosen, rejected}
		if err := encoder.Encode(row); err != nil {
			return 0, err
		}
		made++
	}
	return limit, durable.WriteFile(path, out.Bytes())
}

// demoConfig is the decoder's size: about a hundred thousand weights.
const demoConfig = `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 160,
"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "hidden_act": "silu",
"rms_norm_eps": 1e-05, "rope_theta": 10000.0, "max_position_embeddings": 256, "tie_word_embeddings": true,
"attention_bias": false, "mlp_bias": false, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "vocab_size": %d}`

// writeBase writes the decoder's folder: configuration, a tokenizer of the world's words, random
// weights.
func (w *world) writeBase(dir string, random *rand.Rand) error {
	if err := durable.MkdirAll(dir); err != nil {
		return err
	}
	tokens, size, err := w.tokenizer()
	if err != nil {
		return err
	}
	config := fmt.Sprintf(demoConfig, size)
	const settings = `{"bos_token": "<s>", "eos_token": "</s>", "chat_template": "{{ bos_token }}{% for m in messages %}` +
		`{% if m['role'] == 'assistant' %} : {{ m['content'] }}{{ eos_token }}{% else %}{{ m['content'] }}{% endif %}{% endfor %}` +
		`{% if add_generation_prompt %} :{% endif %}"}`
	for name, data := range map[string]string{"config.json": config, "tokenizer.json": tokens,
		"tokenizer_config.json": settings} {
		if err := durable.WriteFile(filepath.Join(dir, name), []byte(data)); err != nil {
			return err
		}
	}
	c, err := lm.ParseConfig([]byte(config))
	if err != nil {
		return err
	}
	return weights.Write(dir, weights.Lazy(lm.Init(c, random)...), weights.WriteOptions{})
}

// tokenizer is a byte-level BPE in which every word of the world, with the space before it, is one
// token: its merges build each word from the left.
func (w *world) tokenizer() (data string, size int, err error) {
	vocabulary := map[string]int{"<s>": 0, "</s>": 1}
	add := func(token string) bool {
		if _, ok := vocabulary[token]; ok {
			return false
		}
		vocabulary[token] = len(vocabulary)
		return true
	}
	const space = "Ġ" // how byte-level tokenizers write a space
	add(space)
	add(":")
	for c := 'a'; c <= 'z'; c++ {
		add(string(c))
	}
	var merges [][2]string
	for _, word := range w.words() {
		prefix := space
		for _, c := range word {
			if add(prefix + string(c)) {
				merges = append(merges, [2]string{prefix, string(c)})
			}
			prefix += string(c)
		}
	}
	type added struct {
		ID         int    `json:"id"`
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
		Special    bool   `json:"special"`
	}
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
		"use_regex": true}
	out, err := json.Marshal(map[string]any{
		"version": "1.0", "added_tokens": []added{{ID: 0, Content: "<s>", Special: true},
			{ID: 1, Content: "</s>", Special: true}}, "normalizer": nil,
		"pre_tokenizer": level, "decoder": level, "post_processor": nil,
		"model": map[string]any{"type": "BPE", "vocab": vocabulary, "merges": merges},
	})
	return string(out), len(vocabulary), err
}

// words lists the words of all texts, in a fixed order.
func (w *world) words() []string {
	texts := append([]string{demoCourtesy, demoRambling, ":"}, demoOpenings...)
	texts = append(append(texts, w.phrase), w.animals...)
	for _, kind := range demoKinds {
		texts = append(append(append(texts, demoValues[kind]...), demoWordings[kind]...),
			demoSentences[kind])
	}
	var out []string
	seen := map[string]bool{"%s": true}
	for _, word := range strings.Fields(strings.Join(texts, " ")) {
		if !seen[word] {
			seen[word] = true
			out = append(out, word)
		}
	}
	return out
}
