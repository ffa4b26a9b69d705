package lm

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// TestStoredSampling compares what may be drawn, and how probably, with transformers' processors.
func TestStoredSampling(t *testing.T) {
	data, err := os.ReadFile("testdata/sampling.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Settings      Sampling
		Prompt        []int32
		Logits        []float32
		Probabilities []float64
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		got := make([]float64, len(c.Logits))
		candidates, total := newSampler(c.Settings, c.Prompt).candidates(c.Logits)
		for _, kept := range candidates {
			got[kept.token] = kept.weight / total
		}
		for token, want := range c.Probabilities {
			if !(math.Abs(got[token]-want) <= 1e-6) || (got[token] == 0) != (want == 0) {
				t.Errorf("%+v: token %d has probability %g, transformers has %g", c.Settings, token, got[token],
					want)
			}
		}
	}
}

// TestDrawFrequencies draws often and compares with the distribution: within five standard
// deviations of each token's count.
func TestDrawFrequencies(t *testing.T) {
	logits := []float32{2, 1, 0.5, -1, -3, 1}
	s := newSampler(Sampling{Temperature: 0.7, TopP: 0.95, Seed: 3}, nil)
	candidates, total := s.candidates(logits)
	want := map[int32]float64{}
	for _, c := range candidates {
		want[c.token] = c.weight / total
	}
	const n = 20000
	counts := map[int32]float64{}
	sum := float32(logSum(logits))
	for range n {
		d, err := s.next(logits, sum)
		if err != nil {
			t.Fatal(err)
		}
		counts[d.token]++
		if math.Abs(d.drawn-math.Log(want[d.token])) > 1e-12 ||
			math.Abs(d.logp-(float64(logits[d.token])-logSum(logits))) > 1e-6 {
			t.Fatalf("token %d: log-probabilities %g and %g", d.token, d.logp, d.drawn)
		}
	}
	for token := range logits {
		p := want[int32(token)]
		if deviation := math.Sqrt(n * p * (1 - p)); math.Abs(counts[int32(token)]-n*p) > 5*deviation {
			t.Errorf("token %d was drawn %g times, expected %g ± %g", token, counts[int32(token)], n*p,
				deviation)
		}
	}
}

func logSum(logits []float32) float64 {
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x))
	}
	return math.Log(sum)
}

func TestGreedyPenalty(t *testing.T) {
	for want, s := range map[int32]*sampler{
		1: newSampler(Sampling{}, []int32{1}),
		2: newSampler(Sampling{RepetitionPenalty: 2}, []int32{1}),
		0: newSampler(Sampling{RepetitionPenalty: 3}, []int32{1, 2}),
	} {
		if got := s.greedy([]float32{0.9, 2, 1.5, -1}); got != want {
			t.Errorf("penalty %g: token %d, want %d", s.RepetitionPenalty, got, want)
		}
	}
	if got := newSampler(Sampling{RepetitionPenalty: 2},
		[]int32{0, 1}).greedy([]float32{-1, -1.5}); got != 0 {
		t.Errorf("where all are penalized, token %d, want 0", got)
	}
	if _, err := newSampler(Sampling{}, nil).next([]float32{float32(math.NaN())},
		float32(math.NaN())); err == nil {
		t.Error("a logit that is no number was accepted")
	}
}

func TestKthLargest(t *testing.T) {
	x := []float64{3, 9, 1, 7, 7, 2, 8, 5, 7, 0}
	for k, want := range map[int]float64{1: 9, 2: 8, 3: 7, 5: 7, 6: 5, 10: 0} {
		if got := kthLargest(x, k); got != want {
			t.Errorf("the %d-th largest is %g, want %g", k, got, want)
		}
	}
}

func TestRoundUp(t *testing.T) {
	for n, want := range map[int]int{1: 64, 64: 64, 65: 96, 97: 128, 129: 192, 200: 256, 1000: 1024} {
		if got := roundUp(n, 64); got != want {
			t.Errorf("%d is rounded up to %d, want %d", n, got, want)
		}
	}
}
