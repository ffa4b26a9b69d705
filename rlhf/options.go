package rlhf

import (
	"fmt"
	"math"

	"haf/lm"
	"haf/optim"
	"haf/reward"
)

// The algorithms.
const (
	PPO  = "ppo"
	RLOO = "rloo"
	GRPO = "grpo"
)

// Sources of PPO's values.
const (
	ValueHead     = "head"     // a separate head on the policy's decoder
	ValueSeparate = "separate" // the score head of a second model, read at every token
)

// Ways to average the losses of tokens.
const (
	AggregateByToken    = "token"    // over all tokens
	AggregateBySequence = "sequence" // over the tokens of each response, then over the responses
)

// Options set how a policy is optimized.
type Options struct {
	Algorithm      string
	Epochs         int // passes over the prompts; 0 is no limit
	MaxSteps       int // rollout steps; 0 is no limit
	Batch          int // prompts per step
	NumGenerations int // responses to each prompt
	NumPPOEpochs   int // passes over a step's rollouts
	Minibatch      int // prompts per optimizer step; 0 is all prompts of the step
	Rows           int // responses generated in parallel; 0 is the default

	MaxTokens int // per response
	Sampling  lm.Sampling
	Stop      []string // texts that end a response; they are not scored

	KL        Coefficient
	Estimator Estimator
	KLInLoss  bool // else the KL is in the reward
	Shaping   Shaping

	Gamma, Lambda    float64 // of GAE
	Clip, ValueClip  float64
	ValueCoef        float64
	Value            string // ValueHead or ValueSeparate; PPO's
	CriticLR         float64
	LossAggregation  string
	WhitenRewards    bool
	WhitenAdvantages bool
	ScaleGroup       bool // GRPO divides by the group's standard deviation

	// DynamicSampling replaces prompts whose responses all have the same reward by other prompts,
	// until the batch is full or the step has drawn MaxSamplingRounds batches of prompts (arXiv
	// 2503.14476).
	DynamicSampling   bool
	MaxSamplingRounds int

	// EvalEvery is the number of steps between evaluations on Task.HeldOut; 0 is none.
	EvalEvery int
	// EvalGenerations is the number of responses sampled for each held-out prompt, with the sampling
	// of training; 0 is one greedy response.
	EvalGenerations int
	BestAsResult    bool // save the policy of the best evaluation, not the last one

	KLLimit   float64 // nats per response at which the run stops; 0 never stops
	MinLength float64 // mean tokens per response below which haf warns

	Optimizer       optim.AdamW
	CheckpointEvery int // steps; 0 is only at an interrupt
	SaveEvery       int // steps between models that are kept; 0 is none
	Seed            uint64
	Fingerprint     string // of recipe and data, for resuming

	steps int // of the whole run; set by forPrompts
}

// Default returns the default settings of an algorithm: TRL's, with the paper's reward scaling and
// clipping for PPO.
func Default(algorithm string) Options {
	o := Options{
		Algorithm: algorithm, Epochs: 1, Batch: 16, NumGenerations: 1, NumPPOEpochs: 4, MaxTokens: 128,
		Sampling: lm.Sampling{Temperature: 1},
		KL:       Coefficient{Start: 0.05, Horizon: 10000}, Estimator: K1,
		Shaping: Shaping{Normalize: NormalizeScale, RewardClip: 3, Overlong: Overlong{Penalty: 1}},
		Gamma:   1, Lambda: 0.95, Clip: 0.2, ValueClip: 0.2, ValueCoef: 0.1, Value: ValueHead,
		LossAggregation: AggregateByToken, WhitenAdvantages: true, ScaleGroup: true,
		MaxSamplingRounds: 10, KLLimit: 200, MinLength: 4,
	}
	switch algorithm {
	case RLOO:
		o.NumGenerations, o.NumPPOEpochs, o.WhitenAdvantages = 4, 1, false
		o.Shaping.Normalize, o.Shaping.RewardClip = NormalizeNone, 0
	case GRPO:
		o.NumGenerations, o.NumPPOEpochs, o.WhitenAdvantages = 4, 1, false
		o.Shaping.Normalize, o.Shaping.RewardClip = NormalizeNone, 0
		o.Estimator, o.KLInLoss, o.LossAggregation = K3, true, AggregateBySequence
	}
	return o
}

