package reward

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"haf/backend"
	"haf/lm"
	"haf/tokenizer"
	"haf/weights"
)

// Options are the options of [Open]. The zero value opens a model for scoring, with the settings of
// training.
type Options struct {
	Chat       ChatOptions // how conversations are read
	MaxLength  int         // tokens of a conversation; 0 is the limit of training
	Truncation string      // "prompt", "drop" or "response"
	// of the body: "float32" or "bfloat16"; "" is that of training, else float32
	DType      string
	Train      bool         // train all weights, without an adapter: they stay float32
	LoRA       *lm.LoRA     // a fresh adapter for training
	Random     *rand.Rand   // for the fresh adapter
	Recompute  lm.Recompute // of the backward pass; "" is lm.RecomputeSelective
	LogitChunk int          // rows of logits computed at once; 0 is 512
	Positions  int          // approximate positions of a packed batch; 0 is 2048
	// folder of an adapter's base model; "" is the one that the adapter names
	Base   string
	Head   HeadInit // the score head of a base that has none
	Column string   // reward of a head with several labels: index, name or sum of them
	// Outputs keeps all labels of a head with several, each as a separate reward.
	Outputs bool
	// Mesh is that of the plan of a model without weights; others are on their device's.
	Mesh backend.Mesh
	// without tokenizer: the model reads encoded groups, but scores no text
	NoTokenizer bool
}

// trains reports whether the model is opened for training.
func (o Options) trains() bool { return o.Train || o.LoRA != nil }

// OpenWithoutWeights opens a model without its values, for planning: configuration, tokenizer and
// encoder, and the weights' names and shapes, with the checks of [Open]. It needs no device, and
// reads no weights except a score head's. The model can be closed, but cannot run, be saved or be
// read.
func OpenWithoutWeights(dir string, opt Options) (*Model, error) { return open(nil, dir, opt) }

// Open loads a model: a Hugging Face folder of a causal language model (its score head starts at
// zero unless it has one, as TRL, LLaMA-Factory, OpenRLHF and GRM write them) or of a sequence
// classifier, a two-headed folder, a PEFT adapter with its score head, a GGUF file, or a run
// folder. Weights that haf wrote must be unchanged.
func Open(device *backend.Device, dir string, opt Options) (*Model, error) {
	return open(device, dir, opt)
}

// open opens a model, without a device [OpenWithoutWeights].
func open(device *backend.Device, dir string, opt Options) (*Model, error) {
	src, err := find(dir, opt.Base)
	if err != nil {
		return nil, err
	}
	if src.adapter != nil && opt.trains() {
		return nil, fmt.Errorf("reward: %s is an adapter: merge it first (haf merge %s -out DIR) and "+
			"train the result", src.dir, src.dir)
	}
	if device != nil {
		if err := src.meta.checkWeights(src.dir); err != nil {
			return nil, err
		}
	}
	config, err := lm.LoadConfig(src.base)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	if err := checkClass(config, src.base); err != nil {
		return nil, err
	}
	if err := nameLabels(config, src.meta.Labels); err != nil {
		return nil, err
	}
	ck, err := weights.Open(src.base)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	defer ck.Close()
	m, err := newModel(device, config, src.meta, opt)
	if err != nil {
		return nil, err
	}
	m.Dir = src.dir
	if !opt.NoTokenizer {
		if err := m.loadTokenizer(src, opt); err != nil {
			return nil, err
		}
	}
	if err := m.load(ck, src, opt); err != nil {
		m.Close()
		return nil, err
	}
	if device == nil {
		return m, nil // to know the base by its hash, all of it is read
	}
	if err := m.setBase(src.base, opt.trains(), src.adapter != nil); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// withoutWeights reports whether the model has no values.
func (m *Model) withoutWeights() bool { return m.device == nil }

// source is where a model's parts are.
type source struct {
	dir     string // the folder, or GGUF file, of the model
	meta    Meta
	adapter *adapterFolder // nil: no adapter
	base    string         // where the weights are: dir, or the adapted model
}

// find looks for a model's parts; base, if not "", is the model that an adapter belongs to.
func find(dir, base string) (*source, error) {
	dir, err := modelFolder(dir)
	if err != nil {
		return nil, err
	}
	src := &source{dir: dir, base: dir}
	if src.meta, err = readMeta(dir); err != nil {
		return nil, err
	}
	if src.adapter, err = readAdapter(dir); err != nil || src.adapter == nil {
		return src, err
	}
	if src.base = base; base == "" {
		src.base = src.adapter.base(dir)
	}
	if _, err := os.Stat(filepath.Join(src.base, "config.json")); err != nil &&
		!weights.IsGGUF(src.base) {
		return nil, fmt.Errorf("reward: the model that the adapter %s belongs to is not at %s: put it "+
			"back, or name its folder in base_model_name_or_path of %s", dir, src.base, adapterConfigName)
	}
	return src, nil
}

// tokenizer loads the tokenizer, of the folder or else of its base.
func (src *source) tokenizer() (*tokenizer.Tokenizer, error) {
	dir := src.dir
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err != nil {
		dir = src.base
	}
	if !weights.IsGGUF(dir) {
		tok, err := tokenizer.Load(dir)
		if err != nil {
			return nil, fmt.Errorf("reward: %w", err)
		}
		return tok, nil
	}
	g, err := weights.OpenGGUF(dir)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	defer g.Close()
	tok, err := tokenizer.FromGGUF(g.Metadata)
	if err != nil {
		return nil, fmt.Errorf("reward: %s: %w", dir, err)
	}
	return tok, nil
}

// setBase notes what the model's reference is: for one to be trained, or without a haf.json, the
// model itself; for an adapter the model below it, which must be the one that it was trained on.
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
		return fmt.Errorf("reward: %s is not the model that the adapter %s was trained on: its weights "+
			"or its config.json have changed", base, m.Dir)
	}
	m.Meta.BaseHash = hash
	return nil
}

