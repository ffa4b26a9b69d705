package weights

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
)

// copySources gives all tensors of a checkpoint as sources that are read when they are written.
func copySources(c *Tensors) []LazyArray {
	var sources []LazyArray
	for _, name := range c.Names() {
		info, _ := c.Info(name)
		sources = append(sources, LazyArray{name, info.Shape, func() ([]float32, error) {
			a, err := c.Read(name)
			return a.Data, err
		}})
	}
	return sources
}

// files lists a folder, hidden files too.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// The files in testdata were written by the reference implementation; written again they must be
// the same bytes.
func TestWriteAsReference(t *testing.T) {
	for _, file := range []string{"llama/model", "llama/reference/model",
		"llama/adapter/adapter_model", "llama3-rope/model"} {
		path := "../lm/testdata/" + file + ".safetensors"
		c, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		copied := filepath.Join(t.TempDir(), "copy.safetensors")
		if err := WriteFile(copied, copySources(c), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(copied)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: written again, %d bytes differ from the %d that were read", file, len(got),
				len(want))
		}
	}
}

func TestRewriteSharedModels(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(shared.Path(t, "golden/models"), "*",
		"model.safetensors"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, path := range paths {
		c, err := OpenFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		copied := filepath.Join(t.TempDir(), "copy.safetensors")
		if err := WriteFile(copied, copySources(c), WriteOptions{Metadata: c.Metadata()}); err != nil {
			t.Error(err)
		}
		c.Close()
		want, _ := os.ReadFile(path)
		got, _ := os.ReadFile(copied)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the copy differs", path)
		}
	}
}

func TestFloat16RoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		if got := roundFloat16(widenFloat16(uint16(h))); got != uint16(h) {
			t.Fatalf("float16 %#04x comes back as %#04x", h, got)
		}
		if got := roundBfloat16(math.Float32frombits(uint32(h) << 16)); got != uint16(h) {
			t.Fatalf("bfloat16 %#04x comes back as %#04x", h, got)
		}
	}
}

// Between each two neighbours: the middle goes to the even one, what is beside the middle to the
// nearer one.
func TestRoundToNearestEven(t *testing.T) {
	widenBfloat16 := func(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }
	for _, format := range []struct {
		name  string
		inf   uint16
		widen func(uint16) float32
		round func(float32) uint16
	}{{"F16", 0x7c00, widenFloat16, roundFloat16}, {"BF16", 0x7f80, widenBfloat16, roundBfloat16}} {
		for h := uint16(0); h+1 < format.inf; h++ {
			lo, hi := format.widen(h), format.widen(h+1)
			middle := lo + (hi-lo)/2 // exact: float32 has more bits
			even := h + h&1
			below, above := math.Nextafter32(middle, 0), math.Nextafter32(middle, math.MaxFloat32)
			for _, test := range []struct {
				x    float32
				want uint16
			}{{middle, even}, {below, h}, {above, h + 1}} {
				if got := format.round(test.x); got != test.want {
					t.Fatalf("%s: %g becomes %#04x, want %#04x", format.name, test.x, got, test.want)
				}
				if got := format.round(-test.x); got != test.want|0x8000 {
					t.Fatalf("%s: %g becomes %#04x, want %#04x", format.name, -test.x, got, test.want|0x8000)
				}
			}
		}
	}
	if got := roundFloat16(65519.996); got != 0x7bff {
		t.Errorf("65519.996 becomes %#04x, want the largest", got)
	}
	for _, x := range []float32{65520, 1e30, float32(math.Inf(1))} {
		if got := roundFloat16(x); got != 0x7c00 {
			t.Errorf("%g becomes %#04x, want infinity", x, got)
		}
	}
	for _, bits := range []uint32{0x7f800001, 0xffc00000, 0x7fffffff} { // NaN
		if h := roundFloat16(math.Float32frombits(bits)); h&0x7fff <= 0x7c00 {
			t.Errorf("NaN %#x becomes float16 %#04x", bits, h)
		}
		if h := roundBfloat16(math.Float32frombits(bits)); h&0x7fff <= 0x7f80 {
			t.Errorf("NaN %#x becomes bfloat16 %#04x", bits, h)
		}
	}
}

