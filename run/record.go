package run

import (
	"context"
	"errors"
	"fmt"

	"haf/eval"
)

// Kinds of records in metrics.jsonl.
const (
	KindStep = "step"
	KindEval = "eval"
	KindStop = "stop"
)

// A Record is a line of metrics.jsonl: a [TrainStep], a [Validation], a [PolicyStep], a
// [PolicyEval] or a [Stop].
type Record interface{ record() }

// A TrainStep is the record of an optimizer step of haf train.
type TrainStep struct {
	Kind           string  `json:"kind"` // KindStep
	Step           int     `json:"step"`
	Epoch          int     `json:"epoch"`
	Loss           float64 `json:"loss"`
	RewardLoss     float64 `json:"reward_loss"`
	PolicyLoss     float64 `json:"policy_loss"`
	Accuracy       float64 `json:"accuracy"`         // of the score head on the step's comparisons
	Margin         float64 `json:"margin"`           // mean reward margin
	PolicyAccuracy float64 `json:"policy_accuracy"`  // of the implicit reward
	LogRatioMargin float64 `json:"log_ratio_margin"` // mean difference of the log-ratios
	// means over the policy head's responses, if its loss reads a reference
	LogRatio     *LogRatio `json:"log_ratio,omitempty"`
	RewardWeight float64   `json:"reward_weight"` // w of the step
	PolicyWeight float64   `json:"policy_weight"` // α of the step
	GradNorm     float64   `json:"grad_norm"`     // before clipping
	LR           float64   `json:"lr"`
	// means over labelled responses, if a loss reads them
	Labels            LabelStep `json:"labels,omitzero"`
	Groups            int       `json:"groups"`
	Comparisons       int       `json:"comparisons"`
	Graded            int       `json:"graded,omitempty"`   // responses with attributes
	Tokens            int       `json:"tokens"`             // without padding
	PackingEfficiency float64   `json:"packing_efficiency"` // share of the positions that hold tokens
	GFLOP             float64   `json:"gflop"`              // matrix products, without recomputation
	Seconds           float64   `json:"seconds"`
	Memory            int64     `json:"peak_memory,omitempty"` // see PeakMemory
}

// A LogRatio is the mean of log π − log π_ref over the chosen and over the rejected responses of a
// step's comparisons, in nats per response. It is not a KL, because the responses come from the
// data, not from the policy.
type LogRatio struct {
	Chosen   float64 `json:"chosen"`
	Rejected float64 `json:"rejected"`
}

// A LabelStep has the measures of a haf train step on labelled responses. Its losses are parts of
// reward_loss and policy_loss.
type LabelStep struct {
	RewardLoss     float64 `json:"reward_loss"`
	PolicyLoss     float64 `json:"policy_loss"`
	Accuracy       float64 `json:"accuracy"`        // of the score head's sign
	PolicyAccuracy float64 `json:"policy_accuracy"` // of the sign of log π − log π_ref − kl
	// estimate of KL(π‖π_ref), 0 or more, in nats per response; 0 if no loss reads it
	KL          float64 `json:"kl"`
	Desirable   int     `json:"desirable"` // responses
	Undesirable int     `json:"undesirable"`
}

// RewardStats are the mean and standard deviation of one of several rewards over responses.
type RewardStats struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"` // sample standard deviation, n − 1
}

// A PolicyStep is the record of a step of haf rlhf. Rewards are over all sampled responses, the
// other values over those that the policy learned from. Values of tokens are means over the tokens
// of all responses, values of responses means over responses. Losses are means over the optimizer
// steps.
type PolicyStep struct {
	Kind    string                 `json:"kind"` // KindStep
	Step    int                    `json:"step"`
	Reward  float64                `json:"reward"`     // weighted sum of the rewards
	Std     float64                `json:"reward_std"` // of Reward, over responses
	Rewards map[string]RewardStats `json:"rewards"`    // by name
	// normalized and clipped, minus the costs and any KL in the reward
	Shaped float64 `json:"reward_shaped"`

	// share of the sampled prompts whose responses all have the same shaped reward
	ZeroStd        float64 `json:"frac_reward_zero_std"`
	Groups         int     `json:"groups"`          // prompts that the policy learned from
	GroupsDropped  int     `json:"groups_dropped"`  // prompts dropped because their rewards are equal
	SamplingRounds int     `json:"sampling_rounds"` // batches of prompts that were sampled
	Overlong       float64 `json:"overlong_rate"`   // share of responses with the overlong penalty

	KL            float64 `json:"kl"`                // k1, nats per response
	KLError       float64 `json:"kl_standard_error"` // of KL, a mean over responses
	KLEstimate    float64 `json:"kl_estimate"`       // by Estimator, nats per response
	Estimator     string  `json:"kl_estimator"`      // its name
	KLCoefficient float64 `json:"kl_coefficient"`
	Entropy       float64 `json:"entropy"` // nats per token
	// mean absolute difference between log-probabilities read for learning and those of sampling,
	// in nats per token
	LogpDifference float64 `json:"sampling_logp_difference"`

	Length  float64 `json:"length"`   // tokens of a response
	EOSRate float64 `json:"eos_rate"` // share of responses that were not cut

	Loss         float64 `json:"loss"` // with the KL where it is in the loss
	PolicyLoss   float64 `json:"policy_loss"`
	ValueLoss    float64 `json:"value_loss"`
	ClipFraction float64 `json:"clip_fraction"`
	ApproxKL     float64 `json:"approx_kl"`          // k3 from the sampling policy, nats per token
	Explained    float64 `json:"explained_variance"` // of the returns by the values
	GradNorm     float64 `json:"grad_norm"`          // before clipping
	CriticNorm   float64 `json:"critic_grad_norm,omitempty"`
	LR           float64 `json:"lr"`

	Tokens          int     `json:"tokens"` // in responses
	Seconds         float64 `json:"seconds"`
	GenerateSeconds float64 `json:"generate_seconds"`
	ScoreSeconds    float64 `json:"score_seconds"`
}

