package lm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling has the settings for drawing the next token. They apply in the order of the fields, as
// in transformers. The zero value is greedy: the most probable token, the first of equals.
type Sampling struct {
	// factor for logits of tokens in prompt or response: positive ones are divided by it, others
	// multiplied; 0 and 1 are none
	RepetitionPenalty float64
	Temperature       float64 // divides the logits; 0 is greedy
	// only the k most probable tokens, and those as probable as the last of them; 0 is all
	TopK int
	// only the most probable tokens that together reach this probability; 0 and 1 are all
	TopP float64
	// only tokens with at least this share of the largest probability; 0 is all
	MinP float64
	Seed uint64 // seed of the row's own random stream
}

// Check returns an error that names the first setting out of range.
func (s Sampling) Check() error {
	switch {
	case !(s.RepetitionPenalty >= 0 && s.RepetitionPenalty < math.Inf(1)):
		return fmt.Errorf("repetition penalty is %g, want a positive number, or 0 for none",
			s.RepetitionPenalty)
	case !(s.Temperature >= 0 && s.Temperature < math.Inf(1)):
		return fmt.Errorf("temperature is %g, want a positive number, or 0 for greedy", s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("top-k is %d, want a positive number, or 0 for all", s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("top-p is %g, want a probability, or 0 for all", s.TopP)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return fmt.Errorf("min-p is %g, want a share from 0 to 1", s.MinP)
	}
	return nil
}

// samplingStream keeps the random numbers of sampling apart from others of the same seed.
const samplingStream = 0x6861662f73616d70

// A sampler draws the tokens of one row.
type sampler struct {
	Sampling
	random *rand.Rand
	seen   map[int32]bool // for the penalty; nil where there is none
	logits []float64      // penalized, over the temperature; reused
	kept   []candidate    // reused
}

// A candidate is a token that may be drawn; weight is its probability up to a common factor.
type candidate struct {
	token  int32
	weight float64
}

func newSampler(s Sampling, prompt []int32) *sampler {
	out := &sampler{Sampling: s, random: rand.New(rand.NewPCG(s.Seed, samplingStream))}
	if s.RepetitionPenalty != 0 && s.RepetitionPenalty != 1 {
		out.seen = map[int32]bool{}
		for _, token := range prompt {
			out.seen[token] = true
		}
	}
	return out
}

// A draw is a token and its log-probability: under the model (logp) and under what it was drawn
// from (drawn), which the settings make of the model's distribution.
type draw struct {
	token       int32
	logp, drawn float64
}

// next draws a token. sum is the log-sum-exp of the logits [V]. Logits that are no numbers are an
// error.
func (s *sampler) next(logits []float32, sum float32) (draw, error) {
	if sum-sum != 0 {
		return draw{}, fmt.Errorf("lm: the model's logits are no numbers (their log-sum-exp is %v): its "+
			"weights are damaged", sum)
	}
	d := draw{}
	if s.Temperature == 0 {
		d.token = s.greedy(logits)
	} else {
		candidates, total := s.candidates(logits)
		c := pickCandidate(candidates, total*s.random.Float64())
		d.token, d.drawn = c.token, math.Log(c.weight/total)
	}
	d.logp = float64(logits[d.token]) - float64(sum)
	if s.seen != nil {
		s.seen[d.token] = true
	}
	return d, nil
}

// greedy returns the token of the largest penalized logit.
func (s *sampler) greedy(logits []float32) int32 {
	best, largest := int32(0), float32(math.Inf(-1))
	for token, x := range logits {
		if x > largest && !s.seen[int32(token)] {
			best, largest = int32(token), x
		}
	}
	for token := range s.seen {
		if x := float32(s.penalized(float64(logits[token]))); x > largest || x == largest &&
			token < best {
			best, largest = token, x
		}
	}
	return best
}

func (s *sampler) penalized(logit float64) float64 {
	if logit > 0 {
		return logit / s.RepetitionPenalty
	}
	return logit * s.RepetitionPenalty
}

// candidates returns the tokens that may be drawn and the sum of their weights. The slice is valid
// until the next call.
func (s *sampler) candidates(logits []float32) (kept []candidate, total float64) {
	s.logits = slices.Grow(s.logits[:0], len(logits))[:len(logits)]
	largest := math.Inf(-1)
	for token, x := range logits {
		s.logits[token] = float64(x) / s.Temperature
	}
	for token := range s.seen {
		s.logits[token] = s.penalized(float64(logits[token])) / s.Temperature
	}
	for _, z := range s.logits {
		largest = max(largest, z)
	}
	floor := math.Inf(-1)
	if s.TopK > 0 && s.TopK < len(s.logits) {
		floor = kthLargest(s.logits, s.TopK)
	}
	for token, z := range s.logits {
		if s.logits[token] = z - largest; z < floor {
			s.logits[token] = math.Inf(-1)
		}
	}
	kept = s.kept[:0]
	if s.TopP > 0 && s.TopP < 1 {
		kept = nucleus(kept, s.logits, s.TopP)
	} else {
		for token, z := range s.logits {
			if weight := math.Exp(z); weight > 0 {
				kept = append(kept, candidate{int32(token), weight})
			}
		}
	}
	s.kept = kept
	if s.MinP > 0 { // the largest weight is 1
		kept = slices.DeleteFunc(kept, func(c candidate) bool { return c.weight < s.MinP })
	}
	for _, c := range kept {
		total += c.weight
	}
	return kept, total
}

// nucleus appends the most probable tokens to kept, by falling probability, until their sum reaches
// p of the whole (nucleus sampling, arXiv 1904.09751); of equals the first comes first. logits have
// 0 for their largest.
func nucleus(kept []candidate, logits []float64, p float64) []candidate {
	whole := 0.0
	for _, z := range logits {
		whole += math.Exp(z)
	}
	// Sorting the vocabulary is dear and a few tokens hold most of the mass: take those above a floor,
	// lower it until they are enough.
	for floor := -8.0; ; floor *= 2 {
		kept = kept[:0]
		mass := 0.0
		for token, z := range logits {
			if z >= floor {
				weight := math.Exp(z)
				kept, mass = append(kept, candidate{int32(token), weight}), mass+weight
			}
		}
		if mass >= p*whole || math.IsInf(floor, -1) {
			break
		}
		if floor < -700 { // exp is 0 below
			floor = math.Inf(-1)
		}
	}
	slices.SortStableFunc(kept, func(a, b candidate) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return 0
	})
	sum := 0.0
	for i, c := range kept {
		if sum += c.weight; sum >= p*whole {
			return kept[:i+1]
		}
	}
	return kept
}

// pickCandidate returns the candidate at which the running sum of the weights passes u.
func pickCandidate(candidates []candidate, u float64) candidate {
	for _, c := range candidates {
		if u -= c.weight; u < 0 {
			return c
		}
	}
	return candidates[len(candidates)-1] // rounding
}

// kthLargest returns the k-th largest value; k is at most their number.
func kthLargest(x []float64, k int) float64 {
	heap := slices.Clone(x[:k]) // the k largest so far, the least of them at the root
	slices.Sort(heap)           // a sorted slice is a heap
	for _, v := range x[k:] {
		if v <= heap[0] {
			continue
		}
		at := 0
		for {
			child := 2*at + 1
			if child >= k {
				break
			}
			if child+1 < k && heap[child+1] < heap[child] {
				child++
			}
			if heap[child] >= v {
				break
			}
			heap[at] = heap[child]
			at = child
		}
		heap[at] = v
	}
	return heap[0]
}
