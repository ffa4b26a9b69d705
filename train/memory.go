package train

import (
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"haf/backend"
	"haf/lm"
	"haf/objective"
	"haf/pack"
	"haf/reward"
)

// Memory is the largest amount of memory that a run's process takes on a CPU, in bytes. The peak is
// in the backward pass. Stored tensors are counted. The memory of compiled programs follows from
// the values that they save (lm.Decoder) and from factors measured with XLA
// (docs/dev/log/2026-11.md). On a mesh, all but Process is what one device takes.
type Memory struct {
	Devices     int   `json:"devices"`     // of the mesh
	Process     int64 `json:"process"`     // program, libraries, and memory left by compiling
	Weights     int64 `json:"weights"`     // frozen and trained, without an adapter
	Adapter     int64 `json:"adapter"`     // its matrices
	Gradients   int64 `json:"gradients"`   // of trained weights; twice if summed over batches
	Moments     int64 `json:"moments"`     // two for each trained weight
	Activations int64 `json:"activations"` // saved for the backward pass, by train.checkpointing
	// BF16Upcast is the float32 copy of bfloat16 weights, which most CPUs do not multiply.
	BF16Upcast int64 `json:"bf16_upcast"`
	// Workspace is the larger of one block's memory in the backward pass and that of a chunk of
	// logits.
	Workspace int64 `json:"workspace"`
	// Eval is the memory of the program that reads reference and validation. It is never released.
	Eval int64 `json:"eval"`
}

// A MemoryPart is one line of a [Memory].
type MemoryPart struct {
	Name, What string
	Bytes      int64
}

// Parts lists the parts, the fixed ones first.
func (m Memory) Parts() []MemoryPart {
	return []MemoryPart{
		{"process", "program, libraries, what compiling leaves", m.Process},
		{"weights", "of the model", m.Weights},
		{"adapter", "its matrices", m.Adapter},
		{"gradients", "of what is trained", m.Gradients},
		{"moments", "the optimizer's two", m.Moments},
		{"activations", "saved for the backward pass", m.Activations},
		{"bf16 upcast", "float32 copies of bfloat16 weights, while they are multiplied", m.BF16Upcast},
		{"workspace", "of one block in the backward pass, or of a chunk of logits", m.Workspace},
		{"eval", "of the program that reads reference and validation", m.Eval},
	}
}

// Device is what one device takes: all parts but the process.
func (m Memory) Device() int64 {
	var sum int64
	for _, part := range m.Parts()[1:] {
		sum += part.Bytes
	}
	return sum
}

// Total is the sum, of all devices.
func (m Memory) Total() int64 { return m.Process + int64(max(1, m.Devices))*m.Device() }

// besideWeights is the total without the process and what is there once the model is open.
func (m Memory) besideWeights() int64 {
	return m.Total() - m.Process - int64(max(1, m.Devices))*(m.Weights+m.Adapter)
}

// The process takes these bytes whatever is trained, and for each layer, because a layer's part of
// the programs is compiled anew.
const (
	processBytes = 650e6
	layerBytes   = 8e6
)

// NewMemory estimates the memory of training with packed batches of the shapes; the largest shape
// decides. accumulates is true if an optimizer step has several packed batches.
func NewMemory(
	model *reward.Model, obj objective.Hybrid, shapes []pack.Shape, accumulates bool,
) Memory {
	m := Memory{Process: processBytes + layerBytes*int64(model.Config.Layers),
		Devices: model.Mesh().Devices()}
	var gathered int64 // the largest weight that a program gathers for a while
	for _, p := range model.Params() {
		if model.PartBytes(p) < p.Bytes() {
			gathered = max(gathered, p.Bytes())
		}
		if strings.HasSuffix(p.Name, lm.LoraA) || strings.HasSuffix(p.Name, lm.LoraB) {
			m.Adapter += model.PartBytes(p)
		} else {
			m.Weights += model.PartBytes(p)
		}
	}
	for _, p := range model.Trainable(headsOf(obj)) {
		m.Gradients += model.PartBytes(p)
		m.Moments += 2 * model.PartBytes(p)
	}
	if accumulates {
		m.Gradients *= 2
	}
	for _, shape := range shapes {
		of := newMemoryModel(model, shape, obj.UsesPolicy())
		divide := int64(batchParts(model.Mesh(), shape))
		saved, work := of.savedBytes()/divide, of.workspaceBytes()/divide
		if saved+work > m.Activations+m.Workspace {
			m.Activations, m.Workspace = saved, work
		}
		m.Eval = max(m.Eval, of.evalBytes()/divide)
	}
	m.Workspace += gathered
	m.BF16Upcast = bf16UpcastBytes(model) / int64(model.Mesh().Shard)
	return m
}