// A Validation is the record of a validation of haf train.
type Validation struct {
	Kind       string                 `json:"kind"` // KindEval
	Step       int                    `json:"step"`
	Loss       float64                `json:"loss"`
	RewardLoss float64                `json:"reward_loss"`
	PolicyLoss float64                `json:"policy_loss"`
	Rewards    map[string]eval.Result `json:"rewards"` // by the name of the reward
	// labelled responses, by the name of the reward; the implicit reward's sign is that of log π −
	// log π_ref − kl
	Labels map[string]eval.LabelResult `json:"labels,omitempty"`
	// estimate of KL(π‖π_ref) by responses to other prompts, in nats per response
	KL float64 `json:"kl,omitempty"`
	// the score head's outputs, by attribute
	Attributes map[string]eval.GradeResult `json:"attributes,omitempty"`
	Seconds    float64                     `json:"seconds"`
}

// A PolicyEval is the record of an evaluation of haf rlhf's policy on held-out prompts. Rewards are
// neither normalized nor clipped, and no cost is subtracted.
type PolicyEval struct {
	Kind    string                 `json:"kind"`        // KindEval
	Step    int                    `json:"step"`        // completed steps; 0 is the reference
	Reward  float64                `json:"reward"`      // mean over prompts of the weighted sum
	Low     float64                `json:"reward_low"`  // 95 % interval of that mean
	High    float64                `json:"reward_high"` //
	Rewards map[string]RewardStats `json:"rewards"`     // over responses, by name
	Length  float64                `json:"length"`      // tokens of a response
	EOSRate float64                `json:"eos_rate"`    // share of responses that were not cut
	Prompts int                    `json:"prompts"`
	Seconds float64                `json:"seconds"`
}

func (TrainStep) record()  {}
func (PolicyStep) record() {}
func (Validation) record() {}
func (PolicyEval) record() {}
func (Stop) record()       {}

// A Stop is the record of an error that ended a run. A resumed run drops it with the steps after
// its checkpoint.
type Stop struct {
	Kind  string `json:"kind"` // KindStop
	Step  int    `json:"step"` // completed steps
	Error string `json:"error"`
}

// Stopped records the error that ends the run after a step, and returns it. It does not record an
// interrupt. It returns the error even if the record cannot be written. Do not call it after Seal.
func (f *Folder) Stopped(step int, err error) error {
	if err != nil && !errors.Is(err, ErrInterrupted) && !errors.Is(err, context.Canceled) {
		_ = f.Record(Stop{KindStop, step, err.Error()}) // may fail, on a full disk for instance
	}
	return err
}

// ByLogProb is the name of the plain log-probability as a reward, for a run without a reference.
const ByLogProb = "log-probability"

// ByLoss is the name of the selection by the loss alone, for a run of attributes.
const ByLoss = "loss"

// A Selection is the accuracy that selects the weights, its interval, and the name of its reward.
type Selection struct {
	Name                string
	Accuracy, Low, High float64
}

// Selected returns the measure that selects the weights: the accuracy on comparisons of the score
// head's reward or else of the implicit reward or else of the log-probability; without comparisons,
// the accuracy on labelled responses; else the loss alone.
func (v Validation) Selected() Selection {
	names := []string{"score", "implicit", ByLogProb}
	for _, name := range names {
		if r, ok := v.Rewards[name]; ok {
			return Selection{name, r.Accuracy, r.AccuracyLow, r.AccuracyHigh}
		}
	}
	for _, name := range names {
		if r, ok := v.Labels[name]; ok {
			return Selection{name, r.Accuracy, r.AccuracyLow, r.AccuracyHigh}
		}
	}
	return Selection{Name: ByLoss}
}

func (s Selection) String() string {
	if s.Name == ByLoss {
		return ""
	}
	return fmt.Sprintf(" accuracy %.4f [%.4f, %.4f] of %s,", s.Accuracy, s.Low, s.High, s.Name)
}
