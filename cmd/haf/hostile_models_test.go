package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/internal/shared"
)

// A breakage makes of a good file a bad one.
type breakage struct {
	name string
	of   func(good []byte) []byte
}

// text is a breakage that replaces the whole.
func text(name, bad string) breakage {
	return breakage{name, func([]byte) []byte { return []byte(bad) }}
}

// brokenJSON are breakages of any file of one JSON object.
var brokenJSON = []breakage{
	text("empty", ""), text("null", "null"), text("list", "[]"), text("number", "1"),
	text("open", "{"), text("comma", `{"a": 1,}`), text("zeros", "\x00\x00\x00\x00"),
	text("not UTF-8", "{\"\xff\xfe\": 1}"), text("UTF-16", "\xff\xfe{\x00}\x00"),
	text("deep list", strings.Repeat("[", 200_000)),
	text("deep object", strings.Repeat(`{"a":`, 200_000)),
	{"half", func(good []byte) []byte { return good[:len(good)/2] }},
	{"twice", func(good []byte) []byte { return bytes.Repeat(good, 2) }},
	{"tail", func(good []byte) []byte { return append(bytes.Clone(good), "trailing"...) }},
}

// TestHostileModels opens model folders in which one file is broken.
func TestHostileModels(t *testing.T) {
	h := newHostile(t)
	score := []string{"score", "m", "-prompt", "what does the fox eat", "-response", "mice"}
	for _, name := range []string{"config.json", "tokenizer.json", "tokenizer_config.json"} {
		good := readFile(t, filepath.Join("base", name))
		for _, b := range brokenJSON {
			h.model("base", name, b.of(good))
			h.refuses(hostileCase{name + " " + b.name, score, exitFailed, name})
		}
		h.odd("base", name, score)
		h.keys(name, good, score)
	}
	index := `{"metadata": {}, "weight_map": {"model.norm.weight": "FILE"}}`
	for _, file := range []string{"../base/model.safetensors", "/etc/passwd", "..", ".", "", "a/b",
		"a\\b", "m\x00.safetensors", "nowhere.safetensors", "config.json"} {
		quoted, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		h.model("base", "model.safetensors.index.json",
			[]byte(strings.Replace(index, `"FILE"`, string(quoted), 1)))
		h.remove("m/model.safetensors")
		h.refuses(hostileCase{"index " + file, score, exitFailed,
			"model.safetensors.index.json|config.json"})
	}
	good := readFile(t, "base/model.safetensors")
	for _, b := range brokenWeights {
		h.model("base", "model.safetensors", b.of(good))
		h.refuses(hostileCase{"weights " + b.name, score, exitFailed, "m.model.safetensors"})
	}
	h.odd("base", "model.safetensors", score)
	for _, name := range []string{"pytorch_model.bin", "model.pt", "weights.pth", "model.pkl",
		"adapter_model.bin", "model.npy", "model.ckpt"} {
		h.model("base", name, []byte("\x80\x04cposix\nsystem\n(S'touch hacked'\ntR."))
		h.remove("m/model.safetensors")
		h.refuses(hostileCase{"pickle " + name, score, exitFailed,
			"pickle|neither model.safetensors nor"})
	}
	h.gguf()
}

// model makes a copy m of a model folder, in which a file is replaced.
func (h *hostile) model(from, name string, data []byte) {
	h.t.Helper()
	h.remove("m")
	if err := os.CopyFS("m", os.DirFS(from)); err != nil {
		h.t.Fatal(err)
	}
	h.write(filepath.Join("m", name), data)
	h.settle()
}

func (h *hostile) remove(path string) {
	h.t.Helper()
	if err := os.RemoveAll(path); err != nil {
		h.t.Fatal(err)
	}
	h.settle()
}

// odd puts what is no file of data in a file's place: a folder, a pipe that nobody writes to, a
// link to nothing, a link to itself, and a device without end.
func (h *hostile) odd(from, name string, args []string) {
	h.t.Helper()
	path := filepath.Join("m", name)
	for _, kind := range []string{"folder", "pipe", "nothing", "loop", "device", "huge"} {
		h.model(from, name, nil)
		h.remove(path)
		put(h.t, path, kind)
		h.settle()
		h.refuses(hostileCase{name + " is a " + kind, args, exitFailed, name + "|neither model"})
	}
}

