package serve

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"haf/rewarder"
)

func TestOpenAPIIsValid(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	s, err := New(Config{Models: []Model{of("m", &fake{})}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range s.routes {
		for method := range methods {
			if item := doc.Paths.Value(path); item == nil || item.GetOperation(method) == nil {
				t.Errorf("%s %s is answered and not in openapi.json", method, path)
			}
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if s.routes[path][method] == nil {
				t.Errorf("%s %s is in openapi.json and not answered", method, path)
			}
		}
	}
}

// The fake's rewards of a prompt of one message of the user, and of a text.
func ofPair(prompt, response string) float64 {
	return hashed("user: " + prompt + "\n|" + response)
}
func ofText(text string) float64 { return hashed(text + "|") }

func TestNative(t *testing.T) {
	_, h := start(t, Config{Models: []Model{of("m", &fake{})}})
	a, header := ask(t, h, "/v1/reward", `{"prompt":"p","response":"r"}`, 200)
	want(t, a, ofPair("p", "r"), "data", 0, "reward")
	want(t, a, "raw", "activation")
	want(t, a, "score", "reward")
	want(t, a, "m", "model")
	want(t, a, false, "data", 0, "truncated")
	if header.Get("X-Haf-Activation") != "raw" || header.Get("X-Haf-Model") != "m" {
		t.Errorf("headers %v", header)
	}

	a, _ = ask(t, h, "/v1/reward",
		`{"model":"m","prompt":"p","responses":["r","s","r"],"rewards":["implicit","score"],"tokens":true}`, 200)
	for i, r := range []string{"r", "s", "r"} {
		want(t, a, ofPair("p", r)/2, "data", i, "reward")
		want(t, a, ofPair("p", r), "data", i, "rewards", "score")
		want(t, a, ofPair("p", r)/2, "data", i, "tokens", 0, "reward")
	}

	a, _ = ask(t, h, "/v1/reward",
		`{"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"p"}]},{"role":"assistant","content":"r"}]}`, 200)
	want(t, a, hashed("system: s\nuser: p\n|r"), "data", 0, "reward")

	a, _ = ask(t, h, "/v1/reward",
		`{"samples":[{"prompt":"cut me","response":"r"},{"prompt":[{"role":"user","content":"p"}],"response":"s","baseline":"r"},{"prompt":"p","response":"s","baseline":0.5}],"temperature":2}`, 200)
	want(t, a, true, "data", 0, "truncated")
	want(t, a, nil, "data", 0, "probability")
	want(t, a, ofPair("p", "r"), "data", 1, "baseline_reward")
	for i, base := range []float64{1: ofPair("p", "r"), 2: 0.5} {
		if i == 0 {
			continue
		}
		p := 1 / (1 + math.Exp(-(ofPair("p", "s")-base)/2))
		if got := dig(t, a, "data", i, "probability").(float64); math.Abs(got-p) > 1e-12 {
			t.Errorf("probability %v, want %v", got, p)
		}
	}
	if n := len(dig(t, a, "data").([]any)); n != 3 {
		t.Errorf("%d answers for 3 samples: baselines have none of their own", n)
	}
}

func TestNativeRefuses(t *testing.T) {
	_, h := start(t, Config{Models: []Model{of("m", &fake{})}, MaxItems: 3, MaxBody: 2000,
		MaxQueue: 300})
	long := strings.Repeat("w ", 200)
	for body, c := range map[string]struct {
		status int
		says   string
	}{
		`[]`:                               {400, "not a JSON object"},
		`{"prompt":`:                       {400, "ends inside"},
		`{"prompt":"p",}`:                  {400, "not JSON: at byte 15"},
		`{"prompt":"p"}`:                   {400, "response is missing"},
		`{"response":"p"}`:                 {400, "prompt is missing"},
		`{}`:                               {400, "prompt is missing"},
		`{"prompt":7}`:                     {400, "want"},
		`{"promt":"p"}`:                    {400, `"promt" is not known`},
		`{"samples":[]}`:                   {400, "samples is empty"},
		`{"samples":[{}],"x":1}`:           {400, `"x" is not known`},
		`{"prompt":"p","response":"r"} {}`: {400, "something after"},
		`{"prompt":"p","response":"r","samples":[]}`: {400,
			"one of the forms"},
		`{"prompt":"p","response":"r","messages":[]}`: {400,
			"one of the forms"},
		`{"prompt":"p","responses":[]}`: {400,
			"responses is empty"},
		`{"prompt":"p","response":"r","responses":["r"]}`: {400,
			"one of the forms"},
		`{"messages":[{"role":"user","content":"p"}]}`:                            {400, "1 messages"},
		`{"messages":[{"role":"a","content":"p"},{"role":"user","content":"r"}]}`: {400, `role "user"`},
		`{"messages":[{"content":"p"},{"role":"assistant","content":"r"}]}`: {400,
			`"message.role": missing`},
		`{"prompt":[{"content":"p"}],"response":"r"}`: {400,
			`"message.role": missing`},
		`{"prompt":"p","response":"r","rewards":["best"]}`:                 {400, `"best" is not served`},
		`{"prompt":"p","response":"r","temperature":1}`:                    {400, "there is none"},
		`{"prompt":"p","response":"r","baseline":0,"temperature":0}`:       {400, "more than 0"},
		`{"prompt":"p","response":"r","baseline":[]}`:                      {400, "want"},
		`{"prompt":"p","responses":["1","2","3","4"]}`:                     {413, "up to 3 at once"},
		`{"prompt":"` + long + long + `","response":"r"}`:                  {413, "up to 300 at once"},
		`{"prompt":"p","response":"` + strings.Repeat("w", 2000) + `"}`:    {413, "up to 2000"},
		`{"model":"../x","prompt":"p","response":"r"}`:                     {404, "want one of m"},
		`{"prompt":"panic in encoding","response":"r"}`:                    {500, "its log says why"},
		`{"prompt":"panic in reading","response":"r"}`:                     {500, "its log says why"},
		`{"prompt":"fail the batch","response":"r"}`:                       {500, "its log says why"},
		`{"prompt":[{"role":"user","content":[{"type":"image_url"}]}]}`:    {400, "reads text alone"},
		`{"prompt":"p","response":"r","rewards":[""]}`:                     {400, "empty name"},
		`{"prompt":"p","response":"r","rewards":["score"],"tokens":"yes"}`: {400, "want a bool"},
	} {
		a, _ := ask(t, h, "/v1/reward", body, c.status)
		if message, _ := dig(t, a, "error", "message").(string); !strings.Contains(message, c.says) {
			t.Errorf("%s: %q, want %q in it", body, message, c.says)
		}
	}
	if a, _ := ask(t, h, "/v1/reward", `{"prompt":"p","response":"r"}`, 200); dig(t, a, "data", 0,
		"reward") != ofPair("p", "r") {
		t.Error("after all that the reward is another")
	}
}

// TestDialects sends requests of the wire shape of each client and reads the answer as the client
// does.
func TestDialects(t *testing.T) {
	_, h := start(t, Config{Models: []Model{of("m", &fake{})}})
	chat := `[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]`
	sig := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for _, c := range []struct {
		name, path, body string
		read             []any
		want             float64
	}{
		{"OpenRLHF", "/get_reward", `{"query":["p r</s>"],"prompts":["p"],"labels":["x"]}`,
			[]any{"rewards", 0}, ofText("p r</s>")},
		{"OpenRLHF", "/get_reward", `{"query":["a","b"],"prompts":["a","b"],"labels":[null,{"k":1}]}`,
			[]any{"scores", 1}, ofText("b")},
		{"OpenRLHF, older", "/get_reward", `{"query":["a"],"metadata":["x"]}`,
			[]any{"extra_logs", "haf_score", 0}, ofText("a")},
		{"OpenRLHF, address", "/get_reward?reward=implicit&model=m", `{"query":["a"],"prompts":["b"]}`,
			[]any{"rewards", 0}, ofText("a") / 2},
		{"vLLM classify", "/classify", `{"model":"x","input":"a"}`, []any{"data", 0, "probs", 0},
			ofText("a")},
		{"verl on vLLM", "/classify", `{"model":"some/path","input":"a","use_activation":false}`,
			[]any{"data", -1, "probs", -1}, ofText("a")},
		{"verl on older vLLM", "/classify", `{"model":"some/path","input":"a","activation":false}`,
			[]any{"data", -1, "probs", -1}, ofText("a")},
		{"vLLM classify, sigmoid", "/classify", `{"input":["a","b"],"use_activation":true}`,
			[]any{"data", 1, "probs", 0}, sig(ofText("b"))},
		{"vLLM classify, tokens", "/classify", `{"input":[1,2]}`, []any{"data", 0, "probs", 0},
			hashed("[1 2]|")},
		{"vLLM classify, lists of tokens", "/classify", `{"input":[[1,2],[3]]}`,
			[]any{"data", 1, "probs", 0}, hashed("[3]|")},
		{"vLLM classify, messages", "/classify", `{"messages":` + chat + `}`,
			[]any{"data", 0, "probs", 0}, ofPair("p", "r")},
		{"vLLM classify, conversations", "/classify", `{"messages":[` + chat + `,` + chat + `]}`,
			[]any{"data", 1, "probs", 0}, ofPair("p", "r")},
		{"vLLM pooling", "/pooling",
			`{"model":"x","input":"a","task":"classify","encoding_format":"float"}`,
			[]any{"data", 0, "data", 0}, ofText("a")},
		{"vLLM score", "/score", `{"model":"x","queries":"p","documents":["r","s"]}`,
			[]any{"data", 1, "score"}, ofPair("p", "s")},
		{"vLLM score, pairs", "/v1/score", `{"queries":["p","q"],"documents":["r","s"]}`,
			[]any{"data", 1, "score"}, ofPair("q", "s")},
		{"vLLM score, older", "/v1/score", `{"text_1":"p","text_2":"r","truncate_prompt_tokens":-1}`,
			[]any{"data", 0, "score"}, ofPair("p", "r")},
		{"SGLang", "/classify", `{"model":"x","text":"a"}`, []any{"embedding", 0}, ofText("a")},
		{"verl on SGLang", "/v1/embeddings", `{"model":"some/path","input":"a"}`,
			[]any{"data", -1, "embedding", -1}, ofText("a")},
		{"LLaMA-Factory", "/v1/score/evaluation", `{"model":"model","messages":["a","b"]}`,
			[]any{"scores", 1}, ofText("b")},
		{"LLaMA-Factory", "/v1/score/evaluation", `{"model":"model","messages":["a"],"max_length":5}`,
			[]any{"scores", 0}, ofText("a")},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, header := ask(t, h, c.path, c.body, 200)
			got, _ := dig(t, a, c.read...).(float64)
			if math.Abs(got-c.want) > 1e-12 {
				t.Errorf("%s %s: %v, want %v", c.path, c.body, a, c.want)
			}
			activation := header.Get("X-Haf-Activation")
			if wanted := strings.Contains(c.body,
				`"use_activation":true`); (activation == "sigmoid") != wanted {
				t.Errorf("%s %s: activation %q", c.path, c.body, activation)
			}
			if said := dig(t, a, "activation"); said != nil && said != activation {
				t.Errorf("the reply says %v, its header %v", said, activation)
			}
		})
	}

	data, _ := askRaw(t, h, "/classify", `{"text":["a","b"]}`, 200)
	var list []struct{ Embedding []float64 }
	if err := json.Unmarshal(data, &list); err != nil || len(list) != 2 ||
		list[1].Embedding[0] != ofText("b") {
		t.Errorf("SGLang's list: %s, %v", data, err)
	}
	data, _ = askRaw(t, h, "/classify", `{"input_ids":[[1],[2]]}`, 200)
	if err := json.Unmarshal(data, &list); err != nil || list[1].Embedding[0] != hashed("[2]|") {
		t.Errorf("SGLang's tokens: %s, %v", data, err)
	}

	// slime's clients want a bare number.
	data, _ = askRaw(t, h, "/remote_rm", `{"prompt":"a ","response":"b","label":"x"}`, 200)
	if got := strings.TrimSpace(string(data)); got != fmt.Sprint(ofText("a b")) {
		t.Errorf("slime: %s", got)
	}
	data, _ = askRaw(t, h, "/remote_rm?activation=sigmoid",
		`{"prompt":[{"role":"user","content":"p"}],"response":"r","label":null}`, 200)
	if got := strings.TrimSpace(string(data)); got != fmt.Sprint(sig(ofPair("p", "r"))) {
		t.Errorf("slime: %s", got)
	}

	for _, path := range []string{"/rerank", "/v1/rerank", "/v2/rerank"} {
		a, _ := ask(t, h, path, `{"model":"x","query":"p","documents":["r",{"text":"s"},"u"],"top_n":2}`,
			200)
		results := dig(t, a, "results").([]any)
		if len(results) != 2 {
			t.Fatalf("%v", a)
		}
		first, second := dig(t, results, 0, "relevance_score").(float64),
			dig(t, results, 1, "relevance_score").(float64)
		text := dig(t, results, 0, "document", "text").(string)
		if first < second || first != ofPair("p", text) ||
			int(dig(t, results, 0, "index").(float64)) != strings.Index("rsu", text) {
			t.Errorf("%v", a)
		}
	}

	for _, c := range []struct{ path, body, says string }{
		{"/get_reward", `{"query":[]}`, "missing or empty"},
		{"/get_reward", `{"query":["a",""]}`, "text 1 is empty"},
		{"/get_reward", `{"query":["a"],"prompts":["a","b"]}`, "2 prompts for 1 texts"},
		{"/get_reward?activation=softmax", `{"query":["a"]}`, "not known: raw or sigmoid"},
		{"/get_reward?path=/etc", `{"query":["a"]}`, "one of model, reward and activation"},
		{"/classify", `{"input":"a","softmax":true}`, "always 1"},
		{"/classify", `{"input":"a","chat_template":"{{ x }}"}`, "not run"},
		{"/classify", `{"input":"a","truncate_prompt_tokens":5}`, "own rule"},
		{"/classify", `{"input":"a","chat_template_kwargs":{"enable_thinking":false}}`,
			"to which no template is applied"},
		{"/classify", `{"messages":` + chat + `,"add_generation_prompt":true}`,
			"leave add_generation_prompt out"},
		{"/classify", `{"messages":` + chat + `,"tools":"search"}`, "want a list of tools"},
		{"/classify",
			`{"messages":[{"role":"user","content":"p"},{"role":"assistant","content":"","tool_calls":[{"id":"1"}]}]}`, "calls a tool"},
		{"/pooling",
			`{"messages":[{"role":"user","content":"p"},{"role":"assistant","content":"r","reasoning_content":"x"}]}`, "holds reasoning apart"},
		{"/v1/reward", `{"messages":` + chat + `,"chat_template_kwargs":3}`, "want an object"},
		{"/classify", `{"input":{"a":1}}`, "neither text"},
		{"/classify", `{"input":[1,"a"]}`, "neither text"},
		{"/classify", `{"input":[[1],{}]}`, "neither text"},
		{"/classify", `{}`, "missing or empty"},
		{"/classify", `{"input":"a","messages":` + chat + `}`, "one of them"},
		{"/classify", `{"text":"a","input_ids":[1]}`, "one of them"},
		{"/classify", `{"input_ids":"a"}`, "want tokens"},
		{"/pooling", `{"input":"a","task":"embed"}`, "not served"},
		{"/pooling", `{"input":"a","encoding_format":"hex"}`, "float or base64"},
		{"/v1/embeddings", `{"input":"a","dimensions":8}`, "has one"},
		{"/score", `{"queries":["a","b"],"documents":["c"]}`, "2 queries and 1 documents"},
		{"/score", `{"queries":["a"]}`, "0 documents"},
		{"/rerank", `{"documents":["c"]}`, "query is missing"},
		{"/rerank", `{"query":"a","documents":[{"image":"x"}]}`, "without text"},
		{"/rerank", `{"query":"a","documents":["c"],"top_n":-1}`, "0 or more"},
		{"/v1/score/evaluation", `{"messages":["a b c d e f"],"max_length":2}`, "more than max_length 2"},
		{"/v1/score/evaluation", `{"messages":["a"],"max_length":0}`, "1 or more"},
		{"/v1/score/evaluation", `{"messages":"a"}`, "want an array"},
		{"/remote_rm", `{"prompt":"a"}`, "response is missing"},
		{"/remote_rm", `{"response":"a"}`, "prompt is missing"},
		{"/remote_rm", `{"prompt":"","response":"a"}`, "prompt is empty"},
		{"/remote_rm", `{"prompt":[],"response":"a"}`, "no message"},
		{"/remote_rm", `{"prompt":7,"response":"a"}`, "want"},
	} {
		a, _ := ask(t, h, c.path, c.body, 400)
		if message, _ := dig(t, a, "error", "message").(string); !strings.Contains(message, c.says) {
			t.Errorf("%s %s: %q, want %q in it", c.path, c.body, message, c.says)
		}
	}
}

