package lm

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// A cache holds the keys and values of the rows that are generated: for each layer two tensors [R,
// K, S, D]. A place is its token's position, so what is left over from an earlier row is behind
// what may be seen.
//
// Where the device's memory is the host's, new keys and values are copied into place: a step then
// moves as many bytes as it adds. Elsewhere a program writes them, and the old tensors are given to
// it.
type cache struct {
	backend      compute.Backend
	shared       bool
	rows, length int
	heads        int // K
	unit         int // bytes of a head's vector [D]
	layers       []*tensors.Tensor
	insert       *Exec // of caches, kv, places
	write        *Exec // of caches, kv, positions
}

func newCache(
	backend compute.Backend, c *Config, dtype dtypes.DType, rows, length int, shared bool,
) (*cache, error) {
	out := &cache{backend: backend, shared: shared, rows: rows, length: length, heads: c.KVHeads,
		unit: c.HeadDim * dtype.Size()}
	for range 2 * c.Layers {
		t, err := tensors.FromShapeForBackend(backend, 0, shapes.Make(dtype, rows, c.KVHeads, length,
			c.HeadDim))
		if err != nil {
			out.free()
			return nil, fmt.Errorf("lm: room for a cache of %d rows of %d positions: %w; generate fewer "+
				"rows at once", rows, length, err)
		}
		out.layers = append(out.layers, t)
		// hidden places have weight 0, and 0 times NaN would be NaN
		err = t.MutableBytes(func(data []byte) { clear(data) })
		if err == nil && !shared {
			err = t.ToDevice(backend, 0)
		}
		if err != nil {
			out.free()
			return nil, fmt.Errorf("lm: preparing the cache: %w", err)
		}
	}
	if !shared {
		out.insert = MustNewExec(backend, insertGraph).SetMaxCache(-1).WithName("insert")
		out.write = MustNewExec(backend, writeGraph).SetMaxCache(-1).WithName("write")
	}
	return out, nil
}

func (c *cache) free() {
	for _, t := range c.layers {
		t.MustFinalizeAll()
	}
	for _, e := range []*Exec{c.insert, c.write} {
		if e != nil {
			e.Finalize()
		}
	}
	c.layers = nil
}

func (c *cache) arguments() []any {
	args := make([]any, len(c.layers))
	for i, t := range c.layers {
		args[i] = t
	}
	return args
}

// A fill puts a prompt's keys and values at the beginning of a row: those of length positions from
// one on.
type fill struct{ row, from, length int }

// fill copies prompts' keys and values, [2·Layers, K, T, D], into rows.
func (c *cache) fill(kv *tensors.Tensor, fills []fill) error {
	positions := kv.Shape().Dimensions[2]
	if !c.shared {
		places := make([]int32, c.rows*c.length)
		for i := range places {
			places[i] = -1
		}
		for _, f := range fills {
			for p := range f.length {
				places[f.row*c.length+p] = int32(f.from + p)
			}
		}
		return c.replace(c.insert, kv, tensors.FromFlatDataAndDimensions(places, c.rows, c.length))
	}
	return c.copy([]*tensors.Tensor{kv}, func(layer int, to []byte, from [][]byte) {
		for _, f := range fills {
			for k := range c.heads {
				source := from[0][((layer*c.heads+k)*positions+f.from)*c.unit:]
				copy(to[(f.row*c.heads+k)*c.length*c.unit:], source[:f.length*c.unit])
			}
		}
	})
}

// add writes the keys and values of a step, for each layer [R, K, D] twice, at the positions of the
// rows; −1 is no row.
func (c *cache) add(kv []*tensors.Tensor, positions []int32) error {
	if !c.shared {
		args := make([]any, len(kv))
		for i, t := range kv {
			args[i] = t
		}
		return c.replace(c.write, append(args, tensors.FromFlatDataAndDimensions(positions, c.rows))...)
	}
	return c.copy(kv, func(layer int, to []byte, from [][]byte) {
		for row, position := range positions {
			if position < 0 {
				continue
			}
			for k := range c.heads {
				at := row*c.heads + k
				copy(to[(at*c.length+int(position))*c.unit:], from[layer][at*c.unit:(at+1)*c.unit])
			}
		}
	})
}

// copy opens every tensor of the cache, beside the bytes of the sources.
func (c *cache) copy(
	sources []*tensors.Tensor, write func(layer int, to []byte, from [][]byte),
) error {
	var from [][]byte
	var open func(i int) error
	open = func(i int) error {
		if i < len(sources) {
			var inner error
			err := sources[i].ConstBytes(func(data []byte) {
				from = append(from, data)
				inner = open(i + 1)
			})
			if err != nil {
				return err
			}
			return inner
		}
		for layer, t := range c.layers {
			if err := t.MutableBytes(func(data []byte) { write(layer, data, from) }); err != nil {
				return err
			}
		}
		return nil
	}
	if err := open(0); err != nil {
		return fmt.Errorf("lm: writing the cache: %w", err)
	}
	return nil
}

// replace runs a program that takes the cache, given away, and more, and returns it changed.
func (c *cache) replace(program *Exec, more ...any) error {
	args := make([]any, 0, len(c.layers)+len(more))
	for _, t := range c.layers {
		given, err := DonateTensorBuffer(t, c.backend, 0)
		if err != nil {
			return fmt.Errorf("lm: writing the cache: %w", err)
		}
		args = append(args, given)
	}
	out, err := program.Call(append(args, more...)...)
	if err != nil {
		return fmt.Errorf("lm: writing the cache: %w", err)
	}
	for i, t := range c.layers {
		t.MustFinalizeAll()
		c.layers[i] = out[i]
	}
	return nil
}

// insertGraph takes the caches, kv [2·Layers, K, T, D] and placesRS, which says for each place of
// the caches the position that it is to hold; −1 leaves it.
func insertGraph(in []*Node) []*Node {
	n := len(in) - 2
	kv, placesRS := in[n], in[n+1]
	out := make([]*Node, n)
	for i, old := range in[:n] {
		dims := old.Shape().Dimensions
		source := TransposeAllAxes(Squeeze(Slice(kv, AxisRange(i, i+1)), 0), 1, 0, 2) // [T, K, D]
		taken := Gather(source, ExpandAxes(Max(placesRS, ZerosLike(placesRS)), -1))   // [R, S, K, D]
		replaced := GreaterOrEqual(placesRS, ZerosLike(placesRS))
		replaced = BroadcastToDims(Reshape(replaced, dims[0], 1, dims[2], 1), dims...)
		out[i] = Where(replaced, TransposeAllAxes(taken, 0, 2, 1, 3), old)
	}
	return out
}

// writeGraph takes the caches, for each the new vectors [R, K, D], and the positions [R] where they
// go; −1 is nowhere.
func writeGraph(in []*Node) []*Node {
	n := len(in) / 2
	positionsR := in[2*n]
	out := make([]*Node, n)
	for i, old := range in[:n] {
		dims := old.Shape().Dimensions
		at := Iota(old.Graph(), shapes.Make(dtypes.Int32, dims...), 2)
		here := Equal(at, BroadcastToDims(Reshape(positionsR, dims[0], 1, 1, 1), dims...))
		fresh := BroadcastToDims(ExpandAxes(in[n+i], 2), dims...)
		out[i] = Where(here, fresh, old)
	}
	return out
}
