package ui

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"haf/eval"
	"haf/pref"
	"haf/reward"
	"haf/run"
)

// hostile stands in names and texts of a run folder that somebody sent.
const hostile = `<script>alert(1)</script>"><img src=x onerror=alert(2)>` + "\u202e" + `'&lt;`

// writeRun makes a run folder of so many steps, with validations, an evaluation and pairs.
func writeRun(t testing.TB, dir string, steps, pairs int) {
	t.Helper()
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write("manifest.json", asJSON(t, map[string]any{
		"format": run.ManifestFormat, "created": time.Unix(1e9, 0), "base": "base/" + hostile,
		"device": "go", "recipe": map[string]any{"train": map[string]any{"lr": 0.001, "seed": 1},
			"data": map[string]any{"train": []string{"data/" + hostile}}},
		"origin": map[string]string{"train.lr": "set", "data.train": "file", "train.seed": "default"}}))
	var b strings.Builder
	for i := 1; i <= steps; i++ {
		b.Write(step(t, i))
	}
	b.Write(append(asJSON(t, run.Validation{Kind: run.KindEval, Step: steps, Loss: 0.5,
		Rewards: map[string]eval.Result{"score": {Accuracy: 0.7, AccuracyLow: 0.6, AccuracyHigh: 0.8,
			Comparisons: 9}}}), '\n'))
	write("metrics.jsonl", []byte(b.String()))
	write("eval.json", asJSON(t, eval.Evaluation{Model: hostile, Data: []string{"../" + hostile},
		Rewards: map[string]eval.Result{"score": {Accuracy: 0.7123, Comparisons: 9}}}))
	b.Reset()
	for i := range pairs {
		b.Write(append(asJSON(t, examplePair(i)), '\n'))
	}
	write("pairs.jsonl", []byte(b.String()))
}

func step(t testing.TB, i int) []byte {
	t.Helper()
	return append(asJSON(t, run.TrainStep{Kind: run.KindStep, Step: i, Loss: 1 / float64(i), Margin: 1,
		Accuracy: 0.5, RewardWeight: 1, PolicyWeight: 0.2, Comparisons: 8,
		LogRatio: &run.LogRatio{Chosen: -1, Rejected: -2}, Tokens: 100, Seconds: 2,
		Memory: 3e9}), '\n')
}

