package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"haf/backend"
	"haf/encode"
	"haf/pack"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/run"
	"haf/train"
)

// A Case is a piece of work whose speed is measured.
type Case struct {
	Name string
	What string
	Unit string   // pairs, comparisons or responses per second
	Sets []string // overrides of the benchmark's recipe
	kind string   // train, groups, split, score or encode
}

// Cases returns all cases, in the order in which they run.
func Cases() []Case {
	return []Case{
		{"hybrid", "hybrid step, LoRA", "pairs", nil, "train"},
		{"hybrid-small", "hybrid step, least memory", "pairs", []string{"train.checkpointing=selective",
			"train.tokens_per_batch=640"}, "train"},
		{"baseline", "reward loss only", "pairs", []string{"objective.policy_weight=0"}, "train"},
		{"dpo", "policy loss only", "pairs",
			[]string{"objective.reward_weight=0", "objective.policy_weight=1"}, "train"},
		{"full", "hybrid step, all weights trained, selective checkpointing", "pairs",
			[]string{"lora.rank=0", "train.checkpointing=selective"}, "train"},
		{"bfloat16", "hybrid step, bfloat16 body", "pairs", []string{"model.dtype=bfloat16"}, "train"},
		{"score", "rewards, the prompt shared by a pair", "responses", nil, "score"},
		{"score-single", "rewards of single responses", "responses", nil, "score-single"},
		{"groups", "hybrid step on groups of responses", "comparisons", nil, "groups"},
		{"groups-as-pairs", "the same comparisons as pairs", "comparisons", nil, "split"},
		{"encode", "reading, tokenizing and packing, nothing run", "pairs", nil, "encode"},
	}
}

// Options set what is measured, and on which data.
type Options struct {
	Model  string    // folder of the model
	Data   []string  // preference pairs
	Groups []string  // groups of more than two responses, for the cases of that name
	Pairs  int       // number of pairs: the first that fit the length limit
	Batch  int       // approximate groups per step
	Rank   int       // of the adapter on gate, up and down projections
	Began  time.Time // start of the process
	Cache  string    // folder for reference log-probabilities
	Sets   []string  // overrides of the recipe, after the case's own
}

// Arguments returns the arguments for a process of haf that measures a case on a device.
func (o Options) Arguments(name, device string) []string {
	args := []string{"bench", o.Model, "-one", name, "-device", device, "-pairs",
		strconv.Itoa(o.Pairs), "-batch", strconv.Itoa(o.Batch), "-rank", strconv.Itoa(o.Rank)}
	for _, of := range []struct {
		flag   string
		values []string
	}{{"-data", o.Data}, {"-groups", o.Groups}, {"-set", o.Sets}} {
		for _, value := range of.values {
			args = append(args, of.flag, value)
		}
	}
	return args
}

// Result is the result of a measurement. The rate excludes the first step, or the first packed
// batch when scoring.
type Result struct {
	Case    string    `json:"case"`
	Unit    string    `json:"unit"` // of the rate, per second
	Rate    float64   `json:"rate"`
	Seconds []float64 `json:"seconds"` // per step or packed batch
	// from the start of the process to the first step, when everything is compiled; when scoring, to
	// the end of the first packed batch
	Start             float64 `json:"start_s"`
	Programs          int     `json:"programs"`
	PackingEfficiency float64 `json:"packing_efficiency"` // share of the positions that hold tokens
	FirstLoss         float64 `json:"first_loss,omitempty"`
	GFLOP             float64 `json:"gflop"`   // matrix products per unit
	GFLOPS            float64 `json:"gflop_s"` // achieved
	Peak              float64 `json:"gflop_s_peak"`
	Share             float64 `json:"share_of_peak"`
	PeakMB            float64 `json:"peak_mb"` // resident memory, set by the caller
	Device            string  `json:"device,omitempty"`

	Reading *EncodeResult `json:"reading,omitempty"`
}

