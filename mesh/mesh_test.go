package mesh_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
	"haf/mesh"
)

// open returns a mesh of virtual devices of the CPU.
func open(t *testing.T, m backend.Mesh) *backend.Device {
	t.Helper()
	device, err := backend.Open("cpu")
	if err != nil {
		t.Skipf("no XLA plug-in for CPUs: %v", err)
	}
	on, err := device.OnMesh(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(on.Finalize)
	return on
}

func counted(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(i)
	}
	return out
}

// TestArray puts arrays of several shapes on a mesh and reads them back. Their first axis that the
// devices of a row can divide is divided, and no other.
func TestArray(t *testing.T) {
	device := open(t, backend.Mesh{Data: 2, Shard: 2})
	for _, c := range []struct {
		dims []int
		held int // values on a device
	}{
		{[]int{4, 3}, 6}, {[]int{3, 4}, 6}, {[]int{3, 2, 5}, 15}, {[]int{3, 5}, 15}, {[]int{1}, 1},
	} {
		size := 1
		for _, d := range c.dims {
			size *= d
		}
		for _, dtype := range []dtypes.DType{dtypes.Float32, dtypes.BFloat16} {
			a, err := mesh.Put(device, dtype, c.dims, counted(size))
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.Floats()
			if err != nil || !slices.Equal(got, counted(size)) {
				t.Errorf("%v %s: read back %v, %v", c.dims, dtype, got, err)
			}
			for d := range 4 {
				if held, err := a.Held(d); err != nil || held != int64(c.held*dtype.Size()) {
					t.Errorf("%v %s: device %d holds %d bytes, %v; want %d values", c.dims, dtype, d, held,
						err, c.held)
				}
			}
			copied, err := a.Clone()
			if err != nil {
				t.Fatal(err)
			}
			a.MustFree()
			if got, err = copied.Floats(); err != nil || !slices.Equal(got, counted(size)) || a.Ok() {
				t.Errorf("%v %s: the copy has %v, %v; the freed array is Ok: %v", c.dims, dtype, got, err,
					a.Ok())
			}
		}
	}
}

// TestExec multiplies rows by a matrix on several meshes, with rows that they divide and rows that
// they do not.
func TestExec(t *testing.T) {
	for _, m := range []backend.Mesh{{}, {Data: 2}, {Shard: 2}, {Data: 2, Shard: 2}} {
		device := open(t, m)
		exec := mesh.NewExec(device, "test", func(in []*Node) []*Node {
			y := Add(Dot(in[0], in[1]).Product(), in[2])
			return []*Node{y, ReduceAllSum(y), in[3]}
		})
		defer exec.Finalize()
		for _, rows := range []int{4, 3} {
			w, err := mesh.Put(device, dtypes.Float32, []int{2, 2}, []float32{1, 2, 3, 4})
			if err != nil {
				t.Fatal(err)
			}
			x := tensors.FromFlatDataAndDimensions(counted(2*rows), rows, 2)
			out, err := exec.Call(mesh.Rows{Tensor: x}, w, float32(1),
				mesh.OnHost(device, counted(2), 2).Donate())
			if err != nil {
				t.Fatal(err)
			}
			var want []float32
			sum := float32(0)
			for r := range rows {
				a, b := float32(2*r), float32(2*r+1)
				want = append(want, a+3*b+1, 2*a+4*b+1)
				sum += 3*a + 7*b + 2
			}
			got, err := out[0].Floats()
			if err != nil || !slices.Equal(got, want) || out[1].Scalar() != float64(sum) {
				t.Errorf("%v, %d rows: %v with sum %v, want %v with %v: %v", m, rows, got,
					out[1].Scalar(), want, sum, err)
			}
			if got, err = out[2].Floats(); err != nil || !slices.Equal(got, counted(2)) {
				t.Errorf("%v: the array that was given up came back as %v, %v", m, got, err)
			}
		}
	}
}

// TestOnMesh refuses meshes that a device has not got.
func TestOnMesh(t *testing.T) {
	pure, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = pure.OnMesh(backend.Mesh{Data: 2}); err == nil ||
		!strings.Contains(err.Error(), "the pure Go backend has one: install XLA (haf setup)") {
		t.Errorf("pure Go on two devices: %v", err)
	}
	if on, err := pure.OnMesh(backend.Mesh{Data: 1, Shard: 1}); err != nil || on != pure {
		t.Errorf("one device is not the device itself: %v", err)
	}
	on := open(t, backend.Mesh{Data: 2})
	if _, err := on.OnMesh(backend.Mesh{Shard: 2}); err == nil ||
		!strings.Contains(err.Error(), "give one of both") {
		t.Errorf("a mesh on another mesh: %v", err)
	}
	if again, err := on.OnMesh(backend.Mesh{Data: 2, Shard: 1}); err != nil || again != on {
		t.Errorf("the same mesh again: %v", err)
	}
	for _, name := range []string{"cpu,data=0", "cpu,data=2,shard=x", "cpu,data=2,rows=2",
		"cpu,rows=2"} {
		if err := backend.CheckName(name); err == nil {
			t.Errorf("%s is a device", name)
		}
	}
	if err := backend.CheckName("cpu,data=2,shard=2"); err != nil {
		t.Error(err)
	}
}
