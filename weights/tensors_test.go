package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func openGolden(t testing.TB, name string) *Tensors {
	t.Helper()
	c, err := Open("../lm/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestReadMissingAndMisshapen(t *testing.T) {
	c := openGolden(t, "llama")
	_, err := c.Read("layers.1.self_attn.q_proj.weight")
	if !errors.Is(err, ErrMissing) ||
		!strings.Contains(err.Error(), "near: model.layers.1.self_attn.q_proj.weight, ") {
		t.Errorf("missing: %v", err)
	}
	if _, err := c.ReadShape("utterly different, and long enough to be far from all",
		1); !errors.Is(err, ErrMissing) || strings.Contains(err.Error(), "near") {
		t.Errorf("missing: %v", err)
	}
	_, err = c.ReadShape("model.norm.weight", 64)
	if err == nil || !strings.Contains(err.Error(), "has shape [32], want [64]") {
		t.Errorf("misshapen: %v", err)
	}
	if _, ok := c.Info("no"); ok {
		t.Error("Info of a missing tensor")
	}
}

// TestShapes reads shapes without values, of a file that is closed.
func TestShapes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := WriteFile(path, Lazy(Array{Name: "a", Shape: []int{2, 3}, Data: make([]float32, 6)}),
		WriteOptions{DType: "BF16"}); err != nil {
		t.Fatal(err)
	}
	whole, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shapes := whole.Shapes()
	if a, err := whole.ReadShape("a", 2, 3); err != nil || len(a.Data) != 6 {
		t.Errorf("the checkpoint itself: %v, %v", a, err)
	}
	if err := whole.Close(); err != nil {
		t.Fatal(err)
	}
	if a, err := shapes.ReadShape("a", 2, 3); err != nil || a.Name != "a" ||
		!slices.Equal(a.Shape, []int{2, 3}) || a.Data != nil {
		t.Errorf("%v, %v", a, err)
	}
	if _, err := shapes.ReadShape("a", 3, 2); err == nil ||
		!strings.Contains(err.Error(), "has shape [2 3], want [3 2]") {
		t.Errorf("another shape: %v", err)
	}
	if _, err := shapes.Read("b"); !errors.Is(err, ErrMissing) {
		t.Errorf("none of that name: %v", err)
	}
	ints := newCheckpoint([]tensor{{Info: Info{Name: "n", DType: "I64", Shape: []int{1}}}}, nil)
	if _, err := ints.Shapes().Read("n"); err == nil ||
		!strings.Contains(err.Error(), "has dtype I64") {
		t.Errorf("integers: %v", err)
	}
}

