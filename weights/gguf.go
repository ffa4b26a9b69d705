package weights

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"haf/internal/wholefile"
)

// A GGUF is an opened file of llama.cpp's format. It holds a model's configuration and tokenizer as
// metadata, and its weights, often quantized.
type GGUF struct {
	// Metadata holds the values by key: bool, int64 for every integer, float32, float64, string, or a
	// slice of one of these.
	Metadata map[string]any
	// Dimensions are in the order of safetensors: the last varies fastest.
	tensors []tensor
	path    string
	file    io.Closer
}

const (
	ggufMagic     = "GGUF"
	ggufAlignment = 32 // unless general.alignment differs
	// limit in bytes of metadata and tensor descriptions; vocabularies take a few MB
	maxGGUFHeader = 512 << 20
)

// IsGGUF reports whether path is a regular file that begins with GGUF's magic or ends in .gguf.
func IsGGUF(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	if strings.HasSuffix(strings.ToLower(path), ".gguf") {
		return true
	}
	f, err := wholefile.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [len(ggufMagic)]byte
	_, err = io.ReadFull(f, magic[:])
	return err == nil && string(magic[:]) == ggufMagic
}

// OpenGGUF opens a file. It reads and checks the header at once, the data on demand. It refuses a
// file that is truncated, whose tensors overlap, or whose weights are of an unknown type.
func OpenGGUF(path string) (*GGUF, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("weights: %s: not a regular file; give the path of a .gguf file", path)
	}
	f, err := wholefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	g, err := readGGUF(f, info.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	g.path, g.file = path, f
	for i := range g.tensors {
		g.tensors[i].File = path
	}
	return g, nil
}

// Close closes the file.
func (g *GGUF) Close() error { return g.file.Close() }

// readGGUF reads the header of a file of the given size: magic, version, counts, metadata,
// descriptions of the tensors.
func readGGUF(source io.ReaderAt, size int64) (*GGUF, error) {
	r := &ggufReader{in: bufio.NewReaderSize(io.NewSectionReader(source, 0, min(size, maxGGUFHeader)),
		1<<16), left: min(size, maxGGUFHeader)}
	var magic [len(ggufMagic)]byte
	r.bytes(magic[:])
	if r.err != nil || string(magic[:]) != ggufMagic {
		return nil, errors.New("does not begin with GGUF; is it a GGUF file, downloaded fully?")
	}
	version := r.uint32()
	switch {
	case r.err == nil && version&0xffff == 0:
		return nil, fmt.Errorf("version %d: a big-endian file; convert it on a little-endian machine",
			version)
	case r.err == nil && version != 2 && version != 3:
		return nil, fmt.Errorf("GGUF version %d is not read, only 2 and 3: convert the model again with "+
			"a current llama.cpp", version)
	}
	tensorCount, keyCount := r.uint64(), r.uint64()
	g := &GGUF{Metadata: map[string]any{}}
	// The smallest entries: an empty key with a one-byte value, and a nameless tensor without
	// dimensions.
	if !r.fits(keyCount, 8+4+1) || !r.fits(tensorCount, 8+4+4+8) {
		return nil, r.failure(fmt.Errorf("%d keys and %d tensors do not fit the file", keyCount,
			tensorCount))
	}
	for range keyCount {
		key := r.text()
		if _, twice := g.Metadata[key]; twice && r.err == nil {
			r.err = fmt.Errorf("metadata %q occurs twice", key)
		}
		value := r.value(r.uint32(), true)
		if r.err != nil {
			return nil, r.failure(fmt.Errorf("metadata %.60q: %w", key, r.err))
		}
		g.Metadata[key] = value
	}
	for range tensorCount {
		t, err := r.tensor()
		if err != nil {
			return nil, r.failure(err)
		}
		t.source = source
		g.tensors = append(g.tensors, t)
	}
	alignment := int64(ggufAlignment)
	if v, ok := g.Metadata["general.alignment"]; ok {
		n, isInt := v.(int64)
		if !isInt || n <= 0 || n > 1<<20 || n&(n-1) != 0 {
			return nil, fmt.Errorf("general.alignment is %v, want a power of two", v)
		}
		alignment = n
	}
	start := (r.read + alignment - 1) / alignment * alignment
	return g, g.place(start, alignment, size)
}

