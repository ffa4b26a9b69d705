package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"haf/internal/wholefile"
	"haf/lm"
	"haf/weights"
)

// mlpRoot begins the names of the layers of a score head with hidden layers, Linear and ReLU in
// turn, as GRM calls them: the linear ones are numbered 0, 2, … and have biases.
const mlpRoot = "v_head.summary"

// valueHeadName is the file in which LLaMA-Factory keeps the score head, beside a model or an
// adapter.
const valueHeadName = "value_head.safetensors"

// mlpName names the weight or bias of the i-th linear layer.
func mlpName(layer int, part string) string {
	return fmt.Sprintf("%s.%d.%s", mlpRoot, 2*layer, part)
}

// isHead reports whether a parameter belongs to the score head.
func isHead(name string) bool {
	return name == lm.ScoreName || strings.HasPrefix(name, mlpRoot+".")
}

// A score head as it was found. After finish it is reward = arrays(hidden) + offset.
type scoreHead struct {
	root   string          // what its names begin with, without the adapter's prefix
	arrays []weights.Array // score.weight, or weight and bias of each layer
	layers int             // of those with hidden layers; 0: the one matrix
	labels int             // outputs of the last layer, 1 after finish
	bias   *weights.Array  // of the last layer; nil: none
	offset float64         // a bias, which no Hugging Face classifier carries
	source string          // what it is called, and where
	fold   string          // what was folded into it, for the reader
}

// last is the weight of the last layer.
func (h *scoreHead) last() *weights.Array {
	if h.layers > 0 {
		return &h.arrays[len(h.arrays)-2]
	}
	return &h.arrays[0]
}

// finish makes the head the one reward that is asked for: of its labels those of the column,
// normalized as config.json asks.
func (h *scoreHead) finish(c *lm.Config, column string) error {
	if err := h.choose(c, column); err != nil {
		return err
	}
	settings, err := readHeadSettings(c)
	if err != nil {
		return err
	}
	return h.normalize(settings)
}

// headSettings are the keys of config.json that say something about a score head.
type headSettings struct {
	Prefix string `json:"value_head_prefix"` // OpenRLHF
	// OpenRLHF, of the rewards of its training set
	Mean      json.RawMessage `json:"mean"`
	Std       json.RawMessage `json:"std"`
	Normalize bool            `json:"normalize_reward"`
}

// headKeys are the keys that no longer hold once the head is stored haf's way.
var headKeys = []string{
	"mean", "std", "normalize_reward", "value_head_prefix", "vhead_layer_type", "vhead_num_neurons",
	"vhead_num_layers", "summary_dropout_prob",
	"auto_map", "num_labels", "id2label", "label2id", "problem_type",
}

func readHeadSettings(c *lm.Config) (headSettings, error) {
	var s headSettings
	data, err := json.Marshal(c.Raw)
	if err == nil {
		err = wholefile.Unmarshal(data, &s)
	}
	if err != nil {
		return s, fmt.Errorf("reward: config.json: %w", err)
	}
	return s, nil
}

// number reads a number, or a list of one as older OpenRLHF writes.
func number(raw json.RawMessage, absent float64) (float64, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return absent, nil
	}
	var list []float64
	if wholefile.Unmarshal(raw, &list) == nil && len(list) == 1 {
		return list[0], nil
	}
	var x float64
	err := wholefile.Unmarshal(raw, &x)
	return x, err
}

// refusedClasses are the endings of architectures whose heads say something else than the reward of
// a text.
var refusedClasses = map[string]string{
	"ForTokenClassification": "labels every token", "ForQuestionAnswering": "marks spans",
	"ForMultipleChoice": "chooses among answers",
	"ForMaskedLM":       "is no causal model",
	"ForProcessRewardModel": "rewards every step, not the " +
		"whole response", "ForImageClassification": "is for images",
}

// checkClass refuses a checkpoint of a class that no reward can be read of.
func checkClass(c *lm.Config, dir string) error {
	for _, class := range c.Architectures {
		for _, ending := range slices.Sorted(maps.Keys(refusedClasses)) {
			if strings.HasSuffix(class, ending) {
				return fmt.Errorf("reward: %s is a %s, which %s: want a causal language model or a sequence "+
					"classifier with one label", dir, class, refusedClasses[ending])
			}
		}
	}
	return nil
}

