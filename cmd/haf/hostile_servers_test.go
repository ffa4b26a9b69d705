package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"haf/encode"
	"haf/hub"
	"haf/internal/tracking"
	"haf/pref"
	"haf/remote"
	"haf/rewarder"
	"haf/rewarder/source"
)

// Secrets that a client of the table sends. None may stand in an error, or go to another server.
const (
	plantedKey = "planted-key-5b1f"
	evilCommit = "0123456789abcdef0123456789abcdef01234567"
)

// A hostileClient is a client of haf, beside a server that answers it well. In a good answer NUM
// stands for a number that it uses.
type hostileClient struct {
	name  string
	good  map[string]string // by "METHOD /path"; a path that ends with * is a prefix
	first string            // what it asks first
	then  string            // what it asks for its result; "" is the first
	// work uses the client. say is told what the user is told.
	work func(t *testing.T, url string, say func(string)) error
}

// A rendering is the text and the tokens of conversations.
type rendering struct{}

func (rendering) Text(_ []pref.Message, response string) (string, string, error) {
	return "p" + response, "p", nil
}

func (rendering) Conversation(
	_ []pref.Message, response string,
) (encode.Conversation, bool, error) {
	return encode.Conversation{Tokens: []int32{1, 2, 3}}, false, nil
}