// place turns the tensors' offsets into file offsets, and checks that their data lie within the
// file without overlap.
func (g *GGUF) place(start, alignment, size int64) error {
	seen := map[string]bool{}
	for i := range g.tensors {
		t := &g.tensors[i]
		if seen[t.Name] {
			return fmt.Errorf("tensor %q occurs twice", t.Name)
		}
		seen[t.Name] = true
		if t.offset%alignment != 0 {
			return fmt.Errorf("%s: its data begins at %d, which is no multiple of the alignment %d", t.Name,
				t.offset, alignment)
		}
		if t.offset > size-start || t.Bytes > size-start-t.offset {
			return fmt.Errorf("%s: its data of %d bytes begins at %d of %d bytes of data; was it "+
				"downloaded fully?", t.Name, t.Bytes, t.offset, max(0, size-start))
		}
		t.offset += start
	}
	order := slices.Clone(g.tensors)
	slices.SortFunc(order, func(a, b tensor) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.Bytes, b.Bytes))
	})
	for i := 1; i < len(order); i++ {
		if before := order[i-1]; before.offset+before.Bytes > order[i].offset {
			return fmt.Errorf("the data of %s and %s overlap", before.Name, order[i].Name)
		}
	}
	return nil
}

// A ggufReader reads the header; the first error stays in err. left bounds every length that the
// file states before memory is allocated for it.
type ggufReader struct {
	in         *bufio.Reader
	read, left int64
	err        error
	scratch    [8]byte
}

// failure returns err, or the truncation that caused it.
func (r *ggufReader) failure(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(r.err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the header ends after %d bytes: %w; was it downloaded fully?", r.read,
			io.ErrUnexpectedEOF)
	}
	return err
}

// fits reports whether the rest of the file has space for n entries of at least the given size.
func (r *ggufReader) fits(n uint64, size int64) bool {
	if r.err == nil && n > uint64(r.left/size) {
		r.err = io.ErrUnexpectedEOF
	}
	return r.err == nil
}

func (r *ggufReader) bytes(to []byte) {
	if !r.fits(uint64(len(to)), 1) {
		clear(to)
		return
	}
	n, err := io.ReadFull(r.in, to)
	r.read, r.left = r.read+int64(n), r.left-int64(n)
	if err != nil {
		r.err = truncated(err)
		clear(to)
	}
}

func (r *ggufReader) uint32() uint32 {
	r.bytes(r.scratch[:4])
	return binary.LittleEndian.Uint32(r.scratch[:])
}

func (r *ggufReader) uint64() uint64 {
	r.bytes(r.scratch[:8])
	return binary.LittleEndian.Uint64(r.scratch[:])
}

func (r *ggufReader) text() string {
	n := r.uint64()
	if !r.fits(n, 1) {
		return ""
	}
	data := make([]byte, n)
	r.bytes(data)
	return string(data)
}

// The types of metadata.
const (
	ggufUint8 = iota
	ggufInt8
	ggufUint16
	ggufInt16
	ggufUint32
	ggufInt32
	ggufFloat32
	ggufBool
	ggufString
	ggufArray
	ggufUint64
	ggufInt64
	ggufFloat64
)

// ggufWidth is the minimum number of bytes of a value of each type.
var ggufWidth = map[uint32]int64{
	ggufUint8: 1, ggufInt8: 1, ggufUint16: 2, ggufInt16: 2, ggufUint32: 4, ggufInt32: 4,
	ggufFloat32: 4,
	ggufBool:    1, ggufString: 8, ggufUint64: 8, ggufInt64: 8, ggufFloat64: 8,
}

