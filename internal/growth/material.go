package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"haf/encode"
	"haf/lm"
	"haf/pref"
	"haf/reward"
	"haf/weights"
)

// madeModel writes a model of the study's sizes, except for its depth, with random weights. It
// returns the model's folder.
func (s *study) madeModel(layers int) (string, error) {
	dir := filepath.Join(s.dir, fmt.Sprintf("layers-%d", layers))
	if _, err := os.Stat(filepath.Join(dir, "model.safetensors")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	c, err := lm.LoadConfig(s.model)
	if err != nil {
		return "", err
	}
	c.Layers = layers
	if c.Windowed != nil {
		return "", fmt.Errorf(
			"%s: its layers have windows of their own; give a model whose layers are alike", s.model)
	}
	config, err := c.Marshal(c.CausalClass())
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		return "", err
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
		"chat_template.jinja"} {
		data, err := os.ReadFile(filepath.Join(s.model, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	return dir, weights.Write(dir,
		weights.Lazy(lm.Init(c, rand.New(rand.NewPCG(1, uint64(layers))))...), weights.WriteOptions{})
}

// texts are the material for pairs.
type texts struct {
	dir     string
	encoder *encode.Encoder
	groups  []pref.Group
	words   []string // of all prompts
	random  *rand.Rand
}

func (s *study) newTexts() (*texts, error) {
	model, err := reward.OpenWithoutWeights(s.model, reward.Options{})
	if err != nil {
		return nil, err
	}
	defer model.Close()
	t := &texts{dir: s.dir, encoder: model.Encoder, random: rand.New(rand.NewPCG(1, 2))}
	if t.groups, _, err = pref.Load([]string{s.data}, pref.Options{}); err != nil {
		return nil, err
	}
	for _, g := range t.groups {
		for _, m := range g.Prompt {
			t.words = append(t.words, strings.Fields(m.Content)...)
		}
	}
	return t, nil
}

// A pair is a row of the general form.
type pair struct {
	Prompt   []pref.Message `json:"prompt"`
	Chosen   string         `json:"chosen"`
	Rejected string         `json:"rejected"`
}

// write writes n pairs to a file of the study and returns its path.
func (t *texts) write(name string, n int, next func(i int) (pair, error)) (string, error) {
	path := filepath.Join(t.dir, name)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for i := range n {
		p, err := next(i)
		if err == nil {
			err = enc.Encode(p)
		}
		if err != nil {
			return "", errors.Join(err, f.Close())
		}
	}
	return path, errors.Join(w.Flush(), f.Close())
}

// ofLength writes n pairs whose sequences have at most length tokens and nearly as many: half
// prompt, half response.
func (t *texts) ofLength(length, n int) (string, error) {
	return t.write(fmt.Sprintf("length-%d.jsonl", length), n, func(int) (pair, error) {
		prompt, err := t.passage(length/2, func(text string) (int, error) {
			ids, err := t.encoder.Prompt(ask(text))
			return len(ids), err
		})
		if err != nil {
			return pair{}, err
		}
		var responses [2]string
		for i := range responses {
			responses[i], err = t.passage(length-length/2, func(text string) (int, error) {
				g, err := t.encoder.Samples(ask("x"), []string{text})
				if err != nil {
					return 0, err
				}
				return len(g.Responses[0].Tokens), nil
			})
			if err != nil {
				return pair{}, err
			}
		}
		return pair{ask(prompt), responses[0], responses[1]}, nil
	})
}

func ask(text string) []pref.Message { return []pref.Message{{Role: pref.User, Content: text}} }

// passage returns words from a random place of the texts, which take at most that many tokens, and
// only a few less.
func (t *texts) passage(tokens int, count func(text string) (int, error)) (string, error) {
	from := t.random.IntN(len(t.words))
	text := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(t.words[(from+i)%len(t.words)])
			b.WriteByte(' ')
		}
		return strings.TrimSuffix(b.String(), " ")
	}
	fits := func(n int) (bool, error) {
		c, err := count(text(n))
		return c <= tokens, err
	}
	if ok, err := fits(1); err != nil || !ok {
		return "", errors.Join(err, fmt.Errorf("%d tokens do not hold the template and a word", tokens))
	}
	low, high := 1, tokens+1 // a word has at least one token
	for high-low > 1 {
		middle := (low + high) / 2
		ok, err := fits(middle)
		if err != nil {
			return "", err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return text(low), nil
}

// varied writes the data's pairs repeatedly, each time with other words at the end of the texts, so
// that no two pairs are the same.
func (t *texts) varied(n int) (string, error) {
	word := func() string { return " " + t.words[t.random.IntN(len(t.words))] }
	return t.write(fmt.Sprintf("pairs-%d.jsonl", n), n, func(i int) (pair, error) {
		g := t.groups[i%len(t.groups)]
		c := g.Comparisons[0]
		prompt := append([]pref.Message{}, g.Prompt...)
		last := &prompt[len(prompt)-1]
		last.Content += fmt.Sprint(word(), " ", i)
		return pair{prompt, g.Responses[c.Chosen] + word(), g.Responses[c.Rejected] + word()}, nil
	})
}