// EncodeResult describes the encoding of a data set.
type EncodeResult struct {
	Pairs int `json:"pairs"` // pairs kept
	// Seconds for reading the files, tokenizing and packing.
	Read   float64 `json:"read_s"`
	Encode float64 `json:"encode_s"`
	Pack   float64 `json:"pack_s"`
	// Live heap in bytes after each of them.
	ReadBytes   uint64 `json:"read_bytes"`
	EncodeBytes uint64 `json:"encode_bytes"`
	PackBytes   uint64 `json:"pack_bytes"`
}

// Measure measures one case. The encoding case needs no device. Peak memory is the process's, so
// each case needs its own process.
func Measure(
	ctx context.Context, device *backend.Device, name string, opt Options, progress run.Progress,
) (Result, error) {
	cases := Cases()
	at := slices.IndexFunc(cases, func(c Case) bool { return c.Name == name })
	if at < 0 {
		return Result{}, fmt.Errorf("bench: no benchmark %q", name)
	}
	c := cases[at]
	data := opt.Data
	if c.kind == "groups" || c.kind == "split" {
		data = opt.Groups
	}
	r := recipe.Default()
	r.Model.Path, r.Model.Truncation = opt.Model, encode.TruncateDrop
	r.LoRA.Rank, r.Data.Train, r.Data.ValidFraction = opt.Rank, data, 0
	r.Train.Batch, r.Train.CheckpointEvery, r.Train.EvalEvery, r.Train.Schedule = opt.Batch, 0, 0,
		"constant"
	for _, set := range slices.Concat(c.Sets, opt.Sets) {
		if err := r.Override(set); err != nil {
			return Result{}, err
		}
	}
	if err := r.Validate(); err != nil {
		return Result{}, err
	}
	if c.kind == "encode" {
		return measureEncoding(r, c, opt)
	}
	groups, _, _, err := r.Groups()
	if err != nil {
		return Result{}, err
	}
	on, err := device.OnMesh(r.Mesh.Devices())
	if err != nil {
		return Result{}, err
	}
	if on != device {
		device = on
		defer on.Finalize()
	}
	available := r.AvailableMemory(device)
	options := r.ModelOptions()
	if strings.HasPrefix(c.kind, "score") {
		options.LoRA, options.Train = nil, false
	}
	model, err := reward.Open(device, r.Model.Path, options)
	if err != nil {
		return Result{}, err
	}
	defer model.Close()
	encoded, _, err := recipe.Encode(model.Encoder, firstGroups(groups, 4*opt.Pairs), nil)
	if err != nil {
		return Result{}, err
	}
	encoded.Train = encoded.Train[:min(opt.Pairs, len(encoded.Train))]
	result := Result{Case: c.Name, Unit: c.Unit, Device: device.Describe()}
	switch c.kind {
	case "score", "score-single":
		err = result.score(ctx, model, encoded.Train, c.kind == "score-single", opt)
	case "split":
		encoded.Train = asPairs(encoded.Train)
		fallthrough
	default:
		err = result.train(ctx, r, model, encoded, available, opt, progress)
	}
	if err != nil {
		return result, err
	}
	// dtype of the matrix products, whatever the body's, unless the device is faster at bfloat16
	dtype := "float32"
	if device.HalfProducts() {
		dtype = r.Model.DType
	}
	if result.Peak, err = device.MatMulRate(dtype); err == nil {
		result.GFLOPS = result.GFLOP * result.Rate
		result.Share = result.GFLOPS / result.Peak
	}
	return result, err
}

func firstGroups(groups []pref.Group, n int) []pref.Group { return groups[:min(n, len(groups))] }

// asPairs makes a group of two responses from every comparison.
func asPairs(groups []encode.Group) []encode.Group {
	var out []encode.Group
	for _, g := range groups {
		for _, c := range g.Comparisons {
			pair := g
			pair.Responses = []encode.Response{g.Responses[c.Chosen], g.Responses[c.Rejected]}
			pair.Comparisons = []pref.Comparison{{Chosen: 0, Rejected: 1, Margin: g.Stated(c),
				ZeroMargin: g.HasMargin(c) && g.Stated(c) == 0}}
			pair.Ties, pair.Scores = nil, nil
			out = append(out, pair)
		}
	}
	return out
}

