package reward

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"haf/backend"
	"haf/lm"
	"haf/mesh"
	"haf/pref"
)

// A Generator writes responses with the policy head of a model. It is a [pref.Generator].
type Generator struct {
	model *Model
	lm    *lm.Generator
	end   []int32
}

// Generator returns a generator that runs this number of rows at once; 0 is the default number.
// Close it before the model.
func (m *Model) Generator(rows int) (*Generator, error) {
	if !m.HasPolicyHead {
		return nil, fmt.Errorf("reward: %s has no policy head (no lm_head.weight) to generate with",
			m.Dir)
	}
	if m.Encoder == nil {
		return nil, fmt.Errorf("reward: %s was opened without its tokenizer: text cannot be generated",
			m.Dir)
	}
	if n := m.mesh.Devices(); n > 1 {
		return nil, fmt.Errorf("reward: %s is on %d devices, and generating runs on one: leave data= "+
			"and shard= out of -device", m.Dir, n)
	}
	return &Generator{model: m, lm: m.TokenGenerator(rows), end: m.EndTokens()}, nil
}

// TokenGenerator returns a generator for tokens. Its Run takes [Model.GeneratorArguments] as
// weights. 0 rows
// means the default number.
func (m *Model) TokenGenerator(rows int) *lm.Generator {
	programs, kept := backend.Keep(m.device, "generate "+m.Structure(),
		func() *lm.GeneratorPrograms { return lm.NewGeneratorPrograms(m.device.Backend) })
	g := lm.NewGenerator(m.device.Backend, &m.decoder, m.Weights, programs, kept)
	g.Check = m.checkGenerate
	if rows > 0 {
		g.Rows = rows
	}
	return g
}

// GeneratorArguments returns the model's weights for a generator of [Model.TokenGenerator], which
// runs on the first device. It is an error if several devices divide the weights.
func (m *Model) GeneratorArguments() ([]any, error) {
	if n := m.mesh.Shard; n > 1 {
		return nil, fmt.Errorf("reward: %d devices divide the weights of %s, and generating runs on "+
			"one: set mesh.shard, or shard= of -device, to 1", n, m.Dir)
	}
	return mesh.OneDevice(m.Arguments()), nil
}

// EndTokens returns the tokens that end a response: those of the template, the tokenizer,
// config.json and generation_config.json.
func (m *Model) EndTokens() []int32 {
	end := slices.Clone(m.Encoder.Ends())
	for _, id := range m.Config.EOS {
		end = append(end, int32(id))
	}
	var settings struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	if json.Unmarshal(m.auxFiles["generation_config.json"], &settings) != nil {
		return end // transformers' file, not haf's: what cannot be read has no say
	}
	var one int32
	var several []int32
	switch {
	case json.Unmarshal(settings.EOS, &one) == nil:
		end = append(end, one)
	case json.Unmarshal(settings.EOS, &several) == nil:
		end = append(end, several...)
	}
	return end
}

// Close frees the cache and programs.
func (g *Generator) Close() { g.lm.Close() }

// Refuses is [Model.Refuses].
func (g *Generator) Refuses(prompt []pref.Message) error { return g.model.Refuses(prompt) }

// Generate writes one response for each request. Requests of the same prompt share its computation.
func (g *Generator) Generate(
	ctx context.Context, requests []pref.Request, done func(i int, out pref.Generated) error,
) error {
	asked := make([]lm.Request, len(requests))
	for i, q := range requests {
		if err := q.Check(); err != nil {
			return fmt.Errorf("reward: request %d: %w", i+1, err)
		}
		prompt, err := g.model.Encoder.Prompt(q.Prompt)
		if err != nil {
			return fmt.Errorf("reward: request %d: %w", i+1, err)
		}
		asked[i] = lm.Request{Prompt: prompt, MaxTokens: q.MaxTokens, End: g.end, Sampling: lm.Sampling{
			RepetitionPenalty: q.RepetitionPenalty, Temperature: q.Temperature, TopK: q.TopK, TopP: q.TopP,
			MinP: q.MinP, Seed: q.Seed,
		}}
		if len(q.Stop) > 0 {
			asked[i].Stop = func(tokens []int32) bool {
				_, found := CutAt(g.text(tokens), q.Stop)
				return found
			}
		}
	}
	args, err := g.model.GeneratorArguments()
	if err != nil {
		return err
	}
	err = g.lm.Run(ctx, args, asked, func(i int, s lm.Sequence) error {
		out := pref.Generated{Finish: pref.FinishStop, Tokens: len(s.Tokens)}
		if s.Ended == lm.EndedByLength {
			out.Finish = pref.FinishLength
		}
		for _, logp := range s.LogP {
			out.LogP += float64(logp)
		}
		out.Text, _ = CutAt(g.text(s.Tokens), requests[i].Stop)
		return done(i, out)
	})
	if backend.OutOfMemory(err) {
		err = fmt.Errorf("%w on the device: ask for fewer tokens, or fewer sequences at once: %w",
			pref.ErrMemory, err)
	}
	if err != nil {
		return fmt.Errorf("reward: generating with %s: %w", g.model.Dir, err)
	}
	return nil
}

// text is what the tokens say, without special ones.
func (g *Generator) text(tokens []int32) string { return g.model.Tokenizer.Decode(tokens, true) }

// CutAt returns the text before the first of the stops in it.
func CutAt(text string, stops []string) (before string, found bool) {
	at := len(text)
	for _, stop := range stops {
		if i := strings.Index(text, stop); i >= 0 && i < at {
			at, found = i, true
		}
	}
	return text[:at], found
}
