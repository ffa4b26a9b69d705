package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"haf/chat"
	"haf/internal/durable"
	"haf/lm"
	"haf/weights"
)

// Save writes the model to a new folder: with an adapter as a PEFT adapter with its score head,
// else as a Hugging Face sequence-classification folder that also holds the policy head. The folder
// appears whole or not at all. An adapter of a GGUF file is saved merged, because no other program
// could use the adapter.
func (m *Model) Save(dir string) error {
	if m.adapter != nil && weights.IsGGUF(m.Meta.Base) {
		return m.SaveMerged(dir)
	}
	if m.adapter != nil {
		return m.save(dir, m.Meta, func(dir string) error {
			return errors.Join(m.writeAdapter(dir), m.writeVariance(dir))
		})
	}
	return m.save(dir, m.Meta, func(dir string) error {
		return errors.Join(m.writeFolder(dir, m.class(), m.sources()), m.writeVariance(dir))
	})
}

// SaveMerged writes the model as [Model.Save] does without an adapter. The adapter's product is
// added to the weights.
func (m *Model) SaveMerged(dir string) error {
	return m.save(dir, m.Meta, func(dir string) error {
		return errors.Join(m.writeFolder(dir, m.class(), m.merged()), m.writeVariance(dir))
	})
}

// SavePolicy writes the policy head as a causal language model: a Hugging Face folder without the
// score head, with an adapter's product added to the weights. Its logits equal the model's.
func (m *Model) SavePolicy(dir string) error {
	if !m.HasPolicyHead {
		return fmt.Errorf("reward: %s has no policy head (no lm_head.weight): there is no language "+
			"model to export", m.Dir)
	}
	meta := m.Meta
	meta.ScoreOffset = 0
	meta.Heads = slices.DeleteFunc(slices.Clone(meta.Heads),
		func(head string) bool { return head == "score" })
	weights := slices.DeleteFunc(m.merged(), func(s weights.LazyArray) bool { return isHead(s.Name) })
	return m.save(dir, meta, func(dir string) error {
		return m.writeFolder(dir, m.Config.CausalClass(), weights)
	})
}

func (m *Model) save(dir string, meta Meta, write func(dir string) error) error {
	if err := durable.CheckNew(dir); err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	err := durable.NewFolder(dir, "."+filepath.Base(dir)+"-", func(temporary string) (err error) {
		if err := write(temporary); err != nil {
			return err
		}
		if meta.WeightsCRC32C, err = weightSums(temporary); err != nil {
			return err
		}
		if err := m.writeCompanions(temporary, meta); err != nil || m.Finish == nil {
			return err
		}
		return m.Finish(temporary)
	})
	if err != nil {
		return fmt.Errorf("reward: saving %s: %w", dir, err)
	}
	return nil
}

// writeCompanions writes what stands beside the weights: the tokenizer's files and haf.json.
func (m *Model) writeCompanions(dir string, meta Meta) error {
	if m.Tokenizer != nil {
		files, err := m.tokenizerFiles()
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if err := durable.WriteFile(filepath.Join(dir, filepath.Base(name)), files[name]); err != nil {
				return err
			}
		}
		if own, err := chat.Of(m.Tokenizer); meta.Template.Name == "model" &&
			(err != nil || own.Source() != m.savedTemplate()) {
			meta.Template.Source = m.template.Source() // the folder's own has more in it
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.auxFiles)) {
		if err := durable.WriteFile(filepath.Join(dir, name), m.auxFiles[name]); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(dir, MetaName), meta)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'))
}

// sources are the model's weights but the variance head, read one at a time.
func (m *Model) sources() []weights.LazyArray {
	var out []weights.LazyArray
	for _, p := range m.params {
		if p.Name == varianceName {
			continue
		}
		out = append(out, p.Source())
	}
	return out
}

// merged are the weights with the adapter's product added, W + scale · B·A.
func (m *Model) merged() []weights.LazyArray {
	byName := map[string]*Param{}
	for _, p := range m.params {
		byName[p.Name] = p
	}
	var out []weights.LazyArray
	for _, p := range m.params {
		if isAdapter(p.Name) || p.Name == varianceName {
			continue
		}
		source := p.Source()
		if path, ok := strings.CutSuffix(p.Name, ".weight"); ok && byName[path+lm.LoraA] != nil {
			source.Values = func() ([]float32, error) {
				w, err := p.Read()
				if err != nil {
					return nil, err
				}
				return w.Data, addProduct(w, byName[path+lm.LoraA], byName[path+lm.LoraB], m.adapter.Scale(),
					lm.Transposed(m.Config))
			}
		}
		out = append(out, source)
	}
	return out
}

