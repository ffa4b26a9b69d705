package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haf/rewarder"
)

// post sends a body and returns status, headers and answer.
func post(
	ctx context.Context, url, body string, headers ...string,
) (int, http.Header, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header, string(data), err
}

func sample(i int) string { return fmt.Sprintf(`{"prompt":"p%d","response":"r"}`, i) }

// eventually waits for what other goroutines do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s did not come about", what)
}

func TestBusy(t *testing.T) {
	engine := &fake{gate: make(chan struct{})}
	s, h := start(t, Config{Models: []Model{of("m", engine)}, MaxQueue: 20})
	var wg sync.WaitGroup
	codes := make(chan int, 100)
	one := func(i int) {
		wg.Go(func() {
			code, header, body, err := post(t.Context(), h.URL+"/v1/reward", sample(i))
			if err != nil {
				t.Error(err)
			}
			if code == 429 && (header.Get("Retry-After") == "" ||
				!strings.Contains(body, "too much is waiting")) {
				t.Errorf("refused without saying why or until when: %v %s", header, body)
			}
			codes <- code
		})
	}
	one(0) // is read
	queue := s.models[0].batcher.queue
	eventually(t, "the first batch", func() bool {
		n, _ := queue.waiting()
		return n == 0 &&
			s.calls.Load() == 1
	})
	time.Sleep(20 * time.Millisecond)
	for i := range 30 {
		one(1 + i)
	}
	eventually(t, "30 requests", func() bool {
		n, _ := queue.waiting()
		return n > 5 &&
			len(codes) > 0 && len(codes)+n+1 == 31
	})
	close(engine.gate)
	wg.Wait()
	close(codes)
	count := map[int]int{}
	for code := range codes {
		count[code]++
	}
	if count[200] < 2 || count[429] < 2 || count[200]+count[429] != 31 {
		t.Errorf("answers %v, want some of 200 and of 429 and no others", count)
	}
}

// TestCancelled wants the items of clients that have gone, or whose time is over, out of the queue.
func TestCancelled(t *testing.T) {
	engine := &fake{gate: make(chan struct{})}
	s, h := start(t, Config{Models: []Model{of("m", engine)}})
	queue := s.models[0].batcher.queue
	go post(t.Context(), h.URL+"/v1/reward", sample(0))
	eventually(t, "the first batch", func() bool {
		n, _ := queue.waiting()
		return n == 0 &&
			s.calls.Load() == 1
	})
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, _, _, err := post(ctx, h.URL+"/v1/reward", sample(1))
		gone <- err
	}()
	eventually(t, "the second request", func() bool { n, _ := queue.waiting(); return n == 1 })
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	eventually(t, "the empty queue", func() bool {
		n, tokens := queue.waiting()
		return n == 0 &&
			tokens == 0
	})
	code, _, body, err := post(t.Context(), h.URL+"/v1/reward", sample(2), "X-Request-Timeout", "0.05")
	if err != nil || code != 408 || !strings.Contains(body, "X-Request-Timeout allows was over") {
		t.Errorf("%d %s, %v", code, body, err)
	}
	if code, _, body, _ := post(t.Context(), h.URL+"/v1/reward", sample(2), "X-Request-Timeout",
		"soon"); code != 400 {
		t.Errorf("%d %s", code, body)
	}
	_, slow := start(t, Config{Models: []Model{of("m", engine)}, Timeout: 50 * time.Millisecond})
	if code, _, body, err := post(t.Context(), slow.URL+"/v1/reward", sample(2)); err != nil ||
		code != 504 || !strings.Contains(body, "server's time") {
		t.Errorf("%d %s, %v", code, body, err)
	}
	close(engine.gate)
	eventually(t, "the end", func() bool { return s.calls.Load() == 0 })
	engine.mu.Lock() // the other server's batcher may still be reading
	defer engine.mu.Unlock()
	for _, batch := range engine.batches {
		for _, text := range batch {
			if strings.HasPrefix(text, "user: p1\n") {
				t.Errorf("%q was read, though its client had gone", text)
			}
		}
	}
}

