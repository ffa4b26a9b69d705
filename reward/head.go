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

	"haf/lm"
)

// mlpRoot begins the names of the layers of a score head with hidden layers, Linear and ReLU in turn, as GRM calls them:
// the linear ones are numbered 0, 2, … and have biases.
const mlpRoot = "v_head.summary"

// valueHeadName is the file in which LLaMA-Factory keeps the score head, beside a model or an adapter.
const valueHeadName = "value_head.safetensors"

// mlpName names the weight or bias of the i-th linear layer.
func mlpName(layer int, part string) string { return fmt.Sprintf("%s.%d.%s", mlpRoot, 2*layer, part) }

// isHead tells whether a parameter belongs to the score head.
func isHead(name string) bool {
	return name == lm.ScoreName || strings.HasPrefix(name, mlpRoot+".")
}

// A score head as it was found: reward = arrays(hidden) + offset.
type scoreHead struct {
	arrays []lm.Array // score.weight, or weight and bias of each layer
	layers int        // of those with hidden layers; 0: the one matrix
	offset float64    // a bias, which no Hugging Face classifier carries
	source string     // what it is called, and where
	fold   string     // what was folded into it, for the reader
}

// headSettings are the keys of config.json that say something about a score head.
type headSettings struct {
	Prefix    string          `json:"value_head_prefix"` // OpenRLHF
	Mean      json.RawMessage `json:"mean"`              // OpenRLHF, of the rewards of its training set
	Std       json.RawMessage `json:"std"`
	Normalize bool            `json:"normalize_reward"`
}

// headKeys are the keys that no longer hold once the head is stored haf's way.
var headKeys = []string{
	"mean", "std", "normalize_reward", "value_head_prefix", "vhead_layer_type", "vhead_num_neurons", "vhead_num_layers", "summary_dropout_prob",
	"auto_map", "num_labels", "id2label", "label2id", "problem_type",
}

