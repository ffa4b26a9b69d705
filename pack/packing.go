// Package pack puts token groups into batches: a [Packing] of the whole data set places the groups
// in rows of a few fixed shapes, and turns each batch into a model's input arrays, with positions,
// masks and the indices of the outputs.
//
// A group is laid out in a row as prompt, response 1, response 2, …. A beginning that conversations
// share is run once. A response token sees the prompt and the earlier tokens of its own response,
// and its position continues from the prompt's end. So every conversation has the same results as
// alone. See [Visible] for the mask.
//
// packing.go has the packing of a data set and fixed_shapes.go that of a server, which packs into
// shapes it has compiled; shape_search.go and lengths.go choose the shapes, rows.go places groups
// in rows, few.go does both for few groups, balance.go spreads the rows over batches, and steps.go
// orders the batches of an epoch.
package pack

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"haf/encode"
)

// A Shape is the fixed shape of a packed batch: XLA compiles one program for each. Predicted,
// Responses and Comparisons are the sizes of the read-out, maxima over the batches of the shape.
type Shape struct {
	Rows   int `json:"rows"`
	Length int `json:"length"` // positions of each
	// ShortRows and ShortLength describe rows of a second, shorter length behind them, or are 0.
	// The cost of attention grows with the length of the row, so most groups should not stand in
	// rows made for the longest.
	ShortRows   int `json:"short_rows"`
	ShortLength int `json:"short_length"`

	Predicted   int `json:"predicted"`   // response tokens to be predicted
	Responses   int `json:"responses"`   // sequences whose reward is read
	Comparisons int `json:"comparisons"` // pairs; 0 if groups are only scored
}

// Positions is the number of positions of all rows.
func (s Shape) Positions() int { return s.Rows*s.Length + s.ShortRows*s.ShortLength }

// NumRows is the number of rows of both lengths.
func (s Shape) NumRows() int { return s.Rows + s.ShortRows }

// Row returns the flat position at which a row begins, and its length.
func (s Shape) Row(row int) (first, length int) {
	if row < s.Rows {
		return row * s.Length, s.Length
	}
	return s.Rows*s.Length + (row-s.Rows)*s.ShortLength, s.ShortLength
}

// String is rows × length, as in "1×640+4×256".
func (s Shape) String() string {
	if s.ShortRows == 0 {
		return fmt.Sprintf("%d×%d", s.Rows, s.Length)
	}
	return fmt.Sprintf("%d×%d+%d×%d", s.Rows, s.Length, s.ShortRows, s.ShortLength)
}

// Options set the size of batches and the number of programs. A field of 0 means its default.
type Options struct {
	// Positions is the approximate size of a batch: rows × length. Default 2048.
	Positions int
	// MaxLengths bounds the row lengths of a batch: 1 or 2. With 2, and without PowerOfTwoSizes, a
	// few long groups may have batches of their own. Groups longer than Positions have as many
	// lengths again. Default 2.
	MaxLengths int
	// RowMultiple divides all row lengths. Default 32; 64 with PowerOfTwoSizes.
	RowMultiple int
	// Chunk divides Shape.Predicted. Default 32; 128 with PowerOfTwoSizes.
	Chunk int
	// PowerOfTwoSizes rounds every size up to a power of two times its multiple, so that packings
	// of different data, such as requests that arrive over time, share programs. It costs
	// efficiency, and cannot be combined with Shapes.
	PowerOfTwoSizes bool
	// CoarseReadOut rounds the sizes of the read-out up, so that packings of similar data have the
	// same shapes and share programs.
	CoarseReadOut bool
	// Shapes are those of another packing, to be used again: with the same rows and lengths, and a
	// read-out as large or larger. Groups that fit none of them get shapes of their own.
	Shapes []Shape
}