// Check returns an error that names the first setting out of range.
func (o Options) Check() error {
	switch {
	case o.Algorithm != PPO && o.Algorithm != RLOO && o.Algorithm != GRPO:
		return fmt.Errorf("rlhf: algorithm %q is not known: %s, %s or %s", o.Algorithm, PPO, RLOO, GRPO)
	case o.Epochs < 0 || o.MaxSteps < 0 || o.Epochs == 0 && o.MaxSteps == 0:
		return fmt.Errorf(
			"rlhf: epochs are %d and most steps %d: neither may be negative, one must be positive", o.Epochs,
			o.MaxSteps)
	case o.Batch < 1 || o.NumGenerations < 1 || o.NumPPOEpochs < 1 || o.MaxTokens < 1:
		return fmt.Errorf("rlhf: batch is %d, num_generations %d, num_ppo_epochs %d, max_tokens %d: all "+
			"must be at least 1", o.Batch, o.NumGenerations, o.NumPPOEpochs, o.MaxTokens)
	case o.Algorithm != PPO && o.NumGenerations < 2:
		return fmt.Errorf("rlhf: %s compares the responses to a prompt with each other: num_generations "+
			"is %d, want at least 2", o.Algorithm, o.NumGenerations)
	case o.Minibatch < 0 || o.Minibatch > o.Batch:
		return fmt.Errorf("rlhf: minibatch is %d prompts, want 0 (all) to %d, the batch", o.Minibatch,
			o.Batch)
	case o.Sampling.Temperature == 0:
		return fmt.Errorf("rlhf: temperature is 0: a greedy policy tries nothing, so it learns " +
			"nothing; 1 is usual")
	case !(o.Gamma >= 0 && o.Gamma <= 1 && o.Lambda >= 0 && o.Lambda <= 1):
		return fmt.Errorf("rlhf: gamma is %g and lambda %g, want 0 to 1", o.Gamma, o.Lambda)
	case !(o.Clip > 0 && o.Clip < 1):
		return fmt.Errorf("rlhf: clip is %g, want above 0 and below 1", o.Clip)
	case !(o.ValueClip >= 0 && o.ValueCoef >= 0 && o.ValueCoef < math.Inf(1)):
		return fmt.Errorf("rlhf: value clip is %g and value coefficient %g, neither may be negative",
			o.ValueClip, o.ValueCoef)
	case o.Value != ValueHead && o.Value != ValueSeparate:
		return fmt.Errorf("rlhf: value is %q, want %s or %s", o.Value, ValueHead, ValueSeparate)
	case o.LossAggregation != AggregateByToken && o.LossAggregation != AggregateBySequence:
		return fmt.Errorf("rlhf: loss_aggregation is %q, want %s or %s", o.LossAggregation,
			AggregateByToken, AggregateBySequence)
	case o.DynamicSampling && o.Algorithm == PPO:
		return fmt.Errorf("rlhf: dynamic_sampling is for %s and %s: the advantages of %s do not "+
			"depend on the other responses to a prompt", RLOO, GRPO, PPO)
	case o.MaxSamplingRounds < 1:
		return fmt.Errorf("rlhf: max_sampling_rounds is %d, want at least 1", o.MaxSamplingRounds)
	case o.EvalEvery < 0 || o.EvalGenerations < 0:
		return fmt.Errorf("rlhf: eval_every is %d and eval_generations %d, want 0 or more",
			o.EvalEvery, o.EvalGenerations)
	case o.BestAsResult && o.EvalEvery == 0:
		return fmt.Errorf("rlhf: load_best_model_at_end needs evaluations: set eval_every")
	case !(o.KLLimit >= 0 && o.MinLength >= 0) || o.CheckpointEvery < 0 || o.SaveEvery < 0:
		return fmt.Errorf(
			"rlhf: KL limit, least length and the steps between checkpoints may not be negative")
	case o.Algorithm == PPO && o.Value == ValueSeparate && !(o.CriticLR > 0):
		return fmt.Errorf("rlhf: the learning rate of the separate critic is %g, want a positive number",
			o.CriticLR)
	}
	for _, err := range []error{
		o.Sampling.Check(), o.Estimator.check(), o.KL.check(), o.Shaping.check(),
		o.Shaping.Overlong.check(o.MaxTokens), o.Optimizer.Check(),
	} {
		if err != nil {
			return err
		}
	}
	for _, stop := range o.Stop {
		if stop == "" {
			return fmt.Errorf("rlhf: an empty stop text would end every response at once")
		}
	}
	return nil
}

// checkModels returns an error if the models cannot be optimized with these options.
func (o Options) checkModels(policy, critic *reward.Model) error {
	switch {
	case !policy.HasPolicyHead:
		return fmt.Errorf(
			"rlhf: %s has no policy head (no lm_head.weight): there is no policy to optimize", policy.Dir)
	case policy.Encoder == nil:
		return fmt.Errorf("rlhf: %s was opened without its tokenizer", policy.Dir)
	case o.separate() && critic == nil:
		return fmt.Errorf("rlhf: value is %q, but no critic was opened", ValueSeparate)
	case o.separate() && critic.Config.Vocab != policy.Config.Vocab:
		return fmt.Errorf("rlhf: the critic %s has %d tokens and the policy %d: it reads the policy's "+
			"tokens, so it must be of the same tokenizer", critic.Dir, critic.Config.Vocab,
			policy.Config.Vocab)
	}
	return nil
}

func (o Options) separate() bool  { return o.Algorithm == PPO && o.Value == ValueSeparate }
func (o Options) hasValues() bool { return o.Algorithm == PPO }

func (o Options) surrogate() Surrogate {
	return Surrogate{Clip: o.Clip, ValueClip: o.ValueClip, ValueCoef: o.ValueCoef,
		Estimator: o.Estimator}
}

// minibatches is the number of optimizer steps in a pass over a step's rollouts.
func (o Options) minibatches() int {
	if o.Minibatch == 0 {
		return 1
	}
	return (o.Batch + o.Minibatch - 1) / o.Minibatch
}

// forPrompts adapts the options to the number of prompts and counts the steps.
func (o Options) forPrompts(n int) Options {
	o.Batch = min(o.Batch, n)
	o.Minibatch = min(o.Minibatch, o.Batch)
	o.Shaping.MaxTokens = o.MaxTokens
	if o.Shaping.Overlong.MaxLength == 0 {
		o.Shaping.Overlong.MaxLength = o.MaxTokens
	}
	if o.steps = o.Epochs * (n / o.Batch); o.Epochs == 0 || o.MaxSteps > 0 && o.MaxSteps < o.steps {
		o.steps = o.MaxSteps
	}
	return o
}