func TestOtherPaths(t *testing.T) {
	s, h := start(t, Config{Models: []Model{
		of("a", &fake{}), of("b", &fake{version: 1, names: []string{"score"}})},
		Combinations: []Combination{{Name: "both", Rule: rewarder.Rule{Name: rewarder.Sum},
			Terms: []Term{{Model: "a", Weight: 1}, {Model: "a", Reward: "implicit", Weight: 0.5},
				{Model: "b", Weight: -1}}}}})
	a, _ := ask(t, h, "/v1/models", "", 200)
	want(t, a, "b", "data", 1, "id")
	want(t, a, "combined", "data", 2, "rewards", 0)
	want(t, a, "a.implicit", "data", 2, "rewards", 2)
	ask(t, h, "/healthz", "", 200)
	ask(t, h, "/readyz", "", 200)
	ask(t, h, "/openapi.json", "", 200)
	r := ofPair("p", "r")
	a, _ = ask(t, h, "/v1/reward", `{"model":"both","prompt":"p","response":"r"}`, 200)
	want(t, a, r+0.5*r/2-(r+1), "data", 0, "reward")
	want(t, a, r+1, "data", 0, "rewards", "b.score")
	want(t, a, r/2, "data", 0, "rewards", "a.implicit")
	ask(t, h, "/v1/reward", `{"model":"both","prompt":"p","response":"r","tokens":true}`, 400)
	ask(t, h, "/v1/reward", `{"prompt":"p","response":"r"}`, 400)
	ask(t, h, "/classify", `{"model":"c","input":"p"}`, 404)
	a, _ = ask(t, h, "/classify?model=b", `{"model":"c","input":"p"}`, 200)
	want(t, a, ofText("p")+1, "data", 0, "probs", 0)
	metrics, _ := askRaw(t, h, "/metrics", "", 200)
	for _, line := range []string{`haf_requests_total{code="200",path="/v1/reward"} 1`,
		`haf_samples_total{model="b"} 2`, "haf_ready 1", `haf_waiting_tokens{model="a"} 0`} {
		if !strings.Contains(string(metrics), line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	for method, paths := range map[string][]string{http.MethodGet: {"/v1/reward"},
		http.MethodDelete: {"/healthz", "/v1/models"}, http.MethodPost: {"/metrics"}} {
		for _, path := range paths {
			request, _ := http.NewRequest(method, h.URL+path, nil)
			response, err := http.DefaultClient.Do(request)
			if err != nil || response.StatusCode != 405 || response.Header.Get("Allow") == "" {
				t.Errorf("%s %s: %v, %v", method, path, response, err)
			}
		}
	}
	response, err := http.Get(h.URL + "/../../etc/passwd")
	if err != nil || response.StatusCode != 404 {
		t.Errorf("%v, %v", response, err)
	}
	if s.calls.Load() != 0 || s.bodies.Load() != 0 {
		t.Errorf("%d calls and %d bytes are still counted", s.calls.Load(), s.bodies.Load())
	}
}
