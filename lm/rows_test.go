package lm

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// TestVisible compares what is visible with the rule, token by token, on two rows of prompts with
// branches, two of which begin alike.
func TestVisible(t *testing.T) {
	l := Layout{Stripes: []Stripe{{2, 8}},
		Positions: []int32{0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 4, 3, 0, 0},
		Until:     []int32{6, 6, 4, 4, 6, 6, 8, 8, 14, 14, 14, 13, 13, 14, 15, 16},
	}
	for window, want := range map[int][]string{
		0: {
			"#.......", "##......", "###.....", "####....", "##..#...", "##..##..", "......#.", "......##",
			"#.......", "##......", "###.....", "####....", "#####...", "###..#..", "......#.", ".......#",
		},
		3: { // a response's third token no longer sees the prompt's first
			"#.......", "##......", "###.....", ".###....", "##..#...", ".#..##..", "......#.", "......##",
			"#.......", "##......", "###.....", ".###....", "..###...", ".##..#..", "......#.", ".......#",
		},
	} {
		seen := tensors.MustCopyFlatData[bool](l.visible(window)[0].(*tensors.Tensor))
		for i, row := range want {
			for j, mark := range row {
				if seen[i*8+j] != (mark == '#') {
					t.Errorf("window %d: token %d of row %d sees token %d: %t", window, i%8, i/8, j, seen[i*8+j])
				}
			}
		}
	}
}

// TestRotations wants the same angles wherever a position is.
func TestRotations(t *testing.T) {
	inverse := []float64{1, 0.125, 1e-4}
	positions := []int32{0, 5, 2000, 5}
	angles := rotations(positions, inverse)
	cos, sin := tensors.MustCopyFlatData[float32](angles[0].(*tensors.Tensor)),
		tensors.MustCopyFlatData[float32](angles[1].(*tensors.Tensor))
	for i, p := range positions {
		for d, f := range inverse {
			c, s := math.Cos(float64(p)*f), math.Sin(float64(p)*f)
			if got := cos[i*3+d]; math.Abs(float64(got)-c) > 1e-4 {
				t.Errorf("cosine %d of position %d is %g, want %g", d, p, got, c)
			}
			if got := sin[i*3+d]; math.Abs(float64(got)-s) > 1e-4 {
				t.Errorf("sine %d of position %d is %g, want %g", d, p, got, s)
			}
		}
	}
}

// TestQueryBlocks wants blocks that cover a row and are about equal.
func TestQueryBlocks(t *testing.T) {
	for length := 1; length < 5000; length += 7 {
		from, least, most := 0, length, 0
		for _, to := range QueryBlocks(length) {
			least, most = min(least, to-from), max(most, to-from)
			from = to
		}
		if from != length || least < 1 || most-least > 64 || most > 3*queryBlock/2 {
			t.Errorf("a row of %d has blocks of %d to %d, and ends at %d", length, least, most, from)
		}
	}
}
