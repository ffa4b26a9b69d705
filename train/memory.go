package train

import (
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"haf/lm"
	"haf/objective"
	"haf/pack"
	"haf/reward"
)

// Memory is what the process of a run takes on a CPU when it takes most, in bytes: in the backward pass. What is stored is
// counted; how much the compiled programs take beside it follows from what they keep (lm.Decoder) and from factors that were
// measured with XLA (docs/dev/log/2026-11.md).
type Memory struct {
	Process     int64 `json:"process"`     // program, libraries, and what compiling leaves
	Weights     int64 `json:"weights"`     // frozen and trained, without an adapter
	Adapter     int64 `json:"adapter"`     // its matrices
	Gradients   int64 `json:"gradients"`   // as large as what is trained; twice where packed batches are summed
	Moments     int64 `json:"moments"`     // two of what is trained
	Activations int64 `json:"activations"` // kept from the forward to the backward pass, by train.checkpointing
	Copies      int64 `json:"copies"`      // in float32, of weights in bfloat16, which most processors do not multiply; counted everywhere
	Work        int64 `json:"work"`        // of one block in the backward pass, or of a chunk of logits: the larger
	Reading     int64 `json:"reading"`     // of the program that reads reference and validation: its room is kept
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
		{"activations", "kept for the backward pass", m.Activations},
		{"copies", "of bfloat16 weights in float32, while they are multiplied", m.Copies},
		{"work", "of one block in the backward pass, or of a chunk of logits", m.Work},
		{"reading", "of the program that reads reference and validation", m.Reading},
	}
}

// Total is the sum.
func (m Memory) Total() int64 {
	var sum int64
	for _, part := range m.Parts() {
		sum += part.Bytes
	}
	return sum
}

// What the process takes whatever is trained, and for each layer: a layer's part of the programs is compiled anew.
const (
	processBytes = 650e6
	layerBytes   = 8e6
)

// NewMemory says what training takes with packed batches of the shapes, of which the largest counts. accumulates tells
// whether an optimizer step has several.
func NewMemory(model *reward.Model, obj objective.Hybrid, shapes []pack.Shape, accumulates bool) Memory {
	var want reward.Heads
	if obj.UsesScore() {
		want |= reward.ScoreHead
	}
	if obj.UsesPolicy() {
		want |= reward.PolicyHead
	}
	if obj.UsesVariance() {
		want |= reward.VarianceHead
	}
	m := Memory{Process: processBytes + layerBytes*int64(model.Config.Layers)}
	for _, p := range model.Params() {
		if strings.HasSuffix(p.Name, lm.LoraA) || strings.HasSuffix(p.Name, lm.LoraB) {
			m.Adapter += p.Bytes()
		} else {
			m.Weights += p.Bytes()
		}
	}
	for _, p := range model.Trainable(want) {
		m.Gradients += p.Bytes()
		m.Moments += 2 * p.Bytes()
	}
	if accumulates {
		m.Gradients *= 2
	}
	for _, shape := range shapes {
		r := newRoom(model, shape, obj.UsesPolicy())
		if kept := r.kept(); kept+r.work() > m.Activations+m.Work {
			m.Activations, m.Work = kept, r.work()
		}
		m.Reading = max(m.Reading, r.reading())
	}
	m.Copies = copies(model)
	return m
}

// BoundMemory is [NewMemory] before the data is known, from above: for batches of the model's positions, every one of them
// predicted, with rows as long as two responses of maxLength tokens apart; 0 is no limit of length.
func BoundMemory(model *reward.Model, obj objective.Hybrid, maxLength int) Memory {
	shape := pack.Shape{Rows: 1, Length: model.Positions(), Predicted: model.Positions()}
	if length := 2 * maxLength; length > 0 && length < shape.Length {
		shape.Rows, shape.Length = (shape.Length+length-1)/length, length
	}
	return NewMemory(model, obj, []pack.Shape{shape}, true)
}

// room is what the memory of a program on one shape is counted from. Widths are in values of a position and layer.
type room struct {
	model  *reward.Model
	shape  pack.Shape
	policy bool

	hidden, query, keys, inner float64 // inner: what goes into the activation function and what it is multiplied with
	seen                       float64 // attention scores of a position: heads × keys that its block of queries sees
}