func (o Options) withDefaults() (Options, error) {
	quantum, chunk := 32, 32
	if o.PowerOfTwoSizes {
		quantum, chunk = 64, 128
	}
	for _, f := range []struct {
		name     string
		value    *int
		standard int
	}{{"positions", &o.Positions, 2048}, {"max lengths", &o.MaxLengths, 2},
		{"quantum", &o.RowMultiple, quantum}, {"chunk", &o.Chunk, chunk}} {
		if *f.value < 0 {
			return o, fmt.Errorf("pack: %s is %d, want 1 or more, or 0 for %d", f.name, *f.value, f.standard)
		}
		if *f.value == 0 {
			*f.value = f.standard
		}
	}
	if o.MaxLengths > 2 {
		return o, fmt.Errorf("pack: max lengths is %d, want 1 or 2", o.MaxLengths)
	}
	if o.PowerOfTwoSizes && len(o.Shapes) > 0 {
		return o, errors.New(
			"pack: shapes are given, and others are to be made for reuse: want one of both")
	}
	return o, nil
}

// A Packing assigns the groups of a data set to rows of batches. It is read-only, so it is safe for
// concurrent use. It refers to the groups that it was made of.
type Packing struct {
	Shapes  []Shape
	Batches []Assignment // by shape, short rows first; Steps gives the order of an epoch

	groups []encode.Group
	stats  stats
}

// An Assignment is the content of one batch.
type Assignment struct {
	Shape int // index into Packing.Shapes
	// the groups of each row, as indices into the packing's input; fewer rows than the shape has if
	// the rest are empty
	Rows [][]int
}

// groupCount is the number of groups in the batch.
func (b Assignment) groupCount() int {
	n := 0
	for _, row := range b.Rows {
		n += len(row)
	}
	return n
}

type stats struct{ groups, real, unshared, positions int }

// New packs a whole data set. It chooses the row lengths that make the run cheapest, fills rows by
// best fit decreasing, and distributes them over batches of equal work. Every group stands in
// exactly one row. A group longer than Options.Positions stands in a batch of one row that is as
// long as it needs. The same groups and options give the same packing. Without groups the error
// wraps [encode.ErrEmpty]. A group without a prompt or a response is an error.
func New(groups []encode.Group, opt Options) (*Packing, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	p, items, err := newPacking(groups)
	if err != nil {
		return nil, err
	}
	// Longest first; equally long groups in the order of the input.
	slices.SortStableFunc(items, func(a, b item) int { return b.size - a.size })

	p.place(items, chooseShapes(items, opt), opt)
	return p, nil
}

// newPacking prepares the packing of groups, without batches, and their items in the order of the
// input.
func newPacking(groups []encode.Group) (*Packing, []item, error) {
	items, err := newItems(groups)
	if err != nil {
		return nil, nil, err
	}
	p := &Packing{groups: groups}
	for i, it := range items {
		p.stats.real += it.size
		p.stats.unshared += groups[i].Unshared()
	}
	p.stats.groups = len(groups)
	return p, items, nil
}

// place packs the items, longest first, into batches of the shapes: of the first shape, if it has
// rows, in their proportion; of the others as many as needed.
func (p *Packing) place(items []item, shapes []Shape, opt Options) {
	var lengths []int
	for _, s := range shapes {
		lengths = append(lengths, s.lengths()...)
	}
	rows, batches, _ := packBatches(items, shapes[0], lengths, math.MaxInt, true)
	for i, shape := range shapes {
		same := slices.DeleteFunc(slices.Clone(rows), func(r packedRow) bool {
			return r.length != shape.Length && (shape.ShortRows == 0 || r.length != shape.ShortLength)
		})
		if len(same) == 0 { // its groups filled gaps in longer rows
			continue
		}
		switch {
		case shape.Rows == 0:
			shape.Rows, batches = fitRows(len(same), shape.Length, opt)
		case i > 0:
			batches = ceilDiv(len(same), shape.Rows)
		}
		p.addShape(shape, same, batches, opt)
	}
}

