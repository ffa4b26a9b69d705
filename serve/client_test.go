package serve

import (
	"context"
	"errors"
	"io"
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
)

func newClient(t *testing.T, address string, opt ClientOptions) *Client {
	t.Helper()
	c, err := NewClient(address, opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func connect(t *testing.T, address string, opt ClientOptions) *Remote {
	t.Helper()
	r, err := newClient(t, address, opt).Connect(t.Context(), RemoteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRemoteConforms has a model behind a server pass the suite of every Rewarder.
func TestRemoteConforms(t *testing.T) {
	_, h := start(t, Config{Models: []Model{of("m", &fake{}), of("other", &fake{version: 5})}})
	rewardertest.Test(t, connect(t, h.URL+"#m", ClientOptions{}), rewardertest.Options{})
	rewardertest.Test(t, connect(t, h.URL+"/#m", ClientOptions{Batch: 2, Parallel: 3}),
		rewardertest.Options{})
	// And what it talks to: a Rewarder behind a server is the same Rewarder, an ensemble of servers,
	// too.
	members := []rewarder.Member{{Name: "m", Rewarder: connect(t, h.URL+"#m", ClientOptions{})},
		{Name: "other", Rewarder: connect(t, h.URL+"#other", ClientOptions{})}}
	both, err := rewarder.NewEnsemble(rewarder.Rule{Name: rewarder.Mean}, members...)
	if err != nil {
		t.Fatal(err)
	}
	_, h = start(t, Config{Models: []Model{of("m", NewEngine(both))}})
	again := connect(t, h.URL, ClientOptions{})
	rewardertest.Test(t, again, rewardertest.Options{})
	r, err := again.Read(t.Context(), rewarder.Alone(someSamples(3)), nil)
	if want := ofPair("p", "rr") + 2.5; err != nil || math.Abs(r.Rewards["score"][2][0]-want) > 1e-12 {
		t.Errorf("%v, %v, want %v", r.Rewards, err, want)
	}
}

func someSamples(n int) []pref.Sample {
	out := make([]pref.Sample, n)
	for i := range out {
		out[i] = pref.Sample{Prompt: []pref.Message{{Role: pref.User, Content: "p"}},
			Response: strings.Repeat("r", i)}
	}
	return out
}

// TestClientTriesAgain wants failures that pass to be tried again, and others not.
func TestClientTriesAgain(t *testing.T) {
	server, err := New(Config{Models: []Model{of("m", &fake{})}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var calls atomic.Int64
	var fail func(n int64, w http.ResponseWriter) bool
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fail(calls.Add(1), w) {
			return
		}
		server.Handler().ServeHTTP(w, r)
	}))
	defer h.Close()
	hang := func(w http.ResponseWriter) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	samples := someSamples(5)
	for name, c := range map[string]struct {
		fail  func(n int64, w http.ResponseWriter) bool
		tries int
		calls int64
		says  string // "": it succeeds
	}{
		"busy twice": {func(n int64, w http.ResponseWriter) bool { return n <= 2 && status503(w) }, 0, 3,
			""},
		"cut off": {func(n int64, w http.ResponseWriter) bool {
			return n == 1 &&
				done(func() { hang(w) })
		}, 0, 2, ""},
		"cut in the body": {func(n int64, w http.ResponseWriter) bool {
			return n == 1 && done(func() { io.WriteString(w, `{"data":[`) })
		}, 1, 1, "no JSON"},
		"always busy": {func(n int64, w http.ResponseWriter) bool { return status503(w) }, 3, 3,
			"tried 3 times: the server answered 503: busy"},
		"forbidden": {
			func(n int64, w http.ResponseWriter) bool { refuse(403, "no").write(w); return true }, 0, 1,
			"answered 403: no"},
		"of another kind": {
			func(n int64, w http.ResponseWriter) bool { io.WriteString(w, `{"data":[]}`); return true }, 0,
			1, "0 rewards came for 5 samples"},
		"a page": {
			func(n int64, w http.ResponseWriter) bool { io.WriteString(w, `<html>`); return true }, 0, 1,
			"no JSON"},
		"softmaxed": {
			func(n int64, w http.ResponseWriter) bool {
				io.WriteString(w,
					`{"data":[{},{},{},{},{}]}`)
				return true
			}, 0, 1, `activation ""`},
		"out of order": {func(n int64, w http.ResponseWriter) bool {
			io.WriteString(w, `{"activation":"raw","data":[{"index":1},{},{},{},{}]}`)
			return true
		}, 0, 1, "in place of reward"},
	} {
		t.Run(name, func(t *testing.T) {
			calls.Store(0)
			fail = c.fail
			rewards, err := newClient(t, h.URL, ClientOptions{Tries: c.tries}).Score(t.Context(), samples)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, %v; want %q", rewards, err, c.says)
				}
			} else if err != nil || rewards[4] != ofPair("p", "rrrr") {
				t.Errorf("%v, %v", rewards, err)
			}
			if calls.Load() != c.calls {
				t.Errorf("%d calls, want %d", calls.Load(), c.calls)
			}
		})
	}

	// The end of the context ends the waiting for another try.
	fail = func(n int64, w http.ResponseWriter) bool {
		later(429, time.Minute,
			"much later").write(w)
		return true
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := newClient(t, h.URL, ClientOptions{}).Score(ctx, samples); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Error(err)
	}
	// A server that never answers is given up after the time-out of a try.
	fail = func(n int64, w http.ResponseWriter) bool {
		time.Sleep(300 * time.Millisecond)
		return true
	}
	if _, err := newClient(t, h.URL, ClientOptions{Timeout: 30 * time.Millisecond,
		Tries: 2}).Score(t.Context(), samples); !errors.Is(err, ErrNoAnswer) ||
		errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "tried 2 times") {
		t.Error(err)
	}
}

