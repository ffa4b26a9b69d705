package reward

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"haf/backend"
	"haf/lm"
	"haf/pack"
	"haf/pref"
)

// A PassMemory estimates the memory of a pass over batches of one shape. Widths are in values of a
// position and layer.
type PassMemory struct {
	Hidden, Query, Keys float64
	Inner               float64 // activation function's input, and its factor where there is one
	Scores              float64 // attention scores of a position: heads × keys of its query block

	model *Model
	shape pack.Shape
}

// PassMemory returns the estimates of passes over batches of the shape.
func (m *Model) PassMemory(shape pack.Shape) PassMemory {
	c := m.Config
	p := PassMemory{
		model: m, shape: shape, Hidden: float64(c.Hidden), Query: float64(c.Heads * c.HeadDim),
		Keys: float64(c.KVHeads * c.HeadDim),
	}
	p.Scores = float64(c.Heads) * AttendedPairs(shape) / float64(shape.Positions())
	first := lm.Linears(c)
	first = first[:len(first)/c.Layers]
	for _, param := range m.Params() {
		path, isWeight := strings.CutSuffix(param.Name, ".weight")
		if !isWeight || !slices.Contains(first, path) {
			continue
		}
		out := param.Shape[0]
		if lm.Transposed(c) {
			out = param.Shape[1]
		}
		p.Inner += float64(out)
	}
	// Of the outputs of all linear layers, those of the attention and of the last are none.
	p.Inner -= 2*p.Hidden + p.Query + 2*p.Keys
	return p
}

// AttendedPairs is the number of (query, key) pairs that attention computes.
func AttendedPairs(shape pack.Shape) float64 {
	row := func(length int) (pairs int) {
		from := 0
		for _, to := range lm.QueryBlocks(length) {
			pairs += (to - from) * to
			from = to
		}
		return pairs
	}
	pairs := shape.Rows * row(shape.Length)
	if shape.ShortRows > 0 {
		pairs += shape.ShortRows * row(shape.ShortLength)
	}
	return float64(pairs)
}

// Bias is the size of what attention adds to its scores: to all of them, where it is computed once
// for all layers.
func (p PassMemory) Bias() float64 {
	if all := 4 * float64(p.shape.Positions()) * p.Scores; all <= lm.SharedBias {
		return all
	}
	return 0 // of one block of queries
}

// LogitChunk is the size of one array of a chunk's logits.
func (p PassMemory) LogitChunk() float64 {
	return 4 * float64(min(p.shape.Predicted, p.model.chunk)) * float64(p.model.Config.Vocab)
}

// HeadCopy is the size of the float32 copy of a policy head that is bfloat16.
func (p PassMemory) HeadCopy() float64 {
	if p.model.decoder.DType == dtypes.Float32 {
		return 0
	}
	return 4 * float64(p.model.Config.Vocab) * p.Hidden
}

// ReadBytes is what a program takes that reads the heads, beside the weights.
func (p PassMemory) ReadBytes(policy bool) float64 {
	bytes := 4*float64(p.shape.Positions())*(p.Scores+4*p.Hidden+1.5*p.Inner) + p.Bias()
	if policy {
		bytes = max(bytes, p.LogitChunk()+p.HeadCopy())
	}
	return bytes
}

// maskBytes is the size of what tells which tokens see each other: on the host and on the device,
// for layers without and with a window.
func (p PassMemory) maskBytes() float64 {
	pairs := p.shape.Rows*p.shape.Length*p.shape.Length +
		p.shape.ShortRows*p.shape.ShortLength*p.shape.ShortLength
	if p.model.Config.Window > 0 {
		pairs *= 2
	}
	return 2 * float64(pairs)
}

// compileBytes is what compiling the program leaves: XLA compiles every block of queries of every
// layer for itself (measured: docs/dev/log/2026-11.md).
func (p PassMemory) compileBytes() float64 {
	if p.model.device != nil && p.model.device.Kind() == backend.KindGo {
		return 0
	}
	blocks := len(lm.QueryBlocks(p.shape.Length))
	if p.shape.ShortRows > 0 {
		blocks += len(lm.QueryBlocks(p.shape.ShortLength))
	}
	return 0.6e6 * float64(blocks*p.model.Config.Layers)
}

// ReadMemory estimates the memory that reading heads of batches of the shapes takes at its peak
// beside the model, on a CPU. Programs that are compiled already take none.
func (m *Model) ReadMemory(want Heads, shapes ...pack.Shape) int64 {
	var largest, programs float64
	for _, shape := range shapes {
		p := m.PassMemory(shape)
		largest = max(largest, p.ReadBytes(want&PolicyHead != 0)+p.maskBytes())
		if !m.programs.has(want, shape) {
			programs += p.compileBytes()
		}
	}
	return int64(largest + programs)
}

// checkRead returns an error of [pref.ErrMemory] if reading batches of the shapes needs more memory
// than there is.
func (m *Model) checkRead(want Heads, shapes ...pack.Shape) error {
	need := m.ReadMemory(want, shapes...)
	available, enough := m.device.HasMemory(need)
	if enough {
		return nil
	}
	shape := slices.MaxFunc(shapes, func(a, b pack.Shape) int { return a.Length - b.Length })
	fits := func(length int) bool {
		row := pack.Shape{Rows: 1, Length: length, Predicted: length}
		return m.ReadMemory(want, row) <= available.Bytes
	}
	longest := 0
	for length := shortestRow; length < shape.Length && fits(length); length *= 2 {
		longest = length
	}
	next := "end other programs, or use a smaller model"
	switch {
	case shape.NumRows() > 1 && fits(shape.Length):
		next = "read fewer tokens at a time (-tokens-per-batch of haf serve, " +
			"train.tokens_per_batch of a recipe)"
	case longest > 0:
		next = fmt.Sprintf("shorten the text, or have it cut to %d tokens, which fit: -max-length %d, "+
			"or model.max_length in a recipe", longest, longest)
	}
	return fmt.Errorf("reward: %w: reading %d tokens with %s needs about %s, and %s are available: %s",
		pref.ErrMemory, shape.Positions(), m.Dir, gigabytes(need), gigabytes(available.Bytes), next)
}

// checkGenerate returns an error of [pref.ErrMemory] if a cache for rows of length positions and a
// pass over prompts of that many positions need more memory than there is. rows is 0 where the
// cache is there already.
func (m *Model) checkGenerate(rows, length, prompt int) error {
	p := m.PassMemory(pack.Shape{Rows: 1, Length: prompt})
	position := 2 * float64(m.Config.Layers) * p.Keys * float64(m.decoder.DType.Size())
	need := int64(position*float64(rows*length+2*prompt) + p.ReadBytes(false) + p.maskBytes())
	available, enough := m.device.HasMemory(need)
	if enough {
		return nil
	}
	return fmt.Errorf("reward: %w: generating sequences of up to %d tokens with %s needs about %s, "+
		"and %s are available: ask for fewer tokens (-max-tokens), fewer sequences at once (-rows) or "+
		"shorter prompts", pref.ErrMemory, length, m.Dir, gigabytes(need), gigabytes(available.Bytes))
}

func gigabytes(n int64) string { return fmt.Sprintf("%.2f GB", float64(n)/1e9) }
