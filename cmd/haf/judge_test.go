package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestJudgeGoesOn has a judge's server refuse its work in the middle: the verb says how to go on,
// and going on asks for the verdicts that are missing alone and comes to what was never stopped.
func TestJudgeGoesOn(t *testing.T) {
	var asked atomic.Int64
	var most atomic.Int64 // verdicts that the server gives before it refuses
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Messages []struct{ Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		if asked.Add(1) > most.Load() {
			http.Error(w, `{"error": {"message": "the budget is spent"}}`, http.StatusForbidden)
			return
		}
		answer := "Ranking: B > A"
		if text := body.Messages[1].Content; strings.Index(text, "good") < strings.Index(text, "bad") {
			answer = "Ranking: A > B"
		}
		fmt.Fprintf(
			w,
			`{"choices": [{"message": {"role": "assistant", "content": %q}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}`, answer)
	}))
	defer server.Close()
	dir := t.TempDir()
	const prompts = 6
	rows := func(name, response string) string {
		var b strings.Builder
		for i := range prompts {
			fmt.Fprintf(&b, `{"prompt": "question %d", "response": %q}`+"\n", i, response)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := rows("one.jsonl", "good"), rows("two.jsonl", "bad")
	judge := func(out string, may int64) (code int, stdout, stderr string) {
		asked.Store(0)
		most.Store(may)
		var o, e bytes.Buffer
		code = execute([]string{"judge", one, two, "-url", server.URL + "/v1", "-remote-model", "m",
			"-concurrency", "1", "-out", filepath.Join(dir, out)}, &o, &e)
		return code, o.String(), e.String()
	}
	code, whole, stderr := judge("whole.jsonl", 2*prompts)
	if code != exitDone || asked.Load() != 2*prompts || !strings.Contains(whole, "win rate 1.0000") {
		t.Fatalf("code %d, asked %d times\n%s%s", code, asked.Load(), whole, stderr)
	}
	if code, _, stderr = judge("half.jsonl", 5); code != exitFailed ||
		!strings.Contains(stderr, "the budget is spent") ||
		!strings.Contains(stderr, "run the same command again to resume") {
		t.Fatalf("code %d: %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "half.jsonl")); err == nil {
		t.Error("half of a result stands under its name")
	}
	code, stdout, stderr := judge("half.jsonl", 2*prompts)
	if code != exitDone || asked.Load() != 2*prompts-5 || stdout != whole {
		t.Errorf("code %d, asked %d times, want %d\n%s%s", code, asked.Load(), 2*prompts-5, stdout,
			stderr)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if read("half.jsonl") != read("whole.jsonl") {
		t.Errorf("resumed:\n%s\nnever stopped:\n%s", read("half.jsonl"), read("whole.jsonl"))
	}
	// Other outputs are other work.
	if err := os.WriteFile(filepath.Join(dir, "torn.jsonl.part"),
		[]byte(`{"format":2,"settings":{"judge":"x"}}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr = judge("torn.jsonl", 2*prompts); code != exitFailed ||
		!strings.Contains(stderr, "begun with other settings") || asked.Load() != 0 {
		t.Errorf("code %d, asked %d times: %s", code, asked.Load(), stderr)
	}
}
