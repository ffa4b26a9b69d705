// Package bench_test measures haf serve beside scoring in batch and beside the server that a user
// would write instead. It prints, and asserts no time: `make bench-serve` runs it on a quiet
// machine.
package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"haf/backend"
	"haf/pref"
	"haf/reward"
	"haf/rewarder"
)

// load is what a run of the load test measured.
type load struct {
	Name     string  `json:"name"`
	Rate     float64 `json:"responses_per_second"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	rewards  []float64
	Requests int `json:"requests"`
}

// text is a conversation as a trainer sends it: whole, and its prompt.
type text struct{ whole, prompt string }

// TestServe loads the server with 32 clients, each with one response a request, on real HH-helpful
// responses.
func TestServe(t *testing.T) {
	base, data := os.Getenv("HAF_BENCH_MODEL"), os.Getenv("HAF_BENCH_DATA")
	if base == "" || data == "" {
		t.Skip("HAF_BENCH_MODEL and HAF_BENCH_DATA do not name a model and preferences: `make " +
			"bench-serve` does")
	}
	n, clients := number(t, "HAF_BENCH_RESPONSES", 512), number(t, "HAF_BENCH_CLIENTS", 32)
	dir := t.TempDir()
	folder := filepath.Join(dir, "rm")
	samples, texts, batch := inBatch(t, base, data, folder, n)
	fmt.Printf("%d responses, %d clients\n%s\n", len(samples), clients, line(batch))

	program := filepath.Join(dir, "haf")
	if out, err := exec.Command("go", "build", "-o", program,
		"../cmd/haf").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	serve := func() *server {
		port := strconv.Itoa(freePort(t))
		return start(t, "http://127.0.0.1:"+port, "/readyz", program, "serve", folder, "-addr",
			"127.0.0.1:"+port, "-log", "warn", "-max-length", "512")
	}
	baseline := func() *server {
		port := strconv.Itoa(freePort(t))
		return start(t, "http://127.0.0.1:"+port, "/docs", os.Getenv("HAF_BENCH_PYTHON"), "serve_peer.py",
			folder, port)
	}
	sides := []side{{name: "haf serve", start: serve},
		{name: "FastAPI and transformers", start: baseline}}
	if os.Getenv("HAF_BENCH_PYTHON") == "" {
		fmt.Println(
			"HAF_BENCH_PYTHON names no Python with bench/requirements.txt: the baseline is left out")
		sides = sides[:1]
	}
	for range number(t, "HAF_BENCH_ROUNDS", 3) { // in turn
		for i := range sides {
			s := &sides[i]
			running := s.start()
			l := run(t, s.name, running.address+"/get_reward", texts, clients)
			running.stop()
			fmt.Println(line(l))
			s.loads = append(s.loads, l)
		}
	}
	served := sides[0].median()
	fmt.Printf("medians: haf serve has %.3f of the rate of haf score in batch (wanted: 0.9 or more)\n",
		served.Rate/batch.Rate)
	fmt.Printf("rewards are from %.3g to %.3g; the largest difference from haf score's is %.2g\n",
		slices.Min(batch.rewards), slices.Max(batch.rewards), difference(served, batch))
	if len(sides) > 1 {
		baseline := sides[1].median()
		fmt.Printf("medians: haf serve has %.2f times the baseline's rate (wanted: 2 or more), its p99 "+
			"is %.2f of the baseline's (wanted: less than 1)\n", served.Rate/baseline.Rate,
			served.P99/baseline.P99)
		fmt.Printf("the largest difference of a reward from the baseline's is %.2g\n",
			difference(served, baseline))
	}
}

// A side is a server and what was measured of it.
type side struct {
	name  string
	start func() *server
	loads []load
}

// median has the medians of the rates and of the waiting times, and the last rewards.
func (s *side) median() load {
	middle := func(of func(load) float64) float64 {
		var x []float64
		for _, l := range s.loads {
			x = append(x, of(l))
		}
		slices.Sort(x)
		return x[len(x)/2]
	}
	m := s.loads[len(s.loads)-1]
	m.Rate, m.P50, m.P99 = middle(func(l load) float64 { return l.Rate }),
		middle(func(l load) float64 { return l.P50 }), middle(func(l load) float64 { return l.P99 })
	return m
}

func number(t *testing.T, name string, standard int) int {
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number of 1 or more", name, text)
	}
	return n
}

