package rlhf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"haf/run"
)

// Numbers of consecutive steps after which haf reports something that may happen once by chance.
const (
	shortSteps      = 3 // with too short responses
	cutSteps        = 3 // with few responses that end
	negativeKLSteps = 3
	constantSteps   = 5 // from the start of the run, with equal rewards
)

// lowEOSRate is the share of responses with an end below which haf warns.
const lowEOSRate = 0.5

// health counts consecutive steps with a problem, for warnings and errors.
type health struct {
	Short       int `json:"short"`       // responses are too short
	Cut         int `json:"cut"`         // few responses end
	NegativeKL  int `json:"negative_kl"` // the KL is below 0 by more than its standard error
	Underfilled int `json:"underfilled"` // dynamic sampling did not fill the batch
	// Constant has a counter for each reward and then for their sum: the steps since the start of the
	// run, all of which gave every response the same value. It is −1 once values differed.
	Constant []int `json:"constant"`
}

// ErrRunaway is wrapped by the error for a policy that has moved too far from its reference.
var ErrRunaway = errors.New("the policy has left its reference")

// ErrNoAdvantage is wrapped by the error for a step whose rollouts all have advantage 0.
var ErrNoAdvantage = errors.New("no prompt has responses of unequal rewards")

// ErrConstantReward is wrapped by the error for a run whose reward never varies.
var ErrConstantReward = errors.New("the reward never varies")

// errNotFinite is wrapped if the KL or the entropy of rollouts is NaN or infinite.
var errNotFinite = errors.New("the policy's log-probabilities are not finite")

// guard checks the rollouts before the policy learns from them.
func (r *optimization) guard(c *run.PolicyStep) error {
	if !(c.KL-c.KL == 0 && c.Entropy-c.Entropy == 0) {
		return fmt.Errorf("rlhf: %w: the KL is %g and the entropy %g: lower train.lr or set train.clip, "+
			"and start from an earlier checkpoint", errNotFinite, c.KL, c.Entropy)
	}
	if limit := r.opt.KLLimit; limit > 0 && c.KL > limit {
		return fmt.Errorf("rlhf: %w: the KL of a response is %.1f nats, the limit %.1f (rlhf.kl_limit): "+
			"raise rlhf.kl_coefficient or set rlhf.kl_target, lower train.lr, or raise the limit if "+
			"that is wanted", ErrRunaway, c.KL, limit)
	}
	h := &r.state.Health
	if inARow(&h.Short, c.Length < r.opt.MinLength) == shortSteps {
		r.progress.Logf("warning: for %d steps responses have had fewer than %g tokens (now %.1f): the "+
			"reward favours short ones; look at them, lower rlhf.length_cost, raise "+
			"rlhf.kl_coefficient, or lower rlhf.min_length if that is wanted",
			shortSteps, r.opt.MinLength, c.Length)
	}
	if inARow(&h.Cut, c.EOSRate < lowEOSRate) == cutSteps {
		r.progress.Logf("warning: for %d steps most responses were cut at rlhf.max_tokens = %d "+
			"(eos_rate is %.2f), so the rewards are of unfinished answers: raise rlhf.max_tokens, set "+
			"rlhf.missing_eos_penalty or rlhf.overlong_cache, or set rlhf.stop if the policy has no "+
			"end token", cutSteps, r.opt.MaxTokens, c.EOSRate)
	}
	if inARow(&h.NegativeKL, c.KL < -c.KLError) == negativeKLSteps {
		r.progress.Logf("warning: for %d steps the mean KL to the reference has been negative (now "+
			"%.3f ± %.3f nats a response)%s; likely cause: %s", negativeKLSteps, c.KL, c.KLError,
			r.opt.negativeKLEffect(), r.opt.negativeKLCause(c))
	}
	return nil
}

// inARow counts consecutive steps with a condition, and returns their number.
func inARow(count *int, so bool) int {
	if !so {
		*count = 0
		return 0
	}
	*count++
	return *count
}

// negativeKLEffect describes the effect of a negative KL, or returns "".
func (o Options) negativeKLEffect() string {
	if o.KLInLoss || o.Estimator != K1 {
		return ""
	}
	return ", which rewards the policy for it"
}

// maxLogpDifference is the largest mean difference, in nats per token, between log-probabilities of
// sampling and of learning that rounding explains. Float32 programs differ by about 1e-5.
const maxLogpDifference = 0.01

