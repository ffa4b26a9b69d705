package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"haf/internal/durable"
)

// A LazyArray is a tensor to write. Its shape is known beforehand, because a file begins with all
// shapes. Its values are requested once, when they are written, so that only one tensor need be in
// memory.
type LazyArray struct {
	Name   string
	Shape  []int
	Values func() ([]float32, error)
}

// Lazy wraps arrays in memory as lazy ones.
func Lazy(arrays ...Array) []LazyArray {
	sources := make([]LazyArray, len(arrays))
	for i, a := range arrays {
		sources[i] = LazyArray{a.Name, a.Shape, func() ([]float32, error) { return a.Data, nil }}
	}
	return sources
}

// WriteOptions set how tensors are stored.
type WriteOptions struct {
	// F32 (default), BF16 or F16; BF16 and F16 round to nearest, ties to even
	DType    string
	Metadata map[string]string // in addition to {"format": "pt"}, which transformers needs
	// MaxShard is Write's limit for the data of a file, in bytes; 0 writes one file of any size.
	MaxShard int64
}

// WriteFile writes one file, with the tensors sorted by name. The file appears under its name only
// when it is complete and on disk; after an error the previous file is still there.
func WriteFile(path string, sources []LazyArray, opt WriteOptions) error {
	sources, opt, err := checkSources(sources, opt)
	if err != nil {
		return err
	}
	pending, err := writePending(path, sources, opt)
	if err != nil {
		return err
	}
	return commit(filepath.Dir(path), []*durable.File{pending})
}

// Write writes model.safetensors into a folder or, if opt.MaxShard requires several files,
// model-00001-of-0000n.safetensors and their index. All files are complete and on disk before the
// first gets its name. It then removes weights of the other layout from the folder.
func Write(dir string, sources []LazyArray, opt WriteOptions) error {
	sources, opt, err := checkSources(sources, opt)
	if err != nil {
		return err
	}
	shards := split(sources, opt)
	var pending []*durable.File
	defer func() {
		for _, p := range pending {
			p.Cleanup() // does nothing after a commit
		}
	}()
	keep := map[string]bool{}
	index := shardIndex{WeightMap: map[string]string{}}
	for i, shard := range shards {
		file := singleFile
		if len(shards) > 1 {
			file = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		keep[file] = true
		p, err := writePending(filepath.Join(dir, file), shard, opt)
		if err != nil {
			return err
		}
		pending = append(pending, p)
		for _, s := range shard {
			index.WeightMap[s.Name] = file
			index.Metadata.TotalSize += storedSize(s, opt)
			index.Metadata.TotalParameters += storedSize(s, opt) / int64(dtypeBits[opt.DType]/8)
		}
	}
	if len(shards) > 1 {
		keep[indexFile] = true
		p, err := pendingIndex(filepath.Join(dir, indexFile), index)
		if err != nil {
			return err
		}
		pending = append(pending, p)
		// If the machine stopped between the renames, an old index would join old and new shards to one
		// model.
		if err := durable.RemoveAll(filepath.Join(dir, indexFile)); err != nil {
			return fmt.Errorf("weights: %w", err)
		}
	}
	if err := commit(dir, pending); err != nil {
		return err
	}
	return removeWeights(dir, keep)
}

// checkSources returns the sources sorted and the options with defaults, or an error if they cannot
// be written.
func checkSources(sources []LazyArray, opt WriteOptions) ([]LazyArray, WriteOptions, error) {
	fail := func(format string, args ...any) ([]LazyArray, WriteOptions, error) {
		return nil, opt, fmt.Errorf("weights: writing weights: "+format, args...)
	}
	switch opt.DType {
	case "":
		opt.DType = "F32"
	case "F32", "BF16", "F16":
	default:
		return fail("dtype %q is not written; use F32, BF16 or F16", opt.DType)
	}
	if opt.MaxShard < 0 {
		return fail("shards of at most %d bytes; use a positive number, or 0 for one file", opt.MaxShard)
	}
	metadata := map[string]string{"format": "pt"}
	for key, value := range opt.Metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return fail("metadata %q is not UTF-8", key)
		}
		metadata[key] = value
	}
	opt.Metadata = metadata
	sources = slices.Clone(sources)
	slices.SortFunc(sources, func(a, b LazyArray) int { return strings.Compare(a.Name, b.Name) })
	for i, s := range sources {
		if s.Name == "" || s.Name == "__metadata__" || !utf8.ValidString(s.Name) {
			return fail("%q cannot be the name of a tensor", s.Name)
		}
		if i > 0 && sources[i-1].Name == s.Name {
			return fail("%s comes twice", s.Name)
		}
		for _, d := range s.Shape {
			if d < 0 {
				return fail("%s has shape %v", s.Name, s.Shape)
			}
		}
		if _, ok := bitSize(s.Shape, dtypeBits["F32"]); !ok {
			return fail("%s: shape %v is too large", s.Name, s.Shape)
		}
	}
	return sources, opt, nil
}

