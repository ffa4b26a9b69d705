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
	// of the policy head, where its loss reads a reference
	LogRatio     *LogRatio `json:"log_ratio,omitempty"`
	RewardWeight float64   `json:"reward_weight"` // w of the step
	PolicyWeight float64   `json:"policy_weight"` // α of the step
	GradNorm     float64   `json:"grad_norm"`     // before clipping
	LR           float64   `json:"lr"`
	// of labelled responses, where a loss reads them
	Labels            LabelStep `json:"labels,omitzero"`
	Groups            int       `json:"groups"`
	Comparisons       int       `json:"comparisons"`
	Graded            int       `json:"graded,omitempty"`   // responses with attributes
	Tokens            int       `json:"tokens"`             // without padding
	PackingEfficiency float64   `json:"packing_efficiency"` // share of the positions that hold tokens
	GFLOP             float64   `json:"gflop"`              // of the matrix products that were needed
	Seconds           float64   `json:"seconds"`
	Memory            int64     `json:"peak_memory,omitempty"` // see PeakMemory
}

// A LogRatio is the mean of log π − log π_ref over the chosen and over the rejected responses of a
// step's comparisons, nats of a response. It is no KL, because the data chose the responses and not
// the policy.
type LogRatio struct {
	Chosen   float64 `json:"chosen"`
	Rejected float64 `json:"rejected"`
}

// A LabelStep is what a step of haf train made of labelled responses. The losses are their parts of
// reward_loss and policy_loss.
type LabelStep struct {
	RewardLoss     float64 `json:"reward_loss"`
	PolicyLoss     float64 `json:"policy_loss"`
	Accuracy       float64 `json:"accuracy"`        // of the score head's sign
	PolicyAccuracy float64 `json:"policy_accuracy"` // of the sign of log π − log π_ref − kl
	// estimate of KL(π‖π_ref), 0 or more, nats of a response; 0 where no loss reads it
	KL          float64 `json:"kl"`
	Desirable   int     `json:"desirable"` // responses
	Undesirable int     `json:"undesirable"`
}

// RewardStats are the moments of one of several rewards over responses.
type RewardStats struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"` // of the sample, n − 1
}

// A PolicyStep is the record of a step of haf rlhf. Rewards are of all responses that were sampled;
// the other values are of those that the policy learned from. Values of tokens are means over the
// tokens of all responses, values of responses are means over them; losses are means over the
// optimizer steps.
type PolicyStep struct {
	Kind    string                 `json:"kind"` // KindStep
	Step    int                    `json:"step"`
	Reward  float64                `json:"reward"`     // weighted sum of the rewards
	Std     float64                `json:"reward_std"` // of it over responses
	Rewards map[string]RewardStats `json:"rewards"`    // by name
	// normalized, clipped, less costs and KL in the reward
	Shaped float64 `json:"reward_shaped"`

	// share of the sampled prompts whose responses all have one shaped reward
	ZeroStd        float64 `json:"frac_reward_zero_std"`
	Groups         int     `json:"groups"`          // prompts that the policy learned from
	GroupsDropped  int     `json:"groups_dropped"`  // prompts dropped because their rewards are equal
	SamplingRounds int     `json:"sampling_rounds"` // batches of prompts that were sampled
	Overlong       float64 `json:"overlong_rate"`   // share of responses with the overlong penalty

	KL            float64 `json:"kl"`                // k1, nats of a response
	KLError       float64 `json:"kl_standard_error"` // of that mean over responses
	KLEstimate    float64 `json:"kl_estimate"`       // by the estimator, of a response
	Estimator     string  `json:"kl_estimator"`      // its name
	KLCoefficient float64 `json:"kl_coefficient"`
	Entropy       float64 `json:"entropy"` // nats of a token
	// mean distance of the log-probabilities read for learning from those of sampling, nats of a token
	LogpDifference float64 `json:"sampling_logp_difference"`

	Length  float64 `json:"length"`   // tokens of a response
	EOSRate float64 `json:"eos_rate"` // share of responses that were not cut

	Loss         float64 `json:"loss"` // with the KL where it is in the loss
	PolicyLoss   float64 `json:"policy_loss"`
	ValueLoss    float64 `json:"value_loss"`
	ClipFraction float64 `json:"clip_fraction"`
	ApproxKL     float64 `json:"approx_kl"`          // k3 from the sampling policy, nats of a token
	Explained    float64 `json:"explained_variance"` // of the returns by the values
	GradNorm     float64 `json:"grad_norm"`          // before clipping
	CriticNorm   float64 `json:"critic_grad_norm,omitempty"`
	LR           float64 `json:"lr"`

	Tokens          int     `json:"tokens"` // of responses
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
	// of labelled responses, by the name of the reward; the implicit one's sign is that of
	// log π − log π_ref − kl
	Labels map[string]eval.LabelResult `json:"labels,omitempty"`
	// estimate of KL(π‖π_ref) by responses to other prompts, nats of a response
	KL float64 `json:"kl,omitempty"`
	// of the score head's outputs, by attribute
	Attributes map[string]eval.GradeResult `json:"attributes,omitempty"`
	Seconds    float64                     `json:"seconds"`
}

// A PolicyEval is the record of an evaluation of a policy of haf rlhf on held-out prompts. Rewards
// are neither normalized nor clipped, and no cost is taken off.
type PolicyEval struct {
	Kind    string                 `json:"kind"`        // KindEval
	Step    int                    `json:"step"`        // steps made; 0 is the reference
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

// A Stop is the record of an error that ended a run. A run that is resumed drops it with the steps
// after its checkpoint.
type Stop struct {
	Kind  string `json:"kind"` // KindStop
	Step  int    `json:"step"` // steps made
	Error string `json:"error"`
}

// Stopped records the error that ends the run after a step, and returns it. An interrupt is none.
// Where the error cannot be recorded, it is returned all the same. It is not called after Seal.
func (f *Folder) Stopped(step int, err error) error {
	if err != nil && !errors.Is(err, ErrInterrupted) && !errors.Is(err, context.Canceled) {
		_ = f.Record(Stop{KindStop, step, err.Error()}) // on a disk that is full, too
	}
	return err
}

// ByLogProb is the name of the plain log-probability as a reward, for a run without a reference.
const ByLogProb = "log-probability"

// ByLoss is the name of the selection by the loss alone, for a run of attributes.
const ByLoss = "loss"

// A Selection is the accuracy that selects the weights, with its interval, and the name of the
// reward that has it.
type Selection struct {
	Name                string
	Accuracy, Low, High float64
}

// Selected is what selects the weights: the accuracy on comparisons of the score head's reward,
// where there is one, then of the implicit reward, then of the log-probability; without
// comparisons that on labelled responses; else the loss alone.
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
