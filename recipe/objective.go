package recipe

import "haf/objective"

// Objective is the hybrid objective, w · reward loss + α · policy loss:
// docs/concepts/objective-and-losses.md has the equations of the losses.
type Objective struct {
	RewardWeight float64 `range:"[0,1e6]" toml:"reward_weight" json:"reward_weight"` // w; 0 is DPO
	// α; 0 is the Baseline
	PolicyWeight float64 `range:"[0,1e6]" toml:"policy_weight" json:"policy_weight"`
	// a loss of the score head, or several with weights: "bradley-terry + 0.5 hinge"
	Reward string `toml:"reward" json:"reward"`
	// a loss of the policy head, or several: "dpo", "sft", "dpo + 0.1 sft"
	Policy string `toml:"policy" json:"policy"`
	// β of the policy losses and of the implicit reward, per nat of log-ratio
	Beta float64 `range:"(0,1e6]" toml:"beta" json:"beta"`

	// noise of the preference link: "logistic", "gaussian", "laplace", "cauchy" or "student-t"
	Link string `toml:"link" json:"link"`
	// scale of the score head's link
	LinkScale  float64 `range:"(0,1e6]" toml:"link_scale" json:"link_scale"`
	LinkDF     float64 `range:"(0,1e6]" toml:"link_df" json:"link_df"` // degrees of freedom of "student-t"
	LearnScale bool    `toml:"learn_scale" json:"learn_scale"`         // train the link's scale, too

	Margin float64 `range:"(0,1e6]" toml:"margin" json:"margin"` // width of the hinge losses
	Gamma  float64 `range:"[0,1e6]" toml:"gamma" json:"gamma"`   // target margin of "simpo"
	// share ε of "smoothed" and "cdpo"
	Smoothing float64 `range:"[0,0.5)" toml:"smoothing" json:"smoothing"`
	// known share of wrong labels, for "robust"
	NoiseRate float64 `range:"[0,0.5)" toml:"noise_rate" json:"noise_rate"`
	// probability of a tie between equals, for "rao-kupper" and "davidson"
	TieRate float64 `range:"(0,1)" toml:"tie_rate" json:"tie_rate"`
	// scale of the explicit rewards of "rpo-…"
	Eta float64 `range:"(0,1e6]" toml:"eta" json:"eta"`
	// source of RPO's explicit rewards: "data", "score", or "joint" with gradient
	Explicit string `toml:"explicit" json:"explicit"`

	// λ_D of "kto" and "apo-zero": weight of desirable responses
	DesirableWeight float64 `range:"(0,1e6]" toml:"desirable_weight" json:"desirable_weight"`
	// λ_U of "kto" and "apo-zero": weight of undesirable responses
	UndesirableWeight float64 `range:"(0,1e6]" toml:"undesirable_weight" json:"undesirable_weight"`

	// weight of the squared sum of a comparison's rewards
	Center float64 `range:"[0,1e6]" toml:"center" json:"center"`
	// weight of the squared mean reward of a packed batch
	BatchSum float64 `range:"[0,1e6]" toml:"batch_sum" json:"batch_sum"`
	L2       float64 `range:"[0,1e6]" toml:"l2" json:"l2"` // weight of the squared rewards

	// schedule of w and α: "constant", "ramp", "alternate", "complement" or "elastic"
	Schedule string `toml:"schedule" json:"schedule"`
	// α at the beginning of a ramp
	ScheduleFrom float64 `range:"[0,1e6]" toml:"schedule_from" json:"schedule_from"`
	// share of the steps that a ramp takes
	ScheduleShare float64 `range:"(0,1]" toml:"schedule_share" json:"schedule_share"`
	// steps of a block of "alternate" and "elastic"
	ScheduleSteps int `range:"[1,1e9]" toml:"schedule_steps" json:"schedule_steps"`
	// strength of the elastic penalty
	Elastic float64 `range:"[0,1e12]" toml:"elastic" json:"elastic"`
}

func defaultObjective() Objective {
	h := objective.Default()
	return Objective{
		RewardWeight: h.RewardWeight, PolicyWeight: h.PolicyWeight, Reward: h.Reward, Policy: h.Policy,
		Beta: h.Beta,
		Link: h.Link, LinkScale: h.LinkScale, LinkDF: h.LinkDF, LearnScale: h.LearnScale,
		Margin: h.Margin, Gamma: h.Gamma, Smoothing: h.Smoothing, NoiseRate: h.NoiseRate,
		TieRate: h.TieRate, Eta: h.Eta, Explicit: h.Explicit,
		DesirableWeight: h.DesirableWeight, UndesirableWeight: h.UndesirableWeight,
		Center: h.Center, BatchSum: h.BatchSum, L2: h.L2,
		Schedule: h.Kind, ScheduleFrom: h.From, ScheduleShare: h.Share, ScheduleSteps: h.Steps,
		Elastic: h.Strength,
	}
}

func (o Objective) hybrid() objective.Hybrid {
	return objective.Hybrid{
		RewardWeight: o.RewardWeight, PolicyWeight: o.PolicyWeight, Reward: o.Reward, Policy: o.Policy,
		Beta: o.Beta,
		Link: o.Link, LinkScale: o.LinkScale, LinkDF: o.LinkDF, LearnScale: o.LearnScale,
		Margin: o.Margin, Gamma: o.Gamma, Smoothing: o.Smoothing, NoiseRate: o.NoiseRate,
		TieRate: o.TieRate, Eta: o.Eta, Explicit: o.Explicit,
		DesirableWeight: o.DesirableWeight, UndesirableWeight: o.UndesirableWeight,
		Center: o.Center, BatchSum: o.BatchSum, L2: o.L2,
		Schedule: objective.Schedule{Kind: o.Schedule, From: o.ScheduleFrom, Share: o.ScheduleShare,
			Steps: o.ScheduleSteps, Strength: o.Elastic},
	}
}
