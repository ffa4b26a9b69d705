package train

import (
	"haf/lm"
	"haf/objective"
	"haf/pack"
	"haf/reward"
)

// A Forecast says what a run will need, before anything of it is run.
type Forecast struct {
	Groups      int          `json:"groups"` // to train on
	Comparisons int          `json:"comparisons"`
	Valid       int          `json:"valid"` // groups to validate on
	Packing     string       `json:"packing"`
	StepStats   string       `json:"step_stats"` // of the first epoch
	Shapes      []pack.Shape `json:"shapes"`
	Batches     int          `json:"batches"` // packed ones of an epoch
	Fill        float64      `json:"fill"`    // share of the positions that hold tokens
	Steps       int          `json:"steps"`
	GFLOP       float64      `json:"gflop"` // of matrix products that the training steps need
	Memory      Memory       `json:"memory"`
	// Checkpointing of the activations, chosen or given.
	Checkpointing lm.Checkpointing `json:"checkpointing"`
	Reference     ReferenceNeeded  `json:"reference"`
}

// ReferenceNeeded is what the reference's log-probabilities take.
type ReferenceNeeded struct {
	Responses int   `json:"responses"` // read once, before training; fewer where the cache has some
	Bytes     int64 `json:"bytes"`     // of the cache on disk
}

// NewForecast plans a run of the model, of which an outline is enough, as [Run] does.
func NewForecast(model *reward.Model, data Data, opt Options) (*Forecast, error) {
	if err := opt.Check(model, data); err != nil {
		return nil, err
	}
	s, err := newSchedule(model.Positions(), data, opt)
	if err != nil {
		return nil, err
	}
	f := &Forecast{
		Groups: len(data.Train), Valid: len(data.Valid), Packing: s.plan.String(), StepStats: s.plan.StepStats(s.epochs[0]).String(),
		Shapes: s.shapes, Batches: len(s.plan.Batches), Fill: s.plan.Fill(), Steps: s.total,
	}
	for _, g := range data.Train {
		f.Comparisons += len(g.Comparisons)
	}
	for step := range s.steps() {
		for _, batch := range step {
			f.GFLOP += StepArithmetic(model, opt.Objective, s.plan.Shapes[s.plan.Batches[batch].Shape]).Total() / 1e9
		}
	}
	if opt.Room > 0 {
		f.Memory = fit(model, opt.Objective, s, opt.Room)
	} else {
		f.Memory = s.memory(model, opt.Objective)
	}
	f.Checkpointing = model.Decoder().Checkpointing
	if opt.Objective.UsesReference() {
		f.Reference.Responses, f.Reference.Bytes = reward.CacheSize(data.Train, data.Valid)
	}
	return f, nil
}

// roomShare is the part of the memory that there is that a run is planned to take where it can choose: plans are within 15 %, and others
// want some, too.
const roomShare = 0.8

// fit lets the model's backward pass make no more again than fits the room, in bytes, and returns what the run then takes.
func fit(model *reward.Model, obj objective.Hybrid, s *schedule, room int64) Memory {
	for _, c := range []lm.Checkpointing{lm.CheckpointNone, lm.CheckpointSelective} {
		model.SetCheckpointing(c)
		if m := s.memory(model, obj); float64(m.Total()) <= roomShare*float64(room) {
			return m
		}
	}
	model.SetCheckpointing(lm.CheckpointFull)
	return s.memory(model, obj)
}
