package train

import (
	"fmt"
	"path/filepath"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/reward"
	"haf/weights"
)

// An Optimizer holds the trained weights of a model, their moments, and two programs: the sum of gradients and the
// update. They run over a layer's weights at a time: inputs and outputs of a program exist together, and all layers
// share one program.
type Optimizer struct {
	model    *reward.Model
	settings AdamW
	params   []*reward.Param
	m, v     []*tensors.Tensor
	parts    [][]int // indices into params: what one call of add or update works on

	add, update *Exec
	built       int // programs compiled
}

// NewOptimizer prepares updates of the weights, which are float32: the model's, and others on its device.
func NewOptimizer(model *reward.Model, params []*reward.Param, settings AdamW) *Optimizer {
	o := &Optimizer{model: model, settings: settings, params: params}
	for i, p := range params {
		o.m, o.v = append(o.m, tensors.FromShape(p.Value.Shape())), append(o.v, tensors.FromShape(p.Value.Shape()))
		if i == 0 || model.Config.LayerOf(p.Name) != model.Config.LayerOf(params[i-1].Name) {
			o.parts = append(o.parts, nil)
		}
		last := len(o.parts) - 1
		o.parts[last] = append(o.parts[last], i)
	}
	backend := model.Device().Backend
	o.add = MustNewExec(backend, o.buildAdd).SetMaxCache(-1).WithName("add")
	o.update = MustNewExec(backend, o.buildUpdate).SetMaxCache(-1).WithName("update")
	return o
}

// Params are the trained weights, in the order of the gradients.
func (o *Optimizer) Params() []*reward.Param { return o.params }

// Settings are the optimizer'o.
func (o *Optimizer) Settings() AdamW { return o.settings }

// Programs is the number of programs that were compiled.
func (o *Optimizer) Programs() int { return o.built }

// SumOfSquares is the sum of all squares of the arrays, a scalar. It sums rows first: one long float32 sum over an embedding loses per cents on a backend that adds in order.
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

// buildUpdate: scalars, decays [n], then n each of weights, first and second moments, gradients → the first three, new, and a number to
// wait for.
func (o *Optimizer) buildUpdate(in []*Node) []*Node {
	o.built++
	n := (len(in) - 2) / 4
	out := make([]*Node, 3*n, 3*n+1)
	for i := range n {
		decay := Reshape(Slice(in[1], AxisRange(i, i+1)))
		out[i], out[n+i], out[2*n+i] = o.settings.update(in[0], decay, in[2+i], in[2+n+i], in[2+2*n+i], in[2+3*n+i])
	}
	return append(out, Reshape(Slice(in[0], AxisRange(0, 1))))
}

// Accumulate adds the gradients to the sums, in place, and returns the squared norm of all the new sums.
func (o *Optimizer) Accumulate(sums, gradients []*tensors.Tensor) (squares float64, err error) {
	for _, part := range o.parts {
		args, err := o.donate(nil, part, sums, gradients)
		if err != nil {
			return 0, err
		}
		out, err := o.add.Call(args...)
		if err != nil {
			return 0, fmt.Errorf("train: adding gradients: %w", err)
		}
		squares += float64(tensors.ToScalar[float32](out[0]))
		for i, at := range part {
			sums[at] = out[1+i]
		}
	}
	return squares, nil
}

// Apply makes update t ≥ 1: it clips the gradients, whose norm is given, and updates the weights and moments with them at the
// given rate. It consumes the gradients.
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
		first := []any{tensors.FromFlatDataAndDimensions(scalars, len(scalars)), tensors.FromFlatDataAndDimensions(decays, len(decays))}
		args, err := o.donate(first, part, values, o.m, o.v, gradients)
		if err != nil {
			return err
		}
		out, err := o.update.Call(args...)
		if err != nil {
			return fmt.Errorf("train: updating weights: %w", err)
		}
		n := len(part)
		for i, at := range part {
			o.params[at].Value, o.m[at], o.v[at] = out[i], out[n+i], out[2*n+i]
		}
		// Programs are run while the next are being sent, with room for all that they return: without waiting, all weights and moments
		// would exist twice.
		tensors.ToScalar[float32](out[3*n])
		if err := out[3*n].FinalizeAll(); err != nil {
			return fmt.Errorf("train: freeing results: %w", err)
		}
	}
	return nil
}