// isClassifier reports whether config.json promises a score head.
func isClassifier(c *lm.Config) bool {
	return slices.ContainsFunc(c.Architectures,
		func(class string) bool { return strings.HasSuffix(class, "ForSequenceClassification") })
}

// headRoots are what the names of score heads begin with.
func headRoots(s headSettings) []string {
	roots := []string{"score", "value_head", mlpRoot}
	if s.Prefix != "" && !slices.Contains(roots, s.Prefix) {
		roots = append(roots, s.Prefix)
	}
	return roots
}

// headNames returns the names in ck, below prefix, of one-matrix heads and the roots of those with
// hidden layers.
func headNames(ck *weights.Tensors, prefix string, s headSettings) (linear, mlp []string) {
	for _, root := range headRoots(s) {
		if _, ok := ck.Info(prefix + root + ".weight"); ok {
			linear = append(linear, root)
		}
		if _, ok := ck.Info(prefix + root + ".0.weight"); ok {
			mlp = append(mlp, root)
		}
	}
	return linear, mlp
}

// headTensors are the names of the tensors of the score heads that [headNames] finds.
func headTensors(ck *weights.Tensors, prefix string, s headSettings) map[string]bool {
	known := map[string]bool{}
	linear, mlp := headNames(ck, prefix, s)
	for _, root := range linear {
		known[prefix+root+".weight"], known[prefix+root+".bias"] = true, true
	}
	for _, root := range mlp {
		for layer := 0; ; layer++ {
			name := fmt.Sprintf("%s%s.%d", prefix, root, 2*layer)
			if _, ok := ck.Info(name + ".weight"); !ok {
				break
			}
			known[name+".weight"], known[name+".bias"] = true, true
		}
	}
	return known
}

// readHead finds the score head among tensors whose names begin with prefix, nil where there is
// none.
func readHead(ck *weights.Tensors, prefix string, c *lm.Config) (*scoreHead, error) {
	settings, err := readHeadSettings(c)
	if err != nil {
		return nil, err
	}
	linear, mlp := headNames(ck, prefix, settings)
	switch {
	case len(linear)+len(mlp) == 0:
		return nil, nil
	case len(linear)+len(mlp) > 1:
		return nil, fmt.Errorf("reward: %s has several score heads, %s: remove those that are not meant",
			fileOf(ck), strings.Join(append(linear, mlp...), ", "))
	case len(linear) == 1:
		return readLinear(ck, prefix, linear[0], c)
	}
	return readMLP(ck, prefix, mlp[0], c)
}

func fileOf(ck *weights.Tensors) string {
	for _, name := range ck.Names() {
		if info, ok := ck.Info(name); ok {
			return info.File
		}
	}
	return "the checkpoint"
}

// readLinear reads a matrix with a row for each label.
func readLinear(ck *weights.Tensors, prefix, root string, c *lm.Config) (*scoreHead, error) {
	name := prefix + root
	info, _ := ck.Info(name + ".weight")
	if len(info.Shape) != 2 || info.Shape[0] < 1 || info.Shape[1] != c.Hidden {
		return nil, fmt.Errorf("reward: %s: %s.weight has shape %v, want [labels %d]; do "+
			"config.json and the weights belong together?", info.File, name, info.Shape, c.Hidden)
	}
	weight, err := ck.Read(name + ".weight")
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	weight.Name = lm.ScoreName
	h := &scoreHead{root: root, labels: info.Shape[0], source: name + ".weight in " + info.File,
		arrays: []weights.Array{weight}}
	if _, ok := ck.Info(name + ".bias"); ok {
		bias, err := ck.ReadShape(name+".bias", h.labels)
		if err != nil {
			return nil, fmt.Errorf("reward: %w", err)
		}
		if err := checkFinite(bias); err != nil {
			return nil, err
		}
		h.bias = &bias
	}
	return h, nil
}