// storedSize is the number of bytes of a checked source on disk.
func storedSize(s LazyArray, opt WriteOptions) int64 {
	size, _ := bitSize(s.Shape, dtypeBits[opt.DType])
	return int64(size / 8)
}

// split assigns tensors to shards in the order of names. A tensor larger than MaxShard gets a shard
// of its own.
func split(sources []LazyArray, opt WriteOptions) [][]LazyArray {
	if opt.MaxShard == 0 || len(sources) == 0 {
		return [][]LazyArray{sources}
	}
	var shards [][]LazyArray
	var size int64
	for i, s := range sources {
		n := storedSize(s, opt)
		if i == 0 || n > opt.MaxShard-size {
			shards, size = append(shards, nil), 0
		}
		size += n
		shards[len(shards)-1] = append(shards[len(shards)-1], s)
	}
	return shards
}

// copiedBytes is how many bytes of values are copied from the device before their memory is
// collected. The collector by itself waits until there is as much garbage as live memory. In a
// training of all weights that was more than a gigabyte, at the moment of peak memory.
const copiedBytes = 128 << 20

// writePending writes a file to disk under a temporary name beside path.
func writePending(
	path string, sources []LazyArray, opt WriteOptions,
) (_ *durable.File, err error) {
	header, err := marshalHeader(sources, opt)
	if err != nil {
		return nil, fmt.Errorf("weights: writing %s: %w", path, err)
	}
	pending, err := newPending(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pending.Cleanup()
			err = fmt.Errorf("weights: writing %s: %w", path, err)
		}
	}()
	if _, err := pending.Write(header); err != nil {
		return nil, err
	}
	buf := make([]byte, readChunk)
	copied := int64(0)
	for _, s := range sources {
		if err := writeValues(pending, s, opt.DType, buf); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		if copied += storedSize(s, WriteOptions{DType: "F32"}); copied > copiedBytes {
			runtime.GC()
			copied = 0
		}
	}
	if err := pending.Sync(); err != nil {
		return nil, err
	}
	return pending, nil
}

func newPending(path string) (*durable.File, error) {
	pending, err := durable.Create(path)
	if err != nil {
		return nil, fmt.Errorf("weights: writing %s: %w", path, err)
	}
	return pending, nil
}

// writeValues fetches a tensor's values and writes them chunk by chunk in the file's dtype.
func writeValues(pending *durable.File, s LazyArray, dtype string, buf []byte) error {
	values, err := s.Values()
	if err != nil {
		return err
	}
	if n, _ := bitSize(s.Shape, 1); n != uint64(len(values)) {
		return fmt.Errorf("%d values for shape %v, want %d", len(values), s.Shape, n)
	}
	width := int(dtypeBits[dtype] / 8)
	for done := 0; done < len(values); {
		chunk := values[done:min(done+len(buf)/width, len(values))]
		if i := encodeValues(buf, chunk, dtype); i >= 0 {
			return fmt.Errorf("value %g at index %d does not fit %s; write F32 or BF16", chunk[i], done+i,
				dtype)
		}
		if _, err := pending.Write(buf[:len(chunk)*width]); err != nil {
			return err
		}
		done += len(chunk)
	}
	return nil
}

