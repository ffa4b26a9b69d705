// Package recipe is the one typed description of a run: its defaults, the TOML file, overrides and
// validation.
package recipe

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"haf/backend"
	"haf/encode"
	"haf/lm"
	"haf/optim"
	"haf/pref"
	"haf/recipes"
	"haf/reward"
	"haf/rlhf"
	"haf/run"
	"haf/train"
)

// A Recipe describes a training: model, data, objective and loop. Every field except model.path and
// data.train has a default.
type Recipe struct {
	Model     Model     `toml:"model" json:"model"`
	LoRA      LoRA      `toml:"lora" json:"lora"`
	Data      Data      `toml:"data" json:"data"`
	Objective Objective `toml:"objective" json:"objective"`
	Train     Train     `toml:"train" json:"train"`
	RLHF      RLHF      `toml:"rlhf" json:"rlhf"`
	Mesh      Mesh      `toml:"mesh" json:"mesh,omitzero"`
	Tracking  Tracking  `toml:"tracking" json:"tracking"`

	sources []run.FetchedValue // what was fetched from the hub
	origin  map[string]string  // dotted key → "file" or "set"; what is missing is a default
}

// Model names the base model and defines how text becomes its tokens.
type Model struct {
	// folder of the base model, a GGUF file, or its id on the hub
	Path string `toml:"path" json:"path"`
	Chat
	DType string `toml:"dtype" json:"dtype"` // of the body: "float32" or "bfloat16"
	// largest number of tokens of a prompt with its longest response
	MaxLength int `range:"[0,1e7]" toml:"max_length" json:"max_length"`
	// treatment of longer conversations: "prompt" cuts the prompt's beginning, "response" the
	// response's end, "drop" drops them
	Truncation string `toml:"truncation" json:"truncation"`
	// new score head of a base without one: "linear", or "mlp" with two layers (GRM's)
	Head string `toml:"head" json:"head"`
	// units in the hidden layer of "mlp"
	HeadUnits int `range:"[1,1e6]" toml:"head_units" json:"head_units"`
	// HeadDropout is the share of the hidden state that training leaves out before the score head.
	HeadDropout float64 `range:"[0,1)" toml:"head_dropout" json:"head_dropout"`
	// Column is the reward of a base with several labels: an index, a name, or a weighted sum of
	// them.
	Column Column `toml:"column" json:"column,omitempty"`
}

// Chat defines how conversations become a model's tokens, and where its reward is read.
type Chat struct {
	// chat template: "auto", "model", a built-in name ("plain", "phi-2", "mistral"), or a Jinja file
	Template string `toml:"template" json:"template"`
	// further variables of the template, such as enable_thinking
	Args map[string]any `toml:"template_args" json:"template_args"`
	// the day that the template writes, YYYY-MM-DD; "" is the day of the run's start
	Date string `toml:"date" json:"date"`
	// token of the reward: "last" (not padding, as in transformers) or "end" (of the turn); "" is the
	// base's, else last
	Read string `toml:"read" json:"read"`
	// BOS tokens: "template", "once", "twice" or "none"; "" is the base's, else template
	BOS string `toml:"bos" json:"bos"`
}

// Options returns these settings for package reward.
func (c Chat) Options() reward.ChatOptions {
	opt := reward.ChatOptions{Template: c.Template, Date: c.Date, Read: c.Read, BOS: c.BOS}
	for name, value := range c.Args {
		raw, err := json.Marshal(value)
		if err != nil {
			panic(err) // what TOML or JSON had is JSON
		}
		if opt.Args == nil {
			opt.Args = map[string]json.RawMessage{}
		}
		opt.Args[name] = raw
	}
	return opt
}

// LoRA describes the adapter; rank 0 trains all weights.
type LoRA struct {
	// rank of the adapter matrices; 0 trains all weights without an adapter
	Rank int `range:"[0,1e9]" toml:"rank" json:"rank"`
	// α of the adapter; its product is scaled by α/rank
	Alpha float64 `range:"(0,1e6]" toml:"alpha" json:"alpha"`
	// linear layers by name, or regular expressions of their paths
	Targets []string `toml:"targets" json:"targets"`
	// scale by α/√rank instead (rsLoRA, arXiv 2312.03732)
	RSLoRA bool `toml:"rslora" json:"rslora"`
}