// readMLP reads linear layers 0, 2, … of which the last has an output for each label.
func readMLP(ck *weights.Tensors, prefix, root string, c *lm.Config) (*scoreHead, error) {
	h := &scoreHead{root: root}
	for in := c.Hidden; ; h.layers++ {
		name := fmt.Sprintf("%s%s.%d", prefix, root, 2*h.layers)
		info, ok := ck.Info(name + ".weight")
		if !ok {
			break
		}
		if len(info.Shape) != 2 || info.Shape[1] != in || info.Shape[0] == 0 {
			return nil, fmt.Errorf("reward: %s: %s.weight has shape %v, want [outputs %d]", info.File, name,
				info.Shape, in)
		}
		weight, err := ck.Read(name + ".weight")
		if err != nil {
			return nil, fmt.Errorf("reward: %w", err)
		}
		in = info.Shape[0]
		bias := weights.Array{Shape: []int{in}, Data: make([]float32, in)}
		if _, ok := ck.Info(name + ".bias"); ok {
			if bias, err = ck.ReadShape(name+".bias", in); err != nil {
				return nil, fmt.Errorf("reward: %w", err)
			}
		}
		weight.Name, bias.Name = mlpName(h.layers, "weight"), mlpName(h.layers, "bias")
		h.arrays, h.bias, h.labels = append(h.arrays, weight, bias), &bias, in
		h.source = fmt.Sprintf("%s%s.0 to %s in %s", prefix, root, name, info.File)
	}
	return h, nil
}

// normalize folds OpenRLHF's (reward − mean) / std into the last layer, where config.json asks for
// it.
func (h *scoreHead) normalize(s headSettings) error {
	if !s.Normalize {
		return nil
	}
	mean, err := number(s.Mean, 0)
	if err != nil {
		return fmt.Errorf("reward: config.json: mean: %w", err)
	}
	std, err := number(s.Std, 1)
	if err != nil {
		return fmt.Errorf("reward: config.json: std: %w", err)
	}
	if !(std > 0) || mean-mean != 0 || std-std != 0 {
		return fmt.Errorf("reward: config.json: normalize_reward with mean %g and std %g: want finite "+
			"numbers, std positive", mean, std)
	}
	h.fold = fmt.Sprintf("normalize_reward: (reward − %g) / %g", mean, std)
	last := h.last()
	for i, v := range last.Data {
		last.Data[i] = float32(float64(v) / std)
	}
	if h.layers > 0 {
		bias := &h.arrays[len(h.arrays)-1]
		bias.Data[0] = float32((float64(bias.Data[0]) - mean) / std)
		return nil
	}
	h.offset = (h.offset - mean) / std
	return nil
}

// zero reports whether the reward is the same for every text.
func (h *scoreHead) zero() bool {
	return !slices.ContainsFunc(h.last().Data, func(v float32) bool { return v != 0 })
}

// findHead finds the score head of a model's folder: among its weights, or in
// value_head.safetensors. nil is none.
func findHead(ck *weights.Tensors, dir, prefix string, c *lm.Config) (*scoreHead, error) {
	h, err := readHead(ck, prefix, c)
	if h != nil || err != nil || weights.IsGGUF(dir) {
		return h, err
	}
	path := filepath.Join(dir, valueHeadName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		pickle := filepath.Join(dir, "value_head.bin")
		if _, err := os.Stat(pickle); err == nil {
			return nil, fmt.Errorf("reward: the score head: %w", weights.PickleError(pickle))
		}
		return nil, nil
	}
	file, err := weights.OpenFile(path)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	defer file.Close()
	if h, err = readHead(file, "", c); err != nil {
		return nil, err
	}
	if h == nil {
		return nil, fmt.Errorf("reward: %s: no score head in it, want v_head.summary.weight", path)
	}
	settings, err := readHeadSettings(c)
	if err != nil {
		return nil, err
	}
	known := headTensors(file, "", settings)
	for _, name := range file.Names() {
		if !known[name] {
			info, _ := file.Info(name)
			return nil, unreadError([]weights.Info{info}, c)
		}
	}
	return h, nil
}

// setHead makes the head the model's own: its parameters, its offset, and a config.json without the
// keys that are no longer true.
func (m *Model) setHead(h *scoreHead) {
	c := *m.Config
	c.Raw = maps.Clone(c.Raw)
	for _, key := range headKeys {
		delete(c.Raw, key)
	}
	if h.layers > 0 && c.Raw != nil {
		c.Raw["vhead_layer_type"] = json.RawMessage(`"mlp"`)
		c.Raw["vhead_num_neurons"] = json.RawMessage(fmt.Sprint(h.arrays[0].Shape[0]))
		c.Raw["vhead_num_layers"] = json.RawMessage(fmt.Sprint(h.layers - 1))
	}
	m.Config, m.decoder.Config = &c, &c
	m.headLayers, m.Meta.ScoreOffset, m.ScoreHeadUntrained, m.HeadFold = h.layers, h.offset, h.zero(),
		h.fold
}