// modelFolder resolves a run folder to the model in it.
func modelFolder(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("reward: %w: a model is a folder with config.json, model.safetensors and "+
			"tokenizer.json, or a run", err)
	}
	if weights.IsGGUF(dir) {
		return dir, nil
	}
	if !info.IsDir() {
		return "", fmt.Errorf("reward: %s is a file; a model is a folder with config.json and "+
			"model.safetensors, or a .gguf file", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
		model := filepath.Join(dir, "model")
		if _, err := os.Stat(model); err != nil {
			return "", fmt.Errorf(
				"reward: run %s has no finished model: resume it with haf train -resume %s", dir, dir)
		}
		return model, nil
	}
	return dir, nil
}

// newModel prepares a model without its weights.
func newModel(device *backend.Device, config *lm.Config, meta Meta, opt Options) (*Model, error) {
	m := &Model{Config: config, Meta: meta, device: device, chunk: opt.LogitChunk,
		positions: opt.Positions, programs: newExecCache(),
		mesh: backend.Mesh{Data: max(1, opt.Mesh.Data), Shard: max(1, opt.Mesh.Shard)}}
	if device != nil {
		m.mesh = device.Mesh()
	}
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
	if err := CheckDType(m.Meta.DType); err != nil {
		return nil, err
	}
	m.decoder.DType = dtypes.Float32
	if m.Meta.DType == "bfloat16" {
		m.decoder.DType, m.decoder.HalfProducts = dtypes.BFloat16, m.device != nil &&
			m.device.HalfProducts()
	}
	m.decoder.Config, m.decoder.Recompute = config, opt.Recompute
	if m.decoder.Recompute == "" {
		m.decoder.Recompute = lm.RecomputeSelective
	}
	return m, nil
}

// loadTokenizer loads the tokenizer and what is copied along with it, and prepares the encoder.
func (m *Model) loadTokenizer(src *source, opt Options) error {
	tok, err := src.tokenizer()
	if err != nil {
		return err
	}
	if m.auxFiles, err = src.auxFiles(); err != nil {
		return err
	}
	m.Tokenizer = tok
	return m.loadEncoder(opt)
}

// bodyType is what the backbone's weights are kept in.
func (m *Model) bodyType(opt Options) dtypes.DType {
	if opt.Train && opt.LoRA == nil {
		return dtypes.Float32 // an optimizer's small steps vanish in bfloat16 weights
	}
	return m.decoder.DType
}

