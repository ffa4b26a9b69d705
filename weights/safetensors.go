package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"haf/internal/wholefile"
)

// An Array is a named tensor, row-major. Its values in memory are float32, whatever the dtype on
// disk.
type Array struct {
	Name  string
	Shape []int // empty for a single number
	Data  []float32
}

// An Info describes a tensor on disk.
type Info struct {
	Name  string
	DType string // as in the file: F32, BF16, F16, …
	Shape []int
	Bytes int64  // its size on disk
	File  string // the path of the file that holds it
}

// maxHeader is the reference implementation's limit for a header, in bytes.
const maxHeader = 100_000_000

// Limits for a file: tensors, bytes of a name, dimensions of a shape.
const maxTensors, maxName, maxDimensions = 1 << 17, 4096, 64

// dtypeBits is the width in bits of a value of each dtype of the format.
var dtypeBits = map[string]uint64{
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
	"F8_E5M2FNUZ": 8,
	"I16":         16, "U16": 16, "F16": 16, "BF16": 16,
	"I32": 32, "U32": 32, "F32": 32,
	"I64": 64, "U64": 64, "F64": 64, "C64": 64,
}

// A tensor is an Info with the location of its data.
type tensor struct {
	Info
	source io.ReaderAt
	offset int64
	// heads, if not 0, is the number of heads whose rows are in llama.cpp's order, which reading
	// undoes.
	heads int
	// noValues: reading returns the shape without the values.
	noValues bool
}

// OpenFile opens one file. It reads and checks the header at once, the data on demand. It refuses a
// file that is truncated or that its header does not describe exactly. It removes the prefixes that
// torch.compile and DistributedDataParallel put before the names.
func OpenFile(path string) (*Tensors, error) {
	c, err := openFile(path)
	if err != nil {
		return nil, err
	}
	return c.unwrap()
}

// openFile opens a file and keeps the names as stored.
func openFile(path string) (*Tensors, error) {
	info, err := os.Stat(path) // before opening, because opening a pipe would wait for its writer
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("weights: %s: not a regular file; give the path of a .safetensors file",
			path)
	}
	f, err := wholefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	tensors, metadata, err := readHeader(f, info.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	for i := range tensors {
		tensors[i].File = path
	}
	return newCheckpoint(tensors, metadata, f), nil
}

