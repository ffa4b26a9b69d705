package rlhf

import (
	"fmt"
	"math"
)

// Shaping turns the scorer's reward of a response into the reward to optimize: normalized, clipped,
// minus costs.
type Shaping struct {
	// "none", "scale" (divide by the running standard deviation) or "standard" (subtract the mean
	// first)
	Normalize  string
	RewardClip float64 // bound ± of the normalized reward; 0 is none
	// Length is subtracted from a response of MaxTokens tokens, and proportionally less from a shorter
	// one.
	Length float64
	// Repetition times the share of repeated trigrams is subtracted from a response.
	Repetition float64
	MissingEOS float64 // subtracted from a response cut at MaxTokens
	MaxTokens  int
	Overlong   Overlong
}

// An Overlong is the soft penalty for long responses, equation 13 of DAPO (arXiv 2503.14476). A
// response of L tokens loses
//
//	0                                          L ≤ MaxLength − Cache
//	Penalty · (L − MaxLength + Cache) / Cache  MaxLength − Cache < L ≤ MaxLength
//	Penalty                                    MaxLength < L
type Overlong struct {
	Cache     int     // tokens below MaxLength over which the penalty grows; 0 is no penalty
	MaxLength int     // response tokens with the full penalty; 0 is Shaping.MaxTokens
	Penalty   float64 // at MaxLength tokens; DAPO's is 1
}

// Of returns the penalty of a response with that many tokens.
func (o Overlong) Of(tokens int) float64 {
	if o.Cache == 0 {
		return 0
	}
	over := float64(tokens-o.MaxLength+o.Cache) / float64(o.Cache)
	return o.Penalty * min(max(over, 0), 1)
}

// check validates the penalty for responses of at most maxTokens.
func (o Overlong) check(maxTokens int) error {
	longest := o.MaxLength
	if longest == 0 {
		longest = maxTokens
	}
	switch {
	case o.Cache < 0 || o.MaxLength < 0:
		return fmt.Errorf("rlhf: overlong_cache is %d and overlong_max_length %d tokens, "+
			"want 0 or more", o.Cache, o.MaxLength)
	case o.Cache == 0:
		return nil
	case o.Cache > longest:
		return fmt.Errorf("rlhf: overlong_cache is %d tokens, want at most %d, the length at which "+
			"the penalty is full", o.Cache, longest)
	case longest-o.Cache >= maxTokens:
		return fmt.Errorf("rlhf: the overlong penalty begins above %d tokens, but max_tokens is %d: "+
			"lower overlong_max_length or raise overlong_cache", longest-o.Cache, maxTokens)
	case !(o.Penalty > 0 && o.Penalty < math.Inf(1)):
		return fmt.Errorf("rlhf: overlong_penalty is %g, want a positive number; "+
			"overlong_cache = 0 turns the penalty off", o.Penalty)
	}
	return nil
}

// The choices of Shaping.Normalize.
const (
	NormalizeNone     = "none"
	NormalizeScale    = "scale"
	NormalizeStandard = "standard"
)

func (s Shaping) check() error {
	if s.Normalize != NormalizeNone && s.Normalize != NormalizeScale &&
		s.Normalize != NormalizeStandard {
		return fmt.Errorf("rlhf: normalize is %q, want %s, %s or %s", s.Normalize, NormalizeNone,
			NormalizeScale, NormalizeStandard)
	}
	for _, p := range []struct {
		name  string
		value float64
	}{{"reward clip", s.RewardClip}, {"length cost", s.Length}, {"repetition cost", s.Repetition},
		{"missing-EOS penalty", s.MissingEOS}} {
		if !(p.value >= 0 && p.value < math.Inf(1)) {
			return fmt.Errorf("rlhf: %s is %g, want 0 (none) or more", p.name, p.value)
		}
	}
	return nil
}

// Running are the moments of all scores so far, by Welford's method, with Chan's formula to merge
// parts.
type Running struct {
	Count   float64 `json:"count"`
	Mean    float64 `json:"mean"`
	Squares float64 `json:"squares"` // sum of squared deviations from the mean
}

// Add includes more scores.
func (r *Running) Add(scores []float64) {
	mean, std, n := moments([][]float64{scores})
	if n == 0 {
		return
	}
	count, distance := float64(n), mean-r.Mean
	r.Squares += std*std*(count-1) + distance*distance*r.Count*count/(r.Count+count)
	r.Mean += distance * count / (r.Count + count)
	r.Count += count
}

// Std is the sample standard deviation; 0 for fewer than two scores.
func (r Running) Std() float64 {
	if r.Count < 2 {
		return 0
	}
	return math.Sqrt(r.Squares / (r.Count - 1))
}

// Shape returns the shaped reward of a response from its score and tokens. running holds the
// moments of the scores so far, including this one.
func (s Shaping) Shape(score float64, tokens []int32, ended bool, running Running) float64 {
	if s.Normalize == NormalizeStandard {
		score -= running.Mean
	}
	if std := running.Std(); s.Normalize != NormalizeNone && std > 0 {
		score /= std
	}
	if s.RewardClip > 0 {
		score = min(max(score, -s.RewardClip), s.RewardClip)
	}
	score -= s.Length*float64(len(tokens))/float64(s.MaxTokens) + s.Repetition*repeated(tokens)
	score -= s.Overlong.Of(len(tokens))
	if !ended {
		score -= s.MissingEOS
	}
	return score
}

// repeated is the share of trigrams that occurred before in the response.
func repeated(tokens []int32) float64 {
	seen := map[[3]int32]bool{}
	again := 0
	for i := 2; i < len(tokens); i++ {
		gram := [3]int32(tokens[i-2 : i+1])
		if seen[gram] {
			again++
		}
		seen[gram] = true
	}
	return float64(again) / math.Max(1, float64(len(tokens)-2))
}

// tokenRewards returns the rewards of a response's tokens: −β KL for each, plus the shaped reward
// on the last. Without logps there is no KL term.
func tokenRewards(
	shaped float64, n int, logps, refs []float64, estimator Estimator, kl float64,
) []float64 {
	rewards := make([]float64, n)
	for t := range logps {
		rewards[t] = -kl * estimator.Of(logps[t], refs[t])
	}
	rewards[n-1] += shaped
	return rewards
}
