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

	"haf/internal/wholefile"
	"haf/lm"
	"haf/weights"
)

// adapterFolder is a PEFT adapter on disk.
type adapterFolder struct {
	dir    string
	config adapterConfig
}

// adapterConfig has the keys of adapter_config.json that haf reads and writes.
type adapterConfig struct {
	PeftType          string             `json:"peft_type"`
	TaskType          string             `json:"task_type,omitempty"`
	Base              string             `json:"base_model_name_or_path"`
	Rank              int                `json:"r"`
	Alpha             float64            `json:"lora_alpha"`
	Dropout           float64            `json:"lora_dropout"`
	Bias              string             `json:"bias"`
	Targets           json.RawMessage    `json:"target_modules"`
	ExcludeModules    json.RawMessage    `json:"exclude_modules,omitempty"`
	LayersToTransform json.RawMessage    `json:"layers_to_transform,omitempty"`
	ModulesToSave     []string           `json:"modules_to_save"`
	FanInFanOut       bool               `json:"fan_in_fan_out"`
	RSLoRA            bool               `json:"use_rslora"`
	DoRA              bool               `json:"use_dora"`
	RankPattern       map[string]int     `json:"rank_pattern"`
	AlphaPattern      map[string]float64 `json:"alpha_pattern"`
	InitLora          json.RawMessage    `json:"init_lora_weights,omitempty"`
	InferenceMode     bool               `json:"inference_mode"`
}

const adapterConfigName, adapterWeightsName, adapterPrefix = "adapter_config.json",
	"adapter_model.safetensors", "base_model.model."

// unreadSettings are keys of adapter_config.json that change what is computed and are not read:
// they must be off.
var unreadSettings = []string{
	"layer_replication", "target_parameters", "trainable_token_indices", "lora_bias",
	"alora_invocation_tokens", "use_qalora", "megatron_config",
	"layers_pattern", "arrow_config", "use_bdlora",
}

// readAdapter returns the PEFT adapter of a folder, nil where there is none.
func readAdapter(dir string) (*adapterFolder, error) {
	if weights.IsGGUF(dir) {
		return nil, nil
	}
	path := filepath.Join(dir, adapterConfigName)
	data, err := wholefile.Read(path, wholefile.Settings)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	a := &adapterFolder{dir: dir}
	var keys map[string]json.RawMessage
	if err = wholefile.Unmarshal(data, &keys); err == nil {
		err = wholefile.Unmarshal(data, &a.config)
	}
	if err != nil {
		return nil, fmt.Errorf("reward: %s: %w", path, err)
	}
	if what := a.config.unsupported(keys); what != "" {
		return nil, fmt.Errorf("reward: %s: not supported: %s: merge the adapter with PEFT "+
			"(merge_and_unload) and open the result", path, what)
	}
	return a, nil
}

// unsupported names the first setting that is not read.
func (c *adapterConfig) unsupported(keys map[string]json.RawMessage) string {
	switch {
	case c.PeftType != "LORA":
		return fmt.Sprintf("peft_type %q (LORA is read)", c.PeftType)
	case c.Bias != "" && c.Bias != "none":
		return fmt.Sprintf("bias %q (none is read)", c.Bias)
	}
	for _, key := range unreadSettings {
		if v := string(keys[key]); !slices.Contains([]string{"", "null", "false", "[]", "{}", `"layers"`,
			`["layers"]`}, v) {
			return fmt.Sprintf("%s %.60s", key, v)
		}
	}
	// These change the base's weights before training; an adapter that was not converted is one of the
	// changed base.
	var init string
	if wholefile.Unmarshal(c.InitLora, &init) == nil {
		for _, name := range []string{"pissa", "olora", "corda", "loftq", "lora_ga"} {
			if strings.HasPrefix(strings.ToLower(init), name) {
				return fmt.Sprintf("init_lora_weights %q (the adapter belongs to a changed base)", init)
			}
		}
	}
	return ""
}

// base is the folder of the adapted model; a relative path counts from the adapter's folder, then
// from here.
func (a *adapterFolder) base(dir string) string {
	if beside := filepath.Join(dir, a.config.Base); !filepath.IsAbs(a.config.Base) {
		if _, err := os.Stat(filepath.Join(beside, "config.json")); err == nil || weights.IsGGUF(beside) {
			return beside
		}
	}
	return a.config.Base
}

// MissingBase returns the base that the adapter in a model or run folder names, if that is not a
// folder on disk: usually an id on the hub. It is "" for all other models. Options.Base can then
// give the folder of the base.
func MissingBase(path string) string {
	dir, err := modelFolder(path)
	if err != nil {
		return "" // Open says why
	}
	a, err := readAdapter(dir)
	if err != nil || a == nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(a.base(dir), "config.json")); err == nil {
		return ""
	}
	return a.config.Base
}

