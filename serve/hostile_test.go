package serve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"haf/internal/connlimit"
)

// A hostileBody is the body of a request that every dialect must refuse.
type hostileBody struct {
	name, body string
	status     int
	headers    []string
}

const hostileItems = 50 // Config.MaxItems of the tests

func hostileBodies() []hostileBody {
	deep := func(open, end string, n int) string {
		return `{"x":` + strings.Repeat(open, n) + "1" + strings.Repeat(end, n) + "}"
	}
	many := func(key, of string, n int) string {
		return `{"` + key + `":[` + strings.Repeat(of+",", n-1) + of + "]}"
	}
	return []hostileBody{
		{"nothing", "", 400, nil},
		{"null", "null", 400, nil},
		{"list", "[]", 400, nil},
		{"text", `"x"`, 400, nil},
		{"number", "1", 400, nil},
		{"html", "<html>", 400, nil},
		{"form", "prompt=a&response=b", 400, []string{"Content-Type",
			"application/x-www-form-urlencoded"}},
		{"multipart", "--x\r\nContent-Disposition: form-data\r\n\r\n{}\r\n--x--", 400, []string{
			"Content-Type", "multipart/form-data; boundary=x"}},
		{"UTF-16", "\xff\xfe{\x00}\x00", 400, []string{"Content-Type",
			"application/json; charset=utf-16"}},
		{"truncated", `{"prompt":"a`, 400, nil},
		{"something behind", `{"prompt":"a","response":"b","query":"a","messages":["a"],"input":"a",` +
			`"queries":"a","documents":"b"} {}`, 400, nil},
		{"NaN", `{"temperature":NaN}`, 400, nil},
		{"Infinity", `{"temperature":-Infinity}`, 400, nil},
		{"1e999", `{"temperature":1e999,"max_length":1e999,"top_n":1e999,"dimensions":1e999}`, 400, nil},
		{"not UTF-8", "{\"prompt\":\"a\xff\",\"response\":\"b\",\"query\":\"\xff\",\"input\":\"\xff\"," +
			"\"queries\":\"\xff\",\"documents\":\"b\",\"messages\":[\"\xff\"]}", 400, nil},
		{"same key", `{"model":"m","model":"n","prompt":"a","response":"b"}`, 400, nil},
		{"same key in another case", `{"model":"m","MODEL":"n","prompt":"a","response":"b"}`, 400, nil},
		{"same key inside", `{"labels":[{"a":1,"a":2}],"query":"x","prompt":"a","response":"b"}`, 400,
			nil},
		{"deep lists", deep("[", "]", 100_000), 400, nil},
		{"deep objects", deep(`{"x":`, "}", 10_000), 400, nil},
		{"lists that do not end", `{"x":` + strings.Repeat("[", 100_000), 400, nil},
		{"many samples", many("samples", "{}", hostileItems+1), 413, nil},
		{"many texts", many("query", `""`, hostileItems+1), 413, nil},
		{"many messages", many("messages", `{"role":"user","content":""}`, 1000), 413, nil},
		{"many nulls", many("documents", "null", 10_000), 413, nil},
		{"many lists", many("input", "[]", 10_000), 413, nil},
		{"large", `{"prompt":"` + strings.Repeat("a", 1<<20) + `"}`, 413, nil},
		{"compressed", `{}`, 415, []string{"Content-Encoding", "gzip"}},
		{"time-out of text", `{}`, 400, []string{headerTimeout, "soon"}},
		{"time-out below 0", `{}`, 400, []string{headerTimeout, "-1"}},
		{"time-out NaN", `{}`, 400, []string{headerTimeout, "NaN"}},
	}
}