// negativeKLCause names the likely cause of a negative mean KL. If the responses come from the
// policy itself, only chance can make the mean of k1 negative.
func (o Options) negativeKLCause(c *run.PolicyStep) string {
	var set []string
	s := o.Sampling
	for _, k := range []struct {
		key     string
		value   float64
		changes bool
	}{
		{"temperature", s.Temperature, s.Temperature != 1},
		{"top_k", float64(s.TopK), s.TopK > 0},
		{"top_p", s.TopP, s.TopP > 0 && s.TopP < 1},
		{"min_p", s.MinP, s.MinP > 0},
		{"repetition_penalty", s.RepetitionPenalty,
			s.RepetitionPenalty != 0 && s.RepetitionPenalty != 1},
	} {
		if k.changes {
			set = append(set, fmt.Sprintf("rlhf.%s = %g", k.key, k.value))
		}
	}
	switch {
	case len(set) > 0:
		return fmt.Sprintf("responses are sampled with %s, but their log-probabilities are those of "+
			"temperature 1 without cuts: leave these keys out, or set rlhf.kl_estimator = \"k3\" "+
			"with rlhf.kl_placement = \"loss\"", strings.Join(set, ", "))
	case c.LogpDifference > maxLogpDifference:
		return fmt.Sprintf("log-probabilities read for learning differ from those of sampling by %.3f "+
			"nats a token (sampling_logp_difference): set model.dtype = \"float32\"", c.LogpDifference)
	}
	return fmt.Sprintf("chance, because the mean is over %d responses: raise train.batch or "+
		"rlhf.num_generations, or set rlhf.kl_estimator = \"k3\", which is never negative",
		c.Groups*o.NumGenerations)
}

// checkConstant counts the steps from the start of the run in which a reward gave all responses the
// same value. It warns if one reward of several has never varied, and returns an error if their sum
// has not.
func (r *optimization) checkConstant(all []*rollout) error {
	h := &r.state.Health
	h.Constant = slices.Clone(h.Constant) // the state before the step keeps its slice
	for len(h.Constant) <= len(r.Rewards) {
		h.Constant = append(h.Constant, 0)
	}
	for i := range h.Constant {
		sum := i == len(r.Rewards)
		of := func(a *response) float64 {
			if sum {
				return a.score
			}
			return a.rewards[i]
		}
		if h.Constant[i] < 0 || !equal(perResponse(all, of)) {
			h.Constant[i] = -1
			continue
		}
		h.Constant[i]++
		value := of(all[0].responses[0])
		switch {
		case h.Constant[i] != constantSteps:
		case sum:
			return r.constantReward(value)
		case len(r.Rewards) > 1:
			r.progress.Logf("warning: reward %q was %g for every response of the first %d steps: "+
				"it teaches the policy nothing; %s", r.Rewards[i].Name, value, constantSteps, constantCauses)
		}
	}
	return nil
}

const constantCauses = "look for a rule that never applies, a server that answers the softmax of " +
	"one label, a score head that was never trained, or a reward model that cuts every response " +
	"away: score a good and a bad response with haf score"

// constantReward returns the error for a sum of rewards that has never varied.
func (r *optimization) constantReward(value float64) error {
	var names []string
	for _, from := range r.Rewards {
		names = append(names, fmt.Sprintf("%q", from.Name))
	}
	return fmt.Errorf("rlhf: %w: the reward (%s) was %g for every response of the first %d steps, so "+
		"there is nothing to learn: %s", ErrConstantReward, strings.Join(names, " + "), value,
		constantSteps, constantCauses)
}

// underfilled handles a batch that dynamic sampling did not fill. Without any rollout it returns an
// error; otherwise it warns, and the policy learns from the smaller batch.
func (r *optimization) underfilled(d drawing) error {
	what := fmt.Sprintf("%d of %d prompts, after %d rounds (rlhf.max_sampling_rounds), have "+
		"responses of unequal rewards; the rewards of %d prompts are all equal", len(d.kept), r.opt.Batch,
		d.rounds, d.dropped)
	const advice = "choose prompts that the policy answers well only sometimes, raise " +
		"rlhf.num_generations or rlhf.temperature, or use a finer reward"
	if len(d.kept) == 0 {
		return fmt.Errorf("rlhf: %w: %s (mean reward %.3f): %s", ErrNoAdvantage, what,
			meanScore(d.all), advice)
	}
	if inARow(&r.state.Health.Underfilled, true) == 1 {
		r.progress.Logf("warning: step %d: %s: haf learns from the smaller batch; %s",
			r.state.Step+1, what, advice)
	}
	return nil
}

func meanScore(rollouts []*rollout) float64 {
	mean, _, _ := moments(perResponse(rollouts, func(a *response) float64 { return a.score }))
	return mean
}