func readHeadSettings(c *lm.Config) (headSettings, error) {
	var s headSettings
	data, err := json.Marshal(c.Raw)
	if err == nil {
		err = json.Unmarshal(data, &s)
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
	if json.Unmarshal(raw, &list) == nil && len(list) == 1 {
		return list[0], nil
	}
	var x float64
	err := json.Unmarshal(raw, &x)
	return x, err
}

// refusedClasses are the endings of architectures whose heads say something else than the reward of a text.
var refusedClasses = map[string]string{
	"ForTokenClassification": "labels every token", "ForQuestionAnswering": "marks spans", "ForMultipleChoice": "chooses among answers",
	"ForMaskedLM": "is no causal model", "ForProcessRewardModel": "rewards every step, not the whole response", "ForImageClassification": "is for images",
}

// checkClass refuses a checkpoint of a class that no reward can be read of.
func checkClass(c *lm.Config, dir string) error {
	for _, class := range c.Architectures {
		for _, ending := range slices.Sorted(maps.Keys(refusedClasses)) {
			if strings.HasSuffix(class, ending) {
				return fmt.Errorf("reward: %s is a %s, which %s: wanted a causal language model or a sequence classifier with one label", dir, class, refusedClasses[ending])
			}
		}
	}
	return nil
}

// isClassifier tells whether config.json promises a score head.
func isClassifier(c *lm.Config) bool {
	return slices.ContainsFunc(c.Architectures, func(class string) bool { return strings.HasSuffix(class, "ForSequenceClassification") })
}

// headNames returns the names in ck, below prefix, of one-matrix heads and the roots of those with hidden layers.
func headNames(ck *lm.Checkpoint, prefix string, s headSettings) (linear, mlp []string) {
	roots := []string{"score", "value_head", mlpRoot}
	if s.Prefix != "" && !slices.Contains(roots, s.Prefix) {
		roots = append(roots, s.Prefix)
	}
	for _, root := range roots {
		if _, ok := ck.Info(prefix + root + ".weight"); ok {
			linear = append(linear, root)
		}
		if _, ok := ck.Info(prefix + root + ".0.weight"); ok {
			mlp = append(mlp, root)
		}
	}
	return linear, mlp
}

// readHead finds the score head among tensors whose names begin with prefix, nil where there is none. column says
// which of two labels is the reward; nil is not said.
func readHead(ck *lm.Checkpoint, prefix string, c *lm.Config, column *int) (*scoreHead, error) {
	settings, err := readHeadSettings(c)
	if err != nil {
		return nil, err
	}
	linear, mlp := headNames(ck, prefix, settings)
	var h *scoreHead
	switch {
	case len(linear)+len(mlp) == 0:
		return nil, nil
	case len(linear)+len(mlp) > 1:
		return nil, fmt.Errorf("reward: %s has several score heads, %s: remove those that are not meant", fileOf(ck), strings.Join(append(linear, mlp...), ", "))
	case len(linear) == 1:
		h, err = readLinear(ck, prefix+linear[0], c, column)
	default:
		h, err = readMLP(ck, prefix+mlp[0], c)
	}
	if err != nil {
		return nil, err
	}
	return h, h.normalize(settings)
}

func fileOf(ck *lm.Checkpoint) string {
	for _, name := range ck.Names() {
		if info, ok := ck.Info(name); ok {
			return info.File
		}
	}
	return "the checkpoint"
}

// readLinear reads a matrix of one row, or of two of which column is the reward.
func readLinear(ck *lm.Checkpoint, root string, c *lm.Config, column *int) (*scoreHead, error) {
	info, _ := ck.Info(root + ".weight")
	if len(info.Shape) != 2 || info.Shape[1] != c.Hidden {
		return nil, fmt.Errorf("reward: %s: %s.weight has shape %v, want [1 %d]; do config.json and the weights belong together?", info.File, root, info.Shape, c.Hidden)
	}
	row, err := labelRow(info, root, column)
	if err != nil {
		return nil, err
	}
	weight, err := ck.Read(root + ".weight")
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	h := &scoreHead{source: root + ".weight in " + info.File}
	values := slices.Clone(weight.Data[row*c.Hidden : (row+1)*c.Hidden])
	h.arrays = []lm.Array{{Name: lm.ScoreName, Shape: []int{1, c.Hidden}, Data: values}}
	if _, ok := ck.Info(root + ".bias"); ok {
		bias, err := ck.ReadShape(root+".bias", info.Shape[0])
		if err != nil {
			return nil, fmt.Errorf("reward: %w", err)
		}
		if err := checkFinite(bias); err != nil {
			return nil, err
		}
		h.offset = float64(bias.Data[row])
	}
	return h, nil
}

// labelRow chooses the row of the reward.
func labelRow(info lm.Info, root string, column *int) (int, error) {
	labels := info.Shape[0]
	switch {
	case labels == 1 && (column == nil || *column == 0):
		return 0, nil
	case labels == 1:
		return 0, fmt.Errorf("reward: %s.weight of %s has one label: column %d is not there, leave the column out", root, info.File, *column)
	case labels != 2:
		return 0, fmt.Errorf("reward: %s is a classifier of %d labels: a reward is one number, or one of two labels", info.File, labels)
	case column == nil:
		return 0, fmt.Errorf("reward: %s is a classifier of 2 labels: say which is the reward with -column 0 or 1, or model.column in the recipe (1 in models of HALOs)", info.File)
	case *column < 0 || *column > 1:
		return 0, fmt.Errorf("reward: %s has 2 labels: column %d is not there, give 0 or 1", info.File, *column)
	}
	return *column, nil
}

// readMLP reads linear layers 0, 2, … of which the last has one output.
func readMLP(ck *lm.Checkpoint, root string, c *lm.Config) (*scoreHead, error) {
	h := &scoreHead{}
	for in := c.Hidden; ; h.layers++ {
		name := fmt.Sprintf("%s.%d", root, 2*h.layers)
		info, ok := ck.Info(name + ".weight")
		if !ok {
			break
		}
		if len(info.Shape) != 2 || info.Shape[1] != in || info.Shape[0] == 0 {
			return nil, fmt.Errorf("reward: %s: %s.weight has shape %v, want [outputs %d]", info.File, name, info.Shape, in)
		}
		weight, err := ck.Read(name + ".weight")
		if err != nil {
			return nil, fmt.Errorf("reward: %w", err)
		}
		in = info.Shape[0]
		bias := lm.Array{Shape: []int{in}, Data: make([]float32, in)}
		if _, ok := ck.Info(name + ".bias"); ok {
			if bias, err = ck.ReadShape(name+".bias", in); err != nil {
				return nil, fmt.Errorf("reward: %w", err)
			}
		}
		weight.Name, bias.Name = mlpName(h.layers, "weight"), mlpName(h.layers, "bias")
		h.arrays = append(h.arrays, weight, bias)
		h.source = fmt.Sprintf("%s.0 to %s in %s", root, name, info.File)
	}
	if last := h.arrays[len(h.arrays)-1]; last.Shape[0] != 1 {
		return nil, fmt.Errorf("reward: the score head %s gives %d numbers: a reward is one", h.source, last.Shape[0])
	}
	return h, nil
}

// normalize folds OpenRLHF's (reward − mean) / std into the last layer, where config.json asks for it.
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
		return fmt.Errorf("reward: config.json: normalize_reward with mean %g and std %g: want finite numbers, std positive", mean, std)
	}
	h.fold = fmt.Sprintf("normalize_reward: (reward − %g) / %g", mean, std)
	last := &h.arrays[0]
	if h.layers > 0 {
		last = &h.arrays[len(h.arrays)-2]
	}
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

// zero tells whether the reward is the same for every text.
func (h *scoreHead) zero() bool {
	last := h.arrays[0]
	if h.layers > 0 {
		last = h.arrays[len(h.arrays)-2]
	}
	return !slices.ContainsFunc(last.Data, func(v float32) bool { return v != 0 })
}

// findHead finds the score head of a model's folder: among its weights, or in value_head.safetensors. nil is none.
func findHead(ck *lm.Checkpoint, dir, prefix string, c *lm.Config, column *int) (*scoreHead, error) {
	h, err := readHead(ck, prefix, c, column)
	if h != nil || err != nil || lm.IsGGUF(dir) {
		return h, err
	}
	path := filepath.Join(dir, valueHeadName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		pickle := filepath.Join(dir, "value_head.bin")
		if _, err := os.Stat(pickle); err == nil {
			return nil, fmt.Errorf("reward: the score head: %w", lm.PickleError(pickle))
		}
		return nil, nil
	}
	file, err := lm.OpenSafetensors(path)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	defer file.Close()
	if h, err = readHead(file, "", c, column); err == nil && h == nil {
		err = fmt.Errorf("reward: %s: no score head in it, wanted v_head.summary.weight", path)
	}
	return h, err
}

// setHead makes the head the model's own: its parameters, its offset, and a config.json without the keys that are no
// longer true.
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
	m.headLayers, m.Meta.ScoreOffset, m.FreshHead, m.HeadFold = h.layers, h.offset, h.zero(), h.fold
}