// marshalHeader returns the length and the JSON at the beginning of a file, in the layout of the
// reference implementation: metadata first, tensors in order, padded so that the data begin at a
// multiple of eight.
func marshalHeader(sources []LazyArray, opt WriteOptions) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	put := func(before string, value any, after string) error {
		b.WriteString(before)
		if err := enc.Encode(value); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // Encode ends with a line feed
		b.WriteString(after)
		return nil
	}
	if err := put(`{"__metadata__":`, opt.Metadata, ""); err != nil {
		return nil, err
	}
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	var end int64
	for _, s := range sources {
		begin := end
		if end += storedSize(s, opt); end < 0 {
			return nil, errors.New("the tensors together are too large")
		}
		shape := append([]int{}, s.Shape...) // never null
		if err := put(",", s.Name, ":"); err != nil {
			return nil, err
		}
		if err := put("", entry{opt.DType, shape, [2]int64{begin, end}}, ""); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, fmt.Errorf("header of %d bytes, at most %d are allowed", b.Len()-8, maxHeader)
	}
	header := b.Bytes()
	binary.LittleEndian.PutUint64(header, uint64(len(header)-8))
	return header, nil
}

// A shardIndex is model.safetensors.index.json.
type shardIndex struct {
	Metadata struct {
		TotalParameters int64 `json:"total_parameters"`
		TotalSize       int64 `json:"total_size"` // bytes
	} `json:"metadata"`
	WeightMap map[string]string `json:"weight_map"` // tensor to file
}

func pendingIndex(path string, index shardIndex) (*durable.File, error) {
	pending, err := newPending(path)
	if err != nil {
		return nil, err
	}
	enc := json.NewEncoder(pending)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := errors.Join(enc.Encode(index), pending.Sync()); err != nil {
		pending.Cleanup()
		return nil, fmt.Errorf("weights: writing %s: %w", path, err)
	}
	return pending, nil
}

// commit renames the files, in order, and syncs the folder.
func commit(dir string, pending []*durable.File) error {
	for _, p := range pending {
		if err := p.Commit(); err != nil {
			p.Cleanup()
			return fmt.Errorf("weights: %w", err)
		}
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	if err := durable.SyncDir(dir); err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	return nil
}

var weightFile = regexp.MustCompile(`^model(-\d{5,}-of-\d{5,})?\.safetensors(\.index\.json)?$`)

// removeWeights removes files of an earlier Write that the last one did not replace, because Open
// would take an old model.safetensors for the new weights.
func removeWeights(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	for _, e := range entries {
		if !weightFile.MatchString(e.Name()) || keep[e.Name()] {
			continue
		}
		if err := durable.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("weights: removing old weights: %w", err)
		}
	}
	return syncFolder(dir)
}

// encodeValues converts values to bytes of the dtype. It returns the index of the first finite
// value that would become infinite, else -1.
func encodeValues(dst []byte, values []float32, dtype string) int {
	switch dtype {
	case "BF16":
		for i, x := range values {
			h := roundBfloat16(x)
			if h&0x7fff == 0x7f80 && !math.IsInf(float64(x), 0) {
				return i
			}
			binary.LittleEndian.PutUint16(dst[2*i:], h)
		}
	case "F16":
		for i, x := range values {
			h := roundFloat16(x)
			if h&0x7fff == 0x7c00 && !math.IsInf(float64(x), 0) {
				return i
			}
			binary.LittleEndian.PutUint16(dst[2*i:], h)
		}
	default:
		for i, x := range values {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
		}
	}
	return -1
}

// roundBfloat16 rounds to nearest, ties to even. A NaN stays a NaN and keeps the upper part of its
// payload.
func roundBfloat16(x float32) uint16 {
	b := math.Float32bits(x)
	if b&0x7fffffff > 0xff<<23 {
		h := uint16(b >> 16)
		if h&0x7f == 0 {
			// without this bit, a NaN whose payload is in the lower part would become an infinity
			h |= 0x40
		}
		return h
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// roundFloat16 rounds to nearest, ties to even, including subnormals. A NaN stays a NaN and keeps
// the upper part of its payload.
func roundFloat16(x float32) uint16 {
	b := math.Float32bits(x)
	sign, b := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case b > 0xff<<23: // NaN
		mantissa := uint16(b >> 13 & 0x3ff)
		if mantissa == 0 {
			mantissa = 0x200
		}
		return sign | 0x7c00 | mantissa
	case b >= 0x477ff000: // 65520, halfway from the largest value to the next step
		return sign | 0x7c00
	// subnormal: near 0.5, float32 has float16's spacing of 2⁻²⁴, so the addition rounds
	case b < (127-14)<<23:
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-math.Float32bits(0.5))
	}
	return sign | uint16((b-(127-15)<<23+0xfff+b>>13&1)>>13)
}