// TestBatchesAreShared wants requests of one moment in one batch, and one that fails to fail alone.
func TestBatchesAreShared(t *testing.T) {
	engine := &fake{}
	_, h := start(t, Config{Models: []Model{of("m", engine)}, BatchWait: 300 * time.Millisecond})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			body, code := sample(i), 200
			if i == 3 {
				body, code = `{"prompt":"fail the batch","response":"r"}`, 500
			}
			if got, _, answer, err := post(t.Context(), h.URL+"/v1/reward", body); err != nil ||
				got != code {
				t.Errorf("request %d: %d %s, %v; want %d", i, got, answer, err, code)
			}
		})
	}
	wg.Wait()
	_, h = start(t, Config{Models: []Model{of("m", engine)}, BatchWait: 300 * time.Millisecond})
	engine.mu.Lock()
	engine.batches = nil
	engine.mu.Unlock()
	for i := range 6 {
		wg.Go(func() { post(t.Context(), h.URL+"/v1/reward", sample(i)) })
	}
	wg.Wait()
	engine.mu.Lock()
	defer engine.mu.Unlock()
	if len(engine.batches) > 2 {
		t.Errorf("6 requests of one moment were read in %d batches", len(engine.batches))
	}
}

// TestReload loads models anew under load: no request fails, every answer is of one of the
// versions, and old ones are closed.
func TestReload(t *testing.T) {
	var mu sync.Mutex
	var loads []*fake
	broken := false
	source := Model{Name: "m", Load: func(context.Context, Engine) (Engine, error) {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			return nil, errors.New("the file is damaged")
		}
		f := &fake{version: float64(10 * len(loads))}
		loads = append(loads, f)
		return f, nil
	}}
	s, h := start(t, Config{Models: []Model{source}})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var answered atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				code, _, body, err := post(t.Context(), h.URL+"/get_reward",
					fmt.Sprintf(`{"query":["t%d"]}`, i))
				if err != nil || code != 200 {
					t.Errorf("%d %s, %v", code, body, err)
					return
				}
				var r float64
				fmt.Sscanf(body, `{"rewards":[%g`, &r)
				version := r - hashed(fmt.Sprintf("t%d|", i))
				if n := int(version+0.5) / 10; version-float64(10*n) > 1e-9 || version-float64(10*n) < -1e-9 {
					t.Errorf("reward %v is of no version", r)
				}
				answered.Add(1)
			}
		})
	}
	for n := range 5 {
		eventually(t, "answers", func() bool { return answered.Load() > int64(50*(n+1)) })
		if err := s.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	broken = true
	mu.Unlock()
	if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
	before := answered.Load()
	eventually(t, "answers after a failed reload", func() bool { return answered.Load() > before+50 })
	stop()
	wg.Wait()
	for i, f := range loads {
		if last := i == len(loads)-1; f.closed.Load() == last {
			t.Errorf("load %d of %d: closed is %v", i+1, len(loads), f.closed.Load())
		}
	}
	if len(loads) != 6 {
		t.Errorf("%d loads, want 6", len(loads))
	}
}

