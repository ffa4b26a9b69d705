package mesh

import (
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
)

// An Exec compiles a program for each list of input shapes and runs it on the devices of a mesh.
type Exec struct {
	device *backend.Device
	name   string
	build  func([]*graph.Node) []*graph.Node
	one    *graph.Exec // on one device

	mu   sync.Mutex // of the rest, and of runs on a mesh
	mesh *distributed.DeviceMesh
	many map[string]*graph.Exec          // by how the inputs are divided
	out  map[*graph.Graph][]shapes.Shape // of the whole results
}

// Names of the mesh's axes.
const (
	dataAxis  = "data"
	shardAxis = "shard"
)

// NewExec prepares a program; name is for messages. build is called for each list of shapes.
func NewExec(
	device *backend.Device, name string, build func([]*graph.Node) []*graph.Node,
) *Exec {
	e := &Exec{device: device, name: name, build: build, many: map[string]*graph.Exec{},
		out: map[*graph.Graph][]shapes.Shape{}}
	m := device.Mesh()
	if m.Devices() == 1 {
		e.one = graph.MustNewExec(device.Backend, build).SetMaxCache(-1).WithName(name)
		return e
	}
	var err error
	e.mesh, err = distributed.NewDeviceMesh([]int{m.Data, m.Shard}, []string{dataAxis, shardAxis})
	if err != nil {
		panic(err) // two positive sizes
	}
	return e
}

// Rows is an input with one entry for each row or position of a batch. The devices divide it where
// they can; what is no multiple of their number, all of them get whole.
type Rows struct{ *tensors.Tensor }

// donated is an input whose memory the program may use.
type donated struct{ *Array }

// Donate returns the array as an input that is given up: the program may use its memory.
func (a *Array) Donate() any { return donated{a} }

// Call runs the program. An input is an *Array, [Array.Donate], [Rows], a tensor on the host or a
// float32.
func (e *Exec) Call(inputs ...any) ([]*Array, error) {
	if e.one != nil {
		return e.callOne(inputs)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	of, err := e.divide(inputs)
	if err != nil {
		return nil, err
	}
	parts, g, err := of.exec.CallWithGraphOnDevice(0, of.args...)
	if err != nil {
		return nil, err
	}
	whole := e.out[g]
	out := make([]*Array, len(whole))
	for i, shape := range whole {
		a := &Array{device: e.device, shape: shape,
			axis: dividedAxis(e.device.Mesh(), shape.Dimensions)}
		for d := range e.device.Mesh().Devices() {
			a.parts = append(a.parts, parts[d*len(whole)+i])
		}
		out[i] = a
	}
	return out, nil
}

func (e *Exec) callOne(inputs []any) ([]*Array, error) {
	args := make([]any, len(inputs))
	for i, input := range inputs {
		var err error
		if args[i], err = onlyPart(e.device, input); err != nil {
			return nil, err
		}
	}
	results, err := e.one.Call(args...)
	if err != nil {
		return nil, err
	}
	out := make([]*Array, len(results))
	for i, t := range results {
		out[i] = &Array{device: e.device, shape: t.Shape(), axis: -1, parts: []*tensors.Tensor{t}}
	}
	return out, nil
}

// onlyPart is an input of a program on one device as the tensor library takes it.
func onlyPart(device *backend.Device, input any) (any, error) {
	switch x := input.(type) {
	case *Array:
		return x.parts[0], nil
	case Rows:
		return x.Tensor, nil
	case donated:
		return graph.DonateTensorBuffer(x.parts[0], device.Backend, compute.DeviceNum(0))
	}
	return input, nil
}

// OneDevice returns arrays on one device as inputs of the tensor library's programs.
func OneDevice(arrays []any) []any {
	args := make([]any, len(arrays))
	for i, a := range arrays {
		args[i] = a.(*Array).parts[0]
	}
	return args
}

// Compile compiles the program for the shapes of the inputs, without running it.
func (e *Exec) Compile(inputs ...any) error {
	if e.one == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		of, err := e.divide(inputs)
		if err == nil {
			_, err = of.exec.Compile(of.shapes...)
		}
		return err
	}
	given := make([]shapes.Shape, len(inputs))
	for i, input := range inputs {
		given[i] = shapeOf(input)
	}
	_, err := e.one.Compile(given...)
	return err
}

// shapeOf is the shape of a whole input.
func shapeOf(input any) shapes.Shape {
	switch x := input.(type) {
	case *Array:
		return x.shape
	case donated:
		return x.shape
	case Rows:
		return x.Shape()
	case *tensors.Tensor:
		return x.Shape()
	}
	return shapes.Make(dtypes.Float32)
}

