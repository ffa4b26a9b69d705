package reward

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"haf/backend"
	"haf/encode"
	"haf/lm"
	"haf/tokenizer"
)

// Options says how a model is opened. The zero value is a model for scoring, as it was trained.
type Options struct {
	Template      string           // see the recipe's model.template; "" is what the model was trained with
	MaxLength     int              // tokens of prompt and longest response; 0 is what the model was trained with
	Truncation    string           // "prompt", "drop" or "response"
	DType         string           // of the body: "float32" or "bfloat16"; "" is what the model was trained with, else float32
	Train         bool             // all weights will be trained (no adapter): they stay float32
	LoRA          *lm.LoRA         // a fresh adapter for training
	Random        *rand.Rand       // for the fresh adapter
	Checkpointing lm.Checkpointing // of the backward pass; "" is lm.CheckpointSelective
	LogitChunk    int              // rows of logits made at once; 0 is 512
	Positions     int              // positions of a packed batch, about; 0 is 2048
	NoTokenizer   bool             // tokens come ready-made: the model reads encoded groups, but scores no text
}

// trains says whether the model is opened to be trained.
func (o Options) trains() bool { return o.Train || o.LoRA != nil }

// Open loads a model from a folder: a Hugging Face causal language model (its score head starts at zero), a
// sequence-classification model, a two-headed folder, a PEFT adapter with its score head, or a run folder.
func Open(device *backend.Device, dir string, opt Options) (*Model, error) {
	dir, err := modelFolder(dir)
	if err != nil {
		return nil, err
	}
	meta, err := readMeta(dir)
	if err != nil {
		return nil, err
	}
	adapter, err := readAdapter(dir)
	if err != nil {
		return nil, err
	}
	base := dir
	if adapter != nil {
		if opt.trains() {
			return nil, fmt.Errorf("reward: %s is an adapter: merge it first (haf merge %s -out DIR) and train the result", dir, dir)
		}
		base = adapter.base(dir)
		if _, err := os.Stat(filepath.Join(base, "config.json")); err != nil {
			return nil, fmt.Errorf("reward: the model that the adapter %s belongs to is not at %s: put it back, or name its folder in base_model_name_or_path of %s", dir, base, adapterConfigName)
		}
	}
	config, err := lm.LoadConfig(base)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	ck, err := lm.OpenCheckpoint(base)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	defer ck.Close()
	m, err := newModel(device, config, meta, opt)
	if err != nil {
		return nil, err
	}
	m.Dir = dir
	if !opt.NoTokenizer {
		if err := m.loadTokenizer(dir, base, opt); err != nil {
			return nil, err
		}
	}
	if err := m.load(ck, adapter, opt); err != nil {
		m.Close()
		return nil, err
	}
	if err := m.setBase(base, opt.trains(), adapter != nil); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// setBase notes what the model's reference is: for one to be trained, or without a haf.json, the model itself; for an
// adapter the model below it, which must be the one that it was trained on.
func (m *Model) setBase(base string, trains, adapter bool) error {
	absolute, err := filepath.Abs(base)
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	if m.Meta.Base == "" || trains {
		m.Meta.Base, m.Meta.BaseHash = absolute, ""
	}
	if adapter {
		m.Meta.Base = absolute
	}
	if !trains && (!adapter || m.Meta.BaseHash == "") {
		return nil
	}
	hash, err := hashOf(base)
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	if m.Meta.BaseHash != "" && m.Meta.BaseHash != hash {
		return fmt.Errorf("reward: %s is not the model that the adapter %s was trained on: its weights or its config.json have changed", base, m.Dir)
	}
	m.Meta.BaseHash = hash
	return nil
}

// modelFolder resolves a run folder to the model in it.
func modelFolder(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("reward: %w: a model is a folder with config.json, model.safetensors and tokenizer.json, or a run", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("reward: %s is a file; a model is a folder with config.json and model.safetensors", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
		model := filepath.Join(dir, "model")
		if _, err := os.Stat(model); err != nil {
			return "", fmt.Errorf("reward: run %s has no finished model: resume it with haf train -resume %s", dir, dir)
		}
		return model, nil
	}
	return dir, nil
}

// newModel prepares a model without its weights.
func newModel(device *backend.Device, config *lm.Config, meta Meta, opt Options) (*Model, error) {
	m := &Model{Config: config, Meta: meta, device: device, chunk: opt.LogitChunk, positions: opt.Positions, readers: map[Heads]*graph.Exec{}}
	if m.chunk == 0 {
		m.chunk = 512
	}
	if m.positions == 0 {
		m.positions = 2048
	}
	if opt.DType != "" {
		m.Meta.DType = opt.DType
	}
	if m.Meta.DType == "" {
		m.Meta.DType = "float32"
	}
	m.Meta.Format = metaFormat
	switch m.Meta.DType {
	case "float32":
		m.decoder.DType = dtypes.Float32
	case "bfloat16":
		m.decoder.DType = dtypes.BFloat16
	default:
		return nil, fmt.Errorf("reward: dtype %q is not known: float32 or bfloat16", m.Meta.DType)
	}
	m.decoder.Config, m.decoder.Checkpointing = config, opt.Checkpointing
	if m.decoder.Checkpointing == "" {
		m.decoder.Checkpointing = lm.CheckpointSelective
	}
	return m, nil
}

// loadTokenizer loads the tokenizer, of the folder or else of its base, and prepares the encoder.
func (m *Model) loadTokenizer(dir, base string, opt Options) error {
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); errors.Is(err, fs.ErrNotExist) {
		dir = base
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	if tok.Size() > m.Config.Vocab {
		return fmt.Errorf("reward: the tokenizer has ids up to %d, the model's embedding only %d rows: they do not belong together", tok.Size()-1, m.Config.Vocab)
	}
	tpl, meta, err := chooseTemplate(tok, opt.Template, m.Meta.Template)
	if err != nil {
		return err
	}
	m.Tokenizer, m.Meta.Template = tok, meta
	m.Encoder, err = newEncoder(tok, tpl, encode.Options{MaxLength: opt.MaxLength, Truncation: opt.Truncation}, opt.trains(), &m.Meta)
	if err == nil && opt.trains() {
		_, _, err = padToken(tok) // or saving would fail after the training
	}
	return err
}

// load fills in the weights: the backbone from ck, the adapter and score head from where they are.
func (m *Model) load(ck *lm.Checkpoint, adapter *adapterFolder, opt Options) error {
	frozen := m.decoder.DType
	if opt.Train && opt.LoRA == nil {
		frozen = dtypes.Float32 // an optimizer's small steps vanish in bfloat16 weights
	}
	_, hasScore := ck.Info(lm.ScoreName)
	m.HasPolicyHead = true
	for _, p := range lm.Params(m.Config) {
		if p.Name == lm.OutputName {
			if _, ok := ck.Info(p.Name); !ok && hasScore {
				m.HasPolicyHead = false
				continue
			}
		}
		a, err := ck.ReadShape(p.Name, p.Shape...)
		if err != nil {
			return fmt.Errorf("reward: %w", err)
		}
		if err := m.add(a, frozen); err != nil {
			return err
		}
	}
	score := lm.Array{Name: lm.ScoreName, Shape: []int{1, m.Config.Hidden}, Data: make([]float32, m.Config.Hidden)}
	if hasScore {
		var err error
		if score, err = ck.ReadShape(lm.ScoreName, 1, m.Config.Hidden); err != nil {
			return fmt.Errorf("reward: the score head must give one number: %w", err)
		}
	}
	switch {
	case adapter != nil:
		trained, err := m.loadAdapter(adapter)
		if err != nil {
			return err
		}
		if trained != nil {
			score = *trained
		}
	case opt.LoRA != nil:
		random := opt.Random
		if random == nil {
			random = rand.New(rand.NewPCG(0, 0))
		}
		fresh, err := opt.LoRA.Init(m.Config, random)
		if err != nil {
			return fmt.Errorf("reward: %w", err)
		}
		m.adapter, m.decoder.LoRA = opt.LoRA, opt.LoRA
		for _, a := range fresh {
			if err := m.add(a, dtypes.Float32); err != nil {
				return err
			}
		}
	}
	m.FreshHead = !slices.ContainsFunc(score.Data, func(v float32) bool { return v != 0 })
	return m.add(score, dtypes.Float32)
}

func (m *Model) add(a lm.Array, dtype dtypes.DType) error {
	t, err := upload(m.device, a, dtype)
	if err != nil {
		return err
	}
	m.params = append(m.params, &Param{Param: lm.Param{Name: a.Name, Shape: a.Shape}, Value: t})
	return nil
}

// Close frees the model's weights and programs.
func (m *Model) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, exec := range m.readers {
		exec.Finalize()
	}
	m.readers = map[Heads]*graph.Exec{}
	for _, p := range m.params {
		p.Value.MustFinalizeAll()
	}
	m.params = nil
	if m.base != nil {
		m.base.Close()
		m.base = nil
	}
}
