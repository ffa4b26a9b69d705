package recipe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"haf/hub"
	"haf/lm"
	"haf/pref"
	"haf/reward"
)

// A Draft is a recipe for given data and model, with the reasons for its settings.
type Draft struct {
	Recipe   *Recipe
	Estimate *RunEstimate // of memory and steps

	data, model string // as the user named them
	kind        string // of the data: pairs or labels
	groups      int
	longest     [3]int // tokens of a group: median, 99th percentile, longest
}

// Bounds of what a draft chooses.
const (
	draftPositions = 4096  // tokens of a conversation, at most
	draftFull      = 50e6  // parameters that an adapter is worth
	draftHalf      = 1.5e9 // parameters that bfloat16 is worth
	draftValid     = 500   // groups to validate on
)

// NewDraft inspects the data and the model, which may be ids on the hub, and writes a recipe that
// fits the available memory, in bytes; 0 is not known. It is an error if the data has nothing to
// learn from. Overrides of the form "train.lr=1e-5" replace its choices. Its TOML has only those
// overridden keys that it always writes.
func NewDraft(
	ctx context.Context, client *hub.Client, data []string, model string, available int64,
	overrides ...string,
) (*Draft, error) {
	d := &Draft{data: strings.Join(data, `", "`), model: model, kind: "pairs"}
	named, err := Parse("", nil, append(draftSets(model, data), overrides...))
	if err != nil {
		return nil, err
	}
	if err := named.Fetch(ctx, client); err != nil {
		return nil, err
	}
	trained, err := d.read(named)
	if err != nil {
		return nil, err
	}
	d.groups = len(trained)
	sets, err := d.choose(named, trained)
	if err != nil {
		return nil, err
	}
	sets = append(sets, overrides...)
	for _, set := range sets {
		if err := named.Override(set); err != nil {
			return nil, err
		}
	}
	if d.Estimate, err = named.EstimateIn(available); err != nil {
		return nil, err
	}
	if more := smaller(d.Estimate); more != nil {
		sets = append(sets, more...)
		for _, set := range more {
			if err := named.Override(set); err != nil {
				return nil, err
			}
		}
		if d.Estimate, err = named.EstimateIn(available); err != nil {
			return nil, err
		}
	}
	d.Recipe, err = Parse("", nil, append(draftSets(model, data), sets...))
	return d, err
}

// Groups returns the number of groups in the data.
func (d *Draft) Groups() int { return d.groups }

// Labels reports whether the data has labelled responses instead of pairs.
func (d *Draft) Labels() bool { return d.kind == "labels" }

func draftSets(model string, data []string) []string {
	return []string{"model.path=" + quote(model), "data.train=[" + quoted(data) + "]",
		"data.valid_fraction=0"}
}

// read reads the data: as preferences, else as labelled responses.
func (d *Draft) read(r *Recipe) ([]pref.Group, error) {
	trained, _, _, err := r.Groups()
	if !errors.Is(err, pref.ErrEmpty) {
		return trained, err
	}
	for _, set := range []string{"objective.reward=bce", "objective.policy=kto"} {
		if err := r.Override(set); err != nil {
			return nil, err
		}
	}
	labelled, _, _, failed := r.Groups()
	if failed != nil {
		return nil, err // of the preferences
	}
	d.kind = "labels"
	return labelled, nil
}

// choose returns settings for the data and the model.
func (d *Draft) choose(r *Recipe, trained []pref.Group) ([]string, error) {
	opt := r.ModelOptions()
	opt.MaxLength = 0
	model, err := reward.OpenWithoutWeights(r.Model.Path, opt)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	groups, _, err := model.Encoder.Groups(trained)
	if err != nil {
		return nil, err
	}
	var lengths []int
	for _, g := range groups {
		longest := 0
		for _, response := range g.Responses {
			longest = max(longest, len(response.Tokens))
		}
		lengths = append(lengths, len(g.Prompt)+longest)
	}
	slices.Sort(lengths)
	at := func(share float64) int {
		return lengths[min(int(share*float64(len(lengths))), len(lengths)-1)]
	}
	d.longest = [3]int{at(0.5), at(0.99), at(1)}
	positions := draftPositions
	if model.Config.MaxPositions > 0 {
		positions = min(positions, model.Config.MaxPositions)
	}
	length := min(max((d.longest[1]+63)/64*64, 128), positions)
	parameters, _ := model.NumParams()
	sets := []string{
		fmt.Sprintf("model.max_length=%d", length), "model.truncation=drop",
		fmt.Sprintf("data.valid_fraction=%.2g", min(max(draftValid/float64(len(trained)), 0.02), 0.2)),
		"train.seed=1", "train.warmup=0.05",
	}
	batch := 16
	switch {
	case len(trained) < 500:
		batch = 8
	case len(trained) > 20000:
		batch = 32
	}
	sets = append(sets, fmt.Sprintf("train.batch=%d", batch),
		fmt.Sprintf("train.eval_every=%d", min(max(len(trained)/batch/10, 5), 500)),
		fmt.Sprintf("train.tokens_per_batch=%d", d.tokens(batch, length)))
	if parameters >= draftHalf {
		sets = append(sets, "model.dtype=bfloat16")
	}
	if parameters >= draftFull {
		sets = append(sets, "lora.rank=16", "lora.alpha=32", "train.lr=1e-4",
			"lora.targets=["+quoted(layers(model))+"]")
	} else {
		sets = append(sets, "lora.rank=0", "train.lr=3e-5")
	}
	if d.kind == "labels" {
		sets = append(sets, "objective.reward=bce", "objective.policy=kto", "objective.policy_weight=1")
	}
	return sets, nil
}

