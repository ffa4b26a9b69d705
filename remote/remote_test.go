package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haf/pref"
)

// stand is a server that answers as told: what is tested with it is what goes wrong.
func stand(t *testing.T, answer func(w http.ResponseWriter, n int, body map[string]any)) string {
	t.Helper()
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		data, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(data, &body) // of a GET it is nil
		answer(w, int(calls.Add(1)), body)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

func said(w io.Writer, text string) {
	fmt.Fprintf(
		w,
		`{"choices": [{"message": {"role": "assistant", "content": %q}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}`, text)
}

func client(t *testing.T, url string, opt Options) *Client {
	t.Helper()
	opt.URL, opt.Backoff = url, time.Millisecond
	if opt.Model == "" {
		opt.Model = "m"
	}
	c, err := New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ask(prompt string) pref.Request {
	return pref.Request{Prompt: []pref.Message{{Role: pref.User, Content: prompt}},
		Sampling: pref.Sampling{MaxTokens: 5, Temperature: 0.7, TopP: 0.9, Seed: 11,
			Stop: []string{"\n"}}}
}

func generate(t *testing.T, c *Client, n int) ([]pref.Generated, error) {
	t.Helper()
	var requests []pref.Request
	for i := range n {
		requests = append(requests, ask(fmt.Sprint("p", i)))
	}
	out := make([]pref.Generated, n)
	err := Generator{c}.Generate(t.Context(), requests, func(i int, g pref.Generated) error {
		out[i] = g
		return nil
	})
	return out, err
}

func TestGenerateAsksWhatWasAsked(t *testing.T) {
	var mu sync.Mutex
	var got map[string]any
	url := stand(t, func(w http.ResponseWriter, _ int, body map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		got = body
		said(w, "hello")
	})
	out, err := generate(
		t, client(t, url, Options{Extra: map[string]any{"stop": nil, "cache_prompt": true}}), 1)
	if err != nil || out[0].Text != "hello" || out[0].Finish != pref.FinishStop ||
		out[0].Usage != (pref.Usage{PromptTokens: 7, CompletionTokens: 3}) {
		t.Fatalf("got %+v, %v", out[0], err)
	}
	for key, want := range map[string]any{"model": "m", "max_tokens": 5.0, "temperature": 0.7,
		"top_p": 0.9, "seed": 11.0, "cache_prompt": true} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	for _, absent := range []string{"top_k", "min_p", "repetition_penalty", "stop"} {
		if _, ok := got[absent]; ok {
			t.Errorf("%s was sent", absent)
		}
	}
}

// TestRetries has servers that fail for a while, or for good.
func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func(w http.ResponseWriter)
		again bool
		want  string
	}{
		"busy": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "0.01")
			w.WriteHeader(http.StatusTooManyRequests)
		}, true, "429"},
		"down": {
			func(w http.ResponseWriter) { http.Error(w, "loading model", http.StatusServiceUnavailable) },
			true, "loading model"},
		"cut": {func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }, true, "EOF"},
		"slow": {func(w http.ResponseWriter) { time.Sleep(300 * time.Millisecond) }, true,
			"no answer within 100ms"},
		"refused": {func(w http.ResponseWriter) {
			http.Error(w, `{"error": {"message": "no such model"}}`, http.StatusNotFound)
		}, false, "no such model"},
		"no JSON": {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, false, "no JSON"},
		"no choice": {func(w http.ResponseWriter) { fmt.Fprint(w, `{"choices": []}`) }, false,
			"no choices"},
		"no content": {
			func(w http.ResponseWriter) { fmt.Fprint(w, `{"choices": [{"message": {"content": null}}]}`) },
			false, "no choices[0].message.content"},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			url := stand(t, func(w http.ResponseWriter, n int, _ map[string]any) {
				if calls.Add(1); n <= 2 {
					c.fail(w)
					return
				}
				said(w, "at last")
			})
			out, err := generate(t, client(t, url, Options{Timeout: 100 * time.Millisecond}), 1)
			if c.again && (err != nil || out[0].Text != "at last" || calls.Load() != 3) {
				t.Errorf("got %+v, %v after %d calls, want success at the third", out[0], err, calls.Load())
			}
			if !c.again && (err == nil || !strings.Contains(err.Error(), c.want) || calls.Load() != 1) {
				t.Errorf("got error %v after %d calls, want one with %q after the first", err, calls.Load(),
					c.want)
			}
			url = stand(t, func(w http.ResponseWriter, _ int, _ map[string]any) { c.fail(w) })
			_, err = generate(t, client(t, url, Options{Retries: 1, Timeout: 100 * time.Millisecond}), 1)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("of a server that never works: error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestManyAtOnce counts what the server sees at once, and wants results of finished requests kept
// when one fails.
func TestManyAtOnce(t *testing.T) {
	var now, most atomic.Int32
	url := stand(t, func(w http.ResponseWriter, n int, body map[string]any) {
		defer now.Add(-1)
		for at := now.Add(1); ; {
			if old := most.Load(); at <= old || most.CompareAndSwap(old, at) {
				break
			}
		}
		time.Sleep(5 * time.Millisecond)
		said(w, body["messages"].([]any)[0].(map[string]any)["content"].(string))
	})
	out, err := generate(t, client(t, url, Options{Concurrency: 3}), 20)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range out {
		if g.Text != fmt.Sprint("p", i) {
			t.Errorf("request %d was answered with %q", i, g.Text)
		}
	}
	if most.Load() != 3 {
		t.Errorf("%d requests at once, want 3", most.Load())
	}
	calls := 0
	full := errors.New("full")
	err = Generator{client(t, url, Options{Concurrency: 3})}.Generate(t.Context(),
		slices.Repeat([]pref.Request{ask("x")}, 20), func(int, pref.Generated) error {
			calls++
			return full
		})
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("an error of done became %v after %d calls, want it after one", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Generator{client(t, url, Options{})}).Generate(ctx, []pref.Request{ask("x")},
		nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run ended with %v", err)
	}
}

func TestNew(t *testing.T) {
	for _, bad := range []string{"", "localhost:8000", "ftp://x/v1"} {
		if _, err := New(t.Context(), Options{URL: bad, Model: "m"}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	url := stand(t, func(w http.ResponseWriter, _ int, _ map[string]any) {
		fmt.Fprint(w, `{"data": [{"id": "first"}, {"id": "second"}]}`)
	})
	c, err := New(t.Context(), Options{URL: url})
	if err != nil || c.Model() != "first" {
		t.Errorf("the model is %v, %v", c, err)
	}
}

func TestParseRanking(t *testing.T) {
	for text, want := range map[string][]int{
		"Ranking: A > B":                         {1, 2, 0},
		"I think B is fine.\n**Ranking:** B > A": {2, 1, 0},
		"ranking: a = b":                         {1, 1, 0},
		"Ranking: A":                             {1, 2, 0},
		"Ranking: A > B, no.\nRanking: B > A.":   {2, 1, 0},
		"B > A":                                  {2, 1, 0},
		"Ranking: Answer B > Answer A":           {2, 1, 0},
		"Ranking: C > A = B":                     {2, 2, 1},
		"Ranking: A = C > B":                     {1, 3, 1},
		"Ranking: A > A":                         nil,
		"Ranking: D > A":                         nil,
		"A is better than B":                     nil,
		"":                                       nil,
	} {
		n := 2
		if len(want) == 3 && want[2] != 0 {
			n = 3
		}
		got, ok := ParseRanking(text, n)
		if want != nil {
			want = want[:n]
		}
		if !slices.Equal(got, want) || ok != (want != nil) {
			t.Errorf("%q is read as %v, want %v", text, got, want)
		}
	}
	if got, ok := ParseRanking("Ranking: A > B", 3); ok {
		t.Errorf("a ranking of two answers of three is read as %v", got)
	}
}

func FuzzParseRanking(f *testing.F) {
	f.Add("Ranking: A > B = C", 3)
	f.Add("B>A", 2)
	f.Fuzz(func(t *testing.T, text string, n int) {
		if n < 2 || n > maxShown {
			return
		}
		ranks, ok := ParseRanking(text, n)
		if !ok {
			if ranks != nil {
				t.Fatalf("%q: no ranking, but ranks %v", text, ranks)
			}
			return
		}
		for _, r := range ranks {
			if r < 1 || r > n {
				t.Fatalf("%q: ranks %v of %d", text, ranks, n)
			}
		}
	})
}

// TestRealServer talks to the server that HAF_OPENAI_URL names: see make remote.
func TestRealServer(t *testing.T) {
	url := os.Getenv("HAF_OPENAI_URL")
	if url == "" {
		t.Skip("HAF_OPENAI_URL names no server: run make remote")
	}
	c, err := New(t.Context(), Options{URL: url, Concurrency: 2,
		Say: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("model %s", c.Model())
	request := func(text string) pref.Request {
		return pref.Request{Prompt: []pref.Message{{Role: pref.User, Content: text}},
			Sampling: pref.Sampling{MaxTokens: 24, Seed: 1}}
	}
	requests := []pref.Request{request("What is the capital of France? Answer in one word."),
		request("Say hello."), request("What is the capital of France? Answer in one word.")}
	requests[1].MaxTokens, requests[1].Temperature, requests[1].TopP, requests[1].TopK = 2, 0.7, 0.9,
		40
	out := make([]pref.Generated, len(requests))
	err = Generator{c}.Generate(t.Context(), requests, func(i int, g pref.Generated) error {
		t.Logf("%d: %+v", i, g)
		out[i] = g
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out[0].Text, "Paris") || out[0].Finish != pref.FinishStop ||
		out[0].Text != out[2].Text {
		t.Errorf("greedy answers are %q and %q", out[0].Text, out[2].Text)
	}
	if out[1].Finish != pref.FinishLength || out[1].Tokens != 2 || out[1].Usage.PromptTokens == 0 {
		t.Errorf("an answer of two tokens is %+v", out[1])
	}
	trial := pref.Trial{Prompt: requests[0].Prompt, Responses: []string{"Paris", "I do not care."}}
	err = Judge{Client: c, MaxTokens: 64}.Judge(t.Context(), []pref.Trial{trial},
		func(_ int, v pref.Verdict) error {
			t.Logf("verdict %v of %q", v.Ranks, v.Text)
			if v.Text == "" || v.Usage.PromptTokens < 50 { // a model of this size need not keep to the form
				t.Errorf("the judge gave %+v", v)
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
}
