package lm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
	"haf/internal/shared"
	"haf/lm"
	"haf/weights"
)

// opened is a model for generation.
type opened struct {
	*lm.Generator
	config  *lm.Config
	weights []any
}

func openGenerator(t testing.TB, device *backend.Device, dir string) *opened {
	t.Helper()
	config, err := lm.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	o := &opened{config: config}
	var names []string
	for _, p := range lm.Params(config) {
		a, err := lm.ReadParam(ck, config, p)
		if err != nil {
			t.Fatal(err)
		}
		value := tensors.FromFlatDataAndDimensions(a.Data, a.Shape...)
		if err := value.ToDevice(device.Backend, 0); err != nil {
			t.Fatal(err)
		}
		names, o.weights = append(names, p.Name), append(o.weights, value)
	}
	o.Generator = lm.NewGenerator(device.Backend, &lm.Decoder{Config: config, DType: dtypes.Float32},
		func(args []*Node) lm.Weights {
			w := lm.Weights{}
			for i, name := range names {
				w[name] = args[i]
			}
			return w
		}, lm.NewGeneratorPrograms(device.Backend), false)
	t.Cleanup(o.Close)
	return o
}

// generate returns the sequences of the requests, in order.
func (o *opened) generate(t testing.TB, requests []lm.Request) []lm.Sequence {
	t.Helper()
	out := make([]lm.Sequence, len(requests))
	done := 0
	err := o.Run(context.Background(), o.weights, requests, func(i int, s lm.Sequence) error {
		out[i] = s
		done++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if done != len(requests) {
		t.Fatalf("%d of %d requests were done", done, len(requests))
	}
	return out
}

// TestAnother wants of a second generator the same bits for the same requests, and no program more.
func TestAnother(t *testing.T) {
	o := openGenerator(t, openDevice(t, "go"), filepath.Join(shared.Root(), "lm", "testdata", "llama"))
	requests := []lm.Request{{Prompt: []int32{5, 9, 3}, MaxTokens: 6}}
	want := o.generate(t, requests)
	own := o.Generator
	o.Generator = own.Another()
	got := o.generate(t, requests)
	if n := o.Programs(); n != 0 || own.Programs() == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d programs more; generated %v, want %v", n, got, want)
	}
	o.Close()
	o.Generator = own
	if got := o.generate(t, requests); !reflect.DeepEqual(got, want) {
		t.Errorf("after the second was closed: generated %v, want %v", got, want)
	}
}

// TestGreedyRealModels wants the tokens that transformers generates greedily for the stored texts,
// all of them in one batch.
func TestGreedyRealModels(t *testing.T) {
	var want map[string]struct {
		Cases []struct {
			IDs    []int32 `json:"ids"`
			Greedy []int32 `json:"greedy24"`
		}
	}
	data, err := os.ReadFile(shared.Path(t, "models/expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	device := openDevice(t, "")
	for name, model := range want {
		t.Run(name, func(t *testing.T) {
			dir := shared.Path(t, "models")
			if name == "stories260k" {
				dir = filepath.Join(dir, name)
			} else {
				dir = shared.Model(t, name)
			}
			o := openGenerator(t, device, dir)
			var requests []lm.Request
			for _, c := range model.Cases {
				requests = append(requests, lm.Request{Prompt: c.IDs, MaxTokens: len(c.Greedy)})
			}
			for i, s := range o.generate(t, requests) {
				if !slices.Equal(s.Tokens, model.Cases[i].Greedy) {
					t.Errorf("case %d: generated %v, transformers has %v", i, s.Tokens, model.Cases[i].Greedy)
				}
			}
		})
	}
}

// TestGenerateEqualsForward generates with every stored model, in rows of different lengths of
// which more are asked for than run at once, and wants of each sequence that the whole of it, run
// without a cache, gives its tokens the same log-probabilities.
func TestGenerateEqualsForward(t *testing.T) {
	for _, dir := range shared.Cases(t) {
		if filepath.Base(dir) == "adapter" {
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			device := openDevice(t, shared.CaseDevice(dir))
			o := openGenerator(t, device, dir)
			slow := openDevice(t, "go") // compiles nothing for the many lengths
			for _, hostWrites := range []bool{true, false} {
				o.SetHostWrites(hostWrites)
				o.Rows = 3
				var requests []lm.Request
				for i := range 5 {
					q := lm.Request{MaxTokens: 6 + 5*i}
					for p := range 3 + 7*((i+1)/2) { // two requests share a prompt
						q.Prompt = append(q.Prompt, int32((p*p*7+3*p+5+i/2)%o.config.Vocab))
					}
					if i%2 == 1 {
						q.Sampling = lm.Sampling{Temperature: 1.3, TopP: 0.9, Seed: uint64(i)}
					}
					requests = append(requests, q)
				}
				for i, s := range o.generate(t, requests) {
					if len(s.Tokens) != requests[i].MaxTokens || s.Ended != lm.EndedByLength {
						t.Fatalf("request %d ended by %s after %d tokens, want %d", i, s.Ended, len(s.Tokens),
							requests[i].MaxTokens)
					}
					checkSequence(t, slow, dir, requests[i], s)
				}
			}
		})
	}
}

// checkSequence compares a sequence with the forward pass over prompt and response.
func checkSequence(t *testing.T, device *backend.Device, dir string, q lm.Request, s lm.Sequence) {
	t.Helper()
	ids := append(slices.Clone(q.Prompt), s.Tokens...)
	_, logits := forward(t, device, dir, ids)
	v := len(logits) / len(ids)
	for k, token := range s.Tokens {
		at := len(q.Prompt) + k - 1
		row := logits[at*v : (at+1)*v]
		if want := float64(row[token]) - logSumExp(row); !(math.Abs(float64(s.LogP[k])-want) <= 1e-4) {
			t.Fatalf("log-probability of token %d is %g, without a cache %g", k, s.LogP[k], want)
		}
		if q.Sampling.Temperature == 0 && float64(slices.Max(row))-float64(row[token]) > 1e-4 {
			t.Fatalf("token %d is not the most probable one", k)
		}
	}
}

// smallest is a stored Llama on the pure Go device.
func smallest(t *testing.T) *opened {
	t.Helper()
	for _, dir := range shared.Cases(t) {
		if strings.HasPrefix(filepath.Base(dir), "llama") {
			return openGenerator(t, openDevice(t, "go"), dir)
		}
	}
	t.Fatal("no stored Llama")
	return nil
}

// TestGenerateAloneAndBeside wants of sampled rows that they do not depend on their neighbours, and
// that seeds matter.
func TestGenerateAloneAndBeside(t *testing.T) {
	o := smallest(t)
	var requests []lm.Request
	for i := range 6 {
		requests = append(requests, lm.Request{Prompt: []int32{1, 5, 9}, MaxTokens: 12,
			Sampling: lm.Sampling{Temperature: 1, TopK: 20, Seed: uint64(i)}})
	}
	beside := o.generate(t, requests)
	distinct := map[string]bool{}
	for i, q := range requests {
		alone := o.generate(t, []lm.Request{q})[0]
		if !slices.Equal(alone.Tokens, beside[i].Tokens) {
			t.Errorf("seed %d gave %v alone and %v beside others", i, alone.Tokens, beside[i].Tokens)
		}
		distinct[fmt.Sprint(alone.Tokens)] = true
	}
	if len(distinct) < 4 {
		t.Errorf("6 seeds gave %d different sequences", len(distinct))
	}
}

// TestGenerateEnds tries what a sequence can end by.
func TestGenerateEnds(t *testing.T) {
	o := smallest(t)
	q := lm.Request{Prompt: []int32{1, 5, 9}, MaxTokens: 10}
	all := o.generate(t, []lm.Request{q})[0].Tokens
	first := slices.Index(all, all[4])
	byToken, byStop := q, q
	byToken.End = []int32{all[4]}
	byStop.Stop = func(tokens []int32) bool { return len(tokens) == 3 }
	got := o.generate(t, []lm.Request{byToken, byStop, q})
	for i, want := range []struct {
		ended lm.Ending
		n     int
	}{{lm.EndedByToken, first + 1}, {lm.EndedByStop, 3}, {lm.EndedByLength, 10}} {
		if got[i].Ended != want.ended || !slices.Equal(got[i].Tokens, all[:want.n]) {
			t.Errorf("request %d ended by %q with %v, want %q with %v", i, got[i].Ended, got[i].Tokens,
				want.ended, all[:want.n])
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	o := smallest(t)
	good := lm.Request{Prompt: []int32{1}, MaxTokens: 2}
	for want, change := range map[string]func(*lm.Request){
		"no token":      func(q *lm.Request) { q.Prompt = nil },
		"at least 1":    func(q *lm.Request) { q.MaxTokens = 0 },
		"vocabulary":    func(q *lm.Request) { q.Prompt = []int32{1 << 30} },
		"temperature":   func(q *lm.Request) { q.Sampling.Temperature = math.NaN() },
		"top-p is 2":    func(q *lm.Request) { q.Sampling.TopP = 2 },
		"min-p":         func(q *lm.Request) { q.Sampling.MinP = -1 },
		"top-k":         func(q *lm.Request) { q.Sampling.TopK = -1 },
		"penalty is -1": func(q *lm.Request) { q.Sampling.RepetitionPenalty = -1 },
	} {
		q := good
		change(&q)
		err := o.Run(context.Background(), o.weights, []lm.Request{good, q},
			func(int, lm.Sequence) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "request 2") {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
	broken := errors.New("full")
	if err := o.Run(context.Background(), o.weights, []lm.Request{good},
		func(int, lm.Sequence) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("an error of done became %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.Run(ctx, o.weights, []lm.Request{good},
		func(int, lm.Sequence) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run ended with %v", err)
	}
	var side sync.WaitGroup // two runs at once
	for range 2 {
		side.Go(func() {
			if err := o.Run(context.Background(), o.weights, []lm.Request{good},
				func(int, lm.Sequence) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	side.Wait()
}
