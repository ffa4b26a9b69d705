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

	"github.com/gomlx/compute/dtypes"

	"haf/lm"
)

// adapterFolder is a PEFT adapter on disk.
type adapterFolder struct {
	dir    string
	config adapterConfig
}

// adapterConfig is adapter_config.json, as far as it is read and written.
type adapterConfig struct {
	PeftType      string             `json:"peft_type"`
	TaskType      string             `json:"task_type,omitempty"`
	Base          string             `json:"base_model_name_or_path"`
	Rank          int                `json:"r"`
	Alpha         float64            `json:"lora_alpha"`
	Dropout       float64            `json:"lora_dropout"`
	Bias          string             `json:"bias"`
	Targets       json.RawMessage    `json:"target_modules"`
	ModulesToSave []string           `json:"modules_to_save"`
	FanInFanOut   bool               `json:"fan_in_fan_out"`
	RSLoRA        bool               `json:"use_rslora"`
	DoRA          bool               `json:"use_dora"`
	RankPattern   map[string]int     `json:"rank_pattern"`
	AlphaPattern  map[string]float64 `json:"alpha_pattern"`
	InitLora      bool               `json:"init_lora_weights"`
	InferenceMode bool               `json:"inference_mode"`
}

const adapterConfigName, adapterWeightsName, adapterPrefix = "adapter_config.json", "adapter_model.safetensors", "base_model.model."

// readAdapter returns the PEFT adapter of a folder, nil where there is none.
func readAdapter(dir string) (*adapterFolder, error) {
	path := filepath.Join(dir, adapterConfigName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	a := &adapterFolder{dir: dir}
	if err := json.Unmarshal(data, &a.config); err != nil {
		return nil, fmt.Errorf("reward: %s: %w", path, err)
	}
	c := a.config
	var unsupported string
	switch {
	case c.PeftType != "LORA":
		unsupported = fmt.Sprintf("peft_type %q (LORA is read)", c.PeftType)
	case c.DoRA:
		unsupported = "use_dora"
	case len(c.RankPattern) > 0 || len(c.AlphaPattern) > 0:
		unsupported = "rank_pattern and alpha_pattern"
	case c.Bias != "" && c.Bias != "none":
		unsupported = fmt.Sprintf("bias %q (none is read)", c.Bias)
	}
	if unsupported != "" {
		return nil, fmt.Errorf("reward: %s: not supported: %s", path, unsupported)
	}
	return a, nil
}

// base is the folder of the adapted model; a relative path counts from the adapter's folder, then from here.
func (a *adapterFolder) base(dir string) string {
	if beside := filepath.Join(dir, a.config.Base); !filepath.IsAbs(a.config.Base) {
		if _, err := os.Stat(filepath.Join(beside, "config.json")); err == nil {
			return beside
		}
	}
	return a.config.Base
}

// loadAdapter adds the adapter's matrices and returns its score head, nil where it has none.
func (m *Model) loadAdapter(a *adapterFolder) (*lm.Array, error) {
	ck, err := lm.OpenSafetensors(filepath.Join(a.dir, adapterWeightsName))
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	defer ck.Close()
	lora := &lm.LoRA{Rank: a.config.Rank, Alpha: a.config.Alpha, RSLoRA: a.config.RSLoRA}
	var known = map[string]bool{adapterPrefix + lm.ScoreName: true}
	for _, path := range lm.Linears(m.Config) {
		name := adapterPrefix + m.Config.ModuleName(path)
		if _, ok := ck.Info(name + lm.LoraA); ok {
			lora.Targets = append(lora.Targets, path)
			known[name+lm.LoraA], known[name+lm.LoraB] = true, true
		}
	}
	for _, name := range ck.Names() {
		if !known[name] {
			return nil, fmt.Errorf("reward: %s: %q belongs to no linear layer of this %s model", filepath.Join(a.dir, adapterWeightsName), name, m.Config.Family)
		}
	}
	params, err := lora.Params(m.Config)
	if err != nil {
		return nil, fmt.Errorf("reward: %s: %w", a.dir, err)
	}
	for _, p := range params {
		array, err := ck.ReadShape(adapterPrefix+m.Config.ModuleName(p.Name), p.Shape...)
		if err != nil {
			return nil, fmt.Errorf("reward: %w", err)
		}
		array.Name = p.Name
		if err := m.add(array, dtypes.Float32); err != nil {
			return nil, err
		}
	}
	m.adapter, m.decoder.LoRA = lora, lora
	if _, ok := ck.Info(adapterPrefix + lm.ScoreName); !ok {
		return nil, nil
	}
	score, err := ck.ReadShape(adapterPrefix+lm.ScoreName, 1, m.Config.Hidden)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	score.Name = lm.ScoreName
	return &score, nil
}

// targetNames shortens the targets for adapter_config.json: "q_proj" where all blocks have it targeted, "attn.c_proj"
// where the last part alone would name another layer, too; else the whole path, always so beside a vision part, which has
// layers of the same names.
func targetNames(lora *lm.LoRA, c *lm.Config) ([]string, error) {
	paths, err := lora.Match(c)
	if err != nil {
		return nil, err
	}
	inBlock := func(path string) string { return strings.TrimPrefix(path, c.LayerOf(path)) }
	count, all := map[string]int{}, map[string]int{}
	for _, p := range paths {
		count[inBlock(p)]++
	}
	for _, p := range lm.Linears(c) {
		all[inBlock(p)] = c.Layers
	}
	short := func(name string) string {
		last := name[strings.LastIndexByte(name, '.')+1:]
		for other := range all {
			if other != name && strings.HasSuffix(other, "."+last) {
				return name
			}
		}
		return last
	}
	var out, rest []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		if count[name] == all[name] && !c.Nested {
			out = append(out, short(name))
		}
	}
	slices.Sort(out)
	for _, p := range paths {
		if name := inBlock(p); count[name] != all[name] || c.Nested {
			rest = append(rest, c.ModuleName(p))
		}
	}
	return append(out, rest...), nil
}