// divided are the inputs of a run on a mesh: those of one device after the other.
type divided struct {
	exec   *graph.Exec
	args   []any
	shapes []shapes.Shape // of the parts
}

func (e *Exec) divide(inputs []any) (of divided, err error) {
	m := e.device.Mesh()
	specs := make([]*distributed.ShardingSpec, len(inputs))
	key := make([]string, len(inputs))
	for i, input := range inputs {
		specs[i] = e.spec(input)
		key[i] = specs[i].String()
	}
	for d := range m.Devices() {
		for i, input := range inputs {
			arg, err := e.part(input, specs[i], d)
			if err != nil {
				return of, err
			}
			of.args = append(of.args, arg)
			shape := shapeOf(input).Clone()
			for axis, names := range specs[i].Axes {
				for _, name := range names {
					shape.Dimensions[axis] /= map[string]int{dataAxis: m.Data, shardAxis: m.Shard}[name]
				}
			}
			of.shapes = append(of.shapes, shape)
		}
	}
	of.exec = e.exec(strings.Join(key, " "), specs)
	return of, nil
}

// exec returns the program for inputs that are divided in one way.
func (e *Exec) exec(key string, specs []*distributed.ShardingSpec) *graph.Exec {
	if e.many[key] != nil {
		return e.many[key]
	}
	var exec *graph.Exec
	exec = graph.MustNewExec(e.device.Backend, func(in []*graph.Node) []*graph.Node {
		out := e.build(in)
		// The library asks for the division of the results after they are built.
		of := make([]*distributed.ShardingSpec, len(out))
		whole := make([]shapes.Shape, len(out))
		for i, n := range out {
			whole[i] = n.Shape().Clone()
			of[i] = e.along(dividedAxis(e.device.Mesh(), whole[i].Dimensions), shardAxis)
		}
		exec.WithOutputShardingSpecs(of...)
		e.out[in[0].Graph()] = whole
		return out
	})
	exec.AutoSharding(e.mesh).WithInputShardingSpecs(specs...).SetMaxCache(-1).WithName(e.name)
	e.many[key] = exec
	return exec
}

// along divides an axis of an array over axes of the mesh; −1 leaves it whole.
func (e *Exec) along(axis int, over ...string) *distributed.ShardingSpec {
	if axis < 0 {
		return distributed.NewReplicatedShardingSpec(e.mesh)
	}
	axes := make([]distributed.AxisSpec, axis+1)
	axes[axis] = over
	return &distributed.ShardingSpec{Mesh: e.mesh, Axes: axes}
}

// spec says how an input is divided.
func (e *Exec) spec(input any) *distributed.ShardingSpec {
	switch x := input.(type) {
	case *Array:
		return e.along(x.axis, shardAxis)
	case donated:
		return e.along(x.axis, shardAxis)
	case Rows:
		m, dim := e.device.Mesh(), x.Shape().Dimensions[0]
		switch {
		case dim%m.Devices() == 0:
			return e.along(0, dataAxis, shardAxis)
		case dim%m.Data == 0:
			return e.along(0, dataAxis)
		}
	}
	return e.along(-1)
}

// part is the part of an input for one device.
func (e *Exec) part(input any, spec *distributed.ShardingSpec, device int) (any, error) {
	number := compute.DeviceNum(device)
	switch x := input.(type) {
	case *Array:
		return x.parts[device], nil
	case donated:
		return graph.DonateTensorBuffer(x.parts[device], e.device.Backend, number)
	case Rows:
		if spec.IsReplicated() {
			return x.LocalClone()
		}
		m, n, at := e.device.Mesh(), e.device.Mesh().Devices(), device
		if len(spec.Axes[0]) == 1 {
			n, at = m.Data, device/m.Shard
		}
		return slice(x.Tensor, n, at)
	case *tensors.Tensor:
		return x.LocalClone()
	}
	return input, nil
}

// slice copies part i of n of a tensor on the host, along its first axis.
func slice(t *tensors.Tensor, n, i int) (*tensors.Tensor, error) {
	shape := t.Shape().Clone()
	shape.Dimensions[0] /= n
	part := tensors.FromShape(shape)
	var inner error
	err := t.ConstBytes(func(whole []byte) {
		inner = part.MutableBytes(func(to []byte) { copy(to, whole[i*len(to):]) })
	})
	if err == nil {
		err = inner
	}
	return part, err
}

// Finalize frees the programs.
func (e *Exec) Finalize() {
	if e.one != nil {
		e.one.Finalize()
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, exec := range e.many {
		exec.Finalize()
	}
	clear(e.many)
	clear(e.out)
}
