package recipe

import (
	"maps"
	"strconv"

	"haf/lm"
	"haf/reward"
	"haf/train"
)

// A Plan says what a run will need, before anything of it is run.
type Plan struct {
	Model      string          `json:"model"`
	Family     string          `json:"family"`
	Template   string          `json:"template"`
	Parameters int             `json:"parameters"`
	Trained    int             `json:"trained"`
	Report     []string        `json:"report"` // what was read, kept, truncated, dropped
	Run        *train.Forecast `json:"run"`
	Room       int64           `json:"room,omitempty"` // bytes that there are; 0 is not known
	Fits       bool            `json:"fits"`
	Changes    []PlanChange    `json:"changes"` // settings that lower the memory
}

// A PlanChange is another value of one setting, or of several together, and the memory that the run would then need.
type PlanChange struct {
	Sets  []string `json:"sets"`  // as for -set
	Total int64    `json:"total"` // bytes
	Saves int64    `json:"saves"`
	Fits  bool     `json:"fits"`
}

// Plan is [Recipe.Forecast] with the settings that would lower the memory. room is the memory that there is, in bytes; 0 is not
// known, and everything fits.
func (r *Recipe) Plan(room int64) (*Plan, error) {
	p, data, err := r.forecast(room)
	if err != nil {
		return nil, err
	}
	p.Room = room
	as := *r // it is planned; what other settings save is compared without choosing anew
	as.Train.Checkpointing, r = string(p.Run.Checkpointing), &as
	total := p.Run.Memory.Total()
	p.Fits = room == 0 || total <= room
	try := func(sets []string) error {
		need, err := r.need(sets, data)
		if err == nil && need < total-total/100 { // less is not worth a setting
			p.Changes = append(p.Changes, PlanChange{Sets: sets, Total: need, Saves: total - need, Fits: room == 0 || need <= room})
		}
		return err
	}
	var together []string
	for _, s := range r.savers() {
		before := len(p.Changes)
		for _, value := range s.values {
			if err := try([]string{s.key + "=" + value}); err != nil {
				return nil, err
			}
		}
		if after := len(p.Changes); after > before {
			together = append(together, p.Changes[after-1].Sets...)
		}
	}
	if len(together) > 1 {
		return p, try(together)
	}
	return p, nil
}

// Forecast reads the data and the headers of the model, which must be on disk, and says what the run will need: where it may choose
// what to make again, as if it did not know how much memory there is.
func (r *Recipe) Forecast() (*Plan, error) {
	p, _, err := r.forecast(0)
	return p, err
}

func (r *Recipe) forecast(room int64) (*Plan, train.Data, error) {
	var data train.Data
	trained, valid, report, err := r.Groups()
	if err != nil {
		return nil, data, err
	}
	model, err := reward.Outline(r.Model.Path, r.ModelOptions())
	if err != nil {
		return nil, data, err
	}
	defer model.Close()
	data, lines, err := Encode(model.Encoder, trained, valid)
	if err != nil {
		return nil, data, err
	}
	p := &Plan{Model: r.Model.Path, Family: model.Config.Family, Template: model.Meta.Template.Name, Report: append(report, lines...), Fits: true}
	p.Parameters, p.Trained = model.NumParams()
	opt := r.TrainOptions()
	if r.Train.Checkpointing == CheckpointAuto {
		opt.Room = room
	}
	p.Run, err = train.NewForecast(model, data, opt)
	return p, data, err
}

// Bound is the most memory that the recipe's training needs on whatever data, on a base model with this config.json; neither
// has to be on disk. Every batch is taken to be as large, and its rows as long, as the recipe lets them be.
func (r *Recipe) Bound(config []byte) (train.Memory, error) {
	model, err := reward.Sketch(config, r.ModelOptions())
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
	checkpointing := []string{string(lm.CheckpointSelective), string(lm.CheckpointFull)}
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
		{"train.logit_chunk", lower(r.Train.LogitChunk, leastChunk)}, {"train.checkpointing", checkpointing},
		{"train.positions", lower(r.Train.Positions, leastPositions)}, {"lora.rank", rank}, {"model.dtype", dtype},
	}
}

// need is the memory of the recipe with other settings, on data that is encoded already.
func (r *Recipe) need(sets []string, data train.Data) (int64, error) {
	changed := *r
	changed.origin = maps.Clone(r.origin)
	for _, set := range sets {
		if err := changed.set(set); err != nil {
			return 0, err
		}
	}
	opt := changed.ModelOptions()
	opt.NoTokenizer = true
	model, err := reward.Outline(changed.Model.Path, opt)
	if err != nil {
		return 0, err
	}
	defer model.Close()
	forecast, err := train.NewForecast(model, data, changed.TrainOptions())
	if err != nil {
		return 0, err
	}
	return forecast.Memory.Total(), nil
}
