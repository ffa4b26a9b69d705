package reward_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/pref"
	"haf/reward"
)

// foreignCase is a conversation of expected.json, with what transformers makes of it.
type foreignCase struct {
	Conversation []pref.Message `json:"conversation"`
	Text         string         `json:"text"`
	IDs          []int32        `json:"ids"`
	ReadAt       int            `json:"read_at"`
	Reward       float64        `json:"reward"`
	Refused      any            `json:"refused"` // set where the template raises an error
}

func (c foreignCase) sample() pref.Sample {
	last := len(c.Conversation) - 1
	return pref.Sample{Prompt: c.Conversation[:last], Response: c.Conversation[last].Content}
}

// TestForeignParity opens reward models that other programs left and wants the tokens, the place
// and the reward that transformers has for each conversation: read alone, in a batch, by a server
// from messages, from the template's text, and from tokens.
func TestForeignParity(t *testing.T) {
	name := os.Getenv("HAF_DEVICE")
	if name == "" {
		name = "go" // its small programs are made at once
	}
	device, err := backend.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range shared.Foreign(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, err := reward.Open(device, dir, reward.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			var cases []foreignCase
			var samples []pref.Sample
			for _, c := range foreignCases(t, dir) {
				conversation, _, err := m.Encoder.Conversation(c.sample().Prompt, c.sample().Response)
				if c.Refused != nil {
					if !errors.Is(err, encode.ErrRefused) {
						t.Errorf("%q: error %v, want ErrRefused", c.Conversation, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%q: %v", c.Conversation, err)
					continue
				}
				if !slices.Equal(conversation.Tokens, c.IDs) || conversation.Read != c.ReadAt {
					t.Errorf("%q: tokens %v read at %d, want %v read at %d", c.Text, conversation.Tokens,
						conversation.Read, c.IDs, c.ReadAt)
				}
				cases, samples = append(cases, c), append(samples, c.sample())
			}
			if len(cases) == 0 {
				t.Fatal("no case can be read")
			}
			near := func(how string, i int, got float64) {
				t.Helper()
				if !(math.Abs(got-cases[i].Reward) <= 1e-4) {
					t.Errorf("%s, %q: reward %.6f, want %.6f", how, cases[i].Text, got, cases[i].Reward)
				}
			}
			together, err := scored(t.Context(), m, reward.ByScore, samples)
			if err != nil {
				t.Fatal(err)
			}
			for i := range cases {
				near("in a batch", i, together[i])
				alone, err := scored(t.Context(), m, reward.ByScore, samples[i:i+1])
				if err != nil {
					t.Fatal(err)
				}
				near("alone", i, alone[0])
			}
			engine, err := m.Engine(t.Context(), reward.EngineOptions{MaxLength: 256})
			if err != nil {
				t.Fatal(err)
			}
			for how, input := range map[string]func(c foreignCase) pref.Input{
				"messages": func(c foreignCase) pref.Input { return pref.Input{Sample: c.sample()} },
				"text":     func(c foreignCase) pref.Input { return pref.Input{Text: c.Text} },
				"tokens":   func(c foreignCase) pref.Input { return pref.Input{Tokens: c.IDs} },
			} {
				var items []pref.Item
				for _, c := range cases {
					item, err := engine.Encode(input(c), []string{reward.ByScore}, false)
					if err != nil {
						t.Fatalf("%s, %q: %v", how, c.Text, err)
					}
					items = append(items, item)
				}
				values, err := engine.Read(t.Context(), items)
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range values {
					near("served from "+how, i, v.Rewards[reward.ByScore])
				}
			}
		})
	}
}

// TestResponsesAsTRL: the tokens of a response whose log-probability counts begin where TRL's
// DPOTrainer has them begin (testdata/trl_responses.py), and go on to the end of the conversation.
func TestResponsesAsTRL(t *testing.T) {
	root := filepath.Join(shared.Root(), "reward", "testdata", "foreign")
	data, err := os.ReadFile(filepath.Join(root, "trl.json"))
	if err != nil {
		t.Fatal(err)
	}
	var places map[string][]*int
	if err := json.Unmarshal(data, &places); err != nil {
		t.Fatal(err)
	}
	for name, want := range places {
		m, err := reward.OpenWithoutWeights(filepath.Join(root, name), reward.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range foreignCases(t, filepath.Join(root, name)) {
			if c.Refused != nil {
				continue
			}
			conversation, _, err := m.Encoder.Conversation(c.sample().Prompt, c.sample().Response)
			if err != nil || conversation.Response != *want[i] {
				t.Errorf("%s, %q: the response begins at token %d, %v; TRL has %d", name, c.Text,
					conversation.Response, err, *want[i])
			}
		}
	}
}

func foreignCases(t *testing.T, dir string) []foreignCase {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var stored struct{ Cases []foreignCase }
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	return stored.Cases
}
