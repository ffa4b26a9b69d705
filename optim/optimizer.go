package optim

import (
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
	"haf/lm"
	"haf/reward"
)

// An Optimizer holds the trained weights of a model, their moments, and two programs: one adds
// gradients, the other updates weights. A call works on the weights of one layer, because the
// inputs and outputs of a call are in memory together. All layers share one compiled program.
type Optimizer struct {
	model    *reward.Model
	settings AdamW
	params   []*reward.Param
	m, v     []*tensors.Tensor
	parts    [][]int // indices into params, for each call of add or update

	programs *programs
	kept     bool // the device keeps the programs
	built    int  // programs compiled
}

// programs are shared by optimizers whose settings and weights give the same graphs.
type programs struct {
	add, update *Exec
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
		o.m = append(o.m, tensors.FromShape(p.Value.Shape()))
		o.v = append(o.v, tensors.FromShape(p.Value.Shape()))
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
	p.add = MustNewExec(device.Backend, func(in []*Node) []*Node { return p.user.buildAdd(in) })
	p.update = MustNewExec(device.Backend, func(in []*Node) []*Node {
		return p.user.buildUpdate(in)
	})
	p.add.SetMaxCache(-1).WithName("add")
	p.update.SetMaxCache(-1).WithName("update")
	return p
}

// Params returns the trained weights, in the order of the gradients.
func (o *Optimizer) Params() []*reward.Param { return o.params }

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
func (o *Optimizer) accumulate(sums, gradients []*tensors.Tensor) (squares float64, err error) {
	for _, part := range o.parts {
		args, err := o.Donate(nil, part, sums, gradients)
		if err != nil {
			return 0, err
		}
		out, err := o.programs.add.Call(args...)
		if err != nil {
			return 0, fmt.Errorf("optim: adding gradients: %w", err)
		}
		squares += float64(tensors.ToScalar[float32](out[0]))
		for i, at := range part {
			sums[at] = out[1+i]
		}
	}
	return squares, nil
}

// Apply makes update t ≥ 1. It clips the gradients, whose norm the caller gives, and updates
// weights and moments at the given learning rate. It consumes the gradients.
func (o *Optimizer) Apply(gradients []*tensors.Tensor, rate, norm float64, t int) error {
	scalars := o.settings.scalars(rate, norm, t)
	for _, part := range o.parts {
		decays := make([]float32, len(part))
		values := make([]*tensors.Tensor, len(o.params))
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
		args, err := o.Donate(first, part, values, o.m, o.v, gradients)
		if err != nil {
			return err
		}
		out, err := o.programs.update.Call(args...)
		if err != nil {
			return fmt.Errorf("optim: updating weights: %w", err)
		}
		n := len(part)
		for i, at := range part {
			o.params[at].Value, o.m[at], o.v[at] = out[i], out[n+i], out[2*n+i]
		}
		// The device would start the next call while this one runs, with memory for the results of
		// both. Without this wait, all weights and moments would exist twice.
		tensors.ToScalar[float32](out[3*n])
		if err := out[3*n].FinalizeAll(); err != nil {
			return fmt.Errorf("optim: freeing results: %w", err)
		}
	}
	return nil
}

// Donate appends the part's tensors of each list to args and gives up their buffers.
func (o *Optimizer) Donate(
	args []any, part []int, lists ...[]*tensors.Tensor,
) ([]any, error) {
	device := o.model.Device().Backend
	for _, list := range lists {
		for _, at := range part {
			buffer, err := DonateTensorBuffer(list[at], device, compute.DeviceNum(0))
			if err != nil {
				name := o.params[at].Name
				return nil, fmt.Errorf("optim: giving up the buffer of %s: %w", name, err)
			}
			args = append(args, buffer)
		}
	}
	return args, nil
}

// Free releases the memory of tensors. It skips freed and donated ones.
func Free(ts []*tensors.Tensor) error {
	for _, t := range ts {
		if err := t.FinalizeAll(); err != nil {
			return fmt.Errorf("optim: freeing tensors: %w", err)
		}
	}
	return nil
}

// Close frees the moments, and the programs unless the device keeps them.
func (o *Optimizer) Close() {
	if !o.kept {
		o.programs.Finalize()
	}
	for _, list := range [][]*tensors.Tensor{o.m, o.v} {
		for _, t := range list {
			t.MustFinalizeAll()
		}
	}
}
