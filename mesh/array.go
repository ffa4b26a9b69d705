// Package mesh spreads arrays and programs over the devices of one host. The graph code of a
// program describes the whole computation; XLA's partitioner divides it by how the inputs and
// results are divided. On one device an array is one tensor, and a program is the tensor library's
// own.
package mesh

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
)

// An Array is an array on the devices of a mesh: a tensor on each, which is the whole array or a
// block of it.
type Array struct {
	device *backend.Device
	shape  shapes.Shape
	axis   int // that the devices of a row divide; −1: each has the whole array
	parts  []*tensors.Tensor
}

// dividedAxis is the axis along which the devices of a row divide an array: the first whose
// dimension is a multiple of their number; −1 if there is none.
func dividedAxis(m backend.Mesh, dims []int) int {
	if m.Shard > 1 {
		for axis, dim := range dims {
			if dim%m.Shard == 0 {
				return axis
			}
		}
	}
	return -1
}

// PartSize is the number of values of an array that one device holds.
func PartSize(m backend.Mesh, dims []int) int {
	size := 1
	for _, dim := range dims {
		size *= dim
	}
	if dividedAxis(m, dims) >= 0 {
		return size / m.Shard
	}
	return size
}

// newArray returns an array with a tensor from each for every device.
func newArray(
	device *backend.Device, shape shapes.Shape,
	each func(number compute.DeviceNum, part shapes.Shape) (*tensors.Tensor, error),
) (*Array, error) {
	m := device.Mesh()
	a := &Array{device: device, shape: shape, axis: dividedAxis(m, shape.Dimensions)}
	part := shape.Clone()
	if a.axis >= 0 {
		part.Dimensions[a.axis] /= m.Shard
	}
	for d := range m.Devices() {
		t, err := each(compute.DeviceNum(d), part)
		if err != nil {
			a.MustFree()
			return nil, err
		}
		a.parts = append(a.parts, t)
	}
	return a, nil
}

// Zeros returns an array of zeros on the host. Its first use moves it to the devices.
func Zeros(device *backend.Device, shape shapes.Shape) *Array {
	a, _ := newArray(device, shape, // no part fails
		func(_ compute.DeviceNum, part shapes.Shape) (*tensors.Tensor, error) {
			return tensors.FromShape(part), nil
		})
	return a
}

// OnHost returns an array of float32 values on the host. Its first use moves it to the devices.
func OnHost(device *backend.Device, values []float32, dims ...int) *Array {
	a := Zeros(device, shapes.Make(dtypes.Float32, dims...))
	for number, t := range a.parts {
		tensors.MustMutableFlatData(t, func(flat []float32) {
			a.blocks(device, number%device.Mesh().Shard, func(in, whole, n int) {
				copy(flat[in:in+n], values[whole:whole+n])
			})
		})
	}
	return a
}

// Put puts values on the devices in a dtype, float32 or bfloat16. Each device gets its block alone.
func Put(
	device *backend.Device, dtype dtypes.DType, dims []int, values []float32,
) (*Array, error) {
	a := &Array{shape: shapes.Make(dtype, dims...)} // of the blocks
	a.axis = dividedAxis(device.Mesh(), dims)
	return newArray(device, a.shape,
		func(number compute.DeviceNum, part shapes.Shape) (*tensors.Tensor, error) {
			t, err := tensors.FromShapeForBackend(device.Backend, number, part)
			if err != nil {
				return nil, fmt.Errorf("mesh: room on the device: %w", err)
			}
			place := int(number) % device.Mesh().Shard
			if dtype == dtypes.BFloat16 {
				err = tensors.MutableFlatData(t, func(flat []bfloat16.BFloat16) {
					a.blocks(device, place, func(in, whole, n int) {
						for i, v := range values[whole : whole+n] {
							flat[in+i] = bfloat16.FromFloat32(v)
						}
					})
				})
			} else {
				err = tensors.MutableFlatData(t, func(flat []float32) {
					a.blocks(device, place, func(in, whole, n int) {
						copy(flat[in:in+n], values[whole:whole+n])
					})
				})
			}
			if err == nil {
				err = t.ToDevice(device.Backend, number)
			}
			if err != nil {
				return nil, fmt.Errorf("mesh: moving values to the device: %w", err)
			}
			return t, nil
		})
}

// blocks calls copy for each run of values that lie together: n values from in on in the part at a
// place of a row, and from whole on in the whole array.
func (a *Array) blocks(device *backend.Device, place int, copy func(in, whole, n int)) {
	if a.axis < 0 {
		copy(0, 0, a.shape.Size())
		return
	}
	run := a.shape.Dimensions[a.axis] / device.Mesh().Shard // of the divided axis
	inner, outer := 1, 1
	for i, dim := range a.shape.Dimensions {
		switch {
		case i < a.axis:
			outer *= dim
		case i > a.axis:
			inner *= dim
		}
	}
	run *= inner
	for o := range outer {
		copy(o*run, (o*device.Mesh().Shard+place)*run, run)
	}
}

// Shape is the shape of the whole array.
func (a *Array) Shape() shapes.Shape { return a.shape }

// DType is the type of its values.
func (a *Array) DType() dtypes.DType { return a.shape.DType }

// Ok reports whether the array has its values: it was neither freed nor given up.
func (a *Array) Ok() bool { return a != nil && len(a.parts) > 0 && a.parts[0].Ok() }

// Floats returns the values of the whole array, gathered from the devices of one row.
func (a *Array) Floats() ([]float32, error) {
	if len(a.parts) == 1 && a.shape.DType == dtypes.Float32 {
		return tensors.CopyFlatData[float32](a.parts[0])
	}
	out := make([]float32, a.shape.Size())
	holders := 1 // of all values
	if a.axis >= 0 {
		holders = a.device.Mesh().Shard
	}
	for place := range holders {
		var err error
		if t := a.parts[place]; a.shape.DType == dtypes.BFloat16 {
			err = tensors.ConstFlatData(t, func(flat []bfloat16.BFloat16) {
				a.blocks(a.device, place, func(in, whole, n int) {
					for i, v := range flat[in : in+n] {
						out[whole+i] = v.Float32()
					}
				})
			})
		} else {
			err = tensors.ConstFlatData(t, func(flat []float32) {
				a.blocks(a.device, place, func(in, whole, n int) { copy(out[whole:whole+n], flat[in:in+n]) })
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Scalar is the value of a float32 scalar.
func (a *Array) Scalar() float64 { return float64(tensors.ToScalar[float32](a.parts[0])) }

// Clone copies the array, on each device its part.
func (a *Array) Clone() (*Array, error) {
	return newArray(a.device, a.shape,
		func(number compute.DeviceNum, _ shapes.Shape) (*tensors.Tensor, error) {
			return a.parts[number].OnDeviceClone(a.device.Backend, number)
		})
}

// Held is the memory that the array takes on a device, as the device's buffer has it.
func (a *Array) Held(device int) (int64, error) {
	buffer, err := a.parts[device].Buffer(a.device.Backend, compute.DeviceNum(device))
	if err != nil {
		return 0, err
	}
	shape, err := buffer.Shape()
	return int64(shape.ByteSize()), err
}

// Free gives back the memory of the array. An array that is freed or given up is left as it is.
func (a *Array) Free() error {
	for _, t := range a.parts {
		if err := t.FinalizeAll(); err != nil {
			return err
		}
	}
	return nil
}

// MustFree is Free, and panics where it fails.
func (a *Array) MustFree() {
	if err := a.Free(); err != nil {
		panic(err)
	}
}