func sourceClient(scheme string) func(*testing.T, string, func(string)) error {
	return func(t *testing.T, url string, say func(string)) error {
		prompt := filepath.Join(t.TempDir(), "prompt.txt")
		text := "{{conversation}} {{response}}"
		if err := os.WriteFile(prompt, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := source.Open(t.Context(), strings.Replace(scheme, "URL", url, 1), source.Options{
			Token: plantedKey, Key: plantedKey, JudgeKey: plantedKey, Timeout: time.Second, Tries: 2,
			JudgePrompt: prompt, Log: func(f string, args ...any) { say(fmt.Sprintf(f, args...)) },
			Tokenizer: func(context.Context) (source.Renderer, error) { return rendering{}, nil },
		})
		if err != nil {
			return err
		}
		defer r.Close()
		samples := []pref.Sample{{Prompt: []pref.Message{{Role: pref.User, Content: "p"}}, Response: "a"}}
		_, err = r.Read(t.Context(), rewarder.Alone(samples), nil)
		return err
	}
}

func chatClient(
	work func(ctx context.Context, c *remote.Client) error,
) func(*testing.T, string, func(string)) error {
	return func(t *testing.T, url string, say func(string)) error {
		c, err := remote.New(t.Context(), remote.Options{URL: url + "/v1", Key: plantedKey,
			Timeout: time.Second, Retries: 1, Backoff: 10 * time.Millisecond, Say: say})
		if err != nil {
			return err
		}
		return work(t.Context(), c)
	}
}

func hubClient(
	work func(ctx context.Context, c *hub.Client) error,
) func(*testing.T, string, func(string)) error {
	return func(t *testing.T, url string, say func(string)) error {
		c, err := hub.FromEnv() // HF_HUB_DOWNLOAD_TIMEOUT and HF_TOKEN are set
		if err != nil {
			return err
		}
		c.Endpoint, c.Cache, c.Tries = url, t.TempDir(), 2
		c.Say = func(f string, args ...any) { say(fmt.Sprintf(f, args...)) }
		err = work(t.Context(), c)
		_ = filepath.WalkDir(c.Cache, func(path string, d os.DirEntry, _ error) error {
			if info, err := os.Stat(path); err == nil && !d.IsDir() && info.Size() > 1<<20 {
				t.Errorf("%s has %d bytes", path, info.Size())
			}
			return nil
		})
		return err
	}
}

const evilModel, evilChat = `{"data":[{"id":"m"}]}`, `{"choices":[{"message":{"content":"Score: 5"},` +
	`"finish_reason":"stop"}],"usage":{"prompt_tokens":NUM,"completion_tokens":3}}`

// hostileClients are all clients of haf.
func hostileClients() []hostileClient {
	ask := pref.Request{Prompt: []pref.Message{{Role: pref.User, Content: "p"}},
		Sampling: pref.Sampling{MaxTokens: 5, Temperature: 1}}
	etag := fmt.Sprintf("%x", sha256.Sum256([]byte("config")))
	return []hostileClient{
		{"haf serve", map[string]string{
			"GET /v1/models": `{"object":"list","data":[{"id":"m","rewards":["score"]}]}`,
			"POST /v1/reward": `{"model":"m","activation":"raw","data":[{"index":0,"reward":NUM,` +
				`"rewards":{"score":NUM}}]}`},
			"GET /v1/models", "POST /v1/reward", sourceClient("URL")},
		{"vLLM classify", map[string]string{"GET /v1/models": evilModel,
			"POST /classify": `{"data":[{"index":0,"probs":[NUM]}]}`},
			"GET /v1/models", "POST /classify", sourceClient("vllm+URL")},
		{"vLLM pooling", map[string]string{"GET /v1/models": evilModel,
			"POST /pooling": `{"data":[{"index":0,"data":[NUM]}]}`},
			"GET /v1/models", "POST /pooling", sourceClient("vllm+URL/pooling")},
		{"SGLang", map[string]string{"GET /v1/models": evilModel,
			"POST /classify": `[{"embedding":[NUM]}]`},
			"GET /v1/models", "POST /classify", sourceClient("sglang+URL")},
		{"OpenRLHF", map[string]string{"GET /get_reward": `{}`, "POST /get_reward": `{"rewards":[NUM]}`},
			"POST /get_reward", "", sourceClient("openrlhf+URL")},
		{"judge of responses", map[string]string{"GET /v1/models": evilModel,
			"POST /v1/chat/completions": evilChat},
			"GET /v1/models", "POST /v1/chat/completions", sourceClient("judge+URL/v1")},
		{"generator", map[string]string{"GET /v1/models": evilModel,
			"POST /v1/chat/completions": evilChat},
			"GET /v1/models", "POST /v1/chat/completions",
			chatClient(func(ctx context.Context, c *remote.Client) error {
				return remote.Generator{Client: c}.Generate(ctx, []pref.Request{ask},
					func(int, pref.Generated) error { return nil })
			})},
		{"judge of pairs", map[string]string{"GET /v1/models": evilModel,
			"POST /v1/chat/completions": evilChat},
			"GET /v1/models", "POST /v1/chat/completions",
			chatClient(func(ctx context.Context, c *remote.Client) error {
				trial := pref.Trial{Prompt: ask.Prompt, Responses: []string{"a", "b"}}
				return remote.Judge{Client: c}.Judge(ctx, []pref.Trial{trial},
					func(int, pref.Verdict) error { return nil })
			})},
		{"hub download", map[string]string{
			"GET /api/models/org/name/*": `{"sha":"` + evilCommit + `","siblings":[{"rfilename":"x.gguf"}]}`,
			"HEAD /org/name/*":           etag, "GET /org/name/*": "config"},
			"GET /api/models/org/name/*", "GET /org/name/*",
			hubClient(func(ctx context.Context, c *hub.Client) error {
				_, err := c.Model(ctx, "hf:org/name/x.gguf")
				return err
			})},
		{"hub upload", map[string]string{"POST /api/repos/create": `{"url":"http://x"}`,
			"POST /api/models/org/name/preupload/*": `{"files":[{"path":"a","uploadMode":"regular"}]}`,
			"POST /api/models/org/name/commit/*":    `{"commitOid":"x"}`},
			"POST /api/repos/create", "POST /api/models/org/name/commit/*",
			hubClient(func(ctx context.Context, c *hub.Client) error {
				_, err := c.Push(ctx, hub.Push{ID: "org/name",
					Files: []hub.Upload{{Name: "a", Data: []byte("x")}}})
				return err
			})},
		{"MLflow", map[string]string{
			"GET /api/2.0/mlflow/experiments/get-by-name": `{"experiment":{"experiment_id":"1"}}`,
			"POST /api/2.0/mlflow/runs/create":            `{"run":{"info":{"run_id":"r"}}}`,
			"POST /api/2.0/mlflow/runs/log-batch":         `{}`,
			"POST /api/2.0/mlflow/runs/update":            `{}`},
			"GET /api/2.0/mlflow/experiments/get-by-name", "POST /api/2.0/mlflow/runs/log-batch",
			func(t *testing.T, url string, say func(string)) error {
				warnf := func(f string, args ...any) { say(fmt.Sprintf(f, args...)) }
				run := tracking.Run{Dir: t.TempDir(), Project: "p", Name: "n", Started: time.Now(), URI: url,
					Timeout: time.Second}
				tracker, err := tracking.Open(t.Context(), run, []string{tracking.MLflow}, warnf)
				if err != nil {
					return err
				}
				tracker.Record([]byte(`{"kind":"step","step":1,"loss":0.5}`))
				return tracker.Finish(tracking.Finished)
			}},
	}
}

// answerWell answers as a good server does, with a number.
func (c hostileClient) answerWell(w http.ResponseWriter, r *http.Request, number string) string {
	key := r.Method + " " + r.URL.Path
	answer, ok := c.good[key]
	for pattern, text := range c.good {
		if prefix, is := strings.CutSuffix(pattern, "*"); is && strings.HasPrefix(key, prefix) {
			answer, ok = text, true
		}
	}
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return ""
	case r.Method == http.MethodHead:
		w.Header().Set("ETag", `"`+answer+`"`)
		w.Header().Set("Content-Length", "6")
		return ""
	}
	return strings.ReplaceAll(answer, "NUM", number)
}

