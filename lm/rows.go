package lm

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Rows are the packed rows that a decoder runs, M positions in all. A token sees itself and those
// earlier tokens of its row that it continues.
type Rows struct {
	Tokens, Positions *Node // int32 [M]
	full, windowed    view  // what layers without and with a window attend by
}

// A view is what attention needs to know of the rows. It is made on the host, once for all layers:
// of what is computed in the graph, the compiler makes a copy for every use, and masks and angles
// that each layer computes again took a tenth of a step.
type view struct {
	visible        []*Node // bool [R, T, T], of each stripe
	cosM1D, sinM1D *Node   // float32 [M, 1, D/2]; nil without rotary positions
}

// A Stripe is a number of rows of one length.
type Stripe struct{ Rows, Length int }

// Layout is a batch of packed rows on the host, one stripe after the other: M values each.
type Layout struct {
	Stripes           []Stripe
	Tokens, Positions []int32
	// Until is the flat position behind the last one that sees the token. The positions between are
	// exactly those that continue the token. So a row is a forest in depth-first order, such as
	// prompts with responses that may share beginnings.
	Until []int32
}

// NumRowInputs is the number of arrays from RowInputs at the beginning of the given ones; it
// depends on the number of stripes.
func (c *Config) NumRowInputs(in []*Node) int {
	n := numMasks(in) + 2 // tokens, positions
	if c.family().rotary() {
		n += 2
	}
	if c.LocalRopeTheta != 0 {
		n += 2
	}
	return n
}

func numMasks(in []*Node) int {
	n := 0
	for n < len(in) && in[n].DType() == dtypes.Bool {
		n++
	}
	return n
}

// RowInputs returns the arguments of a program that [Config.Rows] reads.
func (c *Config) RowInputs(l Layout) []any {
	out := l.visible(0)
	if c.Window > 0 {
		out = append(out, l.visible(c.Window)...)
	}
	ints := func(x []int32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	out = append(out, ints(l.Tokens), ints(l.Positions))
	if c.family().rotary() {
		out = append(out, rotations(l.Positions, c.InverseFrequencies())...)
	}
	if c.LocalRopeTheta != 0 {
		out = append(out, rotations(l.Positions, c.localFrequencies())...)
	}
	return out
}

// Rows returns the rows from a program's arguments, of which it reads the first
// [Config.NumRowInputs].
func (c *Config) Rows(in []*Node) Rows {
	masks := in[:numMasks(in)]
	in = in[len(masks):]
	r := Rows{Tokens: in[0], Positions: in[1]}
	in = in[2:]
	angles := func(v *view) {
		m, half := in[0].Shape().Dimensions[0], in[0].Shape().Dimensions[1]
		v.cosM1D, v.sinM1D = Reshape(in[0], m, 1, half), Reshape(in[1], m, 1, half)
		in = in[2:]
	}
	if c.family().rotary() {
		angles(&r.full)
	}
	r.windowed = r.full
	if c.LocalRopeTheta != 0 {
		angles(&r.windowed)
	}
	r.full.visible, r.windowed.visible = masks, masks
	if c.Window > 0 {
		r.full.visible, r.windowed.visible = masks[:len(masks)/2], masks[len(masks)/2:]
	}
	return r
}

// visible tells which tokens a token sees, bool [R, T, T] for every stripe: not later in the row,
// continued by it, and, unless window is 0, less than window positions back. Positions, not places
// in the row: between a response and its prompt there may be other responses.
func (l Layout) visible(window int) []any {
	var masks []any
	first := 0
	for _, s := range l.Stripes {
		seen := make([]bool, s.Rows*s.Length*s.Length)
		for r := range s.Rows {
			until, positions := l.Until[first:first+s.Length], l.Positions[first:first+s.Length]
			for i, position := range positions {
				to, at, far := seen[(r*s.Length+i)*s.Length:][:i+1], int32(first+i), int32(math.MinInt32)
				if window > 0 {
					far = position - int32(window)
				}
				for j := range to {
					to[j] = at < until[j] && positions[j] > far
				}
			}
			first += s.Length
		}
		masks = append(masks, tensors.FromFlatDataAndDimensions(seen, s.Rows, s.Length, s.Length))
	}
	return masks
}

// rotations returns the cosines and sines of the rotary angles, float32 [M, D/2]. The angles are
// float32 products, as in transformers, whatever the body's dtype: in bfloat16 they are garbage
// after a few hundred positions.
func rotations(positions []int32, inverse []float64) []any {
	half := len(inverse)
	cos, sin := make([]float32, len(positions)*half), make([]float32, len(positions)*half)
	at := func(x []float32, i int) []float32 { return x[i*half : (i+1)*half] }
	// where a position was first: there are several in a row, and many in a batch
	first := map[int32]int{}
	for i, p := range positions {
		if from, ok := first[p]; ok {
			copy(at(cos, i), at(cos, from))
			copy(at(sin, i), at(sin, from))
			continue
		}
		first[p] = i
		for d, f := range inverse {
			s, c := math.Sincos(float64(float32(p) * float32(f)))
			cos[i*half+d], sin[i*half+d] = float32(c), float32(s)
		}
	}
	return []any{tensors.FromFlatDataAndDimensions(cos, len(positions), half),
		tensors.FromFlatDataAndDimensions(sin, len(positions), half)}
}

// single are rows of one token each, at the given positions.
func single(tokens, positions []int32) Layout {
	until := make([]int32, len(tokens))
	for i := range until {
		until[i] = int32(i + 1)
	}
	return Layout{Stripes: []Stripe{{len(tokens), 1}}, Tokens: tokens, Positions: positions,
		Until: until}
}
