package optim

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
	"haf/lm"
	"haf/mesh"
	"haf/reward"
)

// An Optimizer holds the trained weights of a model, their moments, and two programs: one adds
// gradients, the other updates weights. A call works on the weights of one layer, because the
// inputs and outputs of a call are in memory together. All layers share one compiled program.
type Optimizer struct {
	model    *reward.Model
	settings AdamW
	params   []*reward.Param
	m, v     []*mesh.Array
	parts    [][]int // indices into params, for each call of add or update

	programs *programs
	kept     bool // the device keeps the programs
	built    int  // programs compiled
}

// programs are shared by optimizers whose settings and weights give the same graphs.
type programs struct {
	add, update *mesh.Exec
	user        *Optimizer // the last one: programs are built with its settings
}

// Finalize frees the programs.
func (p *programs) Finalize() {
	p.add.Finalize()
	p.update.Finalize()
}

// New prepares updates of float32 weights: the model's, and others on its device.
func New(model *reward.Model, params []*reward.Param, settings AdamW) *Optimizer {
	o := &Optimizer{model: model, settings: settings, params: params}
	for i, p := range params {
		o.m = append(o.m, mesh.Zeros(model.Device(), p.Value.Shape()))
		o.v = append(o.v, mesh.Zeros(model.Device(), p.Value.Shape()))
		if i == 0 || model.Config.LayerOf(p.Name) != model.Config.LayerOf(params[i-1].Name) {
			o.parts = append(o.parts, nil)
		}
		last := len(o.parts) - 1
		o.parts[last] = append(o.parts[last], i)
	}
	o.programs, o.kept = backend.Keep(model.Device(), "optim "+settings.structure(),
		func() *programs { return newPrograms(model.Device()) })
	o.programs.user = o
	return o
}

func newPrograms(device *backend.Device) *programs {
	p := &programs{}
	p.add = mesh.NewExec(device, "add", func(in []*Node) []*Node { return p.user.buildAdd(in) })
	p.update = mesh.NewExec(device, "update", func(in []*Node) []*Node {
		return p.user.buildUpdate(in)
	})
	return p
}

// Params returns the trained weights, in the order of the gradients.
func (o *Optimizer) Params() []*reward.Param { return o.params }

// Moments returns the first and second moments of the weights.
func (o *Optimizer) Moments() []*mesh.Array { return slices.Concat(o.m, o.v) }

// Parts lists, for each call of a program, the indices into [Optimizer.Params] of its weights.
func (o *Optimizer) Parts() [][]int { return o.parts }

// Settings returns the settings given to [New].
func (o *Optimizer) Settings() AdamW { return o.settings }

// Programs is the number of programs that this optimizer compiled.
func (o *Optimizer) Programs() int { return o.built }

// Gradients builds the gradients of a loss with respect to the weights, and the sum of their
// squares, a scalar.
func Gradients(
	loss *Node, params []*reward.Param, w lm.Weights,
) (squares *Node, gradients []*Node) {
	by := make([]*Node, len(params))
	for i, p := range params {
		by[i] = w[p.Name]
	}
	gradients = Gradient(loss, by...)
	return SumOfSquares(gradients), gradients
}

// SumOfSquares is the sum of the squares of all elements of the arrays, a scalar. It sums rows
// first: one long float32 sum over an embedding is off by percents on a backend that adds in
// sequence.
func SumOfSquares(xs []*Node) *Node {
	var total *Node
	for _, x := range xs {
		squares := ReduceAllSum(ReduceSum(Mul(x, x), -1))
		if total == nil {
			total = squares
		} else {
			total = Add(total, squares)
		}
	}
	return total
}

// buildAdd: n sums and n gradients → the sum of squares of the new sums, and the sums.
func (o *Optimizer) buildAdd(in []*Node) []*Node {
	o.built++
	n := len(in) / 2
	sums := make([]*Node, n)
	for i := range n {
		sums[i] = Add(in[i], in[n+i])
	}
	return append([]*Node{SumOfSquares(sums)}, sums...)
}

// buildUpdate: scalars, decays [n], then n each of weights, first and second moments, gradients →
// the updated weights and moments, and a scalar to wait for.
func (o *Optimizer) buildUpdate(in []*Node) []*Node {
	o.built++
	n := (len(in) - 2) / 4
	out := make([]*Node, 3*n, 3*n+1)
	for i := range n {
		decay := Reshape(Slice(in[1], AxisRange(i, i+1)))
		out[i], out[n+i], out[2*n+i] = o.settings.update(
			in[0], decay, in[2+i], in[2+n+i], in[2+2*n+i], in[2+3*n+i])
	}
	return append(out, Reshape(Slice(in[0], AxisRange(0, 1))))
}

// accumulate adds the gradients to the sums, in place, and returns the squared norm of all new
// sums. It consumes the gradients.
func (o *Optimizer) accumulate(sums, gradients []*mesh.Array) (squares float64, err error) {
	for _, part := range o.parts {
		out, err := o.programs.add.Call(Donate(nil, part, sums, gradients)...)
		if err != nil {
			return 0, fmt.Errorf("optim: adding gradients: %w", err)
		}
		squares += out[0].Scalar()
		for i, at := range part {
			sums[at] = out[1+i]
		}
	}
	return squares, nil
}

// Apply makes update t ≥ 1. It clips the gradients, whose norm the caller gives, and updates
// weights and moments at the given learning rate. It consumes the gradients.
func (o *Optimizer) Apply(gradients []*mesh.Array, rate, norm float64, t int) error {
	scalars := o.settings.scalars(rate, norm, t)
	for _, part := range o.parts {
		decays := make([]float32, len(part))
		values := make([]*mesh.Array, len(o.params))
		for i, at := range part {
			values[at] = o.params[at].Value
			if o.settings.decays(o.params[at].Param) {
				decays[i] = 1
			}
		}
		first := []any{
			tensors.FromFlatDataAndDimensions(scalars, len(scalars)),
			tensors.FromFlatDataAndDimensions(decays, len(decays)),
		}
		out, err := o.programs.update.Call(Donate(first, part, values, o.m, o.v, gradients)...)
		if err != nil {
			return fmt.Errorf("optim: updating weights: %w", err)
		}
		n := len(part)
		for i, at := range part {
			o.params[at].Value, o.m[at], o.v[at] = out[i], out[n+i], out[2*n+i]
		}
		// The device would start the next call while this one runs, with memory for the results of
		// both. Without this wait, all weights and moments would exist twice.
		out[3*n].Scalar()
		if err := out[3*n].Free(); err != nil {
			return fmt.Errorf("optim: freeing results: %w", err)
		}
	}
	return nil
}

// Donate appends the part's arrays of each list to args. The program may overwrite them.
func Donate(args []any, part []int, lists ...[]*mesh.Array) []any {
	for _, list := range lists {
		for _, at := range part {
			args = append(args, list[at].Donate())
		}
	}
	return args
}

// Free releases the memory of arrays. It skips freed and donated ones.
func Free(arrays []*mesh.Array) error {
	for _, a := range arrays {
		if err := a.Free(); err != nil {
			return fmt.Errorf("optim: freeing arrays: %w", err)
		}
	}
	return nil
}

// Close frees the moments, and the programs unless the device keeps them.
func (o *Optimizer) Close() {
	if !o.kept {
		o.programs.Finalize()
	}
	for _, list := range [][]*mesh.Array{o.m, o.v} {
		for _, a := range list {
			a.MustFree()
		}
	}
}
