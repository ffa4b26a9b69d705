package backend

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/shapes"
)

// A product is a compiled matrix product with its operands on the device: C = A·B, all [n, n] and
// of one dtype.
type product struct {
	n    int
	exec compute.Executable
	args []compute.Buffer
}

// newProduct compiles the product and uploads a and b (each n·n values, row-major) as float32 or
// bfloat16.
func newProduct(
	dev compute.Backend, dtype dtypes.DType, n int, a, b []float32,
) (_ *product, err error) {
	defer func() {
		if r := recover(); r != nil { // backends panic on misuse
			err = fmt.Errorf("backend: matrix product: %v", r)
		}
	}()
	shape := shapes.Make(dtype, n, n)
	builder := dev.Builder("product")
	main := builder.Main()
	lhs, err := main.Parameter("a", shape, nil)
	if err != nil {
		return nil, fmt.Errorf("backend: matrix product: %w", err)
	}
	rhs, err := main.Parameter("b", shape, nil)
	if err != nil {
		return nil, fmt.Errorf("backend: matrix product: %w", err)
	}
	out, err := main.DotGeneral(lhs, []int{1}, nil, rhs, []int{0}, nil, compute.DotGeneralConfig{})
	if err != nil {
		return nil, fmt.Errorf("backend: matrix product: %w", err)
	}
	if err := main.Return([]compute.Value{out}, nil); err != nil {
		return nil, fmt.Errorf("backend: matrix product: %w", err)
	}
	p := &product{n: n}
	if p.exec, err = builder.Compile(); err != nil {
		return nil, fmt.Errorf("backend: compile a matrix product: %w", err)
	}
	for _, values := range [][]float32{a, b} {
		var flat any = values
		if dtype == dtypes.BFloat16 {
			half := make([]bfloat16.BFloat16, len(values))
			for i, v := range values {
				half[i] = bfloat16.FromFloat32(v)
			}
			flat = half
		}
		buffer, err := dev.BufferFromFlatData(0, flat, shape)
		if err != nil {
			p.free()
			return nil, fmt.Errorf("backend: copy a matrix to the device: %w", err)
		}
		p.args = append(p.args, buffer)
	}
	return p, nil
}

// run computes the product and, if out is not nil, copies it there: n·n float32 values.
func (p *product) run(out []float32) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("backend: matrix product: %v", r)
		}
	}()
	results, err := p.exec.Execute(p.args, []bool{false, false}, 0)
	if err != nil {
		return fmt.Errorf("backend: run a matrix product: %w", err)
	}
	if len(results) != 1 {
		return fmt.Errorf("backend: run a matrix product: %d results, want 1", len(results))
	}
	if out != nil {
		if err := results[0].ToFlatData(out); err != nil {
			return fmt.Errorf("backend: copy a product from the device: %w", err)
		}
	}
	if err := results[0].Finalize(); err != nil {
		return fmt.Errorf("backend: free a product: %w", err)
	}
	return nil
}

func (p *product) free() {
	for _, b := range p.args {
		_ = b.Finalize() // the buffer is not needed any more
	}
	p.exec.Finalize()
}

// checkProduct runs a small matrix product on the device and compares it with one computed in Go.
// The entries are small integers, so every arithmetic that a device may use gives the exact result.
func checkProduct(dev compute.Backend) error {
	const n = 48
	a, b := make([]float32, n*n), make([]float32, n*n)
	for i := range a {
		a[i] = float32((i*7+i/n)%11 - 5)
		b[i] = float32((i*5+i/n)%13 - 6)
	}
	p, err := newProduct(dev, dtypes.Float32, n, a, b)
	if err != nil {
		return err
	}
	defer p.free()
	got := make([]float32, n*n)
	if err := p.run(got); err != nil {
		return err
	}
	for i := range n {
		for j := range n {
			var want float32
			for k := range n {
				want += a[i*n+k] * b[k*n+j]
			}
			if got[i*n+j] != want {
				return fmt.Errorf("backend: the device computes wrongly: entry (%d, %d) of a %d×%d matrix "+
					"product is %v, want %v", i, j, n, n, got[i*n+j], want)
			}
		}
	}
	return nil
}

// MatMulRate measures the device's rate at a square matrix product in "float32" or "bfloat16", in
// 10⁹ floating-point operations a second (2n³ a product). It returns the median of up to five runs
// and takes under 2 s, on a GPU a few seconds.
func (d *Device) MatMulRate(of string) (gflops float64, err error) {
	dtype := dtypes.Float32
	if of == "bfloat16" {
		dtype = dtypes.BFloat16
	}
	const (
		smallest = 128
		largest  = 8192
		budget   = 100 * time.Millisecond // the size of a product doubles until it would take longer
		runs     = 5
	)
	for n := smallest; ; n *= 2 {
		times, err := timeProduct(d.Backend, dtype, n, runs, budget*runs)
		if err != nil {
			return 0, err
		}
		slices.Sort(times)
		median := times[len(times)/2]
		if n == largest || 8*median > budget {
			// operations a nanosecond: 10⁹ a second
			return 2 * math.Pow(float64(n), 3) / float64(max(median, 1)), nil
		}
	}
}

// timeProduct times up to runs products of size n, after one warm-up. It stops early once they have
// taken limit in total.
func timeProduct(
	dev compute.Backend, dtype dtypes.DType, n, runs int, limit time.Duration,
) ([]time.Duration, error) {
	a := make([]float32, n*n)
	for i := range a {
		a[i] = float32(i%17)/16 - 0.5
	}
	p, err := newProduct(dev, dtype, n, a, a)
	if err != nil {
		return nil, err
	}
	defer p.free()
	if err := p.run(nil); err != nil {
		return nil, err
	}
	var times []time.Duration
	var total time.Duration
	for len(times) < runs && total < limit {
		start := time.Now()
		if err := p.run(nil); err != nil {
			return nil, err
		}
		t := time.Since(start)
		times, total = append(times, t), total+t
	}
	return times, nil
}