func TestWriteDTypes(t *testing.T) {
	inf := float32(math.Inf(1))
	data := []float32{0, 1, -2.5, 0.1, 65504, inf, 1e-7, 3}
	for dtype, tolerance := range map[string]float64{"": 0, "F32": 0, "BF16": 1. / 256,
		"F16": 1. / 2048} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		err := WriteFile(path, Lazy(
			Array{"second", []int{2, 4}, data}, Array{"first", nil, []float32{7}},
			Array{"empty", []int{0, 3}, nil},
		), WriteOptions{DType: dtype, Metadata: map[string]string{"note": "a<b", "format": "pt"}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if m := c.Metadata(); m["note"] != "a<b" || m["format"] != "pt" {
			t.Errorf("metadata %v", m)
		}
		got, err := c.ReadShape("second", 2, 4)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range data {
			if d := math.Abs(float64(got.Data[i] - x)); got.Data[i] != x &&
				!(d <= tolerance*math.Abs(float64(x)) || dtype == "F16" && d <= 0x1p-25) {
				t.Errorf("%s: %g became %g", dtype, x, got.Data[i])
			}
		}
		if one, err := c.ReadShape("first"); err != nil || one.Data[0] != 7 {
			t.Errorf("%v, %v", one, err)
		}
	}
}

func TestWriteInChunks(t *testing.T) {
	// more than four chunks of float32, more than two of the others
	data := make([]float32, readChunk+3)
	for i := range data {
		data[i] = float32(i % 251) // exact in all three
	}
	for _, dtype := range []string{"F32", "BF16", "F16"} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		if err := WriteFile(path, Lazy(Array{"a", []int{len(data)}, data}),
			WriteOptions{DType: dtype}); err != nil {
			t.Fatal(err)
		}
		c, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got, err := c.Read("a"); err != nil || !slices.Equal(got.Data, data) {
			t.Errorf("%s: other values come back, %v", dtype, err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	one := []float32{1}
	broken := errors.New("device lost")
	big := make([]float32, readChunk/2+1) // the bad value is in the second chunk
	big[readChunk/2] = 1e6
	for name, test := range map[string]struct {
		sources []LazyArray
		opt     WriteOptions
		want    string
	}{
		"dtype": {Lazy(Array{"a", nil, one}), WriteOptions{DType: "I8"}, `dtype "I8"`},
		"twice": {Lazy(Array{"a", nil, one}, Array{"a", nil, one}), WriteOptions{},
			"a comes twice"},
		"no name":   {Lazy(Array{"", nil, one}), WriteOptions{}, "cannot be the name"},
		"reserved":  {Lazy(Array{"__metadata__", nil, one}), WriteOptions{}, "cannot be the name"},
		"not UTF-8": {Lazy(Array{"\xff", nil, one}), WriteOptions{}, "cannot be the name"},
		"metadata":  {nil, WriteOptions{Metadata: map[string]string{"a": "\xff"}}, "not UTF-8"},
		"negative":  {Lazy(Array{"a", []int{-1, -1}, one}), WriteOptions{}, "has shape [-1 -1]"},
		"overflow":  {Lazy(Array{"a", []int{1 << 40, 1 << 40}, nil}), WriteOptions{}, "too large"},
		"count": {Lazy(Array{"a", []int{2}, one}), WriteOptions{},
			"1 values for shape [2], want 2"},
		"range F16": {Lazy(Array{"a", []int{len(big)}, big}), WriteOptions{DType: "F16"},
			fmt.Sprintf("1e+06 at index %d does not fit F16", readChunk/2)},
		"range BF16": {Lazy(Array{"a", nil, []float32{math.MaxFloat32}}), WriteOptions{DType: "BF16"},
			"does not fit BF16"},
		"source": {[]LazyArray{{"a", nil, func() ([]float32, error) { return nil, broken }}},
			WriteOptions{}, "a: device lost"},
		"shard size": {nil, WriteOptions{MaxShard: -1}, "shards of at most -1"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, singleFile), []byte("as before"), 0o644); err != nil {
			t.Fatal(err)
		}
		for kind, err := range map[string]error{
			"file":   WriteFile(filepath.Join(dir, singleFile), test.sources, test.opt),
			"folder": Write(dir, test.sources, test.opt),
		} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s, %s: %v\nwant it to contain %q", name, kind, err, test.want)
			}
			if name == "source" && !errors.Is(err, broken) {
				t.Errorf("%v does not wrap the source's error", err)
			}
		}
		if before, _ := os.ReadFile(filepath.Join(dir, singleFile)); string(before) != "as before" ||
			files(t, dir) != singleFile {
			t.Errorf("%s: the folder holds %s, the file %q", name, files(t, dir), before)
		}
	}
	if err := Write(filepath.Join(t.TempDir(), "none"), nil, WriteOptions{}); !errors.Is(err,
		os.ErrNotExist) {
		t.Errorf("into no folder: %v", err)
	}
}

// A write that fails in a late shard leaves the earlier ones unnamed.
func TestWriteShardsFails(t *testing.T) {
	dir := t.TempDir()
	sources := Lazy(Array{"a", nil, []float32{1}}, Array{"b", nil, []float32{2}})
	if err := Write(dir, sources, WriteOptions{MaxShard: 4}); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	sources = append(
		sources, LazyArray{"c", nil, func() ([]float32, error) { return nil, errors.New("no") }})
	sources[0].Values = func() ([]float32, error) { return []float32{9}, nil }
	if err := Write(dir, sources, WriteOptions{MaxShard: 4}); err == nil {
		t.Fatal("no error")
	}
	if files(t, dir) != before {
		t.Errorf("%s, before %s", files(t, dir), before)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Read("a"); err != nil || a.Data[0] != 1 {
		t.Errorf("%v, %v", a, err)
	}
}

// Whatever was in the folder, what was written last is what is read.
func TestWriteCheckpointReplaces(t *testing.T) {
	dir := t.TempDir()
	bystanders := []string{"model-of-mine.safetensors", "adapter_model.safetensors"}
	for _, name := range bystanders {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	value := float32(0)
	for _, shard := range []int64{0, 4, 8, 4, 0, 8, 0} {
		value++
		err := Write(dir, Lazy(Array{"a", nil, []float32{value}}, Array{"b", nil, []float32{2}},
			Array{"c", nil, []float32{3}}), WriteOptions{MaxShard: shard})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := c.Read("a"); err != nil || a.Data[0] != value {
			t.Errorf("shards of %d: read %v, %v, want %g", shard, a.Data, err, value)
		}
		c.Close()
		want := map[int64]int{0: 1, 4: 4, 8: 3}[shard] + len(bystanders)
		if got := len(strings.Fields(files(t, dir))); got != want {
			t.Errorf("shards of %d: %d files, want %d: %s", shard, got, want, files(t, dir))
		}
	}
}