// alone makes a group of one response from every response.
func alone(groups []encode.Group) []encode.Group {
	var out []encode.Group
	for _, g := range groups {
		for _, response := range g.Responses {
			out = append(out, encode.Group{Prompt: g.Prompt, Responses: []encode.Response{response},
				Source: g.Source, Index: g.Index})
		}
	}
	return out
}

// firstStep is a Progress that records when the first step begins.
type firstStep struct {
	run.Progress
	at time.Time
}

func (p *firstStep) StartPhase(name string, total int) {
	if name == "training" {
		p.at = time.Now()
	}
	p.Progress.StartPhase(name, total)
}

// train runs the training loop over the groups, in a temporary folder.
func (b *Result) train(
	ctx context.Context, r *recipe.Recipe, model *reward.Model, data train.Data, available int64,
	opt Options, progress run.Progress,
) error {
	dir, err := os.MkdirTemp("", "haf-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	folder, err := run.Create(filepath.Join(dir, "run"), map[string]string{"bench": b.Case})
	if err != nil {
		return err
	}
	options := r.TrainOptions()
	options.CacheDir, options.AvailableMemory = opt.Cache, available
	first := &firstStep{Progress: progress}
	result, err := train.Run(ctx, model, data, options, folder, first)
	if err != nil {
		return err
	}
	b.Start, b.Programs, b.FirstLoss = first.at.Sub(opt.Began).Seconds(), result.Programs,
		result.FirstLoss
	records, err := run.ReadRecords(folder.Path, run.VerbTrain)
	if err != nil {
		return err
	}
	var units, flops, seconds, tokens, positions float64
	for _, step := range records.Steps {
		b.Seconds = append(b.Seconds, step.Seconds)
		tokens, positions = tokens+float64(step.Tokens), positions+
			float64(step.Tokens)/step.PackingEfficiency
		if step.Step == 1 {
			continue
		}
		units, flops, seconds = units+float64(step.Comparisons), flops+step.GFLOP, seconds+step.Seconds
	}
	if units == 0 {
		return fmt.Errorf("bench: one step of %d groups is too few to measure: give more pairs",
			len(data.Train))
	}
	b.Rate, b.GFLOP, b.PackingEfficiency = units/seconds, flops/units, tokens/positions
	return nil
}

// firstOf returns the groups of the first batch with the shape.
func firstOf(plan *pack.Packing, shape int, groups []encode.Group) []encode.Group {
	i := slices.IndexFunc(plan.Batches, func(b pack.Assignment) bool { return b.Shape == shape })
	var first []encode.Group
	for _, g := range slices.Concat(plan.Batches[i].Rows...) {
		first = append(first, groups[g])
	}
	return first
}

// score computes the score head's rewards of all responses.
func (b *Result) score(
	ctx context.Context, model *reward.Model, groups []encode.Group, single bool, opt Options,
) error {
	if single {
		groups = alone(groups)
	}
	shapes, err := pack.CommonShapes(pack.Options{Positions: model.Positions()}, groups)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	plan, err := pack.New(groups, pack.Options{Shapes: shapes})
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	// Compile and run each shape's program once before the clock starts.
	for i := range plan.Shapes {
		one := firstOf(plan, i, groups)
		if _, err := model.Read(ctx, one, reward.ScoreHead, shapes, nil); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	var units, flops float64
	batch, began := 0, time.Now()
	b.Start = began.Sub(opt.Began).Seconds()
	last := began
	_, err = model.Read(ctx, groups, reward.ScoreHead, shapes, func(n, total int) {
		now := time.Now()
		b.Seconds = append(b.Seconds, now.Sub(last).Seconds())
		flops += train.ForwardFLOPs(model, plan.Shapes[plan.Batches[batch].Shape], false).Total()
		last, batch = now, batch+1
	})
	if err != nil {
		return err
	}
	for _, g := range groups {
		units += float64(len(g.Responses))
	}
	b.Rate, b.GFLOP, b.Programs, b.PackingEfficiency = units/last.Sub(began).Seconds(),
		flops/1e9/units, model.Programs(), plan.Efficiency()
	return nil
}
