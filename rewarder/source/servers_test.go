package source

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"haf/pref"
	"haf/rewarder"
	"haf/rewarder/rewardertest"
	"haf/serve"
)

// counted is the reward that all stand-ins give: it tells the suite's samples apart.
func counted(prompt []pref.Message, response string) float64 {
	sum := 0.0
	for i, m := range prompt {
		sum += 0.125 * float64(len(m.Role)+(i+1)*len(m.Content))
	}
	return sum/16 - float64(len(response))/8
}

func countedAll(_ context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = counted(s.Prompt, s.Response)
	}
	return out, nil
}

type scorer func(context.Context, []pref.Sample) ([]float64, error)

func (s scorer) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	return s(ctx, samples)
}

func standIn(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// standInVLLM answers as vLLM 0.33.0 does with a model of one label: see vllm.go.
func standInVLLM(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"ORG/rm","object":"model","max_model_len":512}]}`)
	})
	answer := func(w http.ResponseWriter, r *http.Request, entry func(reward float64) any) {
		var q struct {
			Model         string
			Messages      []pref.Message
			UseActivation *bool `json:"use_activation"`
		}
		if json.NewDecoder(r.Body).Decode(&q) != nil || len(q.Messages) < 2 || q.Model != "ORG/rm" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":{"message":"bad","type":"BadRequestError","param":null,"code":400}}`)
			return
		}
		last := len(q.Messages) - 1
		reward := counted(q.Messages[:last], q.Messages[last].Content)
		if q.UseActivation == nil || *q.UseActivation {
			reward = 1 / (1 + math.Exp(-reward))
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"id": "classify-1", "object": "list", "created": 1, "model": q.Model,
			"data":  []any{entry(reward)},
			"usage": map[string]any{"prompt_tokens": 9, "total_tokens": 9, "completion_tokens": 0},
		})
	}
	mux.HandleFunc("POST /classify", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func(x float64) any {
			return map[string]any{"index": 0, "label": "LABEL_0", "probs": []float64{x}, "num_classes": 1}
		})
	})
	mux.HandleFunc("POST /pooling", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func(x float64) any {
			return map[string]any{"index": 0, "object": "pooling", "data": []float64{x}}
		})
	})
	// As a model does that is pooled token by token.
	mux.HandleFunc("POST /tokens/pooling", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func(x float64) any {
			return map[string]any{"index": 0, "object": "pooling", "data": [][]float64{{1e3}, {x}}}
		})
	})
	mux.Handle("GET /tokens/v1/models", http.RedirectHandler("/v1/models", http.StatusFound))
	return standIn(t, mux)
}