// donate appends to args the part's tensors of each list, giving up their buffers.
func (o *Optimizer) donate(args []any, part []int, lists ...[]*tensors.Tensor) ([]any, error) {
	for _, list := range lists {
		for _, at := range part {
			buffer, err := DonateTensorBuffer(list[at], o.model.Device().Backend, compute.DeviceNum(0))
			if err != nil {
				return nil, fmt.Errorf("train: giving up the buffer of %s: %w", o.params[at].Name, err)
			}
			args = append(args, buffer)
		}
	}
	return args, nil
}

// Save writes the trained weights and their moments into a folder.
func (o *Optimizer) Save(dir string) error {
	if err := o.writeWeights(dir); err != nil {
		return err
	}
	return o.writeTables(filepath.Join(dir, momentsName), o.moments())
}

// Load puts what [Optimizer.Save] wrote in the place of the weights and moments.
func (o *Optimizer) Load(dir string) error {
	if err := o.readWeights(dir); err != nil {
		return err
	}
	return o.readTables(filepath.Join(dir, momentsName), o.moments())
}

func (o *Optimizer) writeWeights(dir string) error {
	sources := make([]weights.Source, len(o.params))
	for i, p := range o.params {
		sources[i] = p.Source()
	}
	return weights.WriteFile(filepath.Join(dir, weightsName), sources, weights.WriteOptions{})
}

// moments are the optimizer's, by the prefix of their names in a checkpoint.
func (o *Optimizer) moments() map[string][]*tensors.Tensor {
	return map[string][]*tensors.Tensor{"m.": o.m, "v.": o.v}
}

// writeTables writes lists of tensors in the order of the trained weights, under prefix and weight.
func (o *Optimizer) writeTables(path string, tables map[string][]*tensors.Tensor) error {
	var sources []weights.Source
	for i, p := range o.params {
		for prefix, list := range tables {
			sources = append(sources, weights.Source{Name: prefix + p.Name, Shape: p.Shape, Values: func() ([]float32, error) { return tensors.CopyFlatData[float32](list[i]) }})
		}
	}
	return weights.WriteFile(path, sources, weights.WriteOptions{})
}

// readTables replaces the tensors by those that writeTables wrote.
func (o *Optimizer) readTables(path string, tables map[string][]*tensors.Tensor) error {
	ck, err := weights.OpenFile(path)
	if err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	defer ck.Close()
	for i, p := range o.params {
		for prefix, list := range tables {
			a, err := ck.ReadShape(prefix+p.Name, p.Shape...)
			if err != nil {
				return fmt.Errorf("train: checkpoint: %w", err)
			}
			list[i].MustFinalizeAll()
			list[i] = tensors.FromFlatDataAndDimensions(a.Data, a.Shape...)
		}
	}
	return nil
}

// readWeights puts the trained weights saved in dir into the model.
func (o *Optimizer) readWeights(dir string) error {
	ck, err := weights.OpenFile(filepath.Join(dir, weightsName))
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	defer ck.Close()
	for _, p := range o.params {
		if p.Value.DType() != dtypes.Float32 {
			return fmt.Errorf("train: %s is trained in %s, float32 is wanted", p.Name, p.Value.DType())
		}
		a, err := ck.ReadShape(p.Name, p.Shape...)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		if err := o.model.Set(p, a); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	return nil
}

// Free gives back the memory of gradients.
func Free(ts []*tensors.Tensor) error {
	for _, t := range ts {
		if err := t.FinalizeAll(); err != nil {
			return fmt.Errorf("train: freeing gradients: %w", err)
		}
	}
	return nil
}

// Close frees the moments and programs.
func (o *Optimizer) Close() {
	o.add.Finalize()
	o.update.Finalize()
	for _, list := range [][]*tensors.Tensor{o.m, o.v} {
		for _, t := range list {
			t.MustFinalizeAll()
		}
	}
}