func done(f func()) bool { f(); return true }

func status503(w http.ResponseWriter) bool {
	return done(func() { refuse(503, "busy").write(w) })
}

func TestClientNames(t *testing.T) {
	_, h := start(
		t, Config{
			Models: []Model{of("a", &fake{}), of("b", &fake{version: 3, names: []string{"score"}})},
			Tokens: []Token{{"t", "0123456789abcdef"}}})
	opt := ClientOptions{Token: "0123456789abcdef"}
	model, names, err := newClient(t, h.URL+"#b", opt).Served(t.Context())
	if err != nil || model != "b" || len(names) != 1 || names[0] != "score" {
		t.Errorf("%q, %v, %v", model, names, err)
	}
	if _, _, err := newClient(t, h.URL+"#c", opt).Served(t.Context()); err == nil ||
		!strings.Contains(err.Error(), `not "c"`) {
		t.Error(err)
	}
	if _, err := newClient(t, h.URL, opt).Score(t.Context(), someSamples(1)); err == nil ||
		!strings.Contains(err.Error(), "name one of a, b") {
		t.Error(err)
	}
	if _, err := newClient(t, h.URL+"#a", ClientOptions{}).Score(t.Context(),
		someSamples(1)); err == nil || !errors.Is(err, ErrToken) || errors.Is(err, ErrNoAnswer) ||
		!strings.Contains(err.Error(), "bearer token is required") {
		t.Error(err)
	}
	scored, err := newClient(t, h.URL+"#a", opt).Read(t.Context(), someSamples(150),
		[]string{"implicit", "score"})
	if err != nil || scored[149].Reward != ofPair("p", strings.Repeat("r", 149))/2 ||
		math.Abs(scored[149].Rewards["score"]-2*scored[149].Reward) > 1e-12 {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://u:p@h",
		"http://h?x=1", "http://h:port"} {
		if _, err := NewClient(bad, ClientOptions{}); err == nil {
			t.Errorf("%q is taken for an address", bad)
		}
	}
}