// Hash does not depend on the files and the metadata, and does on each of name, dtype, shape and
// data.
func TestHash(t *testing.T) {
	c := openGolden(t, "llama3-rope")
	want, err := c.Hash()
	if err != nil {
		t.Fatal(err)
	}
	written := func(sources []LazyArray, opt WriteOptions) string {
		dir := t.TempDir()
		if err := Write(dir, sources, opt); err != nil {
			t.Fatal(err)
		}
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		h, err := c.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	for _, shard := range []int64{0, 1, 4096, 50_000} {
		if got := written(copySources(c),
			WriteOptions{
				MaxShard: shard, Metadata: map[string]string{"shard": fmt.Sprint(shard)}}); got != want {
			t.Errorf("shards of %d bytes: %s, want %s", shard, got, want)
		}
	}
	base := Array{"a", []int{2, 2}, []float32{1, 2, 3, 4}}
	hashes := []string{
		written(Lazy(base), WriteOptions{}),
		written(Lazy(base), WriteOptions{DType: "BF16"}),
		written(Lazy(base), WriteOptions{DType: "F16"}),
		written(Lazy(Array{"b", base.Shape, base.Data}), WriteOptions{}),
		written(Lazy(Array{"a", []int{4}, base.Data}), WriteOptions{}),
		written(Lazy(Array{"a", base.Shape, []float32{1, 2, 3, 5}}), WriteOptions{}),
		written(Lazy(base, Array{"b", []int{0}, nil}), WriteOptions{}),
	}
	slices.Sort(hashes)
	if len(slices.Compact(hashes)) != 7 || len(want) != 64 {
		t.Errorf("equal hashes among %v", hashes)
	}
}

func TestShards(t *testing.T) {
	c := openGolden(t, "llama")
	dir := t.TempDir()
	if err := Write(dir, copySources(c), WriteOptions{MaxShard: 30_000, DType: "BF16"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		t.Fatal(err)
	}
	var index shardIndex
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	var parameters int64
	for _, name := range c.Names() {
		info, _ := c.Info(name)
		parameters += info.Bytes / 4
	}
	if index.Metadata.TotalParameters != parameters || index.Metadata.TotalSize != 2*parameters ||
		len(index.WeightMap) != len(c.Names()) {
		t.Errorf("index %+v of %d tensors, want %d parameters", index.Metadata, len(index.WeightMap),
			parameters)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !slices.Equal(s.Names(), c.Names()) || s.Metadata()["format"] != "pt" {
		t.Errorf("names %v, metadata %v", s.Names(), s.Metadata())
	}
	var wait sync.WaitGroup // reads may run side by side
	for _, name := range c.Names() {
		wait.Go(func() {
			want, _ := c.Read(name)
			got, err := s.ReadShape(name, want.Shape...)
			if err != nil {
				t.Error(err)
				return
			}
			for i, x := range want.Data {
				if roundBfloat16(x) != roundBfloat16(got.Data[i]) {
					t.Errorf("%s[%d] is %g, want %g", name, i, got.Data[i], x)
					return
				}
			}
			info, _ := s.Info(name)
			if filepath.Base(info.File) != index.WeightMap[name] {
				t.Errorf("%s is in %s, the index says %s", name, info.File, index.WeightMap[name])
			}
		})
	}
	wait.Wait()
}

func TestOpenCheckpointRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), singleFile) ||
		!strings.Contains(err.Error(), indexFile) {
		t.Errorf("empty folder: %v", err)
	}
	if err := WriteFile(filepath.Join(dir, "a.safetensors"), Lazy(Array{"a", nil, []float32{1}}),
		WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	for index, want := range map[string]string{
		`{"weight_map":{"a":"../a.safetensors"}}`:                  "not a file of this folder",
		`{"weight_map":{"a":"/etc/a.safetensors"}}`:                "not a file of this folder",
		`{"weight_map":{"a":"x/a.safetensors"}}`:                   "not a file of this folder",
		`{"weight_map":{"a":"x\\a.safetensors"}}`:                  "not a file of this folder",
		`{"weight_map":{"a":".."}}`:                                "not a file of this folder",
		`{"weight_map":{"a":"."}}`:                                 "not a file of this folder",
		`{"weight_map":{"a":""}}`:                                  "not a file of this folder",
		`{"weight_map":{"a":7}}`:                                   "weight_map: a",
		`{"weight_map":{"a":"a.safetensors","a":"a.safetensors"}}`: `"a" occurs twice`,
		`{"weight_map":{"b":"a.safetensors"}}`:                     "no such tensor: b",
		`{"weight_map":{"a":"b.safetensors"}}`:                     "b.safetensors",
		`{"weight_map":{}}`:                                        "no weight_map",
		`{"metadata":{}}`:                                          "no weight_map",
		`{"weight_map":`:                                           "unexpected EOF",
		``:                                                         "unexpected EOF",
		"{\"\xff\":1}":                                             "not UTF-8",
	} {
		if err := os.WriteFile(filepath.Join(dir, indexFile), []byte(index), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Open(dir)
		if err == nil {
			c.Close()
			t.Errorf("%s: no error", index)
		} else if !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "weights: ") {
			t.Errorf("%s: %v\nwant it to contain %q", index, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, indexFile),
		[]byte(`{"weight_map":{"a":"a.safetensors"},"metadata":{"total_size":4}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"abc", "abc", 0}, {"flaw", "lawn", 2}} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%q, %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

// TestDamagedShards: a shard that is missing, cut short or emptied is named, and that the index
// asked for it.
func TestDamagedShards(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(path string) error
		want   string
	}{
		"missing": {os.Remove, "no such file"},
		"cut":     {func(path string) error { return os.Truncate(path, 700) }, "downloaded fully"},
		"empty":   {func(path string) error { return os.Truncate(path, 0) }, "0 bytes are too few"},
	} {
		dir := t.TempDir()
		if err := Write(dir, copySources(openGolden(t, "llama")),
			WriteOptions{MaxShard: 50_000}); err != nil {
			t.Fatal(err)
		}
		shards, err := filepath.Glob(filepath.Join(dir, "model-*.safetensors"))
		if err != nil || len(shards) < 2 {
			t.Fatalf("%v, %v", shards, err)
		}
		if err := test.damage(shards[1]); err != nil {
			t.Fatal(err)
		}
		_, err = Open(dir)
		if err == nil || !strings.Contains(err.Error(), test.want) ||
			!strings.Contains(err.Error(), shards[1]) ||
			!strings.Contains(err.Error(), "named by "+indexFile) {
			t.Errorf("%s: %v\nwant it to contain %q and name the shard", name, err, test.want)
		}
	}
}