// wrongFields are bodies of single paths.
var wrongFields = map[string][]string{
	"/v1/reward": {`{"prompt":"a","response":"b","unknown":1}`, `{"prompt":"a","response":7}`,
		`{"prompt":"a","response":"b","temperature":-1,"baseline":0}`,
		`{"prompt":"a","response":"b","temperature":0,"baseline":"c"}`,
		`{"prompt":"a","responses":[]}`, `{"prompt":[],"response":"b"}`,
		`{"prompt":"a","response":"b","rewards":["../../x"]}`,
		`{"prompt":"a","response":"b","model":"../../etc/passwd"}`},
	"/v1/score/evaluation": {`{"messages":["a"],"max_length":-1}`, `{"messages":["a"],"max_length":1.5}`,
		`{"messages":["a"],"max_length":99999999999999999999}`},
	"/rerank": {`{"query":"a","documents":["b"],"top_n":-1}`, `{"query":["a"],"documents":["b"]}`},
	"/score":  {`{"queries":["a","b"],"documents":["c"]}`, `{"queries":{},"documents":["c"]}`},
	"/classify": {`{"input":[-1e99]}`, `{"input":[1.5]}`, `{"input":[3000000000]}`,
		`{"input":"a","chat_template":"{% for x in range(9999999) %}"}`,
		`{"input":"a","truncate_prompt_tokens":-7}`},
	"/pooling":       {`{"input":"a","encoding_format":"pickle"}`, `{"input":"a","task":"exec"}`},
	"/v1/embeddings": {`{"input":"a","dimensions":-1}`, `{"input":[[1],"a",{}]}`},
	"/get_reward":    {`{"query":["a"],"prompts":["a","b"]}`, `{"query":{"a":1}}`},
	"/remote_rm":     {`{"prompt":"a"}`, `{"prompt":{},"response":"b"}`},
}

// refused wants an error of a status in the form of the API.
func refused(t *testing.T, what string, status, want int, body string) {
	t.Helper()
	var e errorBody
	if json.Unmarshal([]byte(body), &e) != nil || e.Error.Message == "" || e.Error.Code != status {
		t.Errorf("%s: %d, which is no error of the API: %.200s", what, status, body)
	}
	if want != 0 && status != want || status < 400 || status >= 500 {
		t.Errorf("%s: status %d, want %d: %.200s", what, status, want, body)
	}
}