// value reads a value of the type.
func (r *ggufReader) value(kind uint32, arrays bool) any {
	switch kind {
	case ggufFloat32:
		return math.Float32frombits(r.uint32())
	case ggufFloat64:
		return math.Float64frombits(r.uint64())
	case ggufBool:
		r.bytes(r.scratch[:1])
		return r.scratch[0] != 0
	case ggufString:
		return r.text()
	case ggufArray:
		if arrays {
			return r.array()
		}
	default:
		if _, ok := ggufWidth[kind]; ok {
			return r.integer(kind)
		}
	}
	if r.err == nil {
		r.err = fmt.Errorf("a value of type %d is not read", kind)
	}
	return nil
}

func (r *ggufReader) integer(kind uint32) int64 {
	clear(r.scratch[:])
	r.bytes(r.scratch[:ggufWidth[kind]])
	v := binary.LittleEndian.Uint64(r.scratch[:])
	switch kind {
	case ggufInt8:
		return int64(int8(v))
	case ggufInt16:
		return int64(int16(v))
	case ggufInt32:
		return int64(int32(v))
	case ggufUint64:
		if v > math.MaxInt64 && r.err == nil {
			r.err = fmt.Errorf("%d is too large", v)
		}
	}
	return int64(v)
}

func (r *ggufReader) array() any {
	kind, n := r.uint32(), r.uint64()
	width, ok := ggufWidth[kind]
	if !ok && r.err == nil {
		r.err = fmt.Errorf("an array of values of type %d is not read", kind)
	}
	if r.err != nil || !r.fits(n, width) {
		return nil
	}
	switch kind {
	case ggufString:
		return elements[string](r, kind, n)
	case ggufFloat32:
		return elements[float32](r, kind, n)
	case ggufFloat64:
		return elements[float64](r, kind, n)
	case ggufBool:
		return elements[bool](r, kind, n)
	}
	return elements[int64](r, kind, n)
}

func elements[T any](r *ggufReader, kind uint32, n uint64) []T {
	out := make([]T, 0, n)
	for range n {
		v, _ := r.value(kind, false).(T)
		if r.err != nil {
			return nil
		}
		out = append(out, v)
	}
	return out
}

// tensor reads the description of a tensor. Its offset counts from the beginning of the data.
func (r *ggufReader) tensor() (tensor, error) {
	t := tensor{Info: Info{Name: r.text()}}
	dims := r.uint32()
	if r.err != nil {
		return t, r.err
	}
	if !utf8.ValidString(t.Name) || len(t.Name) > 256 {
		return t, fmt.Errorf("the name %.60q of a tensor is not text of at most 256 bytes", t.Name)
	}
	if dims > 4 {
		return t, fmt.Errorf("%s: %d dimensions, at most 4 are allowed", t.Name, dims)
	}
	t.Shape = make([]int, dims)
	for i := range t.Shape {
		d := r.uint64()
		if d > math.MaxInt {
			return t, fmt.Errorf("%s: a dimension of %d", t.Name, d)
		}
		t.Shape[len(t.Shape)-1-i] = int(d)
	}
	kind, offset := r.uint32(), r.uint64()
	if r.err != nil {
		return t, r.err
	}
	if t.DType = ggufTypes[kind]; t.DType == "" {
		return t, fmt.Errorf(
			"%s: its type %d is not read; read are %s: quantize the model to one of them", t.Name, kind,
			ggufTypeNames())
	}
	values, ok := bitSize(t.Shape, 1)
	block := blockOf(t.DType)
	if !ok || values > math.MaxInt64/64 || offset > math.MaxInt64/2 {
		return t, fmt.Errorf("%s: shape %v at %d is too large", t.Name, t.Shape, offset)
	}
	row := 1 // of a tensor without dimensions
	if n := len(t.Shape); n > 0 {
		row = t.Shape[n-1]
	}
	if row%block.values != 0 {
		return t, fmt.Errorf("%s: rows of %d values do not divide into the blocks of %d of %s", t.Name,
			row, block.values, t.DType)
	}
	t.offset, t.Bytes = int64(offset), int64(values)/int64(block.values)*int64(block.bytes)
	return t, nil
}