// tokens are those of a packed batch: about a step's groups, for the field's usual memory at most,
// and room for the longest conversation.
func (d *Draft) tokens(batch, length int) int {
	const most = 2048
	return max(min((batch*d.longest[0]+63)/64*64, most), length)
}

// layers are the names of the linear layers of the model's blocks.
func layers(model *reward.Model) []string {
	var names []string
	for _, of := range lm.Linears(model.Config) {
		if name := path.Base(strings.ReplaceAll(of, ".", "/")); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// quoted writes names as the elements of a list of TOML.
func quoted(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = quote(name)
	}
	return strings.Join(out, ", ")
}

// quote writes a text as JSON does, whose escapes are TOML's, too.
func quote(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always has a form
	}
	return string(data)
}

// smaller are the settings with which an estimate fits that does not: the first single one, else
// all of them together.
func smaller(e *RunEstimate) []string {
	if e.Fits || len(e.Savings) == 0 {
		return nil
	}
	for _, s := range e.Savings {
		if s.Fits {
			return s.Sets
		}
	}
	return e.Savings[len(e.Savings)-1].Sets
}

// TOML returns the recipe as a commented file.
func (d *Draft) TOML() []byte {
	r, e := d.Recipe, d.Estimate
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Made by haf init for %d groups of %s and %s, %s parameters.", d.groups, d.kind, e.Family,
		reward.ShortCount(e.Parameters))
	line("# Memory: %s at the most. Steps: %d.", hub.Bytes(e.Run.Memory.Total()), e.Run.Steps)
	if !e.Fits {
		line("# This machine has %s: the run does not fit. haf train -plan lists what lowers it.",
			hub.Bytes(e.Available))
	}
	line("# Every key: haf's docs/reference/configuration.md.")
	line("\n[model]\npath = %s", quote(r.Model.Path))
	line("max_length = %d # conversations have %d tokens in the middle, %d at the 99th percentile,",
		r.Model.MaxLength, d.longest[0], d.longest[1])
	line("# and %d at the most; longer ones than max_length are left out and counted", d.longest[2])
	line("truncation = %q", r.Model.Truncation)
	line("dtype = %q", r.Model.DType)
	if r.LoRA.Rank > 0 {
		line("\n[lora] # trains %s parameters; rank = 0 trains all", reward.ShortCount(e.Trained))
		line("rank = %d\nalpha = %.1f\ntargets = [%s]", r.LoRA.Rank, r.LoRA.Alpha,
			quoted(r.LoRA.Targets))
	}
	line("\n[data]\ntrain = [%s]", quoted(r.Data.Train))
	line("valid_fraction = %g # of the prompts; or name files: valid = [\"valid.jsonl\"]",
		r.Data.ValidFraction)
	line("\n[objective]")
	if d.kind == "labels" {
		line("reward = \"bce\" # on the labels of single responses\npolicy = \"kto\"")
	}
	line("reward_weight = %.1f\npolicy_weight = %.1f # 0 trains the score head alone",
		r.Objective.RewardWeight, r.Objective.PolicyWeight)
	line("\n[train]\nepochs = %d\nbatch = %d # groups of a step\nlr = %g", r.Train.Epochs,
		r.Train.Batch, r.Train.LR)
	line("warmup = %g # share of the steps", r.Train.Warmup)
	line("tokens_per_batch = %d # sets the memory; more is faster on a GPU", r.Train.TokensPerBatch)
	line("logit_chunk = %d\ncheckpointing = %q", r.Train.LogitChunk, r.Train.Checkpointing)
	line("eval_every = %d # steps between validations; haf keeps the best weights",
		r.Train.EvalEvery)
	line("seed = %d", r.Train.Seed)
	return b.Bytes()
}