// Data names the preference files and selects rows.
type Data struct {
	// files, or datasets/org/name/FILE on the hub
	Train []string `toml:"train" json:"train"`
	// files of a separate validation set; else a part of train validates
	Valid []string `toml:"valid" json:"valid"`
	// share of the prompts of train that validate if valid is empty
	ValidFraction float64 `range:"[0,1)" toml:"valid_fraction" json:"valid_fraction"`
	// one number for each training file: the shares of a mix; empty reads all files in order
	Weights []float64 `range:"[0,1e9]" toml:"weights" json:"weights"`
	// format of the rows: "auto", "hh", "pairs", "groups", or that of a published set
	Format string `toml:"format" json:"format"`
	// label that decides: "safer", "better" or an attribute; empty is the format's default
	Label string `toml:"label" json:"label"`
	// attributes of responses that the score head learns with objective.reward = "regression", one
	// output for each
	Attributes []string `toml:"attributes" json:"attributes"`
	// only groups of these subsets; empty is all
	Subsets []string `toml:"subsets" json:"subsets"`
	// drops groups with more characters; 0 is no limit
	MaxChars int `range:"[0,inf)" toml:"max_chars" json:"max_chars"`
	// the probability that a training comparison is flipped
	LabelNoise float64 `range:"[0,1]" toml:"label_noise" json:"label_noise"`
	// only the first N groups; 0 is all
	Limit int `range:"[0,inf)" toml:"limit" json:"limit"`
	// seeded share of the prompts; 0 or 1 is all
	Fraction float64 `range:"[0,1]" toml:"fraction" json:"fraction"`
	// number of bad rows that are allowed
	SkipBad int `range:"[0,inf)" toml:"skip_bad" json:"skip_bad"`
	// margins below 0: with "error" the row is bad, with "flip" the pair is flipped
	NegativeMargin string `toml:"negative_margin" json:"negative_margin"`
	// rows with images and other media: with "error" they are bad, with "drop" dropped and counted
	NonText string  `toml:"non_text" json:"non_text"`
	Columns Columns `toml:"columns" json:"columns"`
}

// Columns names the columns of data files with other names: a name, or a dotted path into objects,
// such as answers.best. "-" leaves a column unread.
type Columns struct {
	Prompt     string `toml:"prompt" json:"prompt"`         // text or messages
	Chosen     string `toml:"chosen" json:"chosen"`         // the better response
	Rejected   string `toml:"rejected" json:"rejected"`     // the other response
	Responses  string `toml:"responses" json:"responses"`   // a list of responses
	Scores     string `toml:"scores" json:"scores"`         // one number for each response
	Completion string `toml:"completion" json:"completion"` // one response that is judged singly
	Label      string `toml:"label" json:"label"`           // whether the completion is desirable
	Margin     string `toml:"margin" json:"margin"`         // how much better the chosen response is
	Input      string `toml:"input" json:"input"`           // text that is appended to the prompt
	System     string `toml:"system" json:"system"`         // becomes the first message
	Tools      string `toml:"tools" json:"tools"`           // becomes the template's variable tools
	ID         string `toml:"id" json:"id"`                 // of the row
	Subset     string `toml:"subset" json:"subset"`         // of the set that the row is part of
}

