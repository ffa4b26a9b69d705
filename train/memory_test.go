package train_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"haf/backend"
	"haf/lm"
	"haf/objective"
	"haf/optim"
	"haf/pref"
	"haf/reward"
	"haf/train"
)

// withoutWeights opens the small stored model without its values.
func withoutWeights(t *testing.T, change func(*reward.Options)) *reward.Model {
	t.Helper()
	opt := reward.Options{NoTokenizer: true, Train: true, Positions: 512, LogitChunk: 64,
		LoRA: &lm.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj", "down_proj"}}}
	if change != nil {
		change(&opt)
	}
	model, err := reward.OpenWithoutWeights(smallFolder(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(model.Close)
	return model
}

func options() train.Options {
	return train.Options{
		Objective: objective.Default(), Optimizer: optim.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.999,
			Eps: 1e-5, Clip: 1, Schedule: "linear"},
		Epochs: 2, Batch: 12, Seed: 9,
	}
}

func estimate(t *testing.T, change func(*reward.Options)) *train.ResourceEstimate {
	t.Helper()
	model := withoutWeights(t, change)
	f, err := train.Estimate(model, smallData(60, model.Config.Vocab), options())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestMemoryStored counts by hand what is stored.
func TestMemoryStored(t *testing.T) {
	model := withoutWeights(t, nil)
	c := model.Config
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	base := c.Vocab*c.Hidden + c.Layers*(2*c.Hidden*q+2*c.Hidden*kv+3*c.Hidden*c.FeedForward+
		2*c.Hidden) + c.Hidden
	if !c.TiedEmbeddings {
		base += c.Vocab * c.Hidden
	}
	adapter := c.Layers * 4 * (c.Hidden + q + c.FeedForward + c.Hidden)
	head := c.Hidden
	m := estimate(t, nil).Memory
	for _, part := range []struct {
		name string
		got  int64
		want int
	}{
		{"weights", m.Weights, 4 * (base + head)}, {"adapter", m.Adapter, 4 * adapter},
		{"gradients", m.Gradients, 4 * (adapter + head)}, {"moments", m.Moments, 8 * (adapter + head)},
	} {
		if part.got != int64(part.want) {
			t.Errorf("%s: %d bytes, want %d", part.name, part.got, part.want)
		}
	}
	all := estimate(t, func(o *reward.Options) { o.LoRA = nil }).Memory
	if all.Adapter != 0 || all.Moments != int64(8*(base+head)) {
		t.Errorf("all weights trained: %+v", all)
	}
	if half := estimate(
		t, func(o *reward.Options) { o.DType = "bfloat16" }).Memory; half.Weights != int64(2*base+
		4*head) || half.BF16Upcast == 0 {
		t.Errorf("bfloat16: %+v", half)
	}
}

// TestSavedActivations counts by hand what selective checkpointing saves, and wants less of full
// and more of none.
func TestSavedActivations(t *testing.T) {
	saved := func(checkpointing lm.Recompute) (int64, *train.ResourceEstimate) {
		f := estimate(t, func(o *reward.Options) { o.Recompute = checkpointing })
		return f.Memory.Activations, f
	}
	selective, f := saved(lm.RecomputeSelective)
	c := withoutWeights(t, nil).Config
	values := 2*c.Hidden + 2*c.Heads*c.HeadDim + 2*c.KVHeads*c.HeadDim + 2*c.FeedForward
	if want := int64(4 * f.Shapes[0].Positions() * c.Layers * values); len(f.Shapes) != 1 ||
		selective != want {
		t.Errorf("selective saves %d bytes of %v, want %d", selective, f.Shapes, want)
	}
	whole, _ := saved(lm.RecomputeFull)
	none, _ := saved(lm.RecomputeNone)
	if !(whole < selective && selective < none) {
		t.Errorf("full %d, selective %d, none %d: want them rising", whole, selective, none)
	}
}

// TestFit wants as little recomputed as the available memory allows.
func TestFit(t *testing.T) {
	model, opt := withoutWeights(t, nil), options()
	data := smallData(60, model.Config.Vocab)
	total := func(c lm.Recompute) int64 {
		model.SetRecompute(c)
		f, err := train.Estimate(model, data, opt)
		if err != nil {
			t.Fatal(err)
		}
		return f.Memory.Total()
	}
	none, selective := total(lm.RecomputeNone), total(lm.RecomputeSelective)
	for _, c := range []struct {
		available int64
		want      lm.Recompute
	}{
		{1 << 40, lm.RecomputeNone}, {none*5/4 + 2, lm.RecomputeNone},
		{none*5/4 - 2, lm.RecomputeSelective}, {selective*5/4 - 2, lm.RecomputeFull},
		{1, lm.RecomputeFull},
	} {
		opt.AvailableMemory = c.available
		f, err := train.Estimate(model, data, opt)
		if err != nil {
			t.Fatal(err)
		}
		opt.AvailableMemory = 0
		if f.Recompute != c.want || f.Memory.Total() != total(c.want) {
			t.Errorf("with %d bytes of memory: %q of %d bytes, want %q of %d", c.available, f.Recompute,
				f.Memory.Total(), c.want, total(c.want))
		}
	}
}

// TestTrainingNeedsMemory wants a run refused before its first step where its memory is not there,
// and the same command to go on where it is.
func TestTrainingNeedsMemory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	available := int64(1)
	s := small{opened: func(d *backend.Device) {
		d.SetAvailable(func() (backend.Memory, error) { return backend.Memory{Bytes: available}, nil })
	}}
	_, err := s.run(t, t.Context(), newFolder(t, dir))
	if !errors.Is(err, pref.ErrMemory) || !strings.Contains(err.Error(), "train.tokens_per_batch") {
		t.Errorf("with one byte of memory: %v, want it refused, and what lowers the need", err)
	}
	available = 1 << 40
	if err := s.resume(t, dir); err != nil {
		t.Error(err)
	}
}

// TestBoundMemory wants a bound that no data exceed which the limits allow, and that the limits
// lower.
func TestBoundMemory(t *testing.T) {
	for _, set := range []func(*reward.Options){
		nil, func(o *reward.Options) { o.LoRA = nil },
		func(o *reward.Options) { o.Recompute = lm.RecomputeNone },
	} {
		model := withoutWeights(t, set)
		need, bound := estimate(t, set).Memory.Total(), train.BoundMemory(model, options().Objective,
			0).Total()
		if bound < need {
			t.Errorf("%d bytes are needed, the bound is %d", need, bound)
		}
		if short := train.BoundMemory(model, options().Objective, 16).Total(); short >= bound {
			t.Errorf("rows of 32 positions are bounded by %d bytes, of %d by %d", short, model.Positions(),
				bound)
		}
	}
}

// TestEstimate plans what a run then does, to the step.
func TestEstimate(t *testing.T) {
	model := withoutWeights(t, func(o *reward.Options) { o.Positions = 128 })
	data := smallData(60, model.Config.Vocab)
	opt := options()
	f, err := train.Estimate(model, data, opt)
	if err != nil {
		t.Fatal(err)
	}
	result, _, err := small{lora: true, options: func(o *train.Options) {
		o.Epochs, o.Batch, o.Seed = opt.Epochs, opt.Batch, opt.Seed
	}}.fresh(t)
	if err != nil {
		t.Fatal(err)
	}
	if f.Steps != result.Steps || f.Groups != len(data.Train) || f.Valid != len(data.Valid) {
		t.Errorf("an estimate of %d steps on %d and %d groups; the run made %d", f.Steps, f.Groups,
			f.Valid, result.Steps)
	}
	responses := 0
	for _, g := range append(data.Train, data.Valid...) {
		responses += len(g.Responses)
	}
	if f.Reference.Responses == 0 || f.Reference.Responses > responses ||
		f.Reference.Bytes != 20*int64(f.Reference.Responses) {
		t.Errorf("reference %+v of %d responses", f.Reference, responses)
	}
	opt.MaxSteps = 1
	short, err := train.Estimate(model, data, opt)
	if err != nil {
		t.Fatal(err)
	}
	if short.Steps != 1 || !(short.GFLOP < f.GFLOP) {
		t.Errorf("one step: %d steps, %g GFLOP of %g", short.Steps, short.GFLOP, f.GFLOP)
	}
}