// addShape distributes rows over batches and sets the shape's read-out.
func (p *Packing) addShape(shape Shape, rows []packedRow, batches int, opt Options) {
	dealt, most := balanceBatches(rows, batches, shape, opt.Chunk)
	for _, batch := range dealt {
		b := Assignment{Shape: len(p.Shapes)}
		for _, length := range []int{shape.Length, shape.ShortLength} {
			for _, r := range batch {
				if rows[r].length == length {
					b.Rows = append(b.Rows, rows[r].groups)
				}
			}
			for length == shape.Length && shape.ShortRows > 0 && len(b.Rows) < shape.Rows {
				b.Rows = append(b.Rows, nil)
			}
		}
		p.Batches = append(p.Batches, b)
	}
	shape.Predicted = max(most[tokensLoad], shape.Predicted)
	shape.Responses = max(most[responsesLoad], shape.Responses)
	shape.Comparisons = max(most[comparisonsLoad], shape.Comparisons)
	chunks := ceilDiv(shape.Predicted, opt.Chunk)
	if opt.PowerOfTwoSizes {
		chunks, shape.Responses, shape.Comparisons = powerOfTwo(chunks), powerOfTwo(shape.Responses),
			powerOfTwo(shape.Comparisons)
	}
	shape.Predicted = chunks * opt.Chunk
	if opt.CoarseReadOut {
		shape.Predicted = roundUp(shape.Predicted, coarseTokens)
		shape.Responses = roundUp(shape.Responses, coarseSlots)
		shape.Comparisons = roundUp(shape.Comparisons, coarseSlots)
	}
	p.stats.positions += batches * shape.Positions()
	p.Shapes = append(p.Shapes, shape)
}

// Multiples to which Options.CoarseReadOut rounds tokens, and responses and comparisons.
const (
	coarseTokens = 128
	coarseSlots  = 16
)

func roundUp(n, multiple int) int { return ceilDiv(n, multiple) * multiple }

// CommonShapes returns shapes that fit every one of the sets of groups, such as those for training
// and for validation, so that they share programs. Empty sets are ignored.
func CommonShapes(opt Options, sets ...[]encode.Group) ([]Shape, error) {
	sets = slices.DeleteFunc(slices.Clone(sets),
		func(set []encode.Group) bool { return len(set) == 0 })
	whole, err := New(slices.Concat(sets...), opt)
	if err != nil {
		return nil, err
	}
	opt.Shapes = whole.Shapes
	// The read-out of one set can be larger in places than that of all sets together.
	for _, set := range sets {
		p, err := New(set, opt)
		if err != nil {
			return nil, err
		}
		shapes := slices.Clone(opt.Shapes)
		for i, s := range shapes {
			for _, t := range p.Shapes {
				if s.Length == t.Length {
					shapes[i] = t // as large as s or larger
				}
			}
		}
		opt.Shapes = shapes
	}
	return opt.Shapes, nil
}

// Efficiency is the share of the positions that hold real tokens.
func (p *Packing) Efficiency() float64 { return float64(p.stats.real) / float64(p.stats.positions) }

// PositionsPerGroup returns, as means per group, the positions that are run, padding included; the
// tokens; and the tokens if every response stood alone behind the prompt.
func (p *Packing) PositionsPerGroup() (run, tokens, unshared float64) {
	n := float64(p.stats.groups)
	return float64(p.stats.positions) / n, float64(p.stats.real) / n, float64(p.stats.unshared) / n
}

// String is one line: batches, shapes, efficiency, positions with and without sharing.
func (p *Packing) String() string {
	var shapes []string
	count := make([]int, len(p.Shapes))
	for _, b := range p.Batches {
		count[b.Shape]++
	}
	for i, s := range p.Shapes {
		shapes = append(shapes, fmt.Sprintf("%d of %v", count[i], s))
	}
	run, tokens, unshared := p.PositionsPerGroup()
	return fmt.Sprintf("%d groups in %d batches (%s), %.1f %% real tokens, %.0f positions a group "+
		"(%.0f tokens; %.0f without sharing)",
		p.stats.groups, len(p.Batches), strings.Join(shapes, ", "), 100*p.Efficiency(), run, tokens,
		unshared)
}