// standInHaf is haf's own server, which speaks the dialects.
func standInHaf(t *testing.T, tokens ...serve.Token) string {
	t.Helper()
	server, err := serve.New(serve.Config{
		Models: []serve.Model{{Name: "m",
			Load: func(context.Context, serve.Engine) (serve.Engine, error) {
				return serve.NewEngine(rewarder.FromScorer(Score, scorer(countedAll))), nil
			}}},
		Tokens: tokens, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return standIn(t, server.Handler())
}

func mustOpen(t *testing.T, name string, opt Options) pref.Rewarder {
	t.Helper()
	r, err := Open(t.Context(), name, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// conforms runs the suite of every Rewarder, and compares the rewards with those of the stand-ins.
func conforms(t *testing.T, name string, opt Options) {
	t.Helper()
	if err := Reach(t.Context(), name, opt); err != nil {
		t.Fatal(err)
	}
	r := mustOpen(t, name, opt)
	rewardertest.Test(t, r, rewardertest.Options{Tolerance: 1e-9})
	samples := rewardertest.Samples()
	read, err := r.Read(t.Context(), rewarder.Alone(samples), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range samples {
		if want := counted(s.Prompt, s.Response); math.Abs(read.Rewards[Score][i][0]-want) > 1e-9 {
			t.Errorf("sample %d: reward %v, want %v", i, read.Rewards[Score][i][0], want)
		}
	}
}

func TestVLLM(t *testing.T) {
	url := standInVLLM(t)
	for name, source := range map[string]string{
		"classify": "vllm+" + url, "named": "vllm+" + url + "/classify#ORG/rm",
		"pooling": "vllm+" + url + "/pooling", "token by token": "vllm+" + url + "/tokens/pooling",
		"haf": "vllm+" + standInHaf(t) + "#m", "haf's pooling": "vllm+" + standInHaf(t) + "/pooling",
	} {
		t.Run(name, func(t *testing.T) { conforms(t, source, Options{Concurrency: 3}) })
	}
	r := mustOpen(t, "vllm+"+url, Options{})
	if got := Served(r, Score); got != "reward score of vLLM/classify ORG/rm" {
		t.Error(got)
	}
	groups := rewarder.Alone(rewardertest.Samples()[:2])
	groups[0].Prompt = []pref.Message{{Role: pref.User, Content: "p", Tools: `[{"type":"function"}]`}}
	read, err := r.Read(t.Context(), groups, nil)
	if err != nil || read.Refused[0] == nil || len(read.Index) != 1 || read.Index[0] != 1 {
		t.Errorf("a prompt with tools: %+v, %v", read, err)
	}
	_, err = Open(t.Context(), "vllm+"+url+"#other", Options{})
	if err == nil || !strings.Contains(err.Error(), `serves ORG/rm, not "other"`) {
		t.Error(err)
	}
	if err := Reach(t.Context(), "vllm+http://127.0.0.1:1", Options{Log: t.Logf}); err == nil {
		t.Error("a server that is not there was reached")
	}
}

// TestKeys sends the key that a server wants, and says where it comes from.
func TestKeys(t *testing.T) {
	const key = "0123456789abcdef"
	url := "vllm+" + standInHaf(t, serve.Token{Name: "t", Value: key})
	mustOpen(t, url, Options{Key: key})
	_, err := Open(t.Context(), url, Options{Key: "fedcba9876543210"})
	if err == nil || !strings.Contains(err.Error(), "HAF_API_KEY") ||
		strings.Contains(err.Error(), "fedcba") {
		t.Error(err)
	}
}

// TestBadAnswers wants an error that says what a server answered, for each dialect.
func TestBadAnswers(t *testing.T) {
	for _, c := range []struct {
		name, source, answer string
		status               int
		want                 string
	}{
		{"html", "vllm+", "<html>hello</html>", 200, "no JSON of the wanted form"},
		{"nan", "vllm+", `{"data":[{"probs":[NaN]}]}`, 200, "no JSON of the wanted form"},
		{"null", "vllm+", `{"data":[{"probs":[null]}]}`, 200, "probs is null, want a number"},
		{"classes", "vllm+", `{"data":[{"probs":[0.5,0.5]}]}`, 200, "2 numbers for a response"},
		{"count", "vllm+", `{"data":[]}`, 200, "0 entries for 1 responses"},
		{"index", "vllm+", `{"data":[{"index":3,"probs":[1]}]}`, 200, "entry 0 of data has index 3"},
		{"form", "vllm+", `{"data":{}}`, 200, "has another form"},
		{"other", "vllm+", `{"rewards":[1]}`, 200, "is this a server of vLLM?"},
		{"sigmoid", "vllm+", `{"activation":"sigmoid","data":[{"probs":[0.5]}]}`, 200,
			`activation "sigmoid", want raw`},
		{"busy", "vllm+", `{"error":{"message":"engine dead"}}`, 503, "answered 503"},
		{"too long", "vllm+", `{"error":{"message":"maximum context length"}}`, 400,
			"maximum context length"},
		{"pooled text", "vllm+/pooling", `{"data":[{"data":"AACAPw=="}]}`, 200, "data is neither"},
		{"pooled none", "vllm+/pooling", `{"data":[{"data":[[]]}]}`, 200, "0 numbers"},
		{"pooled empty", "vllm+/pooling", `{"data":[{"data":[]}]}`, 200, "0 numbers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := standIn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
					return
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.answer)
			}))
			scheme, path, _ := strings.Cut(c.source, "/")
			if path != "" {
				path = "/" + path
			}
			r := mustOpen(t, scheme+url+path, Options{Tries: 1})
			_, err := r.Read(t.Context(), rewarder.Alone(rewardertest.Samples()[:1]), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestTimeout gives up a server that does not answer in time, and tries again one that fails once.
func TestTimeout(t *testing.T) {
	var calls atomic.Int64
	slow := true
	url := standIn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
		case slow:
			time.Sleep(200 * time.Millisecond)
		case calls.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			fmt.Fprint(w, `{"data":[{"index":0,"probs":[1.5]}]}`)
		}
	}))
	groups := rewarder.Alone(rewardertest.Samples()[:1])
	r := mustOpen(t, "vllm+"+url, Options{Tries: 1, Timeout: 20 * time.Millisecond})
	if _, err := r.Read(t.Context(), groups, nil); err == nil ||
		!strings.Contains(err.Error(), "no answer within 20ms") {
		t.Error(err)
	}
	slow = false
	var said []string
	r = mustOpen(t, "vllm+"+url, Options{Log: func(format string, args ...any) {
		said = append(said, fmt.Sprintf(format, args...))
	}})
	read, err := r.Read(t.Context(), groups, nil)
	if err != nil || read.Rewards[Score][0][0] != 1.5 || len(said) != 1 ||
		!strings.Contains(said[0], "503") {
		t.Error(read, err, said)
	}
}
