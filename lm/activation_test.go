package lm

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
)

// TestSlope compares the derivative of every activation function with central differences.
func TestSlope(t *testing.T) {
	device, err := backend.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Finalize()
	const step = 1.0 / 64
	var x []float32
	for v := float32(-6); v <= 6; v += 0.25 {
		x = append(x, v)
	}
	for _, name := range []string{"silu", "gelu", "gelu_tanh"} {
		b := &block{Decoder: &Decoder{Config: &Config{Activation: name}}}
		exec := MustNewExec(device.Backend, func(x *Node) []*Node {
			return []*Node{b.slope(x), b.activation(AddScalar(x, step)), b.activation(AddScalar(x, -step))}
		})
		out := exec.MustCall(tensors.FromFlatDataAndDimensions(x, len(x)))
		slope, above, below := tensors.MustCopyFlatData[float32](out[0]),
			tensors.MustCopyFlatData[float32](out[1]), tensors.MustCopyFlatData[float32](out[2])
		for i := range x {
			if want := float64(above[i]-below[i]) / (2 * step); !(math.Abs(float64(slope[i])-want) <= 2e-4) {
				t.Errorf("%s at %g: slope %g, by differences %g", name, x[i], slope[i], want)
			}
		}
		exec.Finalize()
	}
}
