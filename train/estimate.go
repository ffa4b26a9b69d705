package train

import (
	"haf/lm"
	"haf/objective"
	"haf/pack"
	"haf/reward"
)

// A ResourceEstimate estimates the needs of a run before it starts.
type ResourceEstimate struct {
	Groups      int          `json:"groups"` // of the training data
	Comparisons int          `json:"comparisons"`
	Valid       int          `json:"valid"` // groups of the validation data
	Packing     string       `json:"packing"`
	StepStats   string       `json:"step_stats"` // of the first epoch
	Shapes      []pack.Shape `json:"shapes"`
	Batches     int          `json:"batches"` // packed ones of an epoch
	// share of the positions that hold tokens
	PackingEfficiency float64 `json:"packing_efficiency"`
	Steps             int     `json:"steps"`
	GFLOP             float64 `json:"gflop"` // of the matrix products of the training steps
	Memory            Memory  `json:"memory"`
	// Recompute is the activation checkpointing, chosen or given.
	Recompute lm.Recompute    `json:"checkpointing"`
	Reference ReferenceNeeded `json:"reference"`
}

// ReferenceNeeded is the work for the reference's log-probabilities.
type ReferenceNeeded struct {
	Responses int   `json:"responses"` // read once, before training; without those in the cache
	Bytes     int64 `json:"bytes"`     // of the cache on disk
}

// Estimate plans a run of the model as [Run] does. A model without weights is enough.
func Estimate(model *reward.Model, data Data, opt Options) (*ResourceEstimate, error) {
	if err := opt.Check(model, data); err != nil {
		return nil, err
	}
	s, err := newStepOrder(model.Positions(), data, opt)
	if err != nil {
		return nil, err
	}
	f := &ResourceEstimate{
		Groups: len(data.Train), Valid: len(data.Valid), Packing: s.packing.String(),
		StepStats: s.packing.StepStats(s.epochs[0]).String(), Shapes: s.shapes,
		Batches: len(s.packing.Batches), PackingEfficiency: s.packing.Efficiency(), Steps: s.total,
	}
	for _, g := range data.Train {
		f.Comparisons += len(g.Comparisons)
	}
	for step := range s.steps() {
		for _, batch := range step {
			shape := s.packing.Shapes[s.packing.Batches[batch].Shape]
			f.GFLOP += TrainStepFLOPs(model, opt.Objective, shape).Total() / 1e9
		}
	}
	if opt.AvailableMemory > 0 {
		f.Memory = fit(model, opt.Objective, s, opt.AvailableMemory)
	} else {
		f.Memory = s.memory(model, opt.Objective)
	}
	f.Recompute = model.Decoder().Recompute
	if opt.Objective.UsesReference() {
		f.Reference.Responses, f.Reference.Bytes = reward.CacheSize(data.Train, data.Valid)
	}
	return f, nil
}

// memoryShare is the part of the available memory that a run is planned to take where it can
// choose, because estimates are within 15 % and other programs need some, too.
const memoryShare = 0.8

// fit lets the model's backward pass recompute as little as the available memory allows, in bytes,
// and returns what the run then takes.
func fit(model *reward.Model, obj objective.Hybrid, s *stepOrder, available int64) Memory {
	for _, c := range []lm.Recompute{lm.RecomputeNone, lm.RecomputeSelective} {
		model.SetRecompute(c)
		if m := s.memory(model, obj); float64(m.Total()) <= memoryShare*float64(available) {
			return m
		}
	}
	model.SetRecompute(lm.RecomputeFull)
	return s.memory(model, obj)
}
