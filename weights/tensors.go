// Package weights reads and writes the tensors of a model: safetensors files, alone or in shards
// behind an index, and GGUF files, whose tensors appear under their Hugging Face names. Pickles are
// refused. It computes nothing with the tensors, and knows nothing about models except the metadata
// of a GGUF file.
package weights

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"haf/internal/wholefile"
)

// The two layouts of a checkpoint folder.
const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// ErrMissing is wrapped by the error for a tensor that a checkpoint lacks.
var ErrMissing = errors.New("no such tensor")

// A Tensors gives access to the tensors of a safetensors file, or of several files joined by an
// index. It is safe for concurrent use until it is closed.
type Tensors struct {
	tensors  map[string]tensor
	names    []string // sorted
	metadata map[string]string
	files    []io.Closer
	stripped string // prefixes removed from the names
}

func newCheckpoint(tensors []tensor, metadata map[string]string, files ...io.Closer) *Tensors {
	c := &Tensors{tensors: make(map[string]tensor, len(tensors)), metadata: metadata, files: files}
	for _, t := range tensors {
		c.tensors[t.Name] = t
	}
	c.names = slices.Sorted(maps.Keys(c.tensors))
	return c
}

// Open opens the weights in a folder: model.safetensors if it exists, else the files that
// model.safetensors.index.json names. It refuses a folder with both, unless they hold the same
// weights; the error wraps [ErrTwoSets]. Tensors of a GGUF file appear under their Hugging Face
// names.
func Open(dir string) (*Tensors, error) {
	if IsGGUF(dir) {
		return openGGUFCheckpoint(dir)
	}
	c, err := OpenSingle(dir)
	if errors.Is(err, os.ErrNotExist) {
		return openIndex(dir)
	}
	if err == nil {
		if err = c.checkIndex(dir); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, err
}

// OpenSingle opens model.safetensors in a folder and ignores other weights there.
func OpenSingle(dir string) (*Tensors, error) {
	return OpenFile(filepath.Join(dir, singleFile))
}

// openIndex opens the files that the index in a folder names.
func openIndex(dir string) (*Tensors, error) {
	shards, err := readIndex(filepath.Join(dir, indexFile))
	if errors.Is(err, os.ErrNotExist) {
		if err := refusePickle(dir); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("weights: %s: neither %s nor %s is there; give a model's folder with "+
			"weights in safetensors form: %w", dir, singleFile, indexFile, os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", filepath.Join(dir, indexFile), err)
	}
	return openShards(dir, shards)
}

// openShards opens each shard and keeps the tensors that the index assigns to it.
func openShards(dir string, shards map[string][]string) (*Tensors, error) {
	var tensors []tensor
	var files []io.Closer
	metadata := map[string]string{}
	fail := func(err error) (*Tensors, error) {
		for _, f := range files {
			f.Close()
		}
		return nil, err
	}
	for _, file := range slices.Sorted(maps.Keys(shards)) {
		shard, err := openFile(filepath.Join(dir, file))
		if err != nil {
			return fail(fmt.Errorf("%w (named by %s)", err, indexFile))
		}
		files = append(files, shard.files...)
		for key, value := range shard.metadata {
			if _, ok := metadata[key]; !ok {
				metadata[key] = value
			}
		}
		for _, name := range shards[file] {
			t, ok := shard.tensors[name]
			if !ok {
				return fail(fmt.Errorf("weights: %s: %w: %s, which %s says is there", filepath.Join(dir, file),
					ErrMissing, name, indexFile))
			}
			tensors = append(tensors, t)
		}
	}
	return newCheckpoint(tensors, metadata, files...).unwrap()
}

// readIndex returns, for each shard that an index names, the tensors in it.
func readIndex(path string) (map[string][]string, error) {
	data, err := wholefile.Read(path, maxHeader)
	if err != nil {
		return nil, err
	}
	return parseIndex(data)
}

func parseIndex(data []byte) (map[string][]string, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	var shards map[string][]string
	dec := json.NewDecoder(strings.NewReader(string(data)))
	err := eachMember(dec, func(key string) error {
		if key != "weight_map" {
			return dec.Decode(new(json.RawMessage))
		}
		shards = map[string][]string{}
		return eachMember(dec, func(name string) error {
			var file string
			if err := dec.Decode(&file); err != nil {
				return fmt.Errorf("weight_map: %s: %w", name, err)
			}
			// Only files beside the index, because a downloaded checkpoint must not choose which files haf
			// opens.
			if file == "" || file != filepath.Base(file) || strings.ContainsAny(file, "/\\\x00") ||
				!filepath.IsLocal(file) || file == "." {
				return fmt.Errorf("weight_map: %s is in %q, which is not a file of this folder", name, file)
			}
			shards[file] = append(shards[file], name)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if len(shards) == 0 {
		return nil, errors.New("no weight_map; want {\"weight_map\": {tensor: file, …}}")
	}
	return shards, nil
}

// Close closes the files. Arrays read before stay valid.
func (c *Tensors) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	c.files = nil
	return errors.Join(errs...)
}

// Names returns the tensors' names, sorted.
func (c *Tensors) Names() []string { return slices.Clone(c.names) }

// Info describes a tensor. ok is false if there is none of that name.
func (c *Tensors) Info(name string) (Info, bool) {
	t, ok := c.tensors[name]
	t.Shape = slices.Clone(t.Shape)
	return t.Info, ok
}

// Shapes returns the checkpoint without its values. Reading a tensor checks dtype and shape as
// usual, but reads no data and returns none. The result needs no closing, and works after the
// checkpoint is closed.
func (c *Tensors) Shapes() *Tensors {
	shapes := &Tensors{tensors: make(map[string]tensor, len(c.tensors)), names: c.names,
		metadata: c.metadata, stripped: c.stripped}
	for name, t := range c.tensors {
		t.noValues = true
		shapes.tensors[name] = t
	}
	return shapes
}

// Metadata returns the free text fields of the header. For shards it joins them; the first shard
// has precedence.
func (c *Tensors) Metadata() map[string]string { return maps.Clone(c.metadata) }

// Read reads a tensor as float32: F32, BF16 and F16 exactly, F64 rounded to nearest. Another dtype
// is an error. The error for a missing tensor wraps ErrMissing.
func (c *Tensors) Read(name string) (Array, error) {
	t, err := c.find(name)
	if err != nil {
		return Array{}, err
	}
	return t.read()
}

// ReadShape is Read for a tensor of known shape. It returns an error for a tensor of another shape,
// without reading it.
func (c *Tensors) ReadShape(name string, shape ...int) (Array, error) {
	t, err := c.find(name)
	if err != nil {
		return Array{}, err
	}
	if !slices.Equal(t.Shape, shape) {
		return Array{}, fmt.Errorf("weights: %s: %s has shape %v, want %v; do config.json and the "+
			"weights belong together?", t.File, name, t.Shape, shape)
	}
	return t.read()
}

func (c *Tensors) find(name string) (*tensor, error) {
	if t, ok := c.tensors[name]; ok {
		return &t, nil
	}
	near := nearest(name, c.names, 3)
	if len(near) == 0 {
		return nil, fmt.Errorf("weights: %w: %s, among %d tensors", ErrMissing, name, len(c.names))
	}
	return nil, fmt.Errorf("weights: %w: %s, among the %d tensors of %s; near: %s; do config.json "+
		"and the weights belong together?", ErrMissing, name, len(c.names), c.tensors[near[0]].File,
		strings.Join(near, ", "))
}

// nearest returns up to n of the names whose edit distance to name is less than half the length.
func nearest(name string, names []string, n int) []string {
	type candidate struct {
		name     string
		distance int
	}
	const longest, most = 256, 20_000 // limits the time spent on a hint
	if len(name) > longest || len(names) > most {
		return nil
	}
	var candidates []candidate
	for _, other := range names {
		if len(other) > longest {
			continue
		}
		if d := editDistance(name, other); 2*d <= max(len(name), len(other)) {
			candidates = append(candidates, candidate{other, d})
		}
	}
	slices.SortStableFunc(candidates,
		func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var near []string
	for _, c := range candidates[:min(n, len(candidates))] {
		near = append(near, c.name)
	}
	return near
}

// editDistance is the Levenshtein distance over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // distances of a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// Hash returns the hexadecimal SHA-256 over the names, dtypes, shapes and data of all tensors. It
// reads all data. It depends neither on the division into files nor on the metadata.
func (c *Tensors) Hash() (string, error) {
	h := sha256.New()
	number := func(n int64) { binary.Write(h, binary.LittleEndian, n) } // a hash never fails
	text := func(s string) { number(int64(len(s))); io.WriteString(h, s) }
	buf := make([]byte, readChunk)
	number(int64(len(c.names)))
	for _, name := range c.names {
		t := c.tensors[name]
		text(t.Name)
		text(t.DType)
		number(int64(len(t.Shape)))
		for _, d := range t.Shape {
			number(int64(d))
		}
		// The data need no length before them: dtype and shape determine it.
		n, err := io.CopyBuffer(h, io.NewSectionReader(t.source, t.offset, t.Bytes), buf)
		if err == nil && n < t.Bytes {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", fmt.Errorf("weights: %s: hashing %s: %w", t.File, name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
