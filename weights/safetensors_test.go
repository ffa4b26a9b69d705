package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rawSafetensors puts a header in front of data, without any check.
func rawSafetensors(header string, data []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), data...)
}

func writeTemp(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadDTypes(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	var data []byte
	f32 := []float32{1, -2.5, 3e-45, nan, inf}
	for _, x := range f32 {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	for _, h := range []uint16{0x3c00, 0xc100, 0x0001, 0x83ff, 0x7c00, 0xfc00, 0x7e00, 0x7bff} {
		data = binary.LittleEndian.AppendUint16(data, h)
	}
	for _, h := range []uint16{0x3f80, 0xc020, 0x0001, 0x7f80, 0x7fc0, 0x7f7f, 0x8000, 0x4049,
		0xbf80} {
		data = binary.LittleEndian.AppendUint16(data, h)
	}
	for _, x := range []float64{math.Pi, -1e-60} {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
	}
	data = append(data, 1, 2, 3, 4)
	path := writeTemp(t, "d.safetensors",
		rawSafetensors(`{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,20]},
		"b":{"dtype":"F16","shape":[2,4],"data_offsets":[20,36]},"c":{"dtype":"BF16","shape":[9],"data_offsets":[36,54]},
		"d":{"dtype":"F64","shape":[2,1],"data_offsets":[54,70]},"e":{"dtype":"I32","shape":[],"data_offsets":[70,74]},
		"z":{"dtype":"F32","shape":[0,7],"data_offsets":[20,20]}, "__metadata__":{"k":"v"}}   `, data))
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := strings.Join(c.Names(), ""); got != "abcdez" {
		t.Errorf("names %s", got)
	}
	if c.Metadata()["k"] != "v" {
		t.Errorf("metadata %v", c.Metadata())
	}
	want := map[string][]float32{
		"a": f32,
		"b": {1, -2.5, 0x1p-24, -1023 * 0x1p-24, inf, -inf, nan, 65504},
		"c": {1, -2.5, math.Float32frombits(1 << 16), inf, nan, math.Float32frombits(0x7f7f0000),
			float32(math.Copysign(0, -1)), 3.140625, -1},
		"d": {math.Pi, float32(math.Copysign(0, -1))},
		"z": {},
	}
	for name, values := range want {
		a, err := c.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Data) != len(values) {
			t.Fatalf("%s: %d values, want %d", name, len(a.Data), len(values))
		}
		for i, x := range values {
			same := math.Float32bits(a.Data[i]) == math.Float32bits(x) || math.IsNaN(float64(x)) &&
				math.IsNaN(float64(a.Data[i]))
			if !same {
				t.Errorf("%s[%d] = %g, want %g", name, i, a.Data[i], x)
			}
		}
	}
	if _, err := c.Read("e"); err == nil || !strings.Contains(err.Error(), "I32") {
		t.Errorf("reading I32: %v", err)
	}
	if info, ok := c.Info("b"); !ok || info.DType != "F16" || fmt.Sprint(info.Shape) != "[2 4]" ||
		info.File != path || info.Bytes != 16 {
		t.Errorf("info %+v", info)
	}
}

func TestReadFloat64OutOfRange(t *testing.T) {
	path := writeTemp(t, "d.safetensors",
		rawSafetensors(`{"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}`,
			binary.LittleEndian.AppendUint64(nil, math.Float64bits(1e300))))
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read("a"); err == nil || !strings.Contains(err.Error(), "does not fit float32") {
		t.Errorf("err = %v", err)
	}
}

// A countingReader counts the reads and remembers the largest.
type countingReader struct {
	io.ReaderAt
	calls   int
	largest int
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	r.calls++
	r.largest = max(r.largest, len(p))
	return r.ReaderAt.ReadAt(p, off)
}

func TestReadInChunks(t *testing.T) {
	const n = 3*readChunk/2 + 5 // bfloat16 values: three chunks and a bit
	data := make([]byte, 2*n)
	for i := range n {
		binary.LittleEndian.PutUint16(data[2*i:], uint16(i%0x7f00))
	}
	file := rawSafetensors(fmt.Sprintf(`{"a":{"dtype":"BF16","shape":[%d],"data_offsets":[0,%d]}}`, n,
		2*n), data)
	source := &countingReader{ReaderAt: bytes.NewReader(file)}
	tensors, _, err := readHeader(source, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	source.calls, source.largest = 0, 0
	a, err := tensors[0].read()
	if err != nil {
		t.Fatal(err)
	}
	if source.calls != 4 || source.largest != readChunk {
		t.Errorf("%d reads of up to %d bytes", source.calls, source.largest)
	}
	for i, x := range a.Data {
		if math.Float32bits(x) != uint32(i%0x7f00)<<16 {
			t.Fatalf("value %d is %x", i, math.Float32bits(x))
		}
	}
	tensors[0].source = bytes.NewReader(file[:len(file)-1]) // shortened after it was opened
	if _, err := tensors[0].read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("shortened file: %v", err)
	}
}

func TestHostileFiles(t *testing.T) {
	tests := []struct {
		name, header string
		data         int
		want         string
	}{
		{"not JSON", `{"a":`, 0, "unexpected EOF"},
		{"array", `[1]`, 0, "not a JSON object"},
		{"leading space", ` {}`, 0, "not a JSON object"},
		{"trailing text", `{} x`, 0, "after the JSON object"},
		{"not UTF-8", "{\"a\xff\":{}}", 0, "not UTF-8"},
		{"duplicate name",
			`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, `"a" occurs twice`},
		{"duplicate key", `{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1,
			`"dtype" occurs twice`},
		{"overlap",
			`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3, "gaps and overlaps"},
		{"same place",
			`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2, "gaps and overlaps"},
		{"gap", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2, "gaps and overlaps"},
		{"beyond the end", `{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}`, 8,
			"downloaded fully"},
		{"bytes left over", `{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, 9,
			"describes 8 bytes of data, the file has 9"},
		{"negative dimension", `{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}`, 4,
			"not a size"},
		{"null dimension", `{"a":{"dtype":"F32","shape":[null],"data_offsets":[0,0]}}`, 0, "not a size"},
		{"fraction", `{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 4, "1.5"},
		{"overflowing shape",
			`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0, "too large"},
		{"overflowing dimension",
			`{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,0]}}`, 0,
			"18446744073709551616"},
		{"overflow before zero",
			`{"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}`, 0, "too large"},
		{"wrong byte count", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4,
			"takes 8 bytes, its data_offsets span 4"},
		{"half a byte", `{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,0]}}`, 0,
			"data_offsets span 0"},
		{"backward offsets", `{"a":{"dtype":"U8","shape":[0],"data_offsets":[1,0]}}`, 1,
			"begin and an end"},
		{"negative offsets", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}`, 1,
			"begin and an end"},
		{"three offsets", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, 1,
			"begin and an end"},
		{"no shape", `{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1, "no shape"},
		{"unknown dtype", `{"a":{"dtype":"Q8","shape":[1],"data_offsets":[0,1]}}`, 1,
			`unknown dtype "Q8"`},
		{"metadata not text", `{"__metadata__":{"a":1}}`, 0, "not a string"},
		{"entry not an object", `{"a":3}`, 0, "not a JSON object"},
		{"far offsets",
			`{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`, 1,
			"too large"},
	}
	for _, test := range tests {
		path := writeTemp(t, "x.safetensors", rawSafetensors(test.header, make([]byte, test.data)))
		c, err := OpenFile(path)
		if err == nil {
			c.Close()
			t.Errorf("%s: no error", test.name)
		} else if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v\nwant it to contain %q", test.name, err, test.want)
		}
	}
}

func TestHostileLengths(t *testing.T) {
	length := func(n uint64) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, n), "{}"...)
	}
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"empty":          {nil, "too few"},
		"seven bytes":    {make([]byte, 7), "too few"},
		"no header":      {make([]byte, 8), "not a JSON object"},
		"beyond the end": {length(3), "header of 3 bytes in a file of 10"},
		"huge":           {length(1 << 40), "at most 100000000"},
		"overflowing":    {length(math.MaxUint64), "at most 100000000"},
	} {
		if _, err := OpenFile(writeTemp(t, "x.safetensors", test.file)); err == nil ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenFile(t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := OpenFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// A file of which only the header was ever written is large without taking space: the sizes are
// real, the reading is not tried.
func TestTensorBeyondTwoGigabytes(t *testing.T) {
	const n = 3 << 29 // values, 3 GiB as BF16
	header := fmt.Sprintf(
		`{"a":{"dtype":"BF16","shape":[%d],"data_offsets":[0,%d]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[%d,%d]}}`, n, 2*n, 2*n, 2*n+2)
	path := writeTemp(t, "big.safetensors", rawSafetensors(header, nil))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0x80, 0x3f}, int64(8+len(header))+2*n); err != nil {
		t.Skipf("no sparse files: %v", err)
	}
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Read("b"); err != nil || a.Data[0] != 1 {
		t.Errorf("the tensor behind 3 GiB: %v, %v", a.Data, err)
	}
	if info, _ := c.Info("a"); info.Bytes != 2*n {
		t.Errorf("%d bytes", info.Bytes)
	}
}

