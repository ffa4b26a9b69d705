package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"haf/internal/filesum"
	"haf/lm"
	"haf/reward"
	"haf/rlhf"
	"haf/run"
)

// RLHF is the policy optimization of haf rlhf. The policy is model.path with the adapter lora, its
// prompts are those of data.train. train.batch is the number of prompts in a step, and
// train.max_steps counts steps of rollouts. Defaults follow the algorithm.
type RLHF struct {
	Algorithm string `toml:"algorithm" json:"algorithm"` // "ppo", "rloo" or "grpo"
	// the rewards whose weighted sum is optimized
	Rewards []Reward `toml:"rewards" json:"rewards"`
	// responses to each prompt
	NumGenerations int `range:"[1,1e5]" toml:"num_generations" json:"num_generations"`
	// passes over a step's responses
	NumPPOEpochs int `range:"[1,1e4]" toml:"num_ppo_epochs" json:"num_ppo_epochs"`
	// RLOO and GRPO replace prompts whose responses all have one reward, until the batch is full
	DynamicSampling bool `toml:"dynamic_sampling" json:"dynamic_sampling"`
	// batches of prompts that a step samples at most to fill its batch
	MaxSamplingRounds int `range:"[1,1e6]" toml:"max_sampling_rounds" json:"max_sampling_rounds"`
	// prompts of an optimizer step; 0 is all prompts of the step
	Minibatch int `range:"[0,1e6]" toml:"minibatch" json:"minibatch"`
	// responses that are generated at once
	Rows int `range:"[1,1e5]" toml:"rows" json:"rows"`

	MaxTokens int `range:"[1,1e7]" toml:"max_tokens" json:"max_tokens"` // of a response
	// divides the logits when the policy samples; above 0, because a greedy policy learns nothing
	Temperature float64 `range:"(0,100]" toml:"temperature" json:"temperature"`
	// samples among the k most probable tokens; 0 is all
	TopK int `range:"[0,1e9]" toml:"top_k" json:"top_k"`
	// samples among the most probable tokens of this total probability; 0 is all
	TopP float64 `range:"[0,1]" toml:"top_p" json:"top_p"`
	// leaves out tokens less probable than this share of the most probable one; 0 is none
	MinP float64 `range:"[0,1]" toml:"min_p" json:"min_p"`
	// repetition penalty of the sampling
	RepetitionPenalty float64 `range:"[0,1e6]" toml:"repetition_penalty" json:"repetition_penalty"`
	// texts that end a response
	Stop []string `toml:"stop" json:"stop"`

	Estimator string `toml:"kl_estimator" json:"kl_estimator"` // "k1", "k2" or "k3"
	// initial KL coefficient
	KL float64 `range:"[0,1e6]" toml:"kl_coefficient" json:"kl_coefficient"`
	// target KL, in nats a response, to which the coefficient adapts; 0 leaves it fixed
	KLTarget    float64 `range:"[0,1e6]" toml:"kl_target" json:"kl_target"`
	KLHorizon   float64 `range:"[0,1e12]" toml:"kl_horizon" json:"kl_horizon"` // responses
	KLPlacement string  `toml:"kl_placement" json:"kl_placement"`              // "reward" or "loss"
	// KL, in nats a response, above which the run stops; 0 never stops
	KLLimit float64 `range:"[0,1e9]" toml:"kl_limit" json:"kl_limit"`
	// mean number of tokens of a response below which haf warns
	MinLength float64 `range:"[0,1e7]" toml:"min_length" json:"min_length"`

	// normalization of the reward: "none", "scale" or "standard"
	Normalize  string  `toml:"normalize" json:"normalize"`
	RewardClip float64 `range:"[0,1e9]" toml:"reward_clip" json:"reward_clip"` // ±; 0 is none
	// subtracted from the reward of a response of max_tokens, in proportion from a shorter one
	LengthCost float64 `range:"[0,1e9]" toml:"length_cost" json:"length_cost"`
	// times the share of repeated trigrams, subtracted from the reward
	RepetitionCost float64 `range:"[0,1e9]" toml:"repetition_cost" json:"repetition_cost"`
	// subtracted from the reward of a cut response
	MissingEOSPenalty float64 `range:"[0,1e9]" toml:"missing_eos_penalty" json:"missing_eos_penalty"`
	// number of tokens before overlong_max_length over which the overlong penalty grows; 0 is no
	// penalty
	OverlongCache int `range:"[0,1e7]" toml:"overlong_cache" json:"overlong_cache"`
	// tokens of a response at which the overlong penalty is full; 0 is max_tokens
	OverlongMaxLength int `range:"[0,1e7]" toml:"overlong_max_length" json:"overlong_max_length"`
	// subtracted from the reward of a response of overlong_max_length tokens
	OverlongPenalty float64 `range:"[0,1e9]" toml:"overlong_penalty" json:"overlong_penalty"`
	WhitenRewards   bool    `toml:"whiten_rewards" json:"whiten_rewards"` // PPO's, by token

	// discount of rewards per token, 0 to 1; 1 is none
	Gamma float64 `range:"[0,1]" toml:"gamma" json:"gamma"`
	// λ of generalized advantage estimation, 0 to 1; 1 uses whole returns
	Lambda float64 `range:"[0,1]" toml:"lambda" json:"lambda"`
	// bounds the ratio of new to old token probability to 1 ± this, between 0 and 1
	Clip float64 `range:"(0,1)" toml:"clip" json:"clip"`
	// shifts and scales the advantages of a step to mean 0 and deviation 1
	WhitenAdvantages bool `toml:"whiten_advantages" json:"whiten_advantages"`
	// GRPO divides the advantages by the deviation of the prompt's rewards
	ScaleGroup bool `toml:"scale_group" json:"scale_group"`
	// "token" or "sequence": how the loss is averaged
	LossAggregation string `toml:"loss_aggregation" json:"loss_aggregation"`
	// value model: "head" on the policy's decoder, or "separate"
	Value string `toml:"value" json:"value"`
	// initial model of a separate value; "" is model.path
	Critic    string  `toml:"critic" json:"critic"`
	CriticLR  float64 `range:"(0,1e30]" toml:"critic_lr" json:"critic_lr"`  // of a separate value
	ValueClip float64 `range:"[0,1e9]" toml:"value_clip" json:"value_clip"` // 0 is none
	// weight of the value loss
	ValueCoef float64 `range:"[0,1e9]" toml:"value_coef" json:"value_coef"`

	// steps between saved policies; 0 saves only the last
	SaveEvery int `range:"[0,1e9]" toml:"save_every" json:"save_every"`
	// steps between evaluations on the held-out prompts, data.valid or else a part of data.train; haf
	// keeps the best policy; 0 is none
	EvalEvery int `range:"[0,1e9]" toml:"eval_every" json:"eval_every"`
	// responses to a held-out prompt, sampled as in training; 0 is one greedy response
	EvalGenerations int `range:"[0,1e5]" toml:"eval_generations" json:"eval_generations"`
	// makes the policy of the best evaluation the run's model, not the last one
	LoadBest bool `toml:"load_best_model_at_end" json:"load_best_model_at_end"`
}