// Train is the loop and the optimizer.
type Train struct {
	// passes over the training groups; 0: max_steps decides the end
	Epochs   int `range:"[0,1e9]" toml:"epochs" json:"epochs"`
	MaxSteps int `range:"[0,1e9]" toml:"max_steps" json:"max_steps"` // 0 is no limit
	// approximate number of groups in an optimizer step
	Batch int `range:"[1,1e6]" toml:"batch" json:"batch"`
	// peak learning rate of AdamW
	LR       float64 `range:"(0,1e30]" toml:"lr" json:"lr"`
	Schedule string  `toml:"schedule" json:"schedule"`           // "linear", "cosine", "constant"
	Warmup   float64 `range:"[0,1)" toml:"warmup" json:"warmup"` // share of the steps
	// decoupled weight decay of AdamW, per step times the learning rate; 0 is none
	WeightDecay float64 `range:"[0,1e6]" toml:"weight_decay" json:"weight_decay"`
	// decay norm weights and biases, too
	DecayNorms bool `toml:"decay_norms" json:"decay_norms"`
	// decay of the first moment of AdamW
	Beta1 float64 `range:"[0,1)" toml:"beta1" json:"beta1"`
	// decay of the second moment of AdamW
	Beta2 float64 `range:"[0,1)" toml:"beta2" json:"beta2"`
	// added to the root of the second moment of AdamW
	Eps float64 `range:"(0,1]" toml:"eps" json:"eps"`
	// largest norm of all gradients together; 0 is no clipping
	Clip float64 `range:"[0,1e30]" toml:"clip" json:"clip"`
	// steps between validations; 0 validates only at the end
	EvalEvery int `range:"[0,1e9]" toml:"eval_every" json:"eval_every"`
	// steps between checkpoints; 0 writes one only when interrupted
	CheckpointEvery int `range:"[0,1e9]" toml:"checkpoint_every" json:"checkpoint_every"`
	// validations without improvement before an early stop; 0 never stops early
	Patience int `range:"[0,1e9]" toml:"patience" json:"patience"`
	// seed of all random streams: order, split, adapter, dropout, sampling
	Seed uint64 `toml:"seed" json:"seed"`
	// auto, none, selective or full: how much the backward pass recomputes to save memory
	Checkpointing string `toml:"checkpointing" json:"checkpointing"`
	// approximate positions of a packed batch
	TokensPerBatch int `range:"[64,1e7]" toml:"tokens_per_batch" json:"tokens_per_batch"`
	// rows of logits computed at once
	LogitChunk int `range:"[1,1e7]" toml:"logit_chunk" json:"logit_chunk"`
	// round the sizes of packed batches up, so that trainings on similar data in one haf paper share
	// programs
	CoarseShapes bool `toml:"coarse_shapes" json:"coarse_shapes"`
}

// Default returns the default recipe, with the paper's settings if it has them.
func Default() *Recipe {
	return &Recipe{
		origin: map[string]string{},
		Model: Model{Chat: Chat{Template: "auto"}, DType: "float32", MaxLength: 512,
			Truncation: "prompt", Head: reward.LinearHead, HeadUnits: 1024},
		LoRA: LoRA{Alpha: 16, Targets: []string{"gate_proj", "up_proj", "down_proj"}},
		Data: Data{Format: "auto", ValidFraction: 0.05, NegativeMargin: pref.NegativeError,
			NonText: pref.NonTextError},
		Objective: defaultObjective(),
		RLHF:      defaultRLHF(rlhf.PPO),
		Mesh:      Mesh{Data: 1, Shard: 1},
		Train: Train{
			Epochs: 1, Batch: 16, LR: 3e-5, Schedule: "linear", Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1,
			EvalEvery: 50, CheckpointEvery: 100, TokensPerBatch: 2048, LogitChunk: 512,
			Checkpointing: RecomputeAuto,
		},
	}
}

// Load reads a recipe: defaults, then the file or the built-in recipe of that name, if path is not
// empty, then overrides of the form "train.lr=1e-5". An unknown key is an error with its line.
func Load(path string, sets []string) (*Recipe, error) {
	if path == "" {
		return Parse("", nil, sets)
	}
	data, err := recipes.Read(path)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w: give the path of a TOML file, or a name that haf recipes "+
			"lists", err)
	}
	return Parse(path, data, sets)
}

// Parse is [Load] for given TOML; name is its origin for messages.
func Parse(name string, data []byte, sets []string) (*Recipe, error) {
	r := Default()
	if err := r.read(name, data, sets); err != nil {
		return nil, err
	}
	// once more, over the defaults of that one
	if algorithm := r.RLHF.Algorithm; algorithm != rlhf.PPO {
		r = Default()
		r.RLHF = defaultRLHF(algorithm)
		if err := r.read(name, data, sets); err != nil {
			return nil, err
		}
	}
	return r, r.Validate()
}

// read merges the file's TOML and the overrides.
func (r *Recipe) read(name string, data []byte, sets []string) error {
	if err := r.merge(name, data, "file"); err != nil {
		return err
	}
	for _, set := range sets {
		if err := r.Override(set); err != nil {
			return err
		}
	}
	return nil
}