// load fills in the weights: the backbone from ck, the adapter and score head from where they are.
func (m *Model) load(ck *weights.Tensors, src *source, opt Options) error {
	frozen := m.bodyType(opt)
	if err := checkTensors(ck, m.Config); err != nil {
		return err
	}
	head, err := findHead(ck, src.base, "", m.Config)
	if err != nil {
		return err
	}
	m.HasPolicyHead = true
	adapter, parts := ck, &adapterParts{} // unused where there is none
	if src.adapter != nil {
		if adapter, err = src.adapter.open(); err != nil {
			return err
		}
		defer adapter.Close()
		if parts, head, err = m.openAdapter(src, adapter, head); err != nil {
			return err
		}
	}
	if opt.Outputs && opt.Column == "" && head != nil && head.labels > 1 {
		opt.Head.Labels = labelNames(m.Config, head.labels)
	}
	if err := m.finishHead(head, src, opt); err != nil {
		return err
	}
	if m.withoutWeights() {
		ck, adapter = ck.Shapes(), adapter.Shapes()
	} else if err := lm.CheckTied(ck, m.Config); err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	output := lm.OutputParams(m.Config)
	for _, p := range lm.Params(m.Config) {
		ofOutput := slices.ContainsFunc(output, func(o lm.Param) bool { return o.Name == p.Name })
		if ofOutput && !m.HasPolicyHead {
			continue
		}
		a, err := m.readWeight(p, ck, adapter, parts)
		if ofOutput && head != nil && m.own[p.Name] == "" && errors.Is(err, weights.ErrMissing) {
			m.HasPolicyHead = false
			continue
		}
		if err != nil {
			return err
		}
		if err := m.add(a, frozen); err != nil {
			return err
		}
	}
	switch {
	case src.adapter != nil && src.adapter.config.DoRA:
		m.Merged = true
	case src.adapter != nil:
		if err := m.addAdapter(src.adapter, adapter, parts.modules); err != nil {
			return err
		}
	case opt.LoRA != nil:
		if err := m.addFresh(opt); err != nil {
			return err
		}
	}
	if err := m.addHead(head, opt); err != nil {
		return err
	}
	if err := m.addVariance(src.dir, opt); err != nil {
		return err
	}
	m.share()
	return nil
}

// openAdapter reads what the adapter has beside the matrices of its layers: the weights of its
// own, and the score head, its own or the base's with its LoRA.
func (m *Model) openAdapter(
	src *source, ck *weights.Tensors, base *scoreHead,
) (*adapterParts, *scoreHead, error) {
	parts, head, err := src.readAdapter(ck, m.Config, base)
	if err != nil {
		return nil, nil, err
	}
	m.saved = src.adapter.config.ModulesToSave
	return parts, head, m.adoptOwn(parts.own, ck, head != nil)
}

// readAdapter returns what the adapter's file holds and the score head of the adapted model, nil
// for none; base is that of the base.
func (src *source) readAdapter(
	ck *weights.Tensors, c *lm.Config, base *scoreHead,
) (*adapterParts, *scoreHead, error) {
	parts, err := src.adapter.parts(ck, c)
	if err != nil {
		return nil, nil, err
	}
	head, err := findHead(ck, src.dir, adapterPrefix, c)
	if err != nil {
		return nil, nil, err
	}
	if head == nil {
		head = base
	}
	if head == nil && src.adapter.config.TaskType == "SEQ_CLS" {
		return nil, nil, fmt.Errorf("reward: %s: task_type SEQ_CLS promises a score head, but "+
			"there is no %s: was the file written fully?",
			filepath.Join(src.dir, adapterWeightsName), adapterPrefix+lm.ScoreName)
	}
	return parts, head, parts.mergeHead(head, ck, src.base)
}

// finishHead makes the one reward of the score head that was found, nil for none.
func (m *Model) finishHead(head *scoreHead, src *source, opt Options) error {
	switch labels := opt.Head.Labels; {
	case len(labels) > 0 && opt.Column != "":
		return fmt.Errorf("reward: column %s chooses one reward, but an output for each of %s is to be "+
			"trained: leave the column out", opt.Column, labelList(len(labels), labels))
	case head != nil && len(labels) > 0:
		return head.keep(m.Config, labels)
	case head != nil:
		return head.finish(m.Config, opt.Column)
	case opt.Column != "":
		return fmt.Errorf("reward: column %s was asked for, but %s has no score head: leave the "+
			"column out", opt.Column, src.dir)
	case isClassifier(m.Config):
		return fmt.Errorf("reward: config.json of %s promises a score head (%s), but there is no "+
			"%s among its weights", src.base, strings.Join(m.Config.Architectures, ", "),
			lm.ScoreName)
	}
	return nil
}

