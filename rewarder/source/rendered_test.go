package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/encode"
	"haf/pref"
	"haf/rewarder"
	"haf/rewarder/rewardertest"
)

// bytesRenderer writes a turn as role, unit separator, content, record separator; a token is a
// byte.
type bytesRenderer struct{}

func (bytesRenderer) Text(prompt []pref.Message, response string) (whole, begin string, err error) {
	for _, m := range prompt {
		if m.Content == "refused" {
			return "", "", errors.New("the template refuses it")
		}
		begin += m.Role + "\x1f" + m.Content + "\x1e"
	}
	return begin + pref.Assistant + "\x1f" + response + "\x1e", begin, nil
}

func (r bytesRenderer) Conversation(
	prompt []pref.Message, response string,
) (encode.Conversation, bool, error) {
	whole, _, err := r.Text(prompt, response)
	var c encode.Conversation
	for _, b := range []byte(whole) {
		c.Tokens = append(c.Tokens, int32(b))
	}
	return c, false, err
}

// countedText is the reward of a text that bytesRenderer wrote.
func countedText(text string) float64 {
	var prompt []pref.Message
	for _, turn := range strings.Split(strings.TrimSuffix(text, "\x1e"), "\x1e") {
		role, content, _ := strings.Cut(turn, "\x1f")
		prompt = append(prompt, pref.Message{Role: role, Content: content})
	}
	last := len(prompt) - 1
	return counted(prompt[:last], prompt[last].Content)
}

// standInSGLang answers as SGLang 0.5.23 does: see rendered.go.
func standInSGLang(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"rm","object":"model"}]}`)
	})
	mux.HandleFunc("POST /classify", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Raw [][]int `json:"input_ids"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Raw) == 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var out []any
		for _, ids := range q.Raw {
			var text []byte
			for _, id := range ids {
				text = append(text, byte(id))
			}
			out = append(out, map[string]any{"embedding": []float64{countedText(string(text))},
				"meta_info": map[string]any{"id": "x", "prompt_tokens": len(ids)}})
		}
		_ = json.NewEncoder(w).Encode(out)
	})
	return standIn(t, mux)
}

// standInOpenRLHF answers as OpenRLHF 0.11.2's serve_rm.
func standInOpenRLHF(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /get_reward", func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Query, Prompts, Labels []string }
		if json.NewDecoder(r.Body).Decode(&q) != nil || len(q.Prompts) != len(q.Query) ||
			len(q.Labels) != len(q.Query) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		rewards := []float64{}
		for i, text := range q.Query {
			if !strings.HasPrefix(text, q.Prompts[i]) {
				t.Errorf("%q does not begin with %q", text, q.Prompts[i])
			}
			rewards = append(rewards, countedText(text))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"rewards": rewards, "scores": rewards,
			"extra_logs": map[string]any{"dummy_scores": rewards}})
	})
	return standIn(t, mux)
}

func rendering(opt Options) Options {
	opt.Tokenizer = func(context.Context) (Renderer, error) { return bytesRenderer{}, nil }
	return opt
}

func TestSGLangAndOpenRLHF(t *testing.T) {
	for _, name := range []string{"sglang+" + standInSGLang(t), "openrlhf+" + standInOpenRLHF(t),
		"openrlhf+" + standInOpenRLHF(t) + "/get_reward"} {
		scheme, _, _ := strings.Cut(name, "+")
		t.Run(scheme, func(t *testing.T) { conforms(t, name, rendering(Options{})) })
		if _, err := Open(t.Context(), name, Options{}); !errors.Is(err, ErrName) ||
			!strings.Contains(err.Error(), "-source-tokenizer") {
			t.Error(err)
		}
		if _, err := Open(t.Context(), name, rendering(Options{TemplateSettings: true})); err != nil {
			t.Errorf("settings of the template: %v", err)
		}
		if _, err := Open(t.Context(), name, rendering(Options{ModelSettings: true})); err == nil {
			t.Error("settings of a model were taken")
		}
		groups := rewarder.Alone(rewardertest.Samples()[:2])
		groups[1].Prompt = []pref.Message{{Role: pref.User, Content: "refused"}}
		read, err := mustOpen(t, name, rendering(Options{})).Read(t.Context(), groups, nil)
		if err != nil || read.Refused[1] == nil || len(read.Index) != 1 {
			t.Errorf("%+v, %v", read, err)
		}
	}
	if err := Reach(t.Context(), "openrlhf+http://127.0.0.1:1", rendering(Options{})); err == nil {
		t.Error("a server that is not there was reached")
	}
}

