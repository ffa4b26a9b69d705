package serve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"haf/pref"
)

// fake is an engine whose reward is a hash of what it reads, so that every mix-up is seen. A word
// is a token.
type fake struct {
	version float64 // added to every reward
	names   []string
	gate    chan struct{} // if not nil, a batch waits for a value of it
	most    int           // items of a batch, 0 for no limit
	closed  atomic.Bool

	mu      sync.Mutex
	batches [][]string // the texts of each
}

type fakeItem struct {
	prompt, response string
	class            int
}

func (i *fakeItem) PromptKey() string           { return i.prompt }
func (i *fakeItem) Len() (prompt, response int) { return words(i.prompt), words(i.response) }
func (i *fakeItem) Truncated() bool             { return strings.Contains(i.prompt, "cut me") }
func (i *fakeItem) Class() int                  { return i.class }

func words(s string) int { return 1 + strings.Count(s, " ") }

// hashed is the fake's reward of a text, between −2 and 2.
func hashed(text string) float64 {
	h := fnv.New32a()
	io.WriteString(h, text)
	return float64(h.Sum32()%4000)/1000 - 2
}

func (f *fake) Rewards() []string {
	if f.names != nil {
		return f.names
	}
	return []string{"score", "implicit"}
}
func (f *fake) MaxLength() int { return 100 }
func (f *fake) Capacity() int  { return 64 }
func (f *fake) Close()         { f.closed.Store(true) }

// Next takes the most urgent and the longest.
func (f *fake) Next(items []pref.Item, urgency []int) ([]int, error) {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	size := func(i int) int { p, r := items[i].Len(); return p + r }
	slices.SortStableFunc(
		order, func(a, b int) int { return cmp.Or(urgency[b]-urgency[a], size(b)-size(a)) })
	if f.most > 0 {
		order = order[:min(f.most, len(order))]
	}
	return order, nil
}

func (f *fake) Encode(in pref.Input, rewards []string, tokens bool) (pref.Item, error) {
	item := &fakeItem{response: in.Response}
	switch {
	case in.Tokens != nil:
		item.prompt, item.response = fmt.Sprint(in.Tokens), ""
	case in.Text != "":
		item.prompt = in.Text
	default:
		for _, m := range in.Prompt {
			item.prompt += m.Role + ": " + m.Content + "\n"
		}
	}
	for _, name := range rewards {
		if name != "score" && name != "implicit" {
			return nil, fmt.Errorf("reward %q is not served", name)
		}
		if name == "implicit" || tokens {
			item.class = 1
		}
	}
	prompt, response := item.Len()
	if n := prompt + response; n > 5000 {
		return nil, fmt.Errorf("too long: %d tokens", n)
	}
	if strings.Contains(item.prompt, "panic in encoding") {
		panic("as asked")
	}
	return item, nil
}

func (f *fake) Read(ctx context.Context, items []pref.Item) ([]pref.Values, error) {
	if f.gate != nil {
		<-f.gate
	}
	if f.closed.Load() {
		return nil, errors.New("read after it was closed")
	}
	out := make([]pref.Values, len(items))
	var texts []string
	for i, it := range items {
		item := it.(*fakeItem)
		if item.class != items[0].Class() {
			return nil, errors.New("classes are mixed")
		}
		text := item.prompt + "|" + item.response
		texts = append(texts, text)
		switch {
		case strings.Contains(text, "fail the batch"):
			return nil, errors.New("as asked")
		case strings.Contains(text, "fill the memory"):
			return nil, fmt.Errorf("reading with /srv/model: %w", pref.ErrMemory)
		case strings.Contains(text, "panic in reading"):
			panic("as asked")
		}
		r := hashed(text) + f.version
		out[i].Rewards = map[string]float64{"score": r, "implicit": r / 2}
		out[i].Tokens = []pref.TokenReward{{Token: item.response, Reward: r / 2}}
	}
	f.mu.Lock()
	f.batches = append(f.batches, texts)
	f.mu.Unlock()
	return out, nil
}

// of is the source of an engine.
func of(name string, engine Engine) Model {
	return Model{Name: name, Load: func(context.Context, Engine) (Engine, error) {
		return engine, nil
	}}
}

var quiet = slog.New(slog.DiscardHandler)

// start runs a server's handler until the test ends.
func start(t testing.TB, config Config) (*Server, *httptest.Server) {
	t.Helper()
	if config.Log == nil {
		config.Log = quiet
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() { h.Close(); s.Close() })
	return s, h
}

var openAPIRouter = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

// ask sends a request and wants the status; request, where it is answered, and answer must be as
// openapi.json has them.
func ask(
	t testing.TB, h *httptest.Server, path, body string, status int,
) (answer map[string]any, header http.Header) {
	t.Helper()
	data, header := askRaw(t, h, path, body, status)
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatalf("%s answers %s: %v", path, data, err)
	}
	return answer, header
}

func askRaw(t testing.TB, h *httptest.Server, path, body string, status int) ([]byte, http.Header) {
	t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	newRequest := func() *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), method, h.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	response, err := http.DefaultClient.Do(newRequest())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != status {
		t.Fatalf("%s %s: %d %s, want %d", path, body, response.StatusCode, data, status)
	}
	router, err := openAPIRouter()
	if err != nil {
		t.Fatal(err)
	}
	request := newRequest()
	request.URL.Scheme, request.URL.Host = "", ""
	route, params, err := router.FindRoute(request)
	if err != nil {
		t.Fatalf("%s is not in openapi.json: %v", path, err)
	}
	in := &openapi3filter.RequestValidationInput{Request: request, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
			IncludeResponseStatus: true}}
	if status == http.StatusOK {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s is answered, but not in openapi.json: %v", path, body, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in,
		Status: response.StatusCode, Header: response.Header, Body: io.NopCloser(bytes.NewReader(data)),
		Options: in.Options}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s answers %s, which openapi.json does not have: %v", path, data, err)
	}
	return data, response.Header
}

// dig walks into a JSON value by keys and indices.
func dig(t testing.TB, v any, path ...any) any {
	t.Helper()
	for _, key := range path {
		switch k := key.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k < 0 {
				k += len(l)
			}
			if k < 0 || k >= len(l) {
				t.Fatalf("%v: no element %d in %v", path, k, v)
			}
			v = l[k]
		}
	}
	return v
}

func want(t testing.TB, v any, wanted any, path ...any) {
	t.Helper()
	if got := dig(t, v, path...); got != wanted {
		t.Errorf("%v is %v, want %v", path, got, wanted)
	}
}
