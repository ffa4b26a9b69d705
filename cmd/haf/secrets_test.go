package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"haf/serve"
	"haf/ui"
)

// plantedSecrets are secrets that the environment, a recipe or an address holds.
var plantedSecrets = []string{"planted-hf-71", "planted-mlflow-72", "planted-mlflow-73",
	"planted-wandb-74", "planted-haf-75-0123456789", "planted-api-76", "planted-openai-77",
	"planted-serve-78-0123456789", "planted-user-79", "planted-query-80", "planted-mirror-81"}

// TestSecrets plants secrets in the environment, in recipes and in addresses, runs the verbs that
// read them, well and badly, and looks for the secrets in all that haf prints and writes:
// manifests, metrics, journals, reports, cards, pages, and the folders of trackers.
func TestSecrets(t *testing.T) {
	h := newHostile(t)
	for i, name := range []string{"HF_TOKEN", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD",
		"WANDB_API_KEY", "HAF_TOKEN", "HAF_API_KEY", "OPENAI_API_KEY", "HAF_TOKENS"} {
		t.Setenv(name, plantedSecrets[i])
	}
	t.Setenv("MLFLOW_TRACKING_USERNAME", "me")
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
	sent := map[string]bool{}
	note := func(r *http.Request) {
		for _, secret := range plantedSecrets {
			if strings.Contains(r.Header.Get("Authorization"), secret) {
				sent[secret] = true
			}
		}
	}
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r)
		fmt.Fprint(w, `{"experiment":{"experiment_id":"1"},"run":{"info":{"run_id":"r"}}}`)
	}))
	defer good.Close()
	// One that refuses everything, and repeats what it was sent.
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r)
		auth := r.Header.Get("Authorization")
		w.Header().Set("X-Error-Message", "refused: "+auth)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"message":"refused: %s"},"error_code":"%s","message":"%s"}`, auth, auth,
			auth)
	}))
	defer echo.Close()
	var told bytes.Buffer
	did := func(want int, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := execute(args, &stdout, &stderr); want >= 0 && code != want {
			t.Errorf("%q ends with %d, want %d: %s%s", args, code, want, stdout.Bytes(), stderr.Bytes())
		}
		fmt.Fprintf(&told, "--- %q\n%s%s\n", args[0], stdout.Bytes(), stderr.Bytes())
	}
	// what works
	did(0, "train", "tiny.toml", "-out", "run", "-set", "tracking.mlflow_uri="+good.URL, "-set",
		`tracking.report_to=["tensorboard","wandb","mlflow"]`)
	did(0, "track", "run")
	did(0, "eval", "run", "-data", "test.jsonl", "-out", "run/pairs.jsonl")
	did(0, "report", "run", "-out", "page")
	did(-1, "doctor", "run")
	did(0, "inspect", "run")
	did(0, "version")
	did(0, "push", "run", "org/name", "-base", "org/base", "-dry-run")
	did(0, "rlhf", "rl.toml", "-out", "policy", "-set", "rlhf.rewards=base", "-set",
		"tracking.mlflow_uri="+good.URL, "-set", `tracking.report_to=["mlflow"]`)
	did(0, "report", "policy", "-out", "policy-page")
	crashed(t, &told)
	// what a server refuses
	t.Setenv("HF_ENDPOINT", echo.URL)
	did(1, "push", "run", "org/name", "-base", "org/base")
	did(1, "inspect", "org/name")
	did(-1, "track", "run", "-to", "mlflow", "-mlflow-uri", echo.URL)
	did(1, "generate", "-url", echo.URL+"/v1", "-prompt", "x")
	did(1, "eval", echo.URL, "-data", "test.jsonl")
	did(1, "eval", "vllm+"+echo.URL, "-data", "test.jsonl")
	did(1, "relabel", "vllm+"+echo.URL, "-data", "pair.jsonl", "-out", "labels.jsonl")
	h.write("judge.txt", []byte("{{conversation}} {{response}}"))
	did(1, "eval", "judge+"+echo.URL+"/v1", "-judge-prompt", "judge.txt", "-data", "test.jsonl")
	// what haf refuses
	host := strings.TrimPrefix(echo.URL, "http://")
	for _, address := range []string{"http://me:planted-user-79@" + host + "/v1",
		"http://" + host + "/v1?key=planted-query-80", "http://planted-user-79@" + host,
		"http://me:planted-user-79@ho st/%zz"} {
		did(-1, "generate", "-url", address, "-prompt", "x")
		did(-1, "judge", "samples.jsonl", "other.jsonl", "-url", address, "-out", "verdicts")
		for _, scheme := range []string{"", "vllm+", "sglang+", "openrlhf+", "judge+"} {
			did(2, "eval", scheme+address, "-data", "test.jsonl")
		}
		did(-1, "train", "tiny.toml", "-out", "refused", "-set", `tracking.report_to=["mlflow"]`, "-set",
			"tracking.mlflow_uri="+address)
		did(2, "track", "run", "-mlflow-uri", address)
		rl, err := os.ReadFile("rl.toml")
		if err != nil {
			t.Fatal(err)
		}
		h.write("evil.toml", regexp.MustCompile(`(?m)^rewards = .*|^source = .*`).ReplaceAll(rl,
			[]byte(`source = "vllm+`+address+`"`)))
		did(-1, "rlhf", "evil.toml", "-out", "refused")
		if err := os.Remove("evil.toml"); err != nil {
			t.Fatal(err)
		}
	}
	for _, endpoint := range []string{"http://me:planted-mirror-81@" + host,
		"http://me:planted-mirror-81@127.0.0.1:1", "me:planted-mirror-81@mirror"} {
		t.Setenv("HF_ENDPOINT", endpoint)
		did(1, "inspect", "org/name")
		did(1, "push", "run", "org/name", "-base", "org/base")
	}
	t.Setenv("HAF_TOKENS", "a b planted-serve-78-0123456789") // three fields
	did(2, "serve", "run", "-addr", "127.0.0.1:0")
	// pages of haf ui
	tokens, err := serve.ParseTokens("me planted-serve-78-0123456789")
	if err != nil {
		t.Fatal(err)
	}
	app := ui.New(ui.Config{Runs: []string{"run"}, Tokens: []string{tokens[0].Value}})
	for _, path := range []string{"/", "/runs?run=run", "/evaluations",
		"/pairs?run=run&file=pairs.jsonl", "/api/series?run=run", "/login", "/nothing?t=1"} {
		for _, token := range []string{tokens[0].Value, "planted-haf-75-0123456789"} {
			r := httptest.NewRequest("GET", "http://localhost"+path, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			app.ServeHTTP(w, r)
			body, err := io.ReadAll(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&told, "--- ui %s\n%s\n%v\n", path, body, w.Header())
		}
	}
	look := func(where string, data []byte) {
		t.Helper()
		for _, secret := range plantedSecrets {
			basic := base64.StdEncoding.EncodeToString([]byte("me:" + secret))
			for _, form := range []string{secret, basic} {
				if i := bytes.Index(data, []byte(form)); i >= 0 {
					t.Errorf("%s has %s: …%q", where, secret, data[max(0, i-200):min(len(data), i+40)])
				}
			}
		}
	}
	look("the output", told.Bytes())
	files := 0
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		look(path, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of output and %d files", told.Len(), files)
	for _, i := range []int{0, 1, 4, 5} { // else there was nothing to leak
		if !sent[plantedSecrets[i]] {
			t.Errorf("%s was sent to no server", plantedSecrets[i])
		}
	}
}

// crashed has a server of its own process log requests of clients with right and wrong tokens, and
// crash. It adds what the process wrote and answered.
func crashed(t *testing.T, told *bytes.Buffer) {
	t.Helper()
	const token = "planted-serve-78-0123456789"
	t.Setenv("HAF_TOKENS", "me "+token)
	server := haf(t, "serve", "base", "-addr", "127.0.0.1:0", "-log", "debug", "-max-length", "64")
	var stderr bytes.Buffer
	server.Stderr = &stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(stdout).ReadString('\n')
	url = strings.TrimSpace(url)
	for _, auth := range []string{token, "planted-haf-75-0123456789", "planted-user-79"} {
		for _, path := range []string{"/v1/reward", "/v1/reward?key=planted-query-80", "/planted-api-76",
			"/metrics"} {
			body := strings.NewReader(`{"prompt": "planted-hf-71", "response": "planted-openai-77"}`)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+auth)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				continue
			}
			text, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Error(err)
			}
			answer.Body.Close()
			fmt.Fprintf(told, "--- serve %d\n%s\n%v\n", answer.StatusCode, text, answer.Header)
		}
	}
	if err != nil || server.Process.Signal(syscall.SIGQUIT) != nil {
		t.Errorf("the server at %q cannot be crashed: %v", url, err)
		_ = server.Process.Kill()
	}
	err = server.Wait()
	if text := stderr.String(); err == nil || !strings.Contains(text, "goroutine") ||
		strings.Count(text, "msg=request") < 9 {
		t.Errorf("the server ends with %v, want a crash after the log of its requests:\n%s", err, text)
	}
	told.Write(stderr.Bytes())
}
