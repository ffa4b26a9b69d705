package lm

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Rows are the packed rows that a decoder runs. A token sees the tokens at or before it in its row that have its segment and
// either branch 0 (the prompt) or its own branch.
type Rows struct {
	Tokens, Positions *Node // int32 [R, T]
	full, windowed    view  // what layers without and with a window attend by
}

// A view is what attention needs to know of the rows. It is made on the host, once for all layers: of what is computed in the
// graph, the compiler makes a copy for every use, and masks and angles that each layer computes again took a tenth of a step.
type view struct {
	visibleRTT     *Node // bool
	cosM1D, sinM1D *Node // float32 [M, 1, D/2]; nil without rotary positions
}

// Layout is a batch of packed rows on the host: R×T values each.
type Layout struct {
	Rows, Length                          int // R and T
	Tokens, Positions, Segments, Branches []int32
}

// NumRowInputs is the number of arrays that RowInputs returns.
func (c *Config) NumRowInputs() int {
	n := 3 // tokens, positions, what is visible
	if c.family().rotary() {
		n += 2
	}
	if c.Window > 0 {
		n++
	}
	if c.LocalRopeTheta != 0 {
		n += 2
	}
	return n
}

// RowInputs returns the arguments of a program that [Config.Rows] reads.
func (c *Config) RowInputs(l Layout) []any {
	out := []any{l.ints(l.Tokens), l.ints(l.Positions), l.visible(0)}
	if c.family().rotary() {
		out = append(out, rotations(l.Positions, c.InverseFrequencies())...)
	}
	if c.Window > 0 {
		out = append(out, l.visible(c.Window))
	}
	if c.LocalRopeTheta != 0 {
		out = append(out, rotations(l.Positions, c.localFrequencies())...)
	}
	return out
}

// Rows are the rows of a program's arguments, of which it reads the first [Config.NumRowInputs].
func (c *Config) Rows(in []*Node) Rows {
	r := Rows{Tokens: in[0], Positions: in[1], full: view{visibleRTT: in[2]}}
	in = in[3:]
	angles := func(v *view) {
		m, half := in[0].Shape().Dimensions[0], in[0].Shape().Dimensions[1]
		v.cosM1D, v.sinM1D = Reshape(in[0], m, 1, half), Reshape(in[1], m, 1, half)
		in = in[2:]
	}
	if c.family().rotary() {
		angles(&r.full)
	}
	r.windowed = r.full
	if c.Window > 0 {
		r.windowed.visibleRTT = in[0]
		in = in[1:]
	}
	if c.LocalRopeTheta != 0 {
		angles(&r.windowed)
	}
	return r
}

func (l Layout) ints(x []int32) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(x, l.Rows, l.Length)
}

// visible tells which tokens a token sees, bool [R, T, T]: not later in the row, of the same segment, in the prompt or in the same
// branch, and, unless window is 0, less than window positions back. Positions, not places in the row: between a response and its
// prompt there may be other responses.
func (l Layout) visible(window int) *tensors.Tensor {
	seen := make([]bool, l.Rows*l.Length*l.Length)
	for r := range l.Rows {
		row := func(x []int32) []int32 { return x[r*l.Length : (r+1)*l.Length] }
		segments, branches, positions := row(l.Segments), row(l.Branches), row(l.Positions)
		for i, segment := range segments {
			to := seen[(r*l.Length+i)*l.Length:][:i+1]
			branch, far := branches[i], int32(math.MinInt32)
			if window > 0 {
				far = positions[i] - int32(window)
			}
			for j := range to {
				to[j] = segments[j] == segment && (branches[j] == 0 || branches[j] == branch) && positions[j] > far
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(seen, l.Rows, l.Length, l.Length)
}

// rotations returns the cosines and sines of the rotary angles, float32 [M, D/2]. The angles are float32 products, as in
// transformers, whatever the body's dtype: in bfloat16 they are garbage after a few hundred positions.
func rotations(positions []int32, inverse []float64) []any {
	half := len(inverse)
	cos, sin := make([]float32, len(positions)*half), make([]float32, len(positions)*half)
	at := func(x []float32, i int) []float32 { return x[i*half : (i+1)*half] }
	first := map[int32]int{} // where a position was first: there are several in a row, and many in a batch
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
	return []any{tensors.FromFlatDataAndDimensions(cos, len(positions), half), tensors.FromFlatDataAndDimensions(sin, len(positions), half)}
}

// single are rows of one token each, at the given positions.
func single(tokens, positions []int32) Layout {
	zeros := make([]int32, len(tokens))
	return Layout{Rows: len(tokens), Length: 1, Tokens: tokens, Positions: positions, Segments: zeros, Branches: zeros}
}