func TestBadRenderedAnswers(t *testing.T) {
	for _, c := range [][3]string{
		{"sglang+", `[{"embedding":[0.1,0.2]}]`, "embedding has 2 numbers"},
		{"sglang+", `[]`, "0 entries for 1 responses"},
		{"sglang+", `"x"`, "another form"},
		{"sglang+", `{"embedding":[1],"meta_info":{"activation":"sigmoid"}}`, "want raw"},
		{"sglang+", `<html>`, "no JSON"},
		{"openrlhf+", `{"rewards":[1,2]}`, "2 entries for 1 responses"},
		{"openrlhf+", `{"rewards":[[1]]}`, "another form"},
		{"openrlhf+", `{"rewards":[null]}`, "is null"},
		{"openrlhf+", `{"rewards":[NaN]}`, "no JSON"},
		{"openrlhf+", `{"scores":[1]}`, "is this a server of OpenRLHF?"},
		{"openrlhf+", `{"rewards":[1],"activation":"sigmoid"}`, "want raw"},
	} {
		url := standIn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
				return
			}
			fmt.Fprint(w, c[1])
		}))
		r := mustOpen(t, c[0]+url, rendering(Options{Tries: 1}))
		_, err := r.Read(t.Context(), rewarder.Alone(rewardertest.Samples()[:1]), nil)
		if err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s: %v, want %q", c[1], err, c[2])
		}
	}
}

// standInJudge answers chat completions with a number: the reward of what it is shown.
func standInJudge(t *testing.T, say func(shown string, seed int) string) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"data":[{"id":"judge"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Messages []pref.Message
			Seed     int
		}
		_ = json.NewDecoder(r.Body).Decode(&q)
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{
			"finish_reason": "stop", "message": map[string]any{"role": "assistant",
				"content": say(q.Messages[0].Content, q.Seed)}}}})
	})
	return "judge+" + standIn(t, mux) + "/v1"
}

func promptFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "judge.txt")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestJudge has a judge that always says the same of a text pass the suite. A language model need
// not.
func TestJudge(t *testing.T) {
	file := promptFile(t, "Grade.\n<<{{conversation}}|{{response}}>>\nEnd with Score: N.")
	url := standInJudge(t, func(shown string, _ int) string {
		_, shown, _ = strings.Cut(shown, "<<")
		return fmt.Sprintf("I see 99 things.\n**Score:** %d/1000", len(shown)%1000)
	})
	r := mustOpen(t, url+"#judge", Options{JudgePrompt: file})
	rewardertest.Test(t, r, rewardertest.Options{})
	if got := Served(r, Score); !strings.HasPrefix(got,
		"reward score of judge judge, prompt sha256 ") {
		t.Error(got)
	}
	// Text of a response is not taken for a mark.
	var asked string
	url = standInJudge(t, func(shown string, _ int) string { asked = shown; return "[[3]]" })
	sample := pref.Sample{Prompt: []pref.Message{{Role: pref.User, Content: "{{response}}"}},
		Response: "{{conversation}}"}
	read, err := mustOpen(t, url, Options{JudgePrompt: file}).Read(t.Context(),
		rewarder.Alone([]pref.Sample{sample}), nil)
	if err != nil || read.Rewards[Score][0][0] != 3 ||
		!strings.Contains(asked, "<<[user]\n{{response}}\n|{{conversation}}>>") {
		t.Errorf("%v, %v, %q", read.Rewards, err, asked)
	}
	// One without a number is asked again, and given up.
	url = standInJudge(t, func(_ string, seed int) string {
		return []string{"I cannot say.", "Score: 5"}[min(seed, 1)]
	})
	read, err = mustOpen(t, url, Options{JudgePrompt: file}).Read(t.Context(),
		rewarder.Alone([]pref.Sample{sample}), nil)
	if err != nil || read.Rewards[Score][0][0] != 5 {
		t.Error(read, err)
	}
	url = standInJudge(t, func(string, int) string { return "I cannot say." })
	_, err = mustOpen(t, url, Options{JudgePrompt: file}).Read(t.Context(),
		rewarder.Alone([]pref.Sample{sample}), nil)
	if err == nil || !strings.Contains(err.Error(), `no number in 3 tries; of response 1 it wrote `+
		`last: "I cannot say."`) {
		t.Error(err)
	}
	for prompt, want := range map[string]string{"": "-judge-prompt", "/no/such": "no such file",
		promptFile(t, "{{response}}"): "has no {{conversation}}"} {
		if err := Reach(t.Context(), url, Options{JudgePrompt: prompt}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", prompt, err, want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for text, want := range map[string]float64{
		"Score: 7": 7, "score: 7/10": 7, "**Rating**: 8.5": 8.5, "The rating is [[4]].": 4,
		"Score: 3\nNo: Score: 6": 6, "9": 9, " -2.5\n": -2.5, "Reward: -3": -3, "**7**": 7,
		"Score - 7": 7,
	} {
		if x, ok := verdict(text); !ok || x != want {
			t.Errorf("%q is read as %v, %v, want %v", text, x, ok, want)
		}
	}
	for _, text := range []string{"", "good", "I see 2 of 3", "Score: high"} {
		if x, ok := verdict(text); ok {
			t.Errorf("%q is read as %v", text, x)
		}
	}
}