// open opens the adapter's weights.
func (a *adapterFolder) open() (*weights.Tensors, error) {
	path := filepath.Join(a.dir, adapterWeightsName)
	ck, err := weights.OpenFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		pickle := strings.TrimSuffix(path, ".safetensors") + ".bin"
		if _, missing := os.Stat(pickle); missing == nil {
			return nil, fmt.Errorf("reward: %w", weights.PickleError(pickle))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	return ck, nil
}

// An adapterParts is what an adapter's file holds.
type adapterParts struct {
	modules map[string]loraModule // the adapted layers by path
	head    *loraModule           // a LoRA on the score head; nil: none
	root    string                // the name of that head
	own     ownWeights
}

// parts returns what the adapter's file holds, after a check that the file has all that its
// configuration selects, and nothing that is not understood.
func (a *adapterFolder) parts(ck *weights.Tensors, c *lm.Config) (*adapterParts, error) {
	file := filepath.Join(a.dir, adapterWeightsName)
	out := &adapterParts{modules: map[string]loraModule{}}
	own, known, err := findOwn(ck, c)
	if err != nil {
		return nil, err
	}
	out.own = own
	settings, err := readHeadSettings(c)
	if err != nil {
		return nil, err
	}
	heads := headTensors(ck, adapterPrefix, settings)
	for _, path := range lm.Linears(c) {
		module, err := a.module(ck, path, c.ModuleName(path), known)
		if err != nil {
			return nil, err
		}
		if module != nil {
			out.modules[path] = *module
		}
	}
	for _, root := range headRoots(settings) {
		if !hasLoRA(ck, root) {
			// PEFT trains a targeted head in full, without a LoRA, where modules_to_save names it,
			// too.
			listed, _, _ := names(a.config.Targets)
			if slices.Contains(listed, root) && len(heads) == 0 {
				return nil, fmt.Errorf("reward: %s: no %s, which target_modules names; was the "+
					"file written fully?", file, adapterPrefix+root+lm.LoraA)
			}
			continue
		}
		module, err := a.module(ck, root, root, known)
		if err != nil {
			return nil, err
		}
		if len(heads) > 0 || out.head != nil {
			return nil, fmt.Errorf("reward: %s: a LoRA on the score head %s beside a score head "+
				"of the adapter's own: merge the adapter with PEFT (merge_and_unload) and open "+
				"the result", file, root)
		}
		out.head, out.root = module, root
	}
	if a.config.DoRA && lm.Transposed(c) {
		return nil, fmt.Errorf("reward: %s: use_dora is not read for the %s family, whose weights are "+
			"transposed: merge the adapter with PEFT", filepath.Join(a.dir, adapterConfigName), c.Family)
	}
	if a.config.FanInFanOut != lm.Transposed(c) {
		return nil, fmt.Errorf("reward: %s: fan_in_fan_out is %t, which does not go with the %s "+
			"family's weights", filepath.Join(a.dir, adapterConfigName), a.config.FanInFanOut, c.Family)
	}
	if len(out.modules) == 0 {
		return nil, fmt.Errorf("reward: %s adapts no linear layer of this %s model: does it belong to "+
			"another base?", file, c.Family)
	}
	for _, name := range ck.Names() {
		if !known[name] && !heads[name] {
			info, _ := ck.Info(name)
			return nil, fmt.Errorf("reward: %s: %q %v belongs to no linear layer of this %s "+
				"model, nor is it a score head, an embedding or lm_head: merge the adapter with "+
				"PEFT (merge_and_unload) and open the result", file, name, info.Shape, c.Family)
		}
	}
	return out, nil
}

// hasLoRA reports whether the adapter has a LoRA on the module of that name.
func hasLoRA(ck *weights.Tensors, name string) bool {
	_, ok := ck.Info(adapterPrefix + name + lm.LoraA)
	return ok
}

// module returns the LoRA on a linear layer of the model, whose name in the adapter is given; nil
// where there is none. It adds the names of its tensors to known.
func (a *adapterFolder) module(
	ck *weights.Tensors, path, stored string, known map[string]bool,
) (*loraModule, error) {
	file := filepath.Join(a.dir, adapterWeightsName)
	name := adapterPrefix + stored
	there := hasLoRA(ck, stored)
	selected, err := a.config.targeted(path)
	if err != nil {
		return nil, fmt.Errorf("reward: %s: %w", filepath.Join(a.dir, adapterConfigName), err)
	}
	if !there && selected {
		return nil, fmt.Errorf("reward: %s: no %s, which target_modules selects; was the file "+
			"written fully?", file, name+lm.LoraA)
	}
	if !there {
		return nil, nil
	}
	module, err := a.config.moduleOf(path)
	if err != nil {
		return nil, fmt.Errorf("reward: %s: %w", filepath.Join(a.dir, adapterConfigName), err)
	}
	known[name+lm.LoraA], known[name+lm.LoraB] = true, true
	vector := name + ".lora_magnitude_vector"
	for _, magnitude := range []string{vector, vector + ".weight"} {
		if _, ok := ck.Info(magnitude); ok {
			known[magnitude], module.magnitude = true, magnitude
		}
	}
	if a.config.DoRA != (module.magnitude != "") {
		return nil, fmt.Errorf("reward: %s: use_dora is %t, but the magnitude vector of %s says "+
			"otherwise", file, a.config.DoRA, path)
	}
	return &module, nil
}

// mergeHead adds the adapter's LoRA on the score head to the head of the base.
func (p *adapterParts) mergeHead(head *scoreHead, ck *weights.Tensors, base string) error {
	if p.head == nil {
		return nil
	}
	name := adapterPrefix + p.root
	if head == nil {
		return fmt.Errorf("reward: %s adapts the score head %s, but %s has none: the adapter was "+
			"trained on a head that it does not hold; open it on the classifier it was trained "+
			"on, or merge it there with PEFT (merge_and_unload)", fileOf(ck), p.root, base)
	}
	if head.layers > 0 || head.root != p.root {
		return fmt.Errorf("reward: %s adapts the score head %s, but that of its base is %s",
			fileOf(ck), p.root, head.source)
	}
	w := head.last()
	a, err := ck.ReadShape(name+lm.LoraA, p.head.rank, w.Shape[1])
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	b, err := ck.ReadShape(name+lm.LoraB, w.Shape[0], p.head.rank)
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	head.source += ", with the adapter's LoRA"
	if p.head.magnitude == "" {
		addScaled(*w, a, b, p.head.scale)
		return nil
	}
	magnitude, err := ck.ReadShape(p.head.magnitude, w.Shape[0])
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	mergeDoRA(*w, a, b, magnitude, p.head.scale)
	return nil
}

// matrices reads A and B of an adapted layer whose weight has the given shape.
func (l loraModule) matrices(
	ck *weights.Tensors, path string, c *lm.Config, shape []int,
) (a, b weights.Array, err error) {
	out, in := shape[0], shape[1]
	if lm.Transposed(c) {
		out, in = in, out
	}
	name := adapterPrefix + c.ModuleName(path)
	if a, err = ck.ReadShape(name+lm.LoraA, l.rank, in); err != nil {
		return a, b, fmt.Errorf("reward: %w", err)
	}
	if b, err = ck.ReadShape(name+lm.LoraB, out, l.rank); err != nil {
		return a, b, fmt.Errorf("reward: %w", err)
	}
	a.Name, b.Name = path+lm.LoraA, path+lm.LoraB
	return a, b, nil
}

// mergeInto turns a base weight into DoRA's.
func (l loraModule) mergeInto(
	w weights.Array, ck *weights.Tensors, path string, c *lm.Config,
) error {
	a, b, err := l.matrices(ck, path, c, w.Shape)
	if err != nil {
		return err
	}
	magnitude, err := ck.ReadShape(l.magnitude, w.Shape[0])
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	mergeDoRA(w, a, b, magnitude, l.scale)
	return nil
}

// addAdapter adds the matrices of a LoRA adapter. The decoder multiplies all products by one scale:
// B takes what a layer's own differs by.
func (m *Model) addAdapter(
	a *adapterFolder, ck *weights.Tensors, modules map[string]loraModule,
) error {
	lora := &lm.LoRA{Rank: a.config.Rank, Alpha: a.config.Alpha, RSLoRA: a.config.RSLoRA}
	if lora.Rank < 1 || !(lora.Scale() != 0) || !inFloat32(lora.Alpha) {
		return fmt.Errorf("reward: %s: r %d and lora_alpha %g, want positive numbers",
			filepath.Join(a.dir, adapterConfigName), lora.Rank, lora.Alpha)
	}
	shapes := map[string][]int{}
	for _, p := range lm.Params(m.Config) {
		shapes[p.Name] = p.Shape
	}
	for _, path := range lm.Linears(m.Config) {
		module, ok := modules[path]
		if !ok {
			continue
		}
		lora.Targets = append(lora.Targets, path)
		ma, mb, err := module.matrices(ck, path, m.Config, shapes[path+".weight"])
		if err != nil {
			return err
		}
		if ratio := module.scale / lora.Scale(); ratio != 1 {
			for i, v := range mb.Data {
				mb.Data[i] = float32(float64(v) * ratio)
			}
		}
		if err := errors.Join(m.add(ma, dtypes.Float32), m.add(mb, dtypes.Float32)); err != nil {
			return err
		}
	}
	m.adapter, m.decoder.LoRA = lora, lora
	return nil
}

// targetNames shortens the targets for adapter_config.json: "q_proj" where all blocks have it
// targeted, "attn.c_proj" where the last part alone would name another layer, too; else the whole
// path, always so beside a vision part, which has layers of the same names.
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