// TestHostileRequests sends to every path what it must refuse. Memory and goroutines are afterwards
// as before.
func TestHostileRequests(t *testing.T) {
	s, h := start(t, Config{Models: []Model{of("m", &fake{})}, MaxItems: hostileItems,
		MaxBody: 600_000})
	cases := 0
	before, heap := runtime.NumGoroutine(), liveHeap()
	for path, methods := range s.routes {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
			"TRACE", "PROPFIND"} {
			if methods[method] != nil || method == "HEAD" && methods["GET"] != nil {
				continue
			}
			cases++
			r, err := http.NewRequest(method, h.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if allow := response.Header.Get("Allow"); response.StatusCode != 405 || methods[allow] == nil {
				t.Errorf("%s %s: %d, Allow %q", method, path, response.StatusCode, allow)
			}
		}
	}
	for path := range decoders {
		for _, c := range hostileBodies() {
			cases++
			status, _, body, err := post(t.Context(), h.URL+path, c.body, c.headers...)
			if err != nil {
				t.Fatal(path, c.name, err)
			}
			refused(t, path+" "+c.name, status, c.status, body)
		}
		for _, text := range wrongFields[path] {
			cases++
			status, _, body, err := post(t.Context(), h.URL+path, text)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, path+" "+text, status, 0, body)
		}
		for _, query := range []string{"?model=../x", "?x=1", "?model=a&model=b",
			"?activation=%00", "?" + strings.Repeat("reward=x&", 800)} {
			cases++
			status, _, body, err := post(t.Context(), h.URL+path+query, `{"query":"a","prompt":"a",`+
				`"response":"b","input":"a","queries":"a","documents":"b"}`)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, path+query, status, 0, body)
		}
	}
	for _, path := range []string{"/../etc/passwd", "/..%2f..%2fetc/passwd", "/v1/reward/../../x",
		"/openapi.json/", "/%00", "//v1/reward", "/V1/reward"} {
		cases++
		status, _, body, err := post(t.Context(), h.URL+path, "{}")
		if err != nil {
			t.Fatal(err)
		}
		refused(t, path, status, http.StatusNotFound, body)
	}
	t.Logf("%d requests", cases)
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "the end of goroutines", func() bool { return runtime.NumGoroutine() <= before+3 })
	if now := liveHeap(); now > heap+(16<<20) {
		t.Errorf("%d MiB of memory stay", (now-heap)>>20)
	}
	if n := s.bodies.Load(); n != 0 {
		t.Errorf("%d bytes of bodies are still counted", n)
	}
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHostileMemory sends the bodies that decode to the most memory, many at once.
func TestHostileMemory(t *testing.T) {
	_, h := start(t, Config{Models: []Model{of("m", &fake{})}, MaxBodies: 8 << 20, MaxBody: 1 << 20})
	mostly := func(key, of string) string {
		return `{"` + key + `":[` + strings.Repeat(of+",", (1<<20-64)/(len(of)+1)) + of + "]}"
	}
	var most uint64
	heap, done := liveHeap(), make(chan struct{})
	var watch, clients sync.WaitGroup
	watch.Go(func() {
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	bodies := map[string]string{"/v1/reward": mostly("samples", "{}"),
		"/get_reward": mostly("query", `""`), "/classify": mostly("input", "1"),
		"/v1/embeddings": mostly("input", "[1]"), "/rerank": mostly("documents", "null")}
	for i := range 64 {
		clients.Go(func() {
			for path, body := range bodies {
				status, _, _, err := post(t.Context(), h.URL+path, body)
				if err != nil || status < 400 && path != "/classify" || status >= 500 {
					t.Errorf("client %d: %s: %d, %v", i, path, status, err)
				}
			}
		})
	}
	clients.Wait()
	close(done)
	watch.Wait()
	grown := int64(most) - int64(heap)
	t.Logf("at most %d MiB more than before", grown>>20)
	if grown > 400<<20 {
		t.Errorf("%d MiB were in use at once", grown>>20)
	}
}

// TestHostileConnections has clients that send headers without end, slowly, without a host, or
// nothing at all, to a server that listens.
func TestHostileConnections(t *testing.T) {
	s, err := New(Config{Models: []Model{of("m", &fake{})}, ReadTimeout: 500 * time.Millisecond,
		Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context(), listener, nil) }()
	eventually(t, "the loading of the model", func() bool { return s.loaded.Load() })
	before := runtime.NumGoroutine()
	const head = "POST /v1/reward HTTP/1.1\r\nHost: localhost\r\n"
	for _, c := range []struct {
		name, send string
		slow       bool   // and then a byte now and then
		want       string // of the status line; "": the connection is closed
	}{
		{"a large header", head + "X-A: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", false, "431"},
		{"many headers", head + strings.Repeat("X-A: a\r\n", 20_000) + "\r\n", false, "431"},
		{"a slow header", head + "X-A: ", true, ""},
		{"a slow body", head + "Content-Length: 1000\r\n\r\n{", true, "408"},
		{"no host", "POST /v1/reward HTTP/1.1\r\n\r\n", false, "400"},
		{"an old request without host", "GET /v1/models HTTP/1.0\r\n\r\n", false, "403"},
		{"two hosts", head + "Host: evil\r\n\r\n", false, "400"},
		{"another host", "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n", false, "403"},
		{"two lengths", head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", false, "400"},
		{"a length and chunks", head + "Content-Length: -1\r\n\r\n{}", false, "400"},
		{"no HTTP", "\x16\x03\x01\x00\x05hello\r\n\r\n", false, "400"},
		{"another site", "POST /v1/reward HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n" +
			"Content-Length: 2\r\n\r\n{}", false, "403"},
		{"another origin", head + "Origin: http://evil.example\r\nContent-Length: 2\r\n\r\n{}", false,
			"403"},
		{"nothing", "", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				_, err := io.WriteString(conn, c.send)
				for c.slow && c.send != "" && err == nil {
					time.Sleep(50 * time.Millisecond)
					_, err = io.WriteString(conn, "a")
				}
			}()
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if netErr, ok := err.(net.Error); ok && netErr.Timeout() {
				t.Fatal("the connection is still open after 10 s")
			}
			if c.want != "" && !strings.Contains(line, " "+c.want+" ") || c.want == "" &&
				!slices.Contains([]string{"", "HTTP/1.1 408 Request Timeout\r\n",
					"HTTP/1.1 400 Bad Request\r\n"}, line) {
				t.Errorf("the answer is %q, %v; want %s", line, err, c.want)
			}
		})
	}
	t.Cleanup(func() {
		eventually(t, "the end of goroutines", func() bool { return runtime.NumGoroutine() <= before+5 })
	})
}

// TestTokenGuesses wants what is near a token to be no token. The keyring has no token itself, and
// compares hashes of one length, in a time that does not depend on them.
func TestTokenGuesses(t *testing.T) {
	const token = "0123456789abcdefABCDEF"
	s, h := start(t, Config{Models: []Model{of("m", &fake{})},
		Tokens: []Token{{"a", token}, {"b", "fedcba9876543210"}}})
	if text := fmt.Sprintf("%s %v", s.keys, s.keys); strings.Contains(text, token) {
		t.Errorf("the keyring holds a token: %s", text)
	}
	for _, value := range []string{"", "Bearer", "Bearer ", "Bearer " + token[1:],
		"Bearer " + token[:len(token)-1], "Bearer " + token + "0", "Bearer " + strings.ToLower(token),
		"Basic " + token, token, "Bearer " + token + "," + token, "Bearer\x01" + token[:3],
		"Bearer " + strings.Repeat(token, 1000)} {
		for path := range s.routes {
			if free[path] || strings.Contains(value, "\x01") {
				continue
			}
			status, header, body, err := post(t.Context(), h.URL+path, "{}", "Authorization", value)
			if err != nil {
				t.Fatal(err)
			}
			if status != 401 || header.Get("WWW-Authenticate") != "Bearer" ||
				strings.Contains(body, token) {
				t.Errorf("%s with %.40q: %d %s", path, value, status, body)
			}
		}
	}
	for _, path := range []string{"/nothing", "/v1/models"} { // a guess learns of no path either
		if status, _, _, err := post(t.Context(), h.URL+path, ""); err != nil || status != 401 {
			t.Errorf("%s: %d, %v", path, status, err)
		}
	}
	status, _, _, err := post(t.Context(), h.URL+"/v1/reward", sample(1), "Authorization",
		"bearer  "+token)
	if err != nil || status != 200 {
		t.Errorf("the token: %d, %v", status, err)
	}
}

// TestLimitsPage wants the page of the API to state the defaults.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	c := Config{}.withDefaults()
	for _, row := range []string{
		fmt.Sprintf("| body of a request | %d MiB (`-max-body`) | 413 |", c.MaxBody>>20),
		fmt.Sprintf("unanswered requests together | %d times that | 429 |", c.MaxBodies/c.MaxBody),
		fmt.Sprintf("except numbers | %d | 413 |", c.MaxItems),
		fmt.Sprintf("| values of a body, except numbers | %d times that | 413 |", valuesOfItem),
		fmt.Sprintf("nesting of objects and lists | %d | 400 |", maxDepth),
		fmt.Sprintf("| requests being answered | %d | 429 |", c.MaxCalls),
		fmt.Sprintf("wait for a model | %d,%03d,%03d (`-max-queue`) | 429 |", c.MaxQueue/1e6,
			c.MaxQueue/1000%1000, c.MaxQueue%1000),
		fmt.Sprintf("| time of the body | %.0f seconds", c.ReadTimeout.Seconds()),
		fmt.Sprintf("| time of a request | %.0f minutes", c.Timeout.Minutes()),
		fmt.Sprintf("| connections | %d;", connlimit.Most),
	} {
		if !strings.Contains(string(page), row) {
			t.Errorf("the page has no %q", row)
		}
	}
}