// readWeight reads a weight of the base, or what an adapter has put in its place.
func (m *Model) readWeight(
	p lm.Param, ck, adapter *weights.Tensors, parts *adapterParts,
) (weights.Array, error) {
	if stored := m.own[p.Name]; stored != "" {
		a, err := adapter.ReadShape(adapterPrefix+stored, p.Shape...)
		if err != nil {
			return a, fmt.Errorf("reward: %w", err)
		}
		a.Name = p.Name
		return a, nil
	}
	a, err := lm.ReadParam(ck, m.Config, p)
	if err != nil {
		return a, fmt.Errorf("reward: %w", err)
	}
	path, _ := strings.CutSuffix(p.Name, ".weight")
	if module, ok := parts.modules[path]; ok && module.magnitude != "" && path != p.Name &&
		!m.withoutWeights() {
		err = module.mergeInto(a, adapter, path, m.Config)
	}
	return a, err
}

// addFresh adds the adapter that is to be trained.
func (m *Model) addFresh(opt Options) error {
	random := opt.Random
	if random == nil {
		random = rand.New(rand.NewPCG(0, 0))
	}
	shapes, err := opt.LoRA.Params(m.Config)
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	m.adapter, m.decoder.LoRA = opt.LoRA, opt.LoRA
	if m.withoutWeights() {
		for _, p := range shapes {
			m.params = append(m.params, &Param{Param: p, dtype: dtypes.Float32})
		}
		return nil
	}
	fresh, err := opt.LoRA.Init(m.Config, random)
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	for _, a := range fresh {
		if err := m.add(a, dtypes.Float32); err != nil {
			return err
		}
	}
	return nil
}

// addHead adds the score head; where none was found, a fresh one, which scores zero.
func (m *Model) addHead(head *scoreHead, opt Options) error {
	switch {
	case opt.Head.Kind == MLPHead && head == nil:
		head = opt.Head.mlp(m.Config.Hidden)
	case opt.Head.Kind == MLPHead && head.layers == 0:
		return fmt.Errorf("reward: %s has a score head of one matrix (%s): a head of two layers is for "+
			"a base without one, so leave the head out", m.Dir, head.source)
	case opt.Head.Kind != "" && opt.Head.Kind != LinearHead && opt.Head.Kind != MLPHead:
		return fmt.Errorf("reward: score head %q is not known: there are %s, %s", opt.Head.Kind,
			LinearHead, MLPHead)
	}
	m.Meta.Labels = opt.Head.Labels
	if head == nil {
		outputs, hidden := m.Outputs(), m.Config.Hidden
		zeros := weights.Array{Name: lm.ScoreName, Shape: []int{outputs, hidden},
			Data: make([]float32, outputs*hidden)}
		m.ScoreHeadUntrained = true
		return m.add(zeros, dtypes.Float32)
	}
	saved := m.Meta.ScoreOffset
	m.setHead(head)
	if head.offset == 0 {
		m.Meta.ScoreOffset = saved // that of a model of haf's own
	}
	for _, a := range head.arrays {
		if err := m.add(a, dtypes.Float32); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) add(a weights.Array, dtype dtypes.DType) error {
	p := &Param{Param: lm.Param{Name: a.Name, Shape: a.Shape}, dtype: dtype}
	if !m.withoutWeights() {
		var err error
		if p.Value, err = upload(m.device, a, dtype); err != nil {
			return err
		}
	}
	m.params = append(m.params, p)
	return nil
}

// Close frees the model's weights and programs.
func (m *Model) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.programs.release()
	for _, p := range m.params {
		if p.Value != nil { // nil without weights
			p.Value.MustFree()
		}
	}
	m.params = nil
	if m.base != nil {
		m.base.Close() // which trims
		m.base = nil
		return
	}
	backend.Trim()
}

// CheckDType returns an error unless a body can compute in the type.
func CheckDType(name string) error {
	if name != "float32" && name != "bfloat16" {
		return fmt.Errorf("reward: dtype %q is not known: float32 or bfloat16", name)
	}
	return nil
}