func FuzzReadHeader(f *testing.F) {
	for _, model := range []string{"llama/model", "llama/adapter/adapter_model"} {
		data, err := os.ReadFile("../lm/testdata/" + model + ".safetensors")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:8+binary.LittleEndian.Uint64(data)])
	}
	f.Add(rawSafetensors(
		`{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[],"data_offsets":[4,6]}}`, make([]byte, 6)))
	f.Add(rawSafetensors(
		`{"a":{"dtype":"F32","shape":[0,9],"data_offsets":[0,0]},"b":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)))
	f.Fuzz(func(t *testing.T, file []byte) {
		tensors, _, err := readHeader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		// What was accepted must be readable: every byte belongs to exactly one tensor.
		total := 8 + int64(binary.LittleEndian.Uint64(file))
		for _, x := range tensors {
			total += x.Bytes
			a, err := x.read()
			if err != nil && errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %v", x.Name, err)
			}
			if err == nil {
				if n, _ := bitSize(a.Shape, 1); n != uint64(len(a.Data)) {
					t.Errorf("%s: %d values of shape %v", x.Name, len(a.Data), a.Shape)
				}
			}
		}
		if total != int64(len(file)) {
			t.Errorf("%d bytes described, %d in the file", total, len(file))
		}
	})
}

func BenchmarkFromBfloat16(b *testing.B) {
	src, dst := make([]byte, readChunk), make([]float32, readChunk/2)
	b.SetBytes(readChunk)
	for b.Loop() {
		fromBfloat16(dst, src)
	}
}

func BenchmarkReadBF16(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.safetensors")
	a := Array{Name: "a", Shape: []int{4096, 8192}, Data: make([]float32, 4096*8192)}
	if err := WriteFile(path, Lazy(a), WriteOptions{DType: "BF16"}); err != nil {
		b.Fatal(err)
	}
	c, err := OpenFile(path)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.SetBytes(int64(2 * len(a.Data)))
	for b.Loop() {
		if _, err := c.Read("a"); err != nil {
			b.Fatal(err)
		}
	}
}