// examplePair is one of four kinds by turns: right, wrong, one on which the heads disagree, close.
func examplePair(i int) eval.Example {
	e := eval.Example{Source: pref.Location{File: "../" + hostile + ".jsonl", Line: i + 1},
		Prompt: []pref.Message{{Role: pref.User, Content: fmt.Sprintf("question %d %s", i, hostile)}},
		Chosen: "the chosen answer", Rejected: "the rejected answer"}
	margins := [][2]float64{{2, 1}, {-2, -1}, {1, -0.5}, {0.01, 3}}[i%4]
	e.Rewards = map[string]eval.Rewards{
		"score":    {Chosen: margins[0], Margin: margins[0]},
		"implicit": {Chosen: margins[1], Margin: margins[1]}}
	return e
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A fake is a model whose tokens are words; a word's reward grows with its length.
type fake struct{ closed *int }

func (f fake) Explain(_ context.Context, samples []pref.Sample) ([]reward.Explanation, error) {
	var out []reward.Explanation
	for _, s := range samples {
		e := reward.Explanation{Rewards: map[string]float64{"score": float64(len(s.Response))},
			Beta: 0.1}
		for _, word := range strings.SplitAfter(s.Response, " ") {
			e.Tokens = append(e.Tokens, reward.TokenPart{Text: word, LogProb: -1, RefLogProb: -2,
				Reward: float64(len(word)) - 4})
		}
		e.Rewards["implicit"] = e.Sum()
		out = append(out, e)
	}
	return out, nil
}

func (f fake) Close() error {
	*f.closed++
	return nil
}

// app serves the named runs with fake models.
func app(t testing.TB, tokens []string, runs ...string) *App {
	t.Helper()
	closed := 0
	return New(Config{Runs: runs, Models: []string{"one", "two", "broken"}, Tokens: tokens,
		Open: func(_ context.Context, path string) (Explainer, error) {
			if path == "broken" {
				return nil, errors.New("no weights: " + hostile)
			}
			return fake{&closed}, nil
		}})
}

// get returns a page of the app.
func get(t testing.TB, a *App, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func values(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return "?" + v.Encode()
}

// attribute is the value of one, in which the templates escape quotes.
var attribute = regexp.MustCompile(`(value|data-runs?|data-load|data-key)="[^"]*"`)

// TestHostile wants no page to carry markup or marks of direction out of a run folder, or to open
// what is not in the list.
func TestHostile(t *testing.T) {
	root := t.TempDir()
	evil := `<b onclick=x>` + "\u202e" + `"run`
	writeRun(t, filepath.Join(root, evil), 5, 8)
	writeRun(t, filepath.Join(root, "plain"), 5, 8)
	secret := filepath.Join(filepath.Dir(root), "secret")
	if err := os.WriteFile(secret, []byte("hidden"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := app(t, nil, root)
	pages := []string{"/", "/evaluations", "/pairs", "/playground",
		"/runs" + values("run", evil), "/runs" + values("run", evil, "run", "plain"),
		"/pairs" + values("run", evil, "file", "pairs.jsonl", "q", "question"),
		"/figures" + values("run", evil, "file", "pairs.jsonl"),
		"/pair" + values("run", evil, "file", "pairs.jsonl", "n", "1", "tokens", "1",
			"model", "one", "model", "broken")}
	for _, path := range pages {
		code, body := get(t, a, path)
		if code != http.StatusOK {
			t.Errorf("%s: status %d: %s", path, code, body)
		}
		for _, bad := range []string{"<script>alert", "<img", "<b onclick", "\u202e", "style=",
			"onerror=alert(2)>"} {
			// Values of forms keep a run's name as it is; nothing else may.
			if strings.Contains(attribute.ReplaceAllString(body, ""), bad) {
				t.Errorf("%s: %q is in the page", path, bad)
			}
		}
		if len(body) > 300_000 {
			t.Errorf("%s: %d bytes", path, len(body))
		}
	}
	for _, path := range []string{"/runs" + values("run", "../secret"),
		"/pairs" + values("run", "plain", "file", "../../secret"),
		"/pair" + values("run", "plain", "file", "pairs.jsonl", "n", "99"),
		"/pairs" + values("run", "plain", "file", secret), "/assets/../server.go", "/nothing"} {
		if code, body := get(t, a, path); code == http.StatusOK || strings.Contains(body, "hidden") {
			t.Errorf("%s: status %d: %s", path, code, body)
		}
	}
}

// TestAccess wants a host that is not this machine, another site and a visitor without a token to
// be refused, and nothing but reading to be possible.
func TestAccess(t *testing.T) {
	root := t.TempDir()
	writeRun(t, filepath.Join(root, "run"), 3, 4)
	const token = `a-token;of "some" length` // more than a cookie can hold as it is
	open, guarded := app(t, nil, root), app(t, []string{token}, root)
	do := func(a *App, method, target string, header ...string) *http.Response {
		r := httptest.NewRequest(method, target, strings.NewReader(""))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w.Result()
	}
	for _, test := range []struct {
		name string
		got  *http.Response
		want int
	}{
		{"loopback", do(open, "GET", "http://127.0.0.1:8765/"), 200},
		{"localhost", do(open, "GET", "http://localhost:8765/"), 200},
		{"IPv6", do(open, "GET", "http://[::1]:8765/"), 200},
		{"another name", do(open, "GET", "http://evil.example:8765/"), 403},
		{"another site", do(open, "POST", "http://127.0.0.1:8765/playground", "Sec-Fetch-Site",
			"cross-site", "Origin", "http://evil.example"), 403},
		{"delete", do(open, "DELETE", "http://127.0.0.1/runs"), 405},
		{"no token", do(guarded, "GET", "http://gpu.example/"), 303},
		{"no token, data", do(guarded, "GET", "http://gpu.example/api/series?run=run"), 401},
		{"a wrong token", do(guarded, "GET", "http://gpu.example/api/series?run=run",
			"Authorization", "Bearer wrong"), 401},
		{"a token", do(guarded, "GET", "http://gpu.example/", "Authorization",
			"Bearer "+token), 200},
		{"a cookie", do(guarded, "GET", "http://gpu.example/", "Cookie",
			cookieName+"="+base64.RawURLEncoding.EncodeToString([]byte(token))), 200},
	} {
		if test.got.StatusCode != test.want {
			t.Errorf("%s: status %d, want %d", test.name, test.got.StatusCode, test.want)
		}
		csp := test.got.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", test.name, csp)
		}
	}
	form := url.Values{"token": {token}}.Encode()
	r := httptest.NewRequest("POST", "http://gpu.example/login", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	guarded.ServeHTTP(w, r)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 || !cookies[0].HttpOnly ||
		cookies[0].SameSite != http.SameSiteStrictMode {
		t.Errorf("login: status %d, cookies %v", w.Code, cookies)
	}
}

// TestEmpty wants pages without runs to say what to do.
func TestEmpty(t *testing.T) {
	a := app(t, nil, filepath.Join(t.TempDir(), "missing"))
	for path, want := range map[string]string{"/": "haf train", "/evaluations": "haf -json eval",
		"/pairs": "haf eval RUN", "/playground": "Type a conversation"} {
		if code, body := get(t, a, path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, want %q in\n%s", path, code, want, body)
		}
	}
}
