package serve_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"haf/backend"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/rewarder"
	"haf/rewarder/rewardertest"
	"haf/serve"
)

// demoModel trains the demo's model a few steps on the pure Go backend and returns its run.
func demoModel(t *testing.T) (*backend.Device, string) {
	t.Helper()
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	demo, err := recipe.WriteDemo(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	model, err := reward.Open(device, demo.Base, reward.Options{Train: true, MaxLength: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	random := rand.New(rand.NewPCG(1, 1))
	for _, p := range model.Trainable(reward.ScoreHead | reward.PolicyHead) {
		a, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Data {
			a.Data[i] += float32(0.1 * random.NormFloat64())
		}
		if err := model.Set(p, a); err != nil {
			t.Fatal(err)
		}
	}
	model.Meta.Objective.Beta = 0.1
	model.Meta.Heads = []string{"score", "policy"}
	out := filepath.Join(dir, "model")
	if err := model.Save(out); err != nil {
		t.Fatal(err)
	}
	return device, out
}

// scored are the named rewards of samples by a model opened here.
func scored(t *testing.T, m *reward.Model, name string, samples []pref.Sample) []float64 {
	t.Helper()
	scorer, err := rewarder.NewScorer(t.Context(), m.Reader(reward.ReaderOptions{}), name)
	if err != nil {
		t.Fatal(err)
	}
	rewards, err := scorer.Score(t.Context(), samples)
	if err != nil {
		t.Fatal(err)
	}
	return rewards
}

func ask(prompt, response string) pref.Sample {
	return pref.Sample{Prompt: []pref.Message{{Role: pref.User, Content: prompt}}, Response: response}
}

// TestRealModel serves a real model to several clients at once and wants of every one the rewards
// that an evaluation reads, whatever else was in the batch, before and after a reload, and no
// program compiled for a request.
func TestRealModel(t *testing.T) {
	device, dir := demoModel(t)
	names := []string{reward.ByScore, reward.ByImplicit, reward.ByNormalized}
	var mu sync.Mutex
	var models []*reward.Model
	source := serve.Model{Name: "demo",
		Load: func(ctx context.Context, before serve.Engine) (serve.Engine, error) {
			m, err := reward.Open(device, dir, reward.Options{Positions: 128})
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			models = append(models, m)
			former, _ := before.(*reward.Engine)
			return m.Engine(ctx, reward.EngineOptions{Rewards: names, Before: former})
		}}
	s, err := serve.New(serve.Config{Models: []serve.Model{source},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	defer func() { h.Close(); s.Close() }()

	var samples []pref.Sample
	for i := range 24 {
		samples = append(samples, ask(strings.Repeat("what does the fox eat ", 1+i%3), "the fox eats "+
			strings.Repeat("mice and berries ", i%9)))
	}
	local, err := reward.Open(device, dir, reward.Options{Positions: 128})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	want := map[string][]float64{}
	for _, name := range names {
		want[name] = scored(t, local, name, samples)
	}
	client := func(reward string, batch int) *serve.Client {
		c, err := serve.NewClient(h.URL, serve.ClientOptions{Reward: reward, Batch: batch})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	mu.Lock()
	compiled := models[0].Programs()
	mu.Unlock()
	for range 2 {
		var wg sync.WaitGroup
		for c := range 8 {
			wg.Go(func() {
				name := names[c%len(names)]
				got, err := client(name, 1+c).Score(t.Context(), samples)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range got {
					if math.Abs(got[i]-want[name][i]) > 1e-5 {
						t.Errorf("client %d: %s of sample %d is %v, an evaluation reads %v", c, name, i, got[i],
							want[name][i])
					}
				}
			})
		}
		wg.Wait()
		mu.Lock()
		if n := models[len(models)-1].Programs(); n != compiled {
			t.Errorf("%d programs, %d after it was made ready: one was compiled for a request", n, compiled)
		}
		mu.Unlock()
		if err := s.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	remote, err := client("", 0).Connect(t.Context(), serve.RemoteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rewardertest.Test(t, remote, rewardertest.Options{Samples: samples[:5], Tolerance: 1e-5})

	// A text that the trainer has made by the same template has the same reward.
	const query = `{"query":["<s>what does the fox eat  : the fox eats %s</s>"],"prompts":["<s>what does the fox eat  :"]}`
	response, err := h.Client().Post(h.URL+"/get_reward", "application/json",
		strings.NewReader(fmt.Sprintf(query, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, _ := io.ReadAll(response.Body)
	var r float64
	if _, err := fmt.Sscanf(string(data), `{"rewards":[%g`, &r); err != nil ||
		math.Abs(r-want[reward.ByScore][0]) > 1e-5 {
		t.Errorf("%s, want %v", data, want[reward.ByScore][0])
	}
}