const klInLoss, klInReward = "loss", "reward"

func defaultRLHF(algorithm string) RLHF {
	o := rlhf.Default(algorithm)
	t := RLHF{
		Algorithm: algorithm, NumGenerations: o.NumGenerations, NumPPOEpochs: o.NumPPOEpochs,
		Minibatch: o.Minibatch, Rows: 8, MaxTokens: o.MaxTokens, Temperature: o.Sampling.Temperature,
		Stop: []string{}, Estimator: string(o.Estimator), KL: o.KL.Start, KLTarget: o.KL.Target,
		KLHorizon: o.KL.Horizon, KLPlacement: klInReward, KLLimit: o.KLLimit, MinLength: o.MinLength,
		Normalize: o.Shaping.Normalize, RewardClip: o.Shaping.RewardClip, WhitenRewards: o.WhitenRewards,
		Gamma: o.Gamma, Lambda: o.Lambda, Clip: o.Clip,
		WhitenAdvantages: o.WhitenAdvantages, ScaleGroup: o.ScaleGroup,
		LossAggregation: o.LossAggregation, Value: o.Value, CriticLR: 1e-5, ValueClip: o.ValueClip,
		ValueCoef:         o.ValueCoef,
		MaxSamplingRounds: o.MaxSamplingRounds, OverlongPenalty: o.Shaping.Overlong.Penalty,
	}
	if o.KLInLoss {
		t.KLPlacement = klInLoss
	}
	return t
}

