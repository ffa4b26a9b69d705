package train

import (
	"path/filepath"
	"testing"

	"haf/internal/shared"
	"haf/lm"
	"haf/objective"
	"haf/optim"
	"haf/reward"
)

// outlineOf opens the small stored model without its values.
func outlineOf(t *testing.T, change func(*reward.Options)) *reward.Model {
	t.Helper()
	opt := reward.Options{NoTokenizer: true, Train: true, Positions: 512, LogitChunk: 64, LoRA: &lm.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj", "down_proj"}}}
	if change != nil {
		change(&opt)
	}
	model, err := reward.Outline(filepath.Join(shared.Root(), "lm", "testdata", "llama"), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(model.Close)
	return model
}

func options() Options {
	return Options{
		Objective: objective.Default(), Optimizer: optim.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1, Schedule: "linear"},
		Epochs: 2, Batch: 12, Seed: 9,
	}
}

func forecast(t *testing.T, change func(*reward.Options)) *Forecast {
	t.Helper()
	model := outlineOf(t, change)
	f, err := NewForecast(model, smallData(60, model.Config.Vocab), options())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestMemoryStored counts by hand what is stored.
func TestMemoryStored(t *testing.T) {
	model := outlineOf(t, nil)
	c := model.Config
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	base := c.Vocab*c.Hidden + c.Layers*(2*c.Hidden*q+2*c.Hidden*kv+3*c.Hidden*c.FeedForward+2*c.Hidden) + c.Hidden
	if !c.TiedEmbeddings {
		base += c.Vocab * c.Hidden
	}
	adapter := c.Layers * 4 * (c.Hidden + q + c.FeedForward + c.Hidden)
	head := c.Hidden
	m := forecast(t, nil).Memory
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
	all := forecast(t, func(o *reward.Options) { o.LoRA = nil }).Memory
	if all.Adapter != 0 || all.Moments != int64(8*(base+head)) {
		t.Errorf("all weights trained: %+v", all)
	}
	if half := forecast(t, func(o *reward.Options) { o.DType = "bfloat16" }).Memory; half.Weights != int64(2*base+4*head) || half.Copies == 0 {
		t.Errorf("bfloat16: %+v", half)
	}
}

// TestMemoryKept counts by hand what selective checkpointing keeps, and wants less of full and more of none.
func TestMemoryKept(t *testing.T) {
	kept := func(checkpointing lm.Checkpointing) (int64, *Forecast) {
		f := forecast(t, func(o *reward.Options) { o.Checkpointing = checkpointing })
		return f.Memory.Activations, f
	}
	selective, f := kept(lm.CheckpointSelective)
	c := outlineOf(t, nil).Config
	values := 2*c.Hidden + 2*c.Heads*c.HeadDim + 2*c.KVHeads*c.HeadDim + 2*c.FeedForward
	if want := int64(4 * f.Shapes[0].Positions() * c.Layers * values); len(f.Shapes) != 1 || selective != want {
		t.Errorf("selective keeps %d bytes of %v, want %d", selective, f.Shapes, want)
	}
	whole, _ := kept(lm.CheckpointFull)
	none, _ := kept(lm.CheckpointNone)
	if !(whole < selective && selective < none) {
		t.Errorf("full %d, selective %d, none %d: want them rising", whole, selective, none)
	}
}

// TestFit wants as little made again as the room allows.
func TestFit(t *testing.T) {
	model, opt := outlineOf(t, nil), options()
	data := smallData(60, model.Config.Vocab)
	total := func(c lm.Checkpointing) int64 {
		model.SetCheckpointing(c)
		f, err := NewForecast(model, data, opt)
		if err != nil {
			t.Fatal(err)
		}
		return f.Memory.Total()
	}
	none, selective := total(lm.CheckpointNone), total(lm.CheckpointSelective)
	for _, c := range []struct {
		room int64
		want lm.Checkpointing
	}{
		{1 << 40, lm.CheckpointNone}, {none*5/4 + 2, lm.CheckpointNone}, {none*5/4 - 2, lm.CheckpointSelective}, {selective*5/4 - 2, lm.CheckpointFull}, {1, lm.CheckpointFull},
	} {
		opt.Room = c.room
		f, err := NewForecast(model, data, opt)
		if err != nil {
			t.Fatal(err)
		}
		opt.Room = 0
		if f.Checkpointing != c.want || f.Memory.Total() != total(c.want) {
			t.Errorf("with room for %d bytes: %q of %d bytes, want %q of %d", c.room, f.Checkpointing, f.Memory.Total(), c.want, total(c.want))
		}
	}
}

// TestBoundMemory wants a bound that no data exceed which the limits allow, and that the limits lower.
func TestBoundMemory(t *testing.T) {
	for _, set := range []func(*reward.Options){
		nil, func(o *reward.Options) { o.LoRA = nil }, func(o *reward.Options) { o.Checkpointing = lm.CheckpointNone },
	} {
		model := outlineOf(t, set)
		need, bound := forecast(t, set).Memory.Total(), BoundMemory(model, options().Objective, 0).Total()
		if bound < need {
			t.Errorf("%d bytes are needed, the bound is %d", need, bound)
		}
		if short := BoundMemory(model, options().Objective, 16).Total(); short >= bound {
			t.Errorf("rows of 32 positions are bounded by %d bytes, of %d by %d", short, model.Positions(), bound)
		}
	}
}

// TestForecast plans what a run then does, to the step.
func TestForecast(t *testing.T) {
	model := outlineOf(t, func(o *reward.Options) { o.Positions = 128 })
	data := smallData(60, model.Config.Vocab)
	opt := options()
	f, err := NewForecast(model, data, opt)
	if err != nil {
		t.Fatal(err)
	}
	result, err := smallRun(t, t.Context(), newFolder(t, filepath.Join(t.TempDir(), "run")), true, func(o *Options) { o.Epochs, o.Batch, o.Seed = opt.Epochs, opt.Batch, opt.Seed }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.Steps != result.Steps || f.Groups != len(data.Train) || f.Valid != len(data.Valid) {
		t.Errorf("forecast of %d steps on %d and %d groups; the run made %d", f.Steps, f.Groups, f.Valid, result.Steps)
	}
	responses := 0
	for _, g := range append(data.Train, data.Valid...) {
		responses += len(g.Responses)
	}
	if f.Reference.Responses == 0 || f.Reference.Responses > responses || f.Reference.Bytes != 20*int64(f.Reference.Responses) {
		t.Errorf("reference %+v of %d responses", f.Reference, responses)
	}
	opt.MaxSteps = 1
	short, err := NewForecast(model, data, opt)
	if err != nil {
		t.Fatal(err)
	}
	if short.Steps != 1 || !(short.GFLOP < f.GFLOP) {
		t.Errorf("one step: %d steps, %g GFLOP of %g", short.Steps, short.GFLOP, f.GFLOP)
	}
}
