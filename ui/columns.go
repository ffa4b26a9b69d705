package ui

import (
	"encoding/json"

	"haf/run"
)

// A chart plots some columns of metrics.jsonl together.
type chart struct {
	Title   string   `json:"title"`
	Unit    string   `json:"unit"` // unit of the y axis
	Columns []column `json:"columns"`
	Share   bool     `json:"share,omitempty"` // values are shares, from 0 to 1
}

// A column is one value of every step.
type column struct {
	Key  string `json:"key"`
	Name string `json:"name"`
}

// trainCharts are the charts of haf train, policyCharts those of haf rlhf.
var (
	trainCharts = []chart{
		{Title: "Loss", Unit: "nats", Columns: []column{{"loss", "total"},
			{"reward_loss", "reward loss"}, {"policy_loss", "policy loss"}}},
		{Title: "Accuracy on the step's pairs", Unit: "share", Share: true,
			Columns: []column{{"accuracy", "score head"}, {"policy_accuracy", "policy head"}}},
		{Title: "Margin", Unit: "reward, log-ratio in nats", Columns: []column{
			{"margin", "score head"}, {"log_ratio_margin", "log-ratio"}}},
		{Title: "Log-ratio to the reference", Unit: "log π − log π_ref, nats per response",
			Columns: []column{{"log_ratio_chosen", "chosen"}, {"log_ratio_rejected", "rejected"}}},
		{Title: "KL to the reference", Unit: "estimate, nats per response",
			Columns: []column{{"kl", "KL"}}},
		{Title: "Gradient norm", Unit: "before clipping", Columns: []column{{"grad_norm", "norm"}}},
		{Title: "Speed", Unit: "tokens/s", Columns: []column{{"tokens_per_second", "tokens/s"}}},
		{Title: "Memory", Unit: "peak, GB", Columns: []column{{"memory", "peak"}}},
		{Title: "Learning rate", Unit: "", Columns: []column{{"lr", "learning rate"}}},
	}
	policyCharts = []chart{
		{Title: "Reward", Unit: "reward", Columns: []column{{"reward", "mean"}}},
		{Title: "KL to the reference", Unit: "nats per response", Columns: []column{{"kl", "KL"}}},
		{Title: "Loss", Unit: "", Columns: []column{{"loss", "total"}, {"policy_loss", "policy loss"},
			{"value_loss", "value loss"}}},
		{Title: "Length", Unit: "tokens per response", Columns: []column{{"length", "length"}}},
		{Title: "Entropy", Unit: "nats per token", Columns: []column{{"entropy", "entropy"}}},
		{Title: "Clipped tokens", Unit: "share", Share: true,
			Columns: []column{{"clip_fraction", "clipped"}}},
		{Title: "Gradient norm", Unit: "before clipping", Columns: []column{{"grad_norm", "norm"}}},
		{Title: "Speed", Unit: "tokens/s", Columns: []column{{"tokens_per_second", "tokens/s"}}},
	}
)

// chartsOf returns the charts for runs of a verb.
func chartsOf(verb run.Verb) []chart {
	if verb == run.VerbRLHF {
		return policyCharts
	}
	return trainCharts
}

// decodeStep decodes the line of a step.
func decodeStep(line []byte, verb run.Verb) (point, error) {
	if verb == run.VerbRLHF {
		return decodePolicyStep(line)
	}
	var s run.TrainStep
	if err := json.Unmarshal(line, &s); err != nil {
		return point{}, err
	}
	values := map[string]float64{
		"loss": s.Loss, "grad_norm": s.GradNorm, "lr": s.LR,
		"tokens_per_second": rate(s.Tokens, s.Seconds),
	}
	if s.RewardWeight > 0 {
		values["reward_loss"] = s.RewardLoss
	}
	if s.PolicyWeight > 0 {
		values["policy_loss"] = s.PolicyLoss
	}
	if s.Comparisons > 0 && s.RewardWeight > 0 {
		values["accuracy"], values["margin"] = s.Accuracy, s.Margin
	}
	if s.Comparisons > 0 && s.PolicyWeight > 0 {
		values["policy_accuracy"], values["log_ratio_margin"] = s.PolicyAccuracy, s.LogRatioMargin
	}
	if s.LogRatio != nil {
		values["log_ratio_chosen"], values["log_ratio_rejected"] = s.LogRatio.Chosen,
			s.LogRatio.Rejected
	}
	if s.Labels != (run.LabelStep{}) {
		values["kl"] = s.Labels.KL
	}
	if s.Memory > 0 {
		values["memory"] = float64(s.Memory) / 1e9
	}
	return point{s.Step, values}, nil
}

func decodePolicyStep(line []byte) (point, error) {
	var s run.PolicyStep
	if err := json.Unmarshal(line, &s); err != nil {
		return point{}, err
	}
	return point{s.Step, map[string]float64{
		"reward": s.Reward, "kl": s.KL, "loss": s.Loss, "policy_loss": s.PolicyLoss,
		"value_loss": s.ValueLoss, "length": s.Length, "entropy": s.Entropy,
		"clip_fraction": s.ClipFraction, "grad_norm": s.GradNorm,
		"tokens_per_second": rate(s.Tokens, s.Seconds),
	}}, nil
}

func rate(tokens int, seconds float64) float64 {
	if !(seconds > 0) {
		return 0
	}
	return float64(tokens) / seconds
}