func newRoom(model *reward.Model, shape pack.Shape, policy bool) room {
	c := model.Config
	r := room{model: model, shape: shape, policy: policy, hidden: float64(c.Hidden), query: float64(c.Heads * c.HeadDim), keys: float64(c.KVHeads * c.HeadDim)}
	r.seen = float64(c.Heads) * seen(shape) / float64(shape.Positions())
	first := lm.Linears(c)
	first = first[:len(first)/c.Layers]
	for _, p := range model.Params() {
		path, isWeight := strings.CutSuffix(p.Name, ".weight")
		if !isWeight || !slices.Contains(first, path) {
			continue
		}
		out := p.Shape[0]
		if lm.Transposed(c) {
			out = p.Shape[1]
		}
		r.inner += float64(out)
	}
	r.inner -= 2*r.hidden + r.query + 2*r.keys // the outputs of all linear layers but those of the attention and the last
	return r
}

// bodyBytes is the size of a value of the body.
func (r room) bodyBytes() float64 { return float64(r.model.Decoder().DType.Size()) }

// selective is what a layer keeps of a position by selective checkpointing: the residual stream twice, queries and what
// attention gives, keys, values, and the feed-forward part before its activation function.
func (r room) selective() float64 {
	return r.bodyBytes() * (2*r.hidden + 2*r.query + 2*r.keys + r.inner)
}

// none is what a layer keeps of a position beside that where nothing is made again: the weights of attention, the insides of
// two norms and a rotation, and three stages of the activation function.
func (r room) none() float64 {
	bytes := 4.
	if r.model.Decoder().DType != dtypes.Float32 {
		bytes = 3 // norms and attention weights are float32 all the same
	}
	return bytes * (r.seen + 5*r.hidden + 1.5*r.inner)
}

// kept is what the backward pass finds.
func (r room) kept() int64 {
	layers, positions := float64(r.model.Config.Layers), float64(r.shape.Positions())
	switch r.model.Decoder().Checkpointing {
	case lm.CheckpointFull:
		return int64(positions * layers * r.bodyBytes() * r.hidden)
	case lm.CheckpointSelective:
		return int64(positions * layers * r.selective())
	}
	// Of the last block, whose backward pass begins at once, a third is never kept.
	return int64(positions * (layers - 1./3) * (r.selective() + r.none()))
}

// work is what the widest moment of the backward pass takes beside that: of a block, or of the policy head.
func (r room) work() int64 {
	positions := float64(r.shape.Positions())
	bias := r.bias()
	attention := 4*positions*(r.seen+4*r.hidden) + bias
	feedForward := 4 * positions * 1.25 * r.inner
	if r.model.Adapter() != nil {
		feedForward += 4 * 2 * r.hidden * r.inner / 2 // two of the merged matrices
	}
	block := max(attention, feedForward)
	switch r.model.Decoder().Checkpointing {
	case lm.CheckpointNone:
		block = bias
		return int64(block + r.logits(true)) // beside all activations
	case lm.CheckpointFull:
		block = 1.2*positions*(r.selective()+r.none()) + bias // all of a block is made again
	}
	return int64(max(block, r.logits(true)))
}

// bias is what attention adds to its scores: of all of them where that is made once for all layers.
func (r room) bias() float64 {
	if all := 4 * float64(r.shape.Positions()) * r.seen; all <= lm.SharedBias {
		return all
	}
	return 0 // of one block of queries
}

// logits is what the policy head takes: one array of a chunk's logits, two where their gradient is made with them, or, where
// the head is trained, every chunk's gradient by the whole head. A bfloat16 head is copied.
func (r room) logits(training bool) float64 {
	if !r.policy {
		return 0
	}
	c := r.model.Config
	head := 4 * float64(c.Vocab) * r.hidden
	chunk := min(r.shape.Predicted, r.model.LogitChunk())
	bytes := 4 * float64(chunk) * float64(c.Vocab)
	if training {
		bytes *= 2
	}
	if training && r.model.Adapter() == nil {
		bytes = max(bytes, head*float64((r.shape.Predicted+chunk-1)/chunk))
	}
	if r.model.Decoder().DType != dtypes.Float32 {
		bytes += head
	}
	return bytes
}

// reading is what the program takes that only reads the heads.
func (r room) reading() int64 {
	positions := float64(r.shape.Positions())
	block := 4*positions*(r.seen+4*r.hidden+1.5*r.inner) + r.bias()
	return int64(max(block, r.logits(false)))
}

// copies is what bfloat16 weights of the blocks take in float32 on a CPU: they are converted once for both passes.
func copies(model *reward.Model) int64 {
	var sum int64
	linear := lm.Linears(model.Config)
	for _, p := range model.Params() {
		if path, _ := strings.CutSuffix(p.Name, ".weight"); p.Bytes() < 4*int64(p.Size()) && slices.Contains(linear, path) {
			sum += 4 * int64(p.Size())
		}
	}
	return sum
}
