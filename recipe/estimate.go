package recipe

import (
	"maps"
	"strconv"

	"haf/lm"
	"haf/reward"
	"haf/train"
)

// A RunEstimate estimates the needs of a run before it starts.
type RunEstimate struct {
	Model      string                  `json:"model"`
	Family     string                  `json:"family"`
	Template   string                  `json:"template"`
	Parameters int                     `json:"parameters"`
	Trained    int                     `json:"trained"`
	Report     []string                `json:"report"` // what was read, kept, truncated, dropped
	Run        *train.ResourceEstimate `json:"run"`
	Available  int64                   `json:"available,omitempty"` // bytes of memory; 0 is not known
	Fits       bool                    `json:"fits"`
	Savings    []Saving                `json:"changes"` // settings that lower the memory
}

// A Saving is another value of one setting, or of several together, and the memory that the run
// would then need.
type Saving struct {
	Sets  []string `json:"sets"`  // as for -set
	Total int64    `json:"total"` // bytes
	Saves int64    `json:"saves"`
	Fits  bool     `json:"fits"`
}

// EstimateIn is [Recipe.Estimate] for the available memory, in bytes, with the settings that would
// lower the need. If available is 0, it is not known, and everything fits.
func (r *Recipe) EstimateIn(available int64) (*RunEstimate, error) {
	p, data, err := r.estimate(available)
	if err != nil {
		return nil, err
	}
	p.Available = available
	as := *r // with the checkpointing that was chosen, which the savings do not choose anew
	as.Train.Checkpointing, r = string(p.Run.Recompute), &as
	total := p.Run.Memory.Total()
	p.Fits = available == 0 || total <= available
	try := func(sets []string) error {
		need, err := r.need(sets, data)
		if err == nil && need < total-total/100 { // less is not worth a setting
			fits := available == 0 || need <= available
			saving := Saving{Sets: sets, Total: need, Saves: total - need, Fits: fits}
			p.Savings = append(p.Savings, saving)
		}
		return err
	}
	var together []string
	for _, s := range r.savers() {
		before := len(p.Savings)
		for _, value := range s.values {
			if err := try([]string{s.key + "=" + value}); err != nil {
				return nil, err
			}
		}
		if after := len(p.Savings); after > before {
			together = append(together, p.Savings[after-1].Sets...)
		}
	}
	if len(together) > 1 {
		return p, try(together)
	}
	return p, nil
}

// Estimate reads the data and the headers of the model, which must be on disk, and estimates the
// needs of the run. If the run may choose its activation checkpointing, Estimate chooses as if the
// available memory were not known.
func (r *Recipe) Estimate() (*RunEstimate, error) {
	p, _, err := r.estimate(0)
	return p, err
}

func (r *Recipe) estimate(available int64) (*RunEstimate, train.Data, error) {
	var data train.Data
	trained, valid, report, err := r.Groups()
	if err != nil {
		return nil, data, err
	}
	model, err := reward.OpenWithoutWeights(r.Model.Path, r.ModelOptions())
	if err != nil {
		return nil, data, err
	}
	defer model.Close()
	data, lines, err := r.Encode(model.Encoder, trained, valid)
	if err != nil {
		return nil, data, err
	}
	p := &RunEstimate{
		Model: r.Model.Path, Family: model.Config.Family, Template: model.Meta.Template.Name,
		Report: append(report, lines...), Fits: true,
	}
	p.Parameters, p.Trained = model.NumParams()
	opt := r.TrainOptions()
	if r.Train.Checkpointing == RecomputeAuto {
		opt.AvailableMemory = available
	}
	p.Run, err = train.Estimate(model, data, opt)
	return p, data, err
}

// Bound is an upper bound of the memory of the recipe's training, for any data and a base model
// with this config.json; neither has to be on disk. It assumes the largest batches and the longest
// rows that the recipe allows.
func (r *Recipe) Bound(config []byte) (train.Memory, error) {
	model, err := reward.FromConfig(config, r.ModelOptions())
	if err != nil {
		return train.Memory{}, err
	}
	defer model.Close()
	return train.BoundMemory(model, r.TrainOptions().Objective, r.Model.MaxLength), nil
}

// A saver is a setting that memory depends on, with values that need less than the recipe's.
type saver struct {
	key    string
	values []string // each lower than the one before
}

func (r *Recipe) savers() []saver {
	lower := func(value, least int) []string {
		var out []string
		for _, v := range []int{value / 2, value / 4} {
			if v >= least {
				out = append(out, strconv.Itoa(v))
			}
		}
		return out
	}
	checkpointing := []string{string(lm.RecomputeSelective), string(lm.RecomputeFull)}
	for i, value := range checkpointing {
		if r.Train.Checkpointing == value {
			checkpointing = checkpointing[i+1:]
		}
	}
	rank := lower(r.LoRA.Rank, 1)
	if r.LoRA.Rank == 0 {
		rank = []string{"64", "16"} // an adapter rather than all weights
	}
	var dtype []string
	if r.Model.DType != "bfloat16" {
		dtype = []string{"bfloat16"}
	}
	const leastPositions, leastChunk = 256, 32 // less is slow, and saves hardly anything
	return []saver{
		{"train.logit_chunk", lower(r.Train.LogitChunk, leastChunk)},
		{"train.checkpointing", checkpointing},
		{"train.tokens_per_batch", lower(r.Train.TokensPerBatch, leastPositions)}, {"lora.rank", rank},
		{"model.dtype", dtype},
	}
}

// need is the memory of the recipe with other settings, on data that is encoded already.
func (r *Recipe) need(sets []string, data train.Data) (int64, error) {
	changed := *r
	changed.origin = maps.Clone(r.origin)
	for _, set := range sets {
		if err := changed.Override(set); err != nil {
			return 0, err
		}
	}
	opt := changed.ModelOptions()
	opt.NoTokenizer = true
	model, err := reward.OpenWithoutWeights(changed.Model.Path, opt)
	if err != nil {
		return 0, err
	}
	defer model.Close()
	estimate, err := train.Estimate(model, data, changed.TrainOptions())
	if err != nil {
		return 0, err
	}
	return estimate.Memory.Total(), nil
}