// TestWatch wants a changed file loaded once it rests, and a broken one tried once.
func TestWatch(t *testing.T) {
	var stamp atomic.Value
	stamp.Store("1")
	var loads, fails atomic.Int64
	source := Model{Name: "m", Stamp: func() (string, error) { return stamp.Load().(string), nil },
		Load: func(context.Context, Engine) (Engine, error) {
			if stamp.Load() == "broken" {
				fails.Add(1)
				return nil, errors.New("broken")
			}
			loads.Add(1)
			return &fake{}, nil
		}}
	s, err := New(Config{Models: []Model{source}, Watch: 5 * time.Millisecond, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, listen(t), nil) }()
	eventually(t, "the first loading", func() bool { return loads.Load() == 1 })
	stamp.Store("2")
	eventually(t, "the second loading", func() bool { return loads.Load() == 2 })
	stamp.Store("broken")
	eventually(t, "the broken one", func() bool { return fails.Load() == 1 })
	time.Sleep(50 * time.Millisecond)
	if fails.Load() != 1 {
		t.Errorf("a broken model was tried %d times, want once", fails.Load())
	}
	stamp.Store("3")
	eventually(t, "the third loading", func() bool { return loads.Load() == 3 })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestDrain ends a server while it answers: what it has is answered, readiness is taken back, and
// the model is closed.
func TestDrain(t *testing.T) {
	engine := &fake{gate: make(chan struct{})}
	s, err := New(Config{Models: []Model{of("m", engine)}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	url := "http://" + l.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l, nil) }()
	eventually(t, "readiness", func() bool { return s.loaded.Load() })
	answers := make(chan string, 3)
	for i := range 3 {
		go func() {
			code, _, body, err := post(t.Context(), url+"/v1/reward", sample(i))
			answers <- fmt.Sprint(code, err, body)
		}()
	}
	eventually(t, "3 requests", func() bool { return s.calls.Load() == 3 })
	time.Sleep(20 * time.Millisecond)
	stop()
	eventually(t, "draining", func() bool { return s.draining.Load() })
	for _, path := range []string{"/readyz", "/health"} {
		recorded := httptest.NewRecorder()
		s.Handler().ServeHTTP(recorded, httptest.NewRequest(http.MethodGet, path, nil))
		if recorded.Code != 503 {
			t.Errorf("%s is %d while the server is being ended", path, recorded.Code)
		}
	}
	close(engine.gate)
	for range 3 {
		if a := <-answers; !strings.HasPrefix(a, "200 <nil>") {
			t.Errorf("a request of before the end: %s", a)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !engine.closed.Load() {
		t.Error("the model was not closed")
	}
}

func TestLoadingFails(t *testing.T) {
	s, err := New(
		Config{Models: []Model{
			{Name: "m", Load: func(context.Context, Engine) (Engine, error) {
				return nil, errors.New("no weights")
			}}}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), listen(t), nil); err == nil ||
		!strings.Contains(err.Error(), "no weights") {
		t.Error(err)
	}
	recorded := httptest.NewRecorder()
	s, _ = New(Config{Models: []Model{of("m", &fake{})}, Log: quiet})
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/reward",
		strings.NewReader(sample(0)))
	s.Handler().ServeHTTP(recorded, r)
	if recorded.Code != 503 || recorded.Header().Get("Retry-After") == "" {
		t.Errorf("before it is loaded: %d %s", recorded.Code, recorded.Body)
	}
	// vLLM's: a status alone.
	health := func(s *Server) (int, int) {
		recorded := httptest.NewRecorder()
		s.Handler().ServeHTTP(recorded, httptest.NewRequest(http.MethodGet, "/health", nil))
		return recorded.Code, recorded.Body.Len()
	}
	if code, n := health(s); code != 503 || n != 0 {
		t.Errorf("/health before it is loaded: %d, %d bytes", code, n)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if code, n := health(s); code != 200 || n != 0 {
		t.Errorf("/health: %d, %d bytes", code, n)
	}
}

func TestAccess(t *testing.T) {
	const secret, other = "0123456789abcdef", "fedcba9876543210"
	_, h := start(t, Config{Models: []Model{of("m", &fake{})},
		Tokens: []Token{{"a", secret}, {"b", other}}})
	for header, code := range map[string]int{"": 401, "Bearer " + secret: 200, "bearer " + other: 200,
		"Bearer " + secret + "x": 401, "Basic " + secret: 401, secret: 401, "Bearer": 401,
		"Bearer ": 401} {
		got, headers, body, err := post(t.Context(), h.URL+"/v1/reward", sample(0), "Authorization",
			header)
		if err != nil || got != code {
			t.Errorf("%q: %d, %v; want %d", header, got, err, code)
		}
		if code == 401 && (headers.Get("WWW-Authenticate") == "" || strings.Contains(body, secret)) {
			t.Errorf("%q: %v %s", header, headers, body)
		}
	}
	for path, code := range map[string]int{"/healthz": 200, "/readyz": 200, "/health": 200,
		"/metrics": 401, "/v1/models": 401, "/openapi.json": 401, "/nothing": 401} {
		response, err := http.Get(h.URL + path)
		if err != nil || response.StatusCode != code {
			t.Errorf("%s: %v, %v; want %d", path, response, err, code)
		}
	}

	_, h = start(t, Config{Models: []Model{of("m", &fake{})}})
	for _, c := range []struct {
		header, value string
		code          int
	}{{"Host", "evil.example", 403}, {"Host", "localhost:80", 200}, {"Host", "[::1]:80", 200},
		{"Sec-Fetch-Site", "cross-site", 403}, {"Origin", "http://evil.example", 403},
		{"Content-Encoding", "gzip", 415}} {
		if got, _, body, err := post(t.Context(), h.URL+"/v1/reward", sample(0), c.header,
			c.value); err != nil || got != c.code {
			t.Errorf("%s: %s: %d %s, %v; want %d", c.header, c.value, got, body, err, c.code)
		}
	}

	for _, c := range []struct {
		addr         string
		tokens, open bool
		ok           bool
	}{
		{"127.0.0.1:8080", false, false, true}, {"localhost:1", false, false, true},
		{"[::1]:1", false, false, true}, {"127.9.9.9:1", false, false, true},
		{":8080", false, false, false}, {"0.0.0.0:1", false, false, false},
		{"[::]:1", false, false, false}, {"10.0.0.1:1", false, false, false},
		{"host.example:1", false, false, false},
		{"0.0.0.0:1", true, false, true}, {"0.0.0.0:1", false, true, true}, {"8080", true, true, false},
	} {
		if err := CheckAddress(c.addr, c.tokens, c.open); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestTokens(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tokens, err := ReadTokens(write("good", "# trainers\nalice 0123456789abcdef\n\nfedcba9876543210\n",
		0o600))
	if err != nil || len(tokens) != 2 || tokens[0] != (Token{"alice", "0123456789abcdef"}) ||
		tokens[1].Value != "fedcba9876543210" {
		t.Errorf("%v, %v", tokens, err)
	}
	for path, says := range map[string]string{
		write("open", "0123456789abcdef", 0o644):      "chmod 600",
		write("short", "abc", 0o600):                  "16 bytes or more",
		write("none", "# x\n", 0o600):                 "there is none",
		write("three", "a b 0123456789abcdef", 0o600): "line 1",
		filepath.Join(dir, "missing"):                 "no such file",
	} {
		if _, err := ReadTokens(path); err == nil || !strings.Contains(err.Error(), says) ||
			strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
}

// TestLogHasNoText wants nothing of what is sent in the log, unless it is asked for.
func TestLogHasNoText(t *testing.T) {
	for _, asked := range []bool{false, true} {
		var log bytes.Buffer
		var mu sync.Mutex
		logger := slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(p)
		}), &slog.HandlerOptions{Level: slog.LevelDebug}))
		_, h := start(t, Config{Models: []Model{of("m", &fake{})}, Log: logger, LogText: asked})
		for _, body := range []string{`{"prompt":"my secret","response":"r"}`, `{"my secret":1}`,
			`my secret`, `{"model":"my secret","prompt":"p","response":"r"}`,
			`{"prompt":"my secret, fail the batch","response":"r"}`,
			`{"prompt":"p","response":"r","rewards":["my secret"]}`} {
			if _, _, _, err := post(t.Context(), h.URL+"/v1/reward", body); err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		text := log.String()
		mu.Unlock()
		if strings.Contains(text, "my secret") != asked || !strings.Contains(text, "samples=1") {
			t.Errorf("asked for text %v, the log is\n%s", asked, text)
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestSlowBody(t *testing.T) {
	s, err := New(Config{Models: []Model{of("m", &fake{})}, ReadTimeout: 100 * time.Millisecond,
		Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l, nil) }()
	eventually(t, "readiness", func() bool { return s.loaded.Load() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/reward HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 408") {
		t.Errorf("a body that does not come is answered %q", answer)
	}
	conn.Close()
	if s.bodies.Load() != 0 {
		t.Errorf("%d bytes are still counted", s.bodies.Load())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestParseCombination(t *testing.T) {
	c, err := ParseCombination("x=mean-sigma:a,0.5*b.implicit")
	if err != nil || c.Name != "x" || c.Terms[1] != (Term{"b", "implicit", 0.5}) {
		t.Errorf("%+v, %v", c, err)
	}
	for how, wanted := range map[string]float64{"sum": 4, "mean": 2, "min": 1, "mean-sigma": 1} {
		c, err := ParseCombination("x=" + how + ":a")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Rule.Reduce([]float64{1, 3}); got != wanted {
			t.Errorf("%s of 1 and 3 is %v, want %v", how, got, wanted)
		}
	}
	for _, bad := range []string{"", "x", "x=", "x=sum", "x=sum:", "x=best:a", "=sum:a", "x=sum:a,",
		"x=sum:y*a", "x=sum:NaN*a", "x=sum:.score"} {
		if _, err := ParseCombination(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
	if _, err := New(Config{Models: []Model{of("a", &fake{})},
		Combinations: []Combination{{Name: "c", Rule: rewarder.Rule{Name: rewarder.Sum},
			Terms: []Term{{Model: "b"}}}}}); err == nil {
		t.Error("a combination of a model that is not there")
	}
	if _, err := New(Config{Models: []Model{of("a", &fake{}), of("a", &fake{})}}); err == nil {
		t.Error("two models of one name")
	}
}