// addProduct adds scale · B·A to w, which is [out, in], or [in, out] if transposed.
func addProduct(w weights.Array, a, b *Param, scale float64, transposed bool) error {
	ma, err := a.Read()
	if err != nil {
		return err
	}
	mb, err := b.Read()
	if err != nil {
		return err
	}
	if transposed { // (scale · B·A)ᵀ = scale · Aᵀ·Bᵀ
		addTransposed(w, ma, mb, scale)
		return nil
	}
	addScaled(w, ma, mb, scale)
	return nil
}

// class is what the model's own folder says it is: a sequence classifier with one label. A
// classifier's head is one matrix: one of several layers is GRM's layout, a causal model with a
// head beside it.
func (m *Model) class() string {
	if m.headLayers > 0 {
		return m.Config.CausalClass()
	}
	return m.Config.ClassifierClass()
}

// writeFolder writes the Hugging Face folder: config.json of a model of the class, and the weights
// in one safetensors set.
func (m *Model) writeFolder(dir, class string, sources []weights.LazyArray) error {
	description := *m.Config
	description.Labels = m.Meta.Labels
	description.DType = "float32" // what is written, whatever the base was stored in
	if description.PAD >= description.Vocab {
		description.PAD = -1 // transformers cannot build an embedding that lacks the padding token's row
	}
	config, err := description.Marshal(class)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, "config.json"), config); err != nil {
		return err
	}
	shard := m.MaxShard
	if shard == 0 {
		shard = 5_000_000_000
	}
	return weights.Write(dir, sources, weights.WriteOptions{MaxShard: shard})
}

// writeAdapter writes a PEFT adapter with its score head.
func (m *Model) writeAdapter(dir string) error {
	targets, err := targetNames(m.adapter, m.Config)
	if err != nil {
		return err
	}
	list, err := json.Marshal(targets)
	if err != nil {
		return err
	}
	config := adapterConfig{
		PeftType: "LORA", TaskType: "SEQ_CLS", Base: m.Meta.Base, Rank: m.adapter.Rank,
		Alpha: m.adapter.Alpha, Bias: "none",
		Targets: list, ModulesToSave: []string{"score"}, RSLoRA: m.adapter.RSLoRA,
		InitLora: json.RawMessage("true"), InferenceMode: true, FanInFanOut: lm.Transposed(m.Config),
		RankPattern: map[string]int{}, AlphaPattern: map[string]float64{},
	}
	if m.headLayers > 0 {
		config.ModulesToSave[0] = "v_head"
	}
	config.ModulesToSave = append(config.ModulesToSave, m.ownModules(m.saved)...)
	m.patterns(&config)
	if err := writeJSON(filepath.Join(dir, adapterConfigName), config); err != nil {
		return err
	}
	var sources []weights.LazyArray
	for _, p := range m.params {
		name := m.Config.ModuleName(p.Name)
		if stored := m.own[p.Name]; stored != "" {
			name = strings.Replace(stored, ".modules_to_save.", ".", 1)
		} else if !isAdapter(p.Name) && !isHead(p.Name) {
			continue
		}
		source := p.Source()
		source.Name = adapterPrefix + name
		sources = append(sources, source)
	}
	return weights.WriteFile(filepath.Join(dir, adapterWeightsName), sources, weights.WriteOptions{})
}

// patterns states the ranks of an opened adapter that are not r. Its B matrices carry what their
// layers' scales differ by, so that each alpha is what gives the one scale.
func (m *Model) patterns(config *adapterConfig) {
	for _, p := range m.params {
		path, isA := strings.CutSuffix(p.Name, lm.LoraA)
		if !isA || p.Shape[0] == m.adapter.Rank {
			continue
		}
		rank := p.Shape[0]
		config.RankPattern[path] = rank
		config.AlphaPattern[path] = m.adapter.Scale() * float64(rank)
		if m.adapter.RSLoRA {
			config.AlphaPattern[path] = m.adapter.Scale() * math.Sqrt(float64(rank))
		}
	}
}
