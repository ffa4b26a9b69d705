// Package reward is the two-headed model: one decoder with a score head (the reward of a response)
// and a policy head (its log-probability). It opens, saves and merges models, and turns them into
// Scorers.
package reward

import (
	"fmt"
	"strings"
	"sync"

	"github.com/gomlx/compute/dtypes"

	"haf/backend"
	"haf/chat"
	"haf/encode"
	"haf/lm"
	"haf/mesh"
	"haf/tokenizer"
	"haf/weights"
)

// A Param is one weight of a model and its value on the device.
type Param struct {
	lm.Param
	Value *mesh.Array // nil where the model was opened without weights

	dtype dtypes.DType
}

// Bytes is the size of the value on the device.
func (p *Param) Bytes() int64 { return int64(p.Size()) * int64(p.dtype.Size()) }

// A Model is a decoder with a score head and, unless it was saved without one, a policy head. It is
// safe for concurrent use except during training.
type Model struct {
	Config    *lm.Config
	Tokenizer *tokenizer.Tokenizer
	Encoder   *encode.Encoder
	Meta      Meta
	Dir       string // where it was opened
	// HasPolicyHead reports whether the model has a policy head. A sequence classifier saved without
	// its language-model head has none.
	HasPolicyHead bool
	// ScoreHeadUntrained reports whether the score head is zero, as for a base without one.
	ScoreHeadUntrained bool
	// HasVariance reports whether the model has a head for the variance of its rewards.
	HasVariance bool
	// Merged reports whether opening the model merged an adapter into the weights, as it does with
	// DoRA.
	Merged bool
	// HeadFold describes a transformation that was folded into the score head when it was read, such
	// as OpenRLHF's normalization; else it is empty.
	HeadFold string
	// MaxShard is the largest size of a file of saved weights, in bytes; 0 is 5 GB, as in
	// transformers.
	MaxShard int64
	// Finish, if not nil, adds files to the folder of a saved model before it appears.
	Finish func(dir string) error

	device    *backend.Device
	mesh      backend.Mesh // the device's; of a model without weights that of [Options]
	decoder   lm.Decoder
	chunk     int // rows of logits made at once
	positions int // of a packed batch
	params    []*Param
	adapter   *lm.LoRA
	adapted   bool // an adapter has weights of its own in the place of the base's
	own       ownWeights
	saved     []string // modules_to_save of the opened adapter
	// headLayers is the number of linear layers of a score head with hidden layers; 0 is the one
	// matrix.
	headLayers int
	auxFiles   map[string][]byte // files of the base that are saved along
	template   *chat.Template
	encoding   encode.Options // of Encoder

	programs    *execCache
	builtBefore int        // of the programs, when the model took them over from the device
	mu          sync.Mutex // of base
	base        *Model     // the reference of a fully trained model, once opened
}

// Device is the device that the model runs on.
func (m *Model) Device() *backend.Device { return m.device }

// Mesh is the mesh that the model is on.
func (m *Model) Mesh() backend.Mesh { return m.mesh }

// PartBytes is the size of a weight on one device of the mesh.
func (m *Model) PartBytes(p *Param) int64 {
	return int64(mesh.PartSize(m.mesh, p.Shape)) * int64(p.dtype.Size())
}

// Programs is the number of compiled programs for reading the model's heads.
func (m *Model) Programs() int {
	m.programs.mu.Lock()
	defer m.programs.mu.Unlock()
	return m.programs.built - m.builtBefore
}

// Positions is the approximate number of positions of a packed batch.
func (m *Model) Positions() int { return m.positions }

// Decoder returns the settings for building the model's graph.
func (m *Model) Decoder() lm.Decoder { return m.decoder }

// SetRecompute sets the activations to recompute in backward passes that are built from now on.
func (m *Model) SetRecompute(c lm.Recompute) {
	m.decoder.Recompute = c
	m.share()
}

// LogitChunk is the number of rows of logits computed at once.
func (m *Model) LogitChunk() int { return m.chunk }

