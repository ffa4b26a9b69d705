package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/backend"
	"haf/internal/shared"
	"haf/pref"
	"haf/reward"
	"haf/serve"
)

// TestForeignDialects asks a server of models that other programs left, in every dialect, and wants
// the reward that transformers gives the conversation.
func TestForeignDialects(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"llama3-pad-is-end", "gemma", "qwen3"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(shared.Root(), "reward", "testdata", "foreign", name)
			var stored struct {
				Cases []struct {
					Conversation []pref.Message
					Text         string
					IDs          []int32
					Reward       float64
					Refused      any
				}
			}
			data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
			if err == nil {
				err = json.Unmarshal(data, &stored)
			}
			if err != nil {
				t.Fatal(err)
			}
			s, err := serve.New(serve.Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
				Models: []serve.Model{{
					Name: "m", Load: func(ctx context.Context, _ serve.Engine) (serve.Engine, error) {
						m, err := reward.Open(device, dir, reward.Options{Positions: 256})
						if err != nil {
							return nil, err
						}
						return m.Engine(ctx, reward.EngineOptions{MaxLength: 192})
					},
				}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			h := httptest.NewServer(s.Handler())
			defer func() { h.Close(); s.Close() }()
			for _, c := range stored.Cases {
				last := len(c.Conversation) - 1
				prompt, response := c.Conversation[:last], c.Conversation[last].Content
				ask := func(path string, body any, pick ...any) {
					t.Helper()
					status, reply := post(t, h.URL+path, body)
					if c.Refused != nil {
						if status != http.StatusBadRequest {
							t.Errorf("%s, %q: status %d, want 400: the template refuses the conversation", path,
								c.Conversation, status)
						}
						return
					}
					if got, ok := at(reply, pick...).(float64); !ok || !(math.Abs(got-c.Reward) <= 1e-4) {
						t.Errorf("%s, %q: %v, want %.6f", path, c.Text, at(reply, pick...), c.Reward)
					}
				}
				object := func(of ...any) map[string]any {
					o := map[string]any{}
					for i := 0; i < len(of); i += 2 {
						o[of[i].(string)] = of[i+1]
					}
					return o
				}
				ask("/v1/reward", object("messages", c.Conversation), "data", 0, "reward")
				ask("/v1/reward", object("prompt", prompt, "response", response), "data", 0, "reward")
				ask("/classify", object("messages", c.Conversation), "data", 0, "probs", 0)
				ask("/pooling", object("messages", c.Conversation), "data", 0, "data", 0)
				ask("/remote_rm", object("prompt", prompt, "response", response))
				if len(prompt) == 1 {
					ask("/score", object("queries", prompt[0].Content, "documents", []string{response}), "data", 0,
						"score")
					ask("/rerank", object("query", prompt[0].Content, "documents", []string{response}), "results",
						0, "relevance_score")
				}
				if c.Refused != nil {
					continue
				}
				ask("/get_reward", object("query", []string{c.Text}, "prompts",
					[]string{c.Text[:len(c.Text)/2]}), "rewards", 0)
				ask("/classify", object("input", c.Text), "data", 0, "probs", 0)
				ask("/classify", object("input", c.Text, "add_special_tokens", false), "data", 0, "probs", 0)
				ask("/classify", object("input", c.IDs), "data", 0, "probs", 0)
				for _, bos := range []string{"<bos>", "<|begin_of_text|>"} { // as verl takes it off
					ask("/classify", object("input", strings.TrimPrefix(c.Text, bos)), "data", 0, "probs", 0)
				}
				ask("/pooling", object("input", c.Text), "data", 0, "data", 0)
				ask("/classify", object("text", c.Text), "embedding", 0)
				ask("/classify", object("input_ids", c.IDs), "embedding", 0)
				ask("/v1/embeddings", object("input", []string{c.Text}), "data", 0, "embedding", 0)
				ask("/v1/score/evaluation", object("messages", []string{c.Text}), "scores", 0)
				half := len(c.Text) / 2
				for !strings.HasPrefix(c.Text[half:], "\n") { // between two characters
					half--
				}
				ask("/remote_rm", object("prompt", c.Text[:half], "response", c.Text[half:]))
			}
		})
	}
}

// at follows keys and indices into decoded JSON.
func at(v any, pick ...any) any {
	for _, p := range pick {
		switch key := p.(type) {
		case string:
			object, _ := v.(map[string]any)
			v = object[key]
		case int:
			list, _ := v.([]any)
			if key >= len(list) {
				return nil
			}
			v = list[key]
		}
	}
	return v
}

func post(t *testing.T, url string, body any) (status int, reply any) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(url, "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&reply); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, reply
}