// keys gives every number and object of a JSON file another type.
func (h *hostile) keys(name string, good []byte, args []string) {
	h.t.Helper()
	var object map[string]any
	if err := json.Unmarshal(good, &object); err != nil {
		h.t.Fatal(err)
	}
	for key, value := range object {
		var bad []any
		switch value.(type) {
		case float64:
			if strings.HasSuffix(key, "_token_id") {
				continue // only generation reads it
			}
			bad = []any{"text", -1, 1e300}
		case map[string]any:
			bad = []any{"text", []int{1}}
		case []any:
			bad = []any{"text", 3}
		default:
			continue
		}
		for _, value := range bad {
			broken := map[string]any{}
			if err := json.Unmarshal(good, &broken); err != nil {
				h.t.Fatal(err)
			}
			broken[key] = value
			data, err := json.Marshal(broken)
			if err != nil {
				h.t.Fatal(err)
			}
			h.model("base", name, data)
			h.refuses(hostileCase{name + " " + key, args, exitFailed, name + "|" + key})
		}
	}
}

// brokenWeights are breakages of a safetensors file.
var brokenWeights = []breakage{
	text("empty", ""), text("short", "1234567"), text("text", "no weights at all, but some text"),
	text("zip", "PK\x03\x04 a PyTorch file is a zip archive"), text("git LFS",
		"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
	header(`[]`), header(`{`), header(`{"a": 1}`), header(`{"a": {}}`), header("{\"\xff\": 1}"),
	header(`{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}`),
	header(`{"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}`),
	header(`{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 1e30]}}`),
	header(`{"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}`),
	header(`{"a": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}`),
	header(`{"a": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 8]}}`),
	header(`{"a": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4398046511104]}}`),
	header(`{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}`),
	header(`{"__metadata__": {"a": 1}}`), header(strings.Repeat("[", 200_000)),
	header(`{"a":` + strings.Repeat("[", 200_000)),
	{"length of 2⁶³", func([]byte) []byte { return length(1 << 63) }},
	{"length of 1 TiB", func([]byte) []byte { return length(1 << 40) }},
	{"length of 90 MB", func([]byte) []byte { return length(90 << 20) }},
	{"half", func(good []byte) []byte { return good[:len(good)/2] }},
	{"tail", func(good []byte) []byte { return append(bytes.Clone(good), 1, 2, 3, 4) }},
}

// header is a file of a header in front of eight bytes.
func header(text string) breakage {
	name := text[:min(len(text), 60)]
	return breakage{name, func([]byte) []byte {
		data := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
		return append(append(data, text...), 0, 0, 0, 0, 0, 0, 0, 0)
	}}
}

func length(n uint64) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), `{"a": {}}`...)
}

// gguf opens GGUF files that are cut off, and whose counts and lengths are not true.
func (h *hostile) gguf() {
	h.t.Helper()
	good, err := os.ReadFile(filepath.Join(shared.Root(), "lm", "testdata", "gguf", "text.gguf"))
	if err != nil {
		h.t.Fatal(err)
	}
	number := func(at int, n uint64) []byte {
		data := bytes.Clone(good)
		binary.LittleEndian.PutUint64(data[at:], n)
		return data
	}
	cases := map[string][]byte{
		"empty": nil, "magic": good[:4], "version": good[:8], "tensors": number(8, 1<<62),
		"keys": number(16, 1<<62), "many keys": number(16, 1<<24), "length": number(24, 1<<62),
		"long": number(24, 1<<28), "endian": append([]byte("GGUF\x00\x00\x00\x03"), good[8:]...),
		"old": append([]byte("GGUF\x01\x00\x00\x00"), good[8:]...),
		"new": append([]byte("GGUF\x63\x00\x00\x00"), good[8:]...),
	}
	for _, part := range []int{32, 64, 100, 200, 1000, len(good) / 2, len(good) - 1} {
		cases[fmt.Sprintf("cut to %d", part)] = good[:part]
	}
	for name, data := range cases {
		h.write("m.gguf", data)
		h.settle()
		args := []string{"score", "m.gguf", "-prompt", "x", "-response", "y"}
		h.refuses(hostileCase{"gguf " + name, args, exitFailed, "m.gguf"})
	}
}