// Adapter describes the model's LoRA adapter, nil if there is none.
func (m *Model) Adapter() *lm.LoRA { return m.adapter }

// MergesAdapter reports whether a pass over that many positions adds the adapter to a layer's
// weights of the given dimensions. Otherwise it adds the adapter's product to the layer's result.
func (m *Model) MergesAdapter(positions int, weight []int) bool {
	return m.decoder.Merges(positions, weight)
}

// Params lists the model's weights in a fixed order: backbone, policy head, adapter, score head.
func (m *Model) Params() []*Param { return m.params }

// Trainable lists the weights that training with the given heads changes: with an adapter its
// matrices and the score head, else all weights that these heads use.
func (m *Model) Trainable(want Heads) []*Param {
	output := map[string]bool{}
	for _, p := range lm.OutputParams(m.Config) {
		output[p.Name] = true
	}
	var out []*Param
	for _, p := range m.params {
		switch {
		case p.Name == varianceName:
			if want&VarianceHead == 0 {
				continue
			}
		case isHead(p.Name):
			if want&ScoreHead == 0 {
				continue
			}
		case m.adapter != nil && !isAdapter(p.Name):
			continue
		case output[p.Name] && want&PolicyHead == 0:
			continue
		}
		out = append(out, p)
	}
	return out
}

// Gradients returns the values by which log-probabilities are differentiated in training.
func (m *Model) Gradients() lm.Gradients {
	if m.adapter != nil {
		return lm.ByHidden
	}
	return lm.ByAll
}

func isAdapter(name string) bool {
	return strings.HasSuffix(name, lm.LoraA) || strings.HasSuffix(name, lm.LoraB)
}

// NumParams counts the values of all weights and of those that training changes.
func (m *Model) NumParams() (all, trainable int) {
	for _, p := range m.params {
		all += p.Size()
	}
	for _, p := range m.Trainable(ScoreHead | PolicyHead | VarianceHead) {
		trainable += p.Size()
	}
	return all, trainable
}

// Read returns a weight's values as float32.
func (p *Param) Read() (weights.Array, error) {
	a := weights.Array{Name: p.Name, Shape: p.Shape}
	var err error
	if a.Data, err = p.Value.Floats(); err != nil {
		return a, fmt.Errorf("reward: reading %s from the device: %w", p.Name, err)
	}
	return a, nil
}

// Source returns the weight for writing; it is read from the device when its turn comes.
func (p *Param) Source() weights.LazyArray {
	return weights.LazyArray{Name: p.Name, Shape: p.Shape, Values: func() ([]float32, error) {
		a, err := p.Read()
		if err == nil {
			err = checkFinite(a)
		}
		return a.Data, err
	}}
}

// Set replaces a weight's values.
func (m *Model) Set(p *Param, a weights.Array) error {
	t, err := upload(m.device, a, p.Value.DType())
	if err != nil {
		return err
	}
	old := p.Value
	p.Value = t
	return old.Free()
}

// checkFinite returns an error if a weight is no number: nothing of that kind is opened or saved.
func checkFinite(a weights.Array) error {
	for _, v := range a.Data {
		if v-v != 0 {
			return fmt.Errorf("reward: %s holds %v", a.Name, v)
		}
	}
	return nil
}

// upload puts an array on the device in the given dtype.
func upload(device *backend.Device, a weights.Array, dtype dtypes.DType) (*mesh.Array, error) {
	size := 1
	for _, d := range a.Shape {
		size *= d
	}
	if size != len(a.Data) {
		return nil, fmt.Errorf("reward: %s: %d values for shape %v", a.Name, len(a.Data), a.Shape)
	}
	if err := checkFinite(a); err != nil {
		return nil, fmt.Errorf("%w: the checkpoint is damaged, fetch or save it again", err)
	}
	t, err := mesh.Put(device, dtype, a.Shape, a.Data)
	if err != nil {
		return nil, fmt.Errorf("reward: moving %s to the device: %w", a.Name, err)
	}
	return t, nil
}
