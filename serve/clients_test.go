package serve_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"haf/internal/shared"
	"haf/pref"
	"haf/reward"
	"haf/serve"
)

// runDemo runs a server of the demo's model until the test ends and returns its address and the
// same model, opened beside it.
func runDemo(t *testing.T) (url string, local *reward.Model) {
	t.Helper()
	device, dir := demoModel(t)
	open := func() *reward.Model {
		m, err := reward.Open(device, dir, reward.Options{Positions: 128})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	source := serve.Model{Name: "demo",
		Load: func(ctx context.Context, before serve.Engine) (serve.Engine, error) {
			return open().Engine(
				ctx, reward.EngineOptions{Rewards: []string{reward.ByScore, reward.ByImplicit}})
		}}
	s, err := serve.New(serve.Config{Models: []serve.Model{source},
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, listener, nil) }()
	local = open()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		local.Close()
	})
	url = "http://" + listener.Addr().String()
	client, err := serve.NewClient(url, serve.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// it asks until it is ready
	if _, err := client.Score(t.Context(), []pref.Sample{ask("fox", "owl")}); err != nil {
		t.Fatal(err)
	}
	return url, local
}

// contractPython is the Python that has the clients, and the folder with the trainers' unpacked
// wheels: see `make contract`.
func contractPython(t *testing.T) (python, packages string) {
	t.Helper()
	dir := os.Getenv("HAF_CONTRACT")
	if dir == "" {
		t.Skip("HAF_CONTRACT does not name a folder with the clients: `make contract` makes one")
	}
	return filepath.Join(dir, "bin", "python"), filepath.Join(dir, "packages")
}

// TestRealClients asks by the clients that people have, where they are installed.
func TestRealClients(t *testing.T) {
	python, packages := contractPython(t)
	url, local := runDemo(t)
	var expected struct {
		Model     string              `json:"model"`
		Texts     []string            `json:"texts"`
		Prompts   []string            `json:"prompts"`
		Chats     []map[string]string `json:"chats"`
		Rewards   []float64           `json:"rewards"`
		Tolerance float64             `json:"tolerance"`
	}
	expected.Model, expected.Tolerance = "demo", 1e-5
	var samples []pref.Sample
	for _, c := range [][2]string{{"what does the fox eat", "the fox eats berries"},
		{"what does the fox eat", "the owl eats fish"},
		{"where does the owl live", "the owl lives in trees"},
		{"what does the fox eat", "the fox eats mice and berries"}} {
		samples = append(samples, ask(c[0], c[1]))
		prompt := "<s>" + c[0] + " :"
		expected.Prompts = append(expected.Prompts, prompt)
		expected.Texts = append(expected.Texts, prompt+" "+c[1]+"</s>")
		expected.Chats = append(expected.Chats, map[string]string{"prompt": c[0], "response": c[1]})
	}
	expected.Rewards = scored(t, local, reward.ByScore, samples)
	data, err := json.Marshal(expected)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "expected.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, filepath.Join(shared.Root(), "serve", "testdata", "contract.py"),
		url, file, packages).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("agree: %s", strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", ", "))
	for _, client := range []string{"openai", "cohere", "OpenRLHF", "verl", "LLaMA-Factory"} {
		if !strings.Contains(string(out), client) {
			t.Errorf("%s was not asked", client)
		}
	}
}

// TestSchemathesis has schemathesis make requests of openapi.json, good and bad, and wants no 5xx
// and no answer that the document has not.
func TestSchemathesis(t *testing.T) {
	python, _ := contractPython(t)
	url, _ := runDemo(t)
	examples := os.Getenv("HAF_EXAMPLES")
	if examples == "" {
		examples = "20"
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(python), "st"), "run", url+"/openapi.json",
		"--checks",
		"not_a_server_error,status_code_conformance,content_type_conformance,"+
			"response_schema_conformance,response_headers_conformance,unsupported_method,"+
			"allow_header_conformance",
		"--max-examples", examples, "--continue-on-failure", "--no-color", "--warnings", "off",
		"--phases", "examples,coverage,fuzzing", "--generation-deterministic")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tail := out[max(0, len(out)-700):]
	t.Logf("%s", tail)
}