// ErrOverride is the error for an override with an unknown key, or a value of a wrong type.
var ErrOverride = errors.New("wrong override")

// overrideError is an [ErrOverride] with a message of its own.
type overrideError struct{ error }

func (e overrideError) Unwrap() error      { return e.error }
func (overrideError) Is(target error) bool { return target == ErrOverride }

// merge decodes TOML over the recipe and notes where the keys came from.
func (r *Recipe) merge(name string, data []byte, origin string) error {
	decoder := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields()
	if err := decoder.Decode(r); err != nil {
		return explain(name, err, "")
	}
	var keys map[string]any
	if err := toml.Unmarshal(data, &keys); err != nil {
		return explain(name, err, "")
	}
	for key := range flatten("", keys) {
		r.origin[key] = origin
	}
	r.RLHF.settleRewards(keys)
	return nil
}

// explain turns a decoder's error into one line with file, line and key. table, with its dot, is
// that of the keys where the text has none.
func explain(name string, err error, table string) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		e := strict.Errors[0]
		line, _ := e.Position()
		key := table + strings.Join(e.Key(), ".")
		return fmt.Errorf("recipe: %s: unknown key %q%s", place(name, line), key, nearest(key))
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, column := decode.Position()
		what := strings.TrimPrefix(decode.Error(), "toml: ")
		if found := mismatch.FindStringSubmatch(what); found != nil {
			what = fmt.Sprintf("%s%s is a %s, want %s", table, strings.Join(decode.Key(), "."), found[1],
				kindOf(found[2]))
		}
		return fmt.Errorf("recipe: %s: %s", place(name, line, column), what)
	}
	return fmt.Errorf("recipe: %s: %w", name, err)
}

// place is where in a file something is; an override has no lines.
func place(name string, at ...int) string {
	if strings.HasPrefix(name, setPrefix) {
		return name
	}
	for _, n := range at {
		name += ":" + strconv.Itoa(n)
	}
	return name
}

// setPrefix begins the name of an override in messages.
const setPrefix = "-set "

// mismatch is how the decoder says that a value is of the wrong type.
var mismatch = regexp.MustCompile(`cannot decode TOML ([\w ]+?) into .* of type (.+)$`)

// kindOf says in words what a key of a type of Go takes.
func kindOf(goType string) string {
	kinds := map[string]string{
		"bool": "true or false", "int": "an integer", "uint64": "an integer from 0 on",
		"float64": "a number", "string": "a string", "[]string": "a list of strings",
		"[]float64": "a list of numbers", "[]recipe.Reward": "an array of tables",
		"recipe.Column": "a string or an index",
	}
	if kind := kinds[goType]; kind != "" {
		return kind
	}
	return "a table"
}

// nearest suggests a known key of the same last name, or lists those of the table.
func nearest(key string) string {
	if strings.HasPrefix(key, rewardsKey+".") {
		return "; a reward has " + strings.Join(rewardKeys(), ", ")
	}
	last := key[strings.LastIndexByte(key, '.')+1:]
	var same, table []string
	for _, known := range Keys() {
		if strings.HasSuffix(known, "."+last) {
			same = append(same, known)
		}
		if i := strings.IndexByte(key, '.'); i > 0 && strings.HasPrefix(known, key[:i+1]) {
			table = append(table, strings.TrimPrefix(known, key[:i+1]))
		}
	}
	switch {
	case len(same) > 0:
		return "; did you mean " + strings.Join(same, " or ") + "?"
	case len(table) > 0:
		return "; there are " + strings.Join(table, ", ")
	}
	return "; the tables are model, lora, data, objective, train, rlhf, mesh, tracking"
}

// Keys lists every dotted key of a recipe.
func Keys() []string {
	r := Default()
	data, err := toml.Marshal(r)
	if err != nil {
		panic(err) // the default recipe is a constant
	}
	var keys map[string]any
	if err := toml.Unmarshal(data, &keys); err != nil {
		panic(err)
	}
	listed := flatten("", keys)
	listed["model.template_args"] = nil
	return slices.Sorted(maps.Keys(listed))
}