// A deed answers a request; good is the answer of a good server.
type deed = func(w http.ResponseWriter, r *http.Request, good string, s *evilServer)

// A misdeed is how a server answers.
type misdeed struct {
	name string
	do   deed
	want string // regular expression of the error; "" is any
	// silent says that nothing may come for a while, so that the user must be told in time.
	silent bool
	alone  bool // it is run without others beside it, because its memory is measured
}

func raw(text string) deed {
	return func(w http.ResponseWriter, _ *http.Request, _ string, _ *evilServer) {
		fmt.Fprint(w, text)
	}
}

func status(code int, header, value string) deed {
	return func(w http.ResponseWriter, r *http.Request, _ string, _ *evilServer) {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"error":{"message":"you sent %s"},"message":"you sent %s"}`,
			r.Header.Get("Authorization"), r.Header.Get("Authorization"))
	}
}

func never(_ http.ResponseWriter, r *http.Request, _ string, s *evilServer) {
	select {
	case <-r.Context().Done():
	case <-s.ended:
	}
}

// hijacked writes bytes without regard to HTTP; a byte every 20 ms where slow.
func hijacked(text string, slow bool) deed {
	return func(w http.ResponseWriter, _ *http.Request, _ string, s *evilServer) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		if !slow {
			_, _ = conn.Write([]byte(text))
			return
		}
		for i := range 500 {
			if _, err := conn.Write([]byte{text[i%len(text)]}); err != nil {
				return
			}
			select {
			case <-s.ended:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

func redirect(code int, to func(r *http.Request, s *evilServer) string) deed {
	return func(w http.ResponseWriter, r *http.Request, _ string, s *evilServer) {
		w.Header().Set("Location", to(r, s))
		w.WriteHeader(code)
	}
}

var misdeeds = []misdeed{
	{name: "html", do: raw("<!doctype html><html>please log in</html>")},
	{name: "empty", do: raw("")},
	{name: "null", do: raw("null")},
	{name: "text", do: raw(`"fine"`)},
	{name: "list", do: raw(`[[[]]]`)},
	{name: "empty object", do: raw(`{}`)},
	{name: "wrong types", do: raw(`{"data":[{"id":7,"index":"x","probs":"high","reward":{}}],` +
		`"choices":{},"rewards":"x","sha":3,"experiment":[],"files":5,"commitOid":{},"run":4}`)},
	{name: "truncated", do: func(w http.ResponseWriter, _ *http.Request, good string, _ *evilServer) {
		fmt.Fprint(w, good[:len(good)/2])
	}},
	{name: "closes mid-body",
		do: func(w http.ResponseWriter, _ *http.Request, good string, _ *evilServer) {
			w.Header().Set("Content-Length", fmt.Sprint(len(good)+100))
			fmt.Fprint(w, good)
		}},
	{name: "endless body", alone: true,
		do: func(w http.ResponseWriter, r *http.Request, _ string, _ *evilServer) {
			chunk := []byte(strings.Repeat("[ ", 1<<16))
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}},
	{name: "endless header", alone: true,
		do: hijacked("HTTP/1.1 200 OK\r\n"+strings.Repeat("X-A: "+strings.Repeat("a", 1<<16)+"\r\n", 256),
			false)},
	{name: "no HTTP", do: hijacked("SSH-2.0-OpenSSH_9.6\r\n", false)},
	{name: "slow header", silent: true, do: hijacked("HTTP/1.1 200 OK\r\nX-A: aaaaaaaaaaaaa", true)},
	{name: "never", silent: true, do: never},
	{name: "500", silent: true, do: status(500, "", "")},
	{name: "503 for a day", do: status(503, "Retry-After", "86400"), want: "pause of 24h|try|503"},
	{name: "429 for a day", do: status(429, "Retry-After", "86400"), want: "pause of 24h|429"},
	{name: "401", do: status(401, "", "")},
	{name: "418", do: status(418, "", "")},
	{name: "endless redirect", do: redirect(307, func(r *http.Request, _ *evilServer) string {
		return r.URL.Path + "?again=" + r.URL.Query().Get("again") + "1"
	}), want: "(?i)redirect"},
	{name: "redirect elsewhere 302", do: redirect(302, elsewhere)},
	{name: "redirect elsewhere 307", do: redirect(307, elsewhere)},
	{name: "redirect to a file", do: redirect(302, func(*http.Request, *evilServer) string {
		return "file:///etc/passwd"
	})},
	{name: "redirect to nowhere", do: redirect(302, func(*http.Request, *evilServer) string {
		return "http://[::1"
	})},
}

func elsewhere(r *http.Request, s *evilServer) string { return s.other.URL + r.URL.Path + "?k=q" }

// noNumbers are values in the place of a reward or a count that are none.
var noNumbers = map[string]string{"NaN": "NaN", "Infinity": "-Infinity", "null": "null",
	"text": `"0.5"`, "true": "true", "a list": "[0.5]", "1e999": "1e999", "two": "0.5,0.5", "none": "",
	"-1e39": "-1e39"}

// An evilServer answers one request of a good server in a bad way.
type evilServer struct {
	*httptest.Server
	other *httptest.Server // to which it redirects
	ended chan struct{}

	mu     sync.Mutex
	leaked []string // what came to the other server that it must not have
}

func newEvil(t *testing.T, c hostileClient, at string, m misdeed, number string) *evilServer {
	s := &evilServer{ended: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Method + " " + r.URL.Path
		prefix, pattern := strings.CutSuffix(at, "*")
		good := c.answerWell(w, r, number)
		if m.do != nil && (key == at || pattern && strings.HasPrefix(key, prefix)) {
			m.do(w, r, good, s)
			return
		}
		fmt.Fprint(w, good)
	}))
	s.other = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if auth := r.Header.Get("Authorization"); auth != "" {
			s.leaked = append(s.leaked, "Authorization: "+auth)
		}
		if r.ContentLength > 0 {
			s.leaked = append(s.leaked, "a body")
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(func() {
		close(s.ended)
		for _, server := range []*httptest.Server{s.Server, s.other} {
			server.CloseClientConnections()
			server.Close()
		}
	})
	return s
}

// Bounds of one case.
const (
	evilTime  = 30 * time.Second // two tries of a second, their pauses, and a slow machine
	evilBytes = 600 << 20
	evilSay   = 4 * time.Second // the two of haf's promise, and a slow machine
)

var nextStep = regexp.MustCompile(`\?|want|run the same|look at|set HF_|sends the token|check the |give `)

// run has the client work with the server, and looks at what becomes of it.
func (c hostileClient) run(t *testing.T, at string, m misdeed, number string) {
	s := newEvil(t, c, at, m, number)
	var mu sync.Mutex
	var said []string
	began, first := time.Now(), time.Duration(0)
	say := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		if said = append(said, line); first == 0 {
			first = time.Since(began)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := c.work(t, s.URL, say)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	mu.Lock()
	defer mu.Unlock()
	if first == 0 {
		first = took
	}
	if bytes := after.TotalAlloc - before.TotalAlloc; m.alone && bytes > evilBytes {
		t.Errorf("%d MiB were allocated", bytes>>20)
	}
	if took > evilTime {
		t.Errorf("it took %s", took)
	}
	if m.silent && first > evilSay {
		t.Errorf("the user was told nothing for %s", first)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.leaked) > 0 {
		t.Errorf("another server got %q", s.leaked)
	}
	if err == nil {
		t.Fatal("it passes for right")
	}
	for _, text := range append(said, err.Error()) {
		if strings.Contains(text, plantedKey) || strings.Contains(text, "k=q") {
			t.Errorf("a secret is told: %s", text)
		}
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		t.Errorf("it says that it was interrupted: %s", text)
	case !strings.Contains(text, s.URL):
		t.Errorf("the error has not the address %s: %s", s.URL, text)
	case !nextStep.MatchString(text):
		t.Errorf("the error has no next step: %s", text)
	case len(text) > 1500 || strings.ContainsAny(text, "\n\r\x1b"):
		t.Errorf("the error has %d bytes, or lines: %q", len(text), text)
	case !regexp.MustCompile(m.want).MatchString(text):
		t.Errorf("the error %q does not match %q", text, m.want)
	}
}

// plantKeys sets the keys that clients find in the environment.
func plantKeys(t *testing.T) {
	t.Setenv("HF_TOKEN", plantedKey)
	t.Setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("HF_ENDPOINT", "")
	t.Setenv("MLFLOW_TRACKING_TOKEN", plantedKey)
}

// TestOldTLS wants every client of haf to refuse a server of TLS 1.1, and to get as far as the
// certificate with one of TLS 1.2.
func TestOldTLS(t *testing.T) {
	plantKeys(t)
	for _, c := range hostileClients() {
		for version, want := range map[uint16]string{tls.VersionTLS11: "protocol version",
			tls.VersionTLS12: "certificate"} {
			t.Run(c.name+"/"+tls.VersionName(version), func(t *testing.T) {
				t.Parallel()
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter,
					*http.Request) {
					t.Error("a request came through")
				}))
				server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
				server.Config.ErrorLog = log.New(io.Discard, "", 0)
				server.StartTLS()
				defer server.Close()
				var said strings.Builder
				err := c.work(t, server.URL, func(line string) { said.WriteString(line) })
				if err != nil {
					said.WriteString(err.Error())
				}
				if !strings.Contains(said.String(), want) {
					t.Errorf("it says %q, want %q", said.String(), want)
				}
			})
		}
	}
}

// TestHostileServers has every client of haf ask servers that answer nonsense, or not at all: at
// the client's first request, and at the one that its result comes from. It wants an error with the
// address and the next step, in bounded time and memory, and no secret told or sent elsewhere.
func TestHostileServers(t *testing.T) {
	long(t)
	plantKeys(t)
	cases := 0
	defer func() { t.Logf("%d cases", cases) }()
	type one struct {
		name, at, number string
		m                misdeed
		c                hostileClient
	}
	var alone, together []one
	for _, c := range hostileClients() {
		t.Run(c.name+"/good", func(t *testing.T) {
			if err := c.work(t, newEvil(t, c, "", misdeed{}, "3").URL, func(string) {}); err != nil {
				t.Fatal(err)
			}
		})
		for _, at := range []string{c.first, c.then} {
			if at == "" {
				continue
			}
			for _, m := range misdeeds {
				if !fits(c, at, m) {
					continue
				}
				if at != c.first {
					m.silent = false // an answer of a model takes its time
				}
				if of := (one{c.name + "/" + at + "/" + m.name, at, "3", m, c}); m.alone {
					alone = append(alone, of)
				} else {
					together = append(together, of)
				}
			}
		}
		if strings.Contains(fmt.Sprint(c.good), "NUM") {
			for name, number := range noNumbers {
				if m := (misdeed{name: "number " + name}); fits(c, "", m) {
					together = append(together, one{c.name + "/" + m.name, "", number, m, c})
				}
			}
		}
		cases++
	}
	cases += len(alone) + len(together)
	for _, of := range alone {
		t.Run(of.name, func(t *testing.T) { of.c.run(t, of.at, of.m, of.number) })
	}
	t.Run("together", func(t *testing.T) {
		for _, of := range together {
			t.Run(of.name, func(t *testing.T) {
				t.Parallel()
				of.c.run(t, of.at, of.m, of.number)
			})
		}
	})
}

// fits leaves out what is no misdeed for a client: an answer that it does not read, and a form that
// is a good one.
func fits(c hostileClient, at string, m misdeed) bool {
	none := map[string]string{
		"hub upload " + c.first:  "null, empty object, wrong types, closes mid-body",
		"hub upload " + c.then:   "closes mid-body", // behind the whole answer
		"hub download " + c.then: "closes mid-body", // behind the whole file, whose hash is right
		"MLflow " + c.then:       "null, empty object, wrong types",
		"vLLM pooling ":          "number a list", // tokens
		"generator ":             "number null",   // counts of tokens that are not known
		"judge of pairs ":        "number null",
		"judge of responses ":    "number null",
	}
	return !slices.Contains(strings.Split(none[c.name+" "+at], ", "), m.name)
}
