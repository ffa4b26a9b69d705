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
	// Behind them, where not all are alike, rows of a second, shorter length: attention costs what a
	// row is long, so that groups as long as most are should not stand in rows made for the longest. 0
	// and 0 where all are alike.
	ShortRows   int `json:"short_rows"`
	ShortLength int `json:"short_length"`

	Predicted   int `json:"predicted"`   // response tokens to be predicted
	Responses   int `json:"responses"`   // sequences to be read out
	Comparisons int `json:"comparisons"` // pairs; 0 in a plan of groups that are only scored
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

// Options say how large the batches are and how many programs they may need. A field of 0 is its
// default.
type Options struct {
	// Positions is the size of a batch, about: rows × length. Default 2048.
	Positions int
	// MaxLengths bounds the row lengths of a batch: 1, or 2, and then, without PowerOfTwoSizes, a few
	// long groups may have batches of their own. Groups longer than Positions, where there are any,
	// have as many lengths again. Default 2.
	MaxLengths int
	// RowMultiple is what row lengths are multiples of. Default 32; 64 with PowerOfTwoSizes.
	RowMultiple int
	// Chunk is what Shape.Predicted is a multiple of. Default 32; 128 with PowerOfTwoSizes.
	Chunk int
	// PowerOfTwoSizes rounds every size up to a power of two (of its quantum), so that plans of
	// different data, such as requests to be scored as they come, share programs. It costs efficiency,
	// and has no use for Shapes.
	PowerOfTwoSizes bool
	// CoarseReadOut rounds the sizes of the read-out up, so that packings of similar data have the
	// same shapes and share programs.
	CoarseReadOut bool
	// Shapes are those of another plan, to be used again: rows and length as they are, the read-out as
	// large or larger. Groups that fit none of them get shapes of their own.
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

// A Packing says which groups of a data set stand in which row of which batch. It is read-only, so
// safe for concurrent use, and refers to the groups it was made of.
type Packing struct {
	Shapes  []Shape
	Batches []Assignment // by shape, short rows first; Steps gives the order of an epoch

	groups []encode.Group
	stats  stats
}

// A Assignment is the content of one batch.
type Assignment struct {
	Shape int // index into Packing.Shapes
	// the groups of each row, as indices into the plan's input; fewer than the shape has where the
	// rest is empty
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

// New packs a whole data set: it chooses the row lengths that make the run cheapest, fills rows
// best fit decreasing, and deals them to batches of equal work. Every group stands in exactly one
// row. Groups longer than Options.Positions stand in batches of one row as long as they need. The
// same groups and options give the same plan. It is an error, of [encode.ErrEmpty], to plan no
// groups, and an error to plan one without a prompt or a response.
func New(groups []encode.Group, opt Options) (*Packing, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	p, items, err := newPacking(groups)
	if err != nil {
		return nil, err
	}
	// Longest first, in the order of the input where equally long.
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

// place packs the items, longest first, into batches of the shapes: of the first, where it has
// rows, in their proportion; of the others as many as are needed.
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

// addShape deals rows to batches and fixes the shape's read-out.
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

// What Options.CoarseReadOut rounds tokens, and responses and comparisons up to.
const (
	coarseTokens = 128
	coarseSlots  = 16
)

func roundUp(n, multiple int) int { return ceilDiv(n, multiple) * multiple }

// CommonShapes returns shapes in which every one of the sets of groups, such as those to train and
// to validate on, can be planned, so that they are run by the same programs. An empty set has no
// part in it.
func CommonShapes(opt Options, sets ...[]encode.Group) ([]Shape, error) {
	sets = slices.DeleteFunc(slices.Clone(sets),
		func(set []encode.Group) bool { return len(set) == 0 })
	whole, err := New(slices.Concat(sets...), opt)
	if err != nil {
		return nil, err
	}
	opt.Shapes = whole.Shapes
	// The read-out of a set alone can be larger in places than that of all together.
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

// PositionsPerGroup returns the positions that are run for a group on average, padding included;
// the tokens that it has; and the tokens that it would have if every response stood alone behind
// the prompt.
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