// readHeader reads the header of a safetensors file of the given size: eight bytes of length, then
// JSON.
func readHeader(source io.ReaderAt, size int64) ([]tensor, map[string]string, error) {
	if size < 8 {
		return nil, nil, fmt.Errorf(
			"%d bytes are too few for a safetensors file; was it downloaded fully?", size)
	}
	var prefix [8]byte
	if _, err := source.ReadAt(prefix[:], 0); err != nil {
		return nil, nil, fmt.Errorf("reading the header's length: %w", err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader {
		return nil, nil, fmt.Errorf(
			"header of %d bytes, at most %d are allowed; is it a safetensors file?", length, maxHeader)
	}
	if int64(length) > size-8 {
		return nil, nil, fmt.Errorf("header of %d bytes in a file of %d; was it downloaded fully?",
			length, size)
	}
	header := make([]byte, length)
	if _, err := source.ReadAt(header, 8); err != nil && !(err == io.EOF && length == 0) {
		return nil, nil, fmt.Errorf("reading the header: %w", err)
	}
	start := 8 + int64(length)
	tensors, metadata, err := parseHeader(header, size-start)
	if err != nil {
		return nil, nil, err
	}
	for i := range tensors {
		tensors[i].source = source
		tensors[i].offset += start
	}
	return tensors, metadata, nil
}

// parseHeader parses the JSON of a header before dataSize bytes of data. It returns the tensors
// sorted by offset, counted from the beginning of the data. As in the reference implementation,
// they must cover the data without gap or overlap.
func parseHeader(header []byte, dataSize int64) ([]tensor, map[string]string, error) {
	if !utf8.Valid(header) {
		return nil, nil, errors.New("the header is not UTF-8; is it a safetensors file?")
	}
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, errors.New("the header is not a JSON object; is it a safetensors file?")
	}
	var tensors []tensor
	var metadata map[string]string
	dec := json.NewDecoder(bytes.NewReader(header))
	err := eachMember(dec, func(name string) (err error) {
		if name == "__metadata__" {
			metadata, err = parseMetadata(dec)
			return err
		}
		if len(tensors) == maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		t, err := parseTensor(dec, name)
		tensors = append(tensors, t)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.TrimRight(header[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, nil, fmt.Errorf("header: %d bytes after the JSON object", len(rest))
	}
	// Empty tensors have the same offset as the next tensor, hence the second key.
	slices.SortFunc(tensors, func(a, b tensor) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.Bytes, b.Bytes),
			strings.Compare(a.Name, b.Name))
	})
	var end int64
	for _, t := range tensors {
		if t.offset != end {
			return nil, nil, fmt.Errorf("%s: its data begins at %d, but what is before it ends at %d; gaps "+
				"and overlaps are not allowed", t.Name, t.offset, end)
		}
		end += t.Bytes
		if end < 0 || end > dataSize {
			return nil, nil, fmt.Errorf("%s: its data ends at %d, but the file has %d bytes of data; was "+
				"it downloaded fully?", t.Name, uint64(end), dataSize)
		}
	}
	if end != dataSize {
		return nil, nil, fmt.Errorf("the header describes %d bytes of data, the file has %d", end,
			dataSize)
	}
	return tensors, metadata, nil
}

// parseTensor reads one entry of the header, {"dtype", "shape", "data_offsets"}, and checks that
// its parts agree.
func parseTensor(dec *json.Decoder, name string) (tensor, error) {
	if len(name) > maxName {
		return tensor{}, fmt.Errorf("a tensor's name has %d bytes, want at most %d", len(name), maxName)
	}
	t := tensor{Info: Info{Name: name}}
	var shape, offsets []*int64 // pointers, because null is no number
	err := eachMember(dec, func(key string) error {
		switch key {
		case "dtype":
			return dec.Decode(&t.DType)
		case "shape":
			return dec.Decode(&shape)
		case "data_offsets":
			return dec.Decode(&offsets)
		}
		return dec.Decode(new(json.RawMessage))
	})
	if err != nil {
		return t, fmt.Errorf("%s: %w", name, err)
	}
	if len(shape) > maxDimensions {
		return t, fmt.Errorf("%s: a shape of %d dimensions, want at most %d", name, len(shape),
			maxDimensions)
	}
	width, known := dtypeBits[t.DType]
	if !known {
		return t, fmt.Errorf("%s: unknown dtype %q", name, t.DType)
	}
	if shape == nil {
		return t, fmt.Errorf("%s: no shape", name)
	}
	if len(offsets) != 2 || offsets[0] == nil || offsets[1] == nil || *offsets[0] < 0 ||
		*offsets[1] < *offsets[0] {
		return t, fmt.Errorf("%s: data_offsets are not a begin and an end", name)
	}
	t.offset, t.Bytes = *offsets[0], *offsets[1]-*offsets[0]
	t.Shape = make([]int, len(shape))
	for i, d := range shape {
		if d == nil || *d < 0 || *d > math.MaxInt {
			return t, fmt.Errorf("%s: dimension %d of its shape is not a size", name, i)
		}
		t.Shape[i] = int(*d)
	}
	size, ok := bitSize(t.Shape, width)
	if !ok {
		return t, fmt.Errorf("%s: shape %v is too large", name, t.Shape)
	}
	if size%8 != 0 || size/8 != uint64(t.Bytes) {
		return t, fmt.Errorf("%s: shape %v of %s takes %d bytes, its data_offsets span %d", name, t.Shape,
			t.DType, size/8, t.Bytes)
	}
	return t, nil
}

func parseMetadata(dec *json.Decoder) (map[string]string, error) {
	metadata := map[string]string{}
	err := eachMember(dec, func(key string) error {
		var value *string
		if err := dec.Decode(&value); err != nil || value == nil {
			return fmt.Errorf("__metadata__: %s is not a string", key)
		}
		metadata[key] = *value
		return nil
	})
	return metadata, err
}

// eachMember reads a JSON object and calls member after each key, to read the value. A duplicate
// key is an error; encoding/json would keep the last.
func eachMember(dec *json.Decoder, member func(key string) error) error {
	open, err := dec.Token()
	if err != nil {
		return truncated(err)
	}
	if open != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return truncated(err)
		}
		key, ok := token.(string)
		if !ok {
			return errors.New("a key is not a string")
		}
		if seen[key] {
			return fmt.Errorf("%q occurs twice", key)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return truncated(err)
		}
	}
	_, err = dec.Token()
	return truncated(err)
}