// batchParts is the number of parts that the devices of a mesh divide batches of a shape into: by
// rows, which is how they divide attention.
func batchParts(m backend.Mesh, shape pack.Shape) int {
	for _, n := range []int{m.Devices(), m.Data} {
		if shape.Rows%n == 0 && shape.ShortRows%n == 0 {
			return n
		}
	}
	return 1
}

// BoundMemory is an upper bound of [NewMemory] before the data is known. Its batches have all of
// the model's positions, every one of them predicted. Their rows are as long as two separate
// responses of maxLength tokens; 0 is no limit of length.
func BoundMemory(model *reward.Model, obj objective.Hybrid, maxLength int) Memory {
	shape := pack.Shape{Rows: 1, Length: model.Positions(), Predicted: model.Positions()}
	if length := 2 * maxLength; length > 0 && length < shape.Length {
		shape.Rows, shape.Length = (shape.Length+length-1)/length, length
	}
	return NewMemory(model, obj, []pack.Shape{shape}, true)
}

// A memoryModel is what the memory of a training program on one shape is counted from.
type memoryModel struct {
	reward.PassMemory
	model  *reward.Model
	shape  pack.Shape
	policy bool
}

func newMemoryModel(model *reward.Model, shape pack.Shape, policy bool) memoryModel {
	return memoryModel{model.PassMemory(shape), model, shape, policy}
}

// bodyBytes is the size of a value of the body.
func (r memoryModel) bodyBytes() float64 { return float64(r.model.Decoder().DType.Size()) }

// selective is what a layer saves of a position by selective checkpointing: the residual stream
// twice, queries and the attention's result, keys, values, and the feed-forward part before its
// activation function.
func (r memoryModel) selective() float64 {
	return r.bodyBytes() * (2*r.Hidden + 2*r.Query + 2*r.Keys + r.Inner)
}

// none is what a layer saves of a position beside that where nothing is recomputed: the weights of
// attention, the intermediate values of two norms and a rotation, and three stages of the
// activation function.
func (r memoryModel) none() float64 {
	bytes := 4.
	if r.model.Decoder().DType != dtypes.Float32 {
		bytes = 3 // norms and attention weights are float32 all the same
	}
	return bytes * (r.Scores + 5*r.Hidden + 1.5*r.Inner)
}

// savedBytes returns the activation bytes saved for the backward pass.
func (r memoryModel) savedBytes() int64 {
	layers, positions := float64(r.model.Config.Layers), float64(r.shape.Positions())
	switch r.model.Decoder().Recompute {
	case lm.RecomputeFull:
		return int64(positions * layers * r.bodyBytes() * r.Hidden)
	case lm.RecomputeSelective:
		return int64(positions * layers * r.selective())
	}
	// Of the last block, whose backward pass begins at once, a third is never saved.
	return int64(positions * (layers - 1./3) * (r.selective() + r.none()))
}

// workspaceBytes returns what the backward pass takes at its peak beside the saved activations: for
// a block, or for the policy head.
func (r memoryModel) workspaceBytes() int64 {
	positions := float64(r.shape.Positions())
	bias := r.Bias()
	attention := 4*positions*(r.Scores+4*r.Hidden) + bias
	feedForward := 4 * positions * 1.25 * r.Inner
	if r.model.Adapter() != nil {
		feedForward += 4 * 2 * r.Hidden * r.Inner / 2 // two of the merged matrices
	}
	block := max(attention, feedForward)
	switch r.model.Decoder().Recompute {
	case lm.RecomputeNone:
		block = bias
		return int64(block + r.logits()) // beside all activations
	case lm.RecomputeFull:
		block = 1.2*positions*(r.selective()+r.none()) + bias // a whole block is recomputed
	}
	return int64(max(block, r.logits()))
}

// logits is what the policy head takes: two arrays of a chunk's logits, for their gradient, or,
// where the head is trained, every chunk's gradient by the whole head.
func (r memoryModel) logits() float64 {
	if !r.policy {
		return 0
	}
	c := r.model.Config
	head := 4 * float64(c.Vocab) * r.Hidden
	chunk := min(r.shape.Predicted, r.model.LogitChunk())
	bytes := 2 * r.LogitChunk()
	if r.model.Adapter() == nil {
		bytes = max(bytes, head*float64((r.shape.Predicted+chunk-1)/chunk))
	}
	return bytes + r.HeadCopy()
}

// evalBytes returns what the program takes that only reads the heads.
func (r memoryModel) evalBytes() int64 { return int64(r.ReadBytes(r.policy)) }

// bf16UpcastBytes returns what bfloat16 weights of the blocks take in float32 on a CPU, which
// converts them once for both passes.
func bf16UpcastBytes(model *reward.Model) int64 {
	var sum int64
	linear := lm.Linears(model.Config)
	for _, p := range model.Params() {
		path, _ := strings.CutSuffix(p.Name, ".weight")
		if p.Bytes() < 4*int64(p.Size()) && slices.Contains(linear, path) {
			sum += 4 * int64(p.Size())
		}
	}
	return sum
}
