package reward

import (
	"math"
	"math/rand/v2"

	"haf/weights"
)

// Kinds of a [HeadInit].
const (
	LinearHead = "linear" // one matrix of zeros
	MLPHead    = "mlp"    // GRM's (arXiv 2406.10216): linear, ReLU, linear
)

// A HeadInit describes the new score head of a base without one. Both kinds score every response
// zero at first, because the last layer is zero. An existing head of the base is kept.
type HeadInit struct {
	Kind  string // "" is LinearHead
	Units int    // of the hidden layer of MLPHead; 0 is 1024, GRM's
	// Labels names the outputs, one for each label; none: one output, the reward.
	Labels []string
	// Variance adds a variance head.
	Variance bool
	Random   *rand.Rand // for its first layer, U(−1/√H, 1/√H) as in PyTorch; nil: from a fixed seed
}

// mlp makes the layers of MLPHead, over hidden states of the given size.
func (f HeadInit) mlp(hidden int) *scoreHead {
	units, random, outputs := f.Units, f.Random, max(1, len(f.Labels))
	if units == 0 {
		units = 1024
	}
	if random == nil {
		random = rand.New(rand.NewPCG(0, 1))
	}
	uniform := func(name string, shape ...int) weights.Array {
		a := weights.Array{Name: name, Shape: shape, Data: make([]float32, numValues(shape))}
		bound := 1 / math.Sqrt(float64(hidden))
		for i := range a.Data {
			a.Data[i] = float32(bound * (2*random.Float64() - 1))
		}
		return a
	}
	return &scoreHead{layers: 2, source: "a fresh one", arrays: []weights.Array{
		uniform(mlpName(0, "weight"), units, hidden), uniform(mlpName(0, "bias"), units),
		{Name: mlpName(1, "weight"), Shape: []int{outputs, units}, Data: make([]float32, outputs*units)},
		{Name: mlpName(1, "bias"), Shape: []int{outputs}, Data: make([]float32, outputs)},
	}}
}

func numValues(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