// RLHFOptions returns the options of the policy optimization.
func (r *Recipe) RLHFOptions() rlhf.Options {
	t, l := r.RLHF, r.Train
	return rlhf.Options{
		Algorithm: t.Algorithm, Epochs: l.Epochs, MaxSteps: l.MaxSteps, Batch: l.Batch,
		NumGenerations: t.NumGenerations, NumPPOEpochs: t.NumPPOEpochs, Minibatch: t.Minibatch,
		Rows:      t.Rows,
		MaxTokens: t.MaxTokens, Stop: t.Stop, Sampling: lm.Sampling{Temperature: t.Temperature,
			TopK: t.TopK, TopP: t.TopP, MinP: t.MinP, RepetitionPenalty: t.RepetitionPenalty},
		KL:        rlhf.Coefficient{Start: t.KL, Target: t.KLTarget, Horizon: t.KLHorizon},
		Estimator: rlhf.Estimator(t.Estimator), KLInLoss: t.KLPlacement == klInLoss,
		Shaping: rlhf.Shaping{Normalize: t.Normalize, RewardClip: t.RewardClip, Length: t.LengthCost,
			Repetition: t.RepetitionCost, MissingEOS: t.MissingEOSPenalty,
			Overlong: rlhf.Overlong{
				Cache: t.OverlongCache, MaxLength: t.OverlongMaxLength, Penalty: t.OverlongPenalty,
			}},
		Gamma: t.Gamma, Lambda: t.Lambda, Clip: t.Clip, ValueClip: t.ValueClip, ValueCoef: t.ValueCoef,
		Value: t.Value, CriticLR: t.CriticLR, LossAggregation: t.LossAggregation,
		WhitenRewards: t.WhitenRewards, WhitenAdvantages: t.WhitenAdvantages, ScaleGroup: t.ScaleGroup,
		KLLimit: t.KLLimit, MinLength: t.MinLength,
		Optimizer: r.optimizer(), CheckpointEvery: l.CheckpointEvery, SaveEvery: t.SaveEvery,
		Seed:            StreamSeed(l.Seed, "rlhf"),
		DynamicSampling: t.DynamicSampling, MaxSamplingRounds: t.MaxSamplingRounds,
		EvalEvery: t.EvalEvery, EvalGenerations: t.EvalGenerations, BestAsResult: t.LoadBest,
	}
}

// CriticOptions returns the options for opening the initial model of a separate value.
func (r *Recipe) CriticOptions() reward.Options {
	opt := r.ModelOptions()
	opt.Random, opt.NoTokenizer = Stream(r.Train.Seed, "critic"), true
	return opt
}

// notForRLHF are the keys, or tables, that haf rlhf does not read.
var notForRLHF = []string{
	"objective.", "model.head", "model.column", "model.truncation", "data.weights", "data.format",
	"data.label", "data.subsets", "data.max_chars", "data.label_noise", "data.fraction",
	"data.skip_bad", "data.negative_margin", "train.eval_every", "train.patience", "mesh.shard",
}

// ForRLHF returns an error if the recipe is not for haf rlhf, or sets a key that haf rlhf does not
// read.
func (r *Recipe) ForRLHF() error {
	for _, key := range slices.Sorted(maps.Keys(r.origin)) {
		has := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
		switch {
		case slices.ContainsFunc(notForRLHF, has):
			return fmt.Errorf("recipe: %s has no effect on haf rlhf: leave it out", key)
		case has("rlhf.critic") && r.RLHF.Value != rlhf.ValueSeparate:
			return fmt.Errorf("recipe: %s has no effect where rlhf.value is %q: set rlhf.value=%s, "+
				"or leave it out", key, r.RLHF.Value, rlhf.ValueSeparate)
		case has("data.valid") && r.RLHF.EvalEvery == 0:
			return fmt.Errorf("recipe: %s has no effect on haf rlhf without evaluations: "+
				"set rlhf.eval_every, or leave it out", key)
		}
	}
	switch {
	case len(r.RLHF.Rewards) == 0:
		return fmt.Errorf("recipe: %s is empty, want at least one reward: a table [[%s]] with a "+
			"source in the recipe, or -set %s=DIR", rewardsKey, rewardsKey, rewardsKey)
	case r.RLHF.KLPlacement != klInLoss && r.RLHF.KLPlacement != klInReward:
		return fmt.Errorf("recipe: rlhf.kl_placement is %q, want %s or %s", r.RLHF.KLPlacement,
			klInReward, klInLoss)
	}
	if err := r.checkRewards(); err != nil {
		return err
	}
	return r.RLHFOptions().Check()
}

// ForTrain returns an error if the recipe sets a key that haf train does not read.
func (r *Recipe) ForTrain() error {
	for key := range r.origin {
		if strings.HasPrefix(key, "rlhf.") {
			return fmt.Errorf("recipe: %s has no effect on haf train: it is of haf rlhf", key)
		}
	}
	return nil
}

// NewRLHFManifest describes an optimization that is about to start. models are the reward models
// and, if there is one, the critic. Local models are hashed.
func (r *Recipe) NewRLHFManifest(
	policy *reward.Model, report []string, models ...run.ModelFile,
) (*Manifest, error) {
	m, err := r.NewManifest(policy, report)
	if err != nil {
		return nil, err
	}
	m.Verb = run.VerbRLHF
	for _, model := range models {
		if model.Served == "" {
			if model.SHA256, err = hashModel(model.Path); err != nil {
				return nil, err
			}
		}
		m.Models = append(m.Models, model)
	}
	m.Fingerprint, err = m.fingerprint()
	return m, err
}

// hashModel hashes the files of a model's folder, or a file, whatever their names.
func hashModel(path string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		sum, err := filesum.SHA256(file)
		fmt.Fprintln(h, sum)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("recipe: %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
