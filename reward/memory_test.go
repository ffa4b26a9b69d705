package reward_test

import (
	"errors"
	"strings"
	"testing"

	"haf/backend"
	"haf/pack"
	"haf/pref"
	"haf/reward"
)

// has makes the device tell that so many bytes are available.
func has(device *backend.Device, bytes int64) {
	device.SetAvailable(func() (backend.Memory, error) { return backend.Memory{Bytes: bytes}, nil })
}

// refusedForMemory wants an error of memory with all of the parts.
func refusedForMemory(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	if !errors.Is(err, pref.ErrMemory) {
		t.Errorf("%s: %v, want it refused for memory", what, err)
		return
	}
	for _, part := range append(parts, "not enough memory", "available") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q does not say %q", what, err, part)
		}
	}
}

// TestReadingNeedsMemory wants whatever reads heads refused before anything is compiled, where the
// batch needs more memory than is available, and the next step that the error names to work.
func TestReadingNeedsMemory(t *testing.T) {
	saved := savedModel(t, true)
	device := saved.Device()
	m := open(t, device, saved.Dir, reward.Options{MaxLength: 2048})
	sample := func(words int) pref.Sample {
		return pref.Sample{Response: "mice and berries", Prompt: []pref.Message{{Role: pref.User,
			Content: strings.Repeat("the fox eats mice ", words/4)}}}
	}
	long, short := sample(900), sample(8)
	need := m.ReadMemory(reward.ScoreHead, pack.Shape{Rows: 1, Length: 512, Predicted: 512})
	has(device, need)
	reader := m.Reader(reward.ReaderOptions{})
	read := func(samples ...pref.Sample) error {
		_, err := reader.Read(t.Context(), []pref.Group{{Prompt: samples[0].Prompt,
			Responses: []string{samples[0].Response}}}, nil)
		return err
	}
	before := m.Programs()
	_, err := reader.Explain(t.Context(), []pref.Sample{long})
	refusedForMemory(t, "explain", err, "-max-length 512", "GB")
	refusedForMemory(t, "score", read(long), "-max-length 512")
	_, err = reader.Read(t.Context(), []pref.Group{{Prompt: long.Prompt, Responses: []string{"mice",
		"owls"}, Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}}}}, nil)
	refusedForMemory(t, "eval", err, "-max-length")
	_, err = m.Engine(t.Context(), reward.EngineOptions{MaxLength: 2048})
	refusedForMemory(t, "serve", err, "-max-length")
	if n := m.Programs() - before; n != 0 {
		t.Errorf("%d programs were compiled before the refusals, want none", n)
	}
	if err := read(short); err != nil {
		t.Errorf("a short one: %v", err)
	}
	cut := open(t, device, saved.Dir, reward.Options{MaxLength: 512})
	if _, err := cut.Reader(reward.ReaderOptions{}).Explain(t.Context(),
		[]pref.Sample{long}); err != nil {
		t.Errorf("as the error has it: %v", err)
	}
}

// TestServingNeedsMemory takes the memory away from a server's engine: it refuses what does not
// fit, and reads it once the memory is back.
func TestServingNeedsMemory(t *testing.T) {
	m := savedModel(t, false)
	e := engine(t, m, reward.EngineOptions{MaxLength: 256, Rewards: []string{reward.ByScore}})
	item := func(words int) []pref.Item {
		it, err := e.Encode(pref.Input{Sample: pref.Sample{Prompt: samples()[0].Prompt,
			Response: strings.Repeat("mice ", words)}}, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		return []pref.Item{it}
	}
	has(m.Device(), m.ReadMemory(reward.ScoreHead, pack.Shape{Rows: 1, Length: 128}))
	_, err := e.Read(t.Context(), item(200))
	refusedForMemory(t, "a long text", err)
	if _, err := e.Read(t.Context(), item(2)); err != nil {
		t.Errorf("a short text: %v", err)
	}
	has(m.Device(), 1<<40)
	if _, err := e.Read(t.Context(), item(200)); err != nil {
		t.Errorf("with the memory back: %v", err)
	}
}

// TestGeneratingNeedsMemory wants a cache that does not fit refused, and a smaller one made.
func TestGeneratingNeedsMemory(t *testing.T) {
	device, base := demoBase(t)
	m := open(t, device, base, reward.Options{})
	g, err := m.Generator(2)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	generate := func(tokens int) error {
		return g.Generate(t.Context(), []pref.Request{{Prompt: samples()[0].Prompt,
			Sampling: pref.Sampling{MaxTokens: tokens}}},
			func(int, pref.Generated) error { return nil })
	}
	has(device, 8<<20)
	refusedForMemory(t, "a long cache", generate(1<<20), "-max-tokens", "-rows")
	if err := generate(4); err != nil {
		t.Errorf("a short one: %v", err)
	}
}