func flatten(prefix string, m map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		if inner, ok := v.(map[string]any); ok {
			maps.Copy(out, flatten(prefix+k+".", inner))
			continue
		}
		out[prefix+k] = v
	}
	return out
}

// Override applies one override, KEY=VALUE. A value that is not TOML is a string.
func (r *Recipe) Override(set string) error {
	if err := r.override(set); err != nil {
		return overrideError{err}
	}
	return nil
}

// CheckSets returns an [ErrOverride] for the first override with an unknown key, or a value of a
// wrong type.
func CheckSets(sets []string) error {
	r := Default()
	for _, set := range sets {
		if err := r.Override(set); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recipe) override(set string) error {
	key, value, ok := strings.Cut(set, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" {
		return fmt.Errorf("recipe: -set %q: want key=value, such as train.lr=1e-5", set)
	}
	name := setPrefix + key
	table, field, ok := strings.Cut(key, ".")
	if !ok {
		return fmt.Errorf("recipe: %s: want a key with its table, such as train.lr", name)
	}
	if reward, ok := strings.CutPrefix(field, "rewards."); ok && table == "rlhf" {
		return r.overrideReward(name, reward, value)
	}
	line := func(value string) []byte {
		return []byte("[" + table + "]\n" + field + " = " + value +
			"\n")
	}
	var scratch map[string]any
	if toml.Unmarshal(line(value), &scratch) != nil {
		value = fmt.Sprintf("%q", value)
	}
	if slices.Contains([]string{"data.train", "data.valid", "data.weights", "data.subsets",
		"data.attributes", "lora.targets", "rlhf.stop", "tracking.report_to"}, key) &&
		!strings.HasPrefix(value, "[") {
		value = "[" + value + "]"
	}
	if key == rewardsKey {
		return r.overrideRewards(name, value)
	}
	return r.merge(name, line(value), "set")
}

// Validate returns an error that names the first key out of range.
func (r *Recipe) Validate() error {
	bad := func(key string, got any, want string) error {
		return fmt.Errorf("recipe: %s is %v, want %s", key, got, want)
	}
	switch d := r.Data; {
	case r.Model.Path == "":
		return bad("model.path", `""`, "a base model, its folder or its id on the hub: in the recipe or "+
			"with -set model.path=DIR")
	case len(d.Train) == 0:
		return bad("data.train", "empty", "at least one preference file, on disk or "+
			"datasets/org/name/FILE: in the recipe or with -set data.train=FILE")
	case r.checkRanges() != nil:
		return r.checkRanges()
	case !slices.Contains([]string{"", pref.NegativeError, pref.NegativeFlip}, d.NegativeMargin):
		return bad("data.negative_margin", fmt.Sprintf("%q", d.NegativeMargin), "error or flip")
	case !slices.Contains([]string{"", pref.NonTextError, pref.NonTextDrop}, d.NonText):
		return bad("data.non_text", fmt.Sprintf("%q", d.NonText), "error or drop")
	case pref.Options{Format: d.Format}.Check() != nil:
		return fmt.Errorf("recipe: data.format: %w", pref.Options{Format: d.Format}.Check())
	case pref.Options{Label: d.Label}.Check() != nil:
		return fmt.Errorf("recipe: data.label: %w", pref.Options{Label: d.Label}.Check())
	case r.checkSingles() != nil:
		return r.checkSingles()
	case len(d.Weights) > 0 && len(d.Weights) != len(d.Train):
		return bad("data.weights", d.Weights, "one weight for each training file")
	case r.Model.Chat.Options().Check() != nil:
		return fmt.Errorf("recipe: model: %w", r.Model.Chat.Options().Check())
	case r.Model.DType != "float32" && r.Model.DType != "bfloat16":
		return bad("model.dtype", fmt.Sprintf("%q", r.Model.DType), "float32 or bfloat16")
	case !slices.Contains([]string{encode.TruncatePrompt, encode.TruncateDrop,
		encode.TruncateResponse}, r.Model.Truncation):
		return bad("model.truncation", fmt.Sprintf("%q", r.Model.Truncation), "prompt, drop or response")
	case r.Model.Head != reward.LinearHead && r.Model.Head != reward.MLPHead:
		return bad("model.head", fmt.Sprintf("%q", r.Model.Head), "linear or mlp")
	case r.LoRA.Rank > 0 && len(r.LoRA.Targets) == 0:
		return bad("lora.targets", "empty", "names of linear layers, such as q_proj")
	case !slices.Contains([]string{RecomputeAuto, string(lm.RecomputeNone),
		string(lm.RecomputeSelective), string(lm.RecomputeFull)}, r.Train.Checkpointing):
		return bad("train.checkpointing", fmt.Sprintf("%q", r.Train.Checkpointing),
			"auto, none, selective or full")
	case r.Train.Epochs < 1 && r.Train.MaxSteps < 1:
		return bad("train.epochs", r.Train.Epochs, "at least 1")
	}
	if err := r.Objective.hybrid().Check(); err != nil {
		return fmt.Errorf("recipe: objective: %w", err)
	}
	if err := r.Tracking.check(); err != nil {
		return err
	}
	if err := r.optimizer().Check(); err != nil {
		return fmt.Errorf("recipe: train: %w", err)
	}
	return nil
}

func (r *Recipe) optimizer() optim.AdamW {
	t := r.Train
	return optim.AdamW{
		LR: t.LR, Beta1: t.Beta1, Beta2: t.Beta2, Eps: t.Eps, WeightDecay: t.WeightDecay,
		DecayNorms: t.DecayNorms,
		Clip:       t.Clip, Schedule: t.Schedule, Warmup: t.Warmup,
	}
}

// RecomputeAuto is the train.checkpointing that recomputes as little as the available memory
// allows. If that is not known, on devices other than the CPU and in haf rlhf, it means
// "selective".
const RecomputeAuto = "auto"

// AvailableMemory is the memory, in bytes, for which a run on the device chooses its activation
// checkpointing: see [train.Options]. It is 0 if the run may not choose. It is determined before
// the model is opened, because the plan of a run includes the model's weights.
func (r *Recipe) AvailableMemory(device *backend.Device) int64 {
	if r.Train.Checkpointing != RecomputeAuto || device.Kind() != backend.KindCPU {
		return 0
	}
	available, err := backend.AvailableMemory()
	if err != nil {
		return 0 // the system does not tell
	}
	return available.Bytes
}

// ModelOptions returns the options for opening the base model for this run.
func (r *Recipe) ModelOptions() reward.Options {
	opt := reward.Options{
		Chat: r.Model.Chat.Options(), MaxLength: r.Model.MaxLength, Truncation: r.Model.Truncation,
		DType: r.Model.DType, Mesh: r.Mesh.Devices(),
		Train: true, Random: Stream(r.Train.Seed, "lora"), Column: string(r.Model.Column),
		LogitChunk: r.Train.LogitChunk, Positions: r.Train.TokensPerBatch,
		Head: reward.HeadInit{Kind: r.Model.Head, Units: r.Model.HeadUnits,
			Variance: r.Objective.hybrid().UsesVariance(), Random: Stream(r.Train.Seed, "head")},
	}
	opt.Head.Labels = r.attributes()
	if r.Train.Checkpointing != RecomputeAuto {
		opt.Recompute = lm.Recompute(r.Train.Checkpointing)
	}
	if r.LoRA.Rank > 0 {
		opt.LoRA = &lm.LoRA{Rank: r.LoRA.Rank, Alpha: r.LoRA.Alpha, Targets: r.LoRA.Targets,
			RSLoRA: r.LoRA.RSLoRA}
	}
	return opt
}

// TrainOptions returns the options of the training loop.
func (r *Recipe) TrainOptions() train.Options {
	t := r.Train
	return train.Options{
		Objective: r.Objective.hybrid(), Attributes: r.Data.Attributes, Optimizer: r.optimizer(),
		Epochs: t.Epochs, MaxSteps: t.MaxSteps, Batch: t.Batch,
		EvalEvery: t.EvalEvery, CheckpointEvery: t.CheckpointEvery, Patience: t.Patience,
		Seed: StreamSeed(t.Seed, "order"), CoarseShapes: t.CoarseShapes,
		HeadDropout: train.Dropout{Rate: r.Model.HeadDropout, Seed: StreamSeed(t.Seed, "dropout")},
	}
}
