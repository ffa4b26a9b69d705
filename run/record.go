package run

import "haf/eval"

// Kinds of records in metrics.jsonl.
const (
	KindStep = "step"
	KindEval = "eval"
)

// A Record is a line of metrics.jsonl: a [TrainStep], a [PolicyStep] or a [Validation].
type Record interface{ record() }

// A TrainStep is the record of an optimizer step of haf train.
type TrainStep struct {
	Kind              string  `json:"kind"` // KindStep
	Step              int     `json:"step"`
	Epoch             int     `json:"epoch"`
	Loss              float64 `json:"loss"`
	RewardLoss        float64 `json:"reward_loss"`
	PolicyLoss        float64 `json:"policy_loss"`
	Accuracy          float64 `json:"accuracy"`         // of the score head on the step's comparisons
	Margin            float64 `json:"margin"`           // mean reward margin
	PolicyAccuracy    float64 `json:"policy_accuracy"`  // of the implicit reward
	LogRatioMargin    float64 `json:"log_ratio_margin"` // mean difference of the log-ratios
	RewardWeight      float64 `json:"reward_weight"`    // w of the step
	PolicyWeight      float64 `json:"policy_weight"`    // α of the step
	GradNorm          float64 `json:"grad_norm"`        // before clipping
	LR                float64 `json:"lr"`
	Groups            int     `json:"groups"`
	Comparisons       int     `json:"comparisons"`
	Tokens            int     `json:"tokens"`             // without padding
	PackingEfficiency float64 `json:"packing_efficiency"` // share of the positions that hold tokens
	GFLOP             float64 `json:"gflop"`              // of the matrix products that were needed
	Seconds           float64 `json:"seconds"`
}

// A PolicyStep is the record of a step of haf rlhf. Values of tokens are means over the tokens of
// all responses, values of responses are means over them; losses are means over the optimizer
// steps.
type PolicyStep struct {
	Kind   string  `json:"kind"` // KindStep
	Step   int     `json:"step"`
	Reward float64 `json:"reward"`        // the scorer's
	Std    float64 `json:"reward_std"`    // of it over responses
	Shaped float64 `json:"reward_shaped"` // normalized, clipped, less costs and KL in the reward

	KL            float64 `json:"kl"`           // k1, nats of a response
	KLEstimate    float64 `json:"kl_estimate"`  // by the estimator, of a response
	Estimator     string  `json:"kl_estimator"` // its name
	KLCoefficient float64 `json:"kl_coefficient"`
	Entropy       float64 `json:"entropy"` // nats of a token

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
	Seconds    float64                `json:"seconds"`
}

func (TrainStep) record()  {}
func (PolicyStep) record() {}
func (Validation) record() {}

// ByLogProb is the name of the plain log-probability as a reward, for a run without a reference.
const ByLogProb = "log-probability"

// SelectedBy names the reward whose accuracy selects the weights: the score head's, where there is
// one, then the implicit reward, then the log-probability. It is "" where there is none of them.
func (v Validation) SelectedBy() string {
	for _, name := range []string{"score", "implicit", ByLogProb} {
		if _, ok := v.Rewards[name]; ok {
			return name
		}
	}
	return ""
}