func line(l load) string {
	if l.P99 == 0 { // of a pass in batch, where nobody waits for one response
		return fmt.Sprintf("%-26s %8.2f responses/s", l.Name, l.Rate)
	}
	return fmt.Sprintf("%-26s %8.2f responses/s   p50 %8.1f ms   p99 %8.1f ms", l.Name, l.Rate, l.P50,
		l.P99)
}

func difference(a, b load) float64 {
	most := 0.0
	for i := range a.rewards {
		most = max(most, math.Abs(a.rewards[i]-b.rewards[i]))
	}
	return most
}

// inBatch makes a reward model of the base, in a folder that transformers opens, too, and scores
// the first n responses that fit in 512 tokens as haf score does: 256 at a time. What a first pass
// compiles is not in its time.
func inBatch(
	t *testing.T, base, data, folder string, n int,
) (samples []pref.Sample, texts []text, l load) {
	device, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	trained, err := reward.Open(device, base, reward.Options{Train: true, MaxLength: 512})
	if err != nil {
		t.Fatal(err)
	}
	head := trained.Params()[len(trained.Params())-1]
	a, err := head.Read()
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Data {
		a.Data[i] = float32(0.1 * math.Sin(float64(i+1)))
	}
	if err := trained.Set(head, a); err != nil {
		t.Fatal(err)
	}
	trained.Meta.Heads = []string{"score"}
	if err := trained.Save(folder); err != nil {
		t.Fatal(err)
	}
	trained.Close()
	model, err := reward.Open(device, folder, reward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	groups, _, err := pref.Load([]string{data}, pref.Options{Limit: n})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		for _, s := range g.Samples() {
			c, cut, err := model.Encoder.Conversation(s.Prompt, s.Response)
			if err != nil || cut || len(samples) == n {
				continue
			}
			samples = append(samples, s)
			texts = append(texts, text{model.Tokenizer.Decode(c.Tokens, false),
				model.Tokenizer.Decode(c.Tokens[:c.Response], false)})
		}
	}
	reader := model.Reader(reward.ReaderOptions{Batch: 256})
	pass := func() {
		l.rewards = nil
		r, err := reader.Read(t.Context(), rewarder.Alone(samples), []string{reward.ByScore})
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range r.Rewards[reward.ByScore] {
			l.rewards = append(l.rewards, of...)
		}
	}
	pass()
	begin := time.Now()
	pass()
	l.Name, l.Rate = "haf score, in batch", float64(len(samples))/time.Since(begin).Seconds()
	return samples, texts, l
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A server is a process that answers at an address.
type server struct {
	address string
	stop    func()
}

// start runs a server and waits until it is ready.
func start(t *testing.T, address, ready, program string, args ...string) *server {
	cmd := exec.Command(program, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cmd.Process.Kill()
			<-ended
		})
	}
	t.Cleanup(stop)
	for range 3000 {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s: %v\n%s", program, err, stderr.String())
		case <-time.After(100 * time.Millisecond):
		}
		if r, err := http.Get(address + ready); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return &server{address, stop}
			}
		}
	}
	t.Fatalf("%s was not ready: %s", program, stderr.String())
	return nil
}

// run sends every text once, as a request of its own, from the clients, each of which waits for its
// answer; a first pass over a few warms the server up.
func run(t *testing.T, name, url string, texts []text, clients int) load {
	l := load{Name: name, rewards: make([]float64, len(texts)), Requests: len(texts)}
	took := make([]float64, len(texts))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	one := func(i int) {
		body, err := json.Marshal(map[string][]string{"query": {texts[i].whole},
			"prompts": {texts[i].prompt}, "labels": {""}})
		if err != nil {
			t.Error(err)
			return
		}
		begin := time.Now()
		response, err := client.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		took[i] = 1000 * time.Since(begin).Seconds()
		var reply struct{ Rewards []float64 }
		if err != nil || response.StatusCode != http.StatusOK || json.Unmarshal(data, &reply) != nil ||
			len(reply.Rewards) != 1 {
			t.Errorf("%s: %d %s, %v", name, response.StatusCode, data, err)
			return
		}
		l.rewards[i] = reply.Rewards[0]
	}
	pass := func(n int) time.Duration {
		var next atomic.Int64
		var wg sync.WaitGroup
		begin := time.Now()
		for range clients {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
					one(i)
				}
			})
		}
		wg.Wait()
		return time.Since(begin)
	}
	pass(min(len(texts), clients))
	l.Rate = float64(len(texts)) / pass(len(texts)).Seconds()
	slices.Sort(took)
	l.P50, l.P99 = took[len(took)/2], took[min(len(took)-1, len(took)*99/100)]
	return l
}