// truncated gives an end of input inside a value its name.
func truncated(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// bitSize is the size in bits of a tensor with that shape; false if it overflows an int64.
func bitSize(shape []int, width uint64) (uint64, bool) {
	size := width
	for _, d := range shape {
		hi, lo := bits.Mul64(size, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, false
		}
		size = lo
	}
	return size, true
}

// readChunk is the largest read or write in bytes, so that a tensor is never in memory in two
// dtypes.
const readChunk = 256 << 10

// read reads and converts all values.
func (t *tensor) read() (a Array, err error) {
	b, quantized := quantBlocks[t.DType]
	if t.noValues {
		if _, err := t.converter(); err != nil && !quantized {
			return Array{}, err
		}
		return Array{Name: t.Name, Shape: slices.Clone(t.Shape)}, nil
	}
	if quantized {
		a, err = t.readBlocks(b)
	} else {
		a, err = t.readNumbers()
	}
	if err == nil && t.heads > 0 {
		interleave(a, t.heads)
	}
	return a, err
}

// converter returns the function that converts bytes of a dtype without blocks to float32.
func (t *tensor) converter() (func(dst []float32, src []byte) error, error) {
	switch t.DType {
	case "F32":
		return fromFloat32, nil
	case "BF16":
		return fromBfloat16, nil
	case "F16":
		return fromFloat16, nil
	case "F64":
		return fromFloat64, nil
	}
	return nil, fmt.Errorf("weights: %s: %s has dtype %s, only F32, BF16, F16 and F64 are weights; "+
		"is it a quantized model?", t.File, t.Name, t.DType)
}

func (t *tensor) readNumbers() (Array, error) {
	convert, err := t.converter()
	if err != nil {
		return Array{}, err
	}
	width := int64(dtypeBits[t.DType] / 8)
	data := make([]float32, t.Bytes/width)
	buf := make([]byte, min(t.Bytes, readChunk))
	for done := int64(0); done < t.Bytes; done += int64(len(buf)) {
		buf = buf[:min(t.Bytes-done, readChunk)]
		if n, err := t.source.ReadAt(buf, t.offset+done); n < len(buf) {
			return Array{}, fmt.Errorf("weights: %s: reading %s: %w", t.File, t.Name, truncated(err))
		}
		at := done / width
		if err := convert(data[at:at+int64(len(buf))/width], buf); err != nil {
			return Array{}, fmt.Errorf("weights: %s: %s: %w", t.File, t.Name, err)
		}
	}
	return Array{Name: t.Name, Shape: slices.Clone(t.Shape), Data: data}, nil
}

func fromFloat32(dst []float32, src []byte) error {
	for len(dst) >= 4 && len(src) >= 16 {
		a, b := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
		dst[0], dst[1] = math.Float32frombits(uint32(a)), math.Float32frombits(uint32(a>>32))
		dst[2], dst[3] = math.Float32frombits(uint32(b)), math.Float32frombits(uint32(b>>32))
		dst, src = dst[4:], src[16:]
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
	return nil
}

// fromBfloat16 is exact: a bfloat16 is the upper half of a float32.
func fromBfloat16(dst []float32, src []byte) error {
	const upper = 0xffff0000
	for len(dst) >= 8 && len(src) >= 16 { // eight at a time: 1.5 times as fast as one
		a, b := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
		dst[0], dst[1] = math.Float32frombits(uint32(a)<<16), math.Float32frombits(uint32(a)&upper)
		dst[2], dst[3] = math.Float32frombits(uint32(a>>32)<<16),
			math.Float32frombits(uint32(a>>32)&upper)
		dst[4], dst[5] = math.Float32frombits(uint32(b)<<16), math.Float32frombits(uint32(b)&upper)
		dst[6], dst[7] = math.Float32frombits(uint32(b>>32)<<16),
			math.Float32frombits(uint32(b>>32)&upper)
		dst, src = dst[8:], src[16:]
	}
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
	return nil
}

func fromFloat16(dst []float32, src []byte) error {
	for i := range dst {
		dst[i] = widenFloat16(binary.LittleEndian.Uint16(src[2*i:]))
	}
	return nil
}

// widenFloat16 is exact, also for subnormals, infinities and the payloads of NaNs.
func widenFloat16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent, mantissa := uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exponent {
	case 0: // zero or subnormal: mantissa · 2⁻²⁴
		return math.Float32frombits(sign | math.Float32bits(float32(mantissa)*0x1p-24))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | mantissa<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | mantissa<<13)
}

// fromFloat64 rounds to nearest. A finite value that becomes infinite is an error.
func fromFloat64(dst []float32, src []byte) error {
	for i := range dst {
		x := math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
		dst[i] = float32(x)
		if math.IsInf(float64(dst[i]), 0) && !math.IsInf(x, 0) {
			return fmt.Errorf("value %g at index %d does not fit float32", x, i)
		}
	}
	return nil
}
