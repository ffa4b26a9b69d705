package weights

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
)

// TestQuantsStored compares every type of weights, bit for bit, with what llama.cpp's Python
// package makes of random blocks.
func TestQuantsStored(t *testing.T) {
	data, err := os.ReadFile("../lm/testdata/gguf/quants.json")
	if err != nil {
		t.Fatal(err)
	}
	var stored map[string]struct{ Blocks, Values []byte }
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	for _, dtype := range ggufTypes {
		s, ok := stored[dtype]
		if !ok && dtype != "F64" {
			t.Errorf("no stored blocks of %s", dtype)
		}
		if !ok {
			continue
		}
		n := len(s.Values) / 4
		x := tensor{Info: Info{Name: dtype, DType: dtype, Shape: []int{n}, Bytes: int64(len(s.Blocks))},
			source: bytes.NewReader(s.Blocks)}
		a, err := x.read()
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Data) != n {
			t.Fatalf("%s: %d values, want %d", dtype, len(a.Data), n)
		}
		for i, v := range a.Data {
			if got, want := math.Float32bits(v), binary.LittleEndian.Uint32(s.Values[4*i:]); got != want {
				t.Fatalf("%s: value %d is %x (%g), want %x (%g)", dtype, i, got, v, want,
					math.Float32frombits(want))
			}
		}
	}
}

// A block larger than what is read at a time must not be cut.
func TestQuantsInChunks(t *testing.T) {
	data, err := os.ReadFile("../lm/testdata/gguf/quants.json")
	if err != nil {
		t.Fatal(err)
	}
	var stored map[string]struct{ Blocks, Values string }
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	one, err := base64.StdEncoding.DecodeString(stored["Q6_K"].Blocks)
	if err != nil {
		t.Fatal(err)
	}
	many := bytes.Repeat(one, readChunk/len(one)+2)
	values := len(many) / 210 * 256
	x := tensor{Info: Info{DType: "Q6_K", Shape: []int{values}, Bytes: int64(len(many))},
		source: bytes.NewReader(many)}
	a, err := x.read()
	if err != nil {
		t.Fatal(err)
	}
	period := len(one) / 210 * 256
	for i := period; i < values; i++ {
		if a.Data[i] != a.Data[i%period] {
			t.Fatalf("value %d is %g, want %g", i, a.Data[i], a.Data[i%period])
		}
	}
	x.source = bytes.NewReader(many[:len(many)-1])
	if _, err := x.read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a shortened file: %v", err)
	}
}

// TestGGUFEqualsFolder: the stored file has the names, shapes and values of the folder it was made
// from.
func TestGGUFEqualsFolder(t *testing.T) {
	const path = "../lm/testdata/gguf/llama.gguf"
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	folder := openGolden(t, "llama")
	if !slices.Equal(c.Names(), folder.Names()) {
		t.Fatalf("names %v\nwant %v", c.Names(), folder.Names())
	}
	for _, name := range c.Names() {
		a, err := c.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := folder.ReadShape(name, a.Shape...)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range a.Data {
			w := b.Data[i]
			if len(a.Shape) == 2 {
				w = widenFloat16(roundFloat16(w))
			}
			if v != w {
				t.Fatalf("%s: value %d is %g, want %g", name, i, v, w)
			}
		}
	}
	if _, err := c.Hash(); err != nil {
		t.Error(err)
	}
}

// TestSmolLM2GGUF: rounded to bfloat16, every weight of the file is that of the folder, which was
// made from it with llama.cpp's package.
func TestSmolLM2GGUF(t *testing.T) {
	file, dir := shared.Model(t, "smollm2-135m-instruct.gguf"),
		shared.Model(t, "smollm2-135m-instruct")
	c, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	folder, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if !slices.Equal(c.Names(), folder.Names()) {
		t.Fatalf("names differ: %d and %d", len(c.Names()), len(folder.Names()))
	}
	for _, name := range c.Names() {
		a, err := c.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := folder.ReadShape(name, a.Shape...)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range a.Data {
			if math.Float32bits(b.Data[i]) != uint32(roundBfloat16(v))<<16 {
				t.Fatalf("%s: value %d is %g, in the folder %g", name, i, v, b.Data[i])
			}
		}
	}
}

// noScaling takes any factors.
func noScaling([]float32, float64, int) (map[string]any, error) { return nil, nil }

// GGUFWriter writes headers for the tests, right or wrong.
type GGUFWriter struct{ bytes.Buffer }

func (w *GGUFWriter) Put(values ...any) *GGUFWriter {
	for _, v := range values {
		if s, ok := v.(string); ok {
			binary.Write(w, binary.LittleEndian, uint64(len(s)))
			w.WriteString(s)
			continue
		}
		binary.Write(w, binary.LittleEndian, v)
	}
	return w
}

func (w *GGUFWriter) Begin(tensors, keys uint64) *GGUFWriter {
	w.WriteString(ggufMagic)
	return w.Put(uint32(3), tensors, keys)
}

// Tensor describes a matrix.
func (w *GGUFWriter) Tensor(name string, kind uint32, offset uint64, dims ...uint64) *GGUFWriter {
	return w.Put(name, uint32(len(dims)), dims, kind, offset)
}

// Data pads the header and appends so many bytes.
func (w *GGUFWriter) Data(n int) []byte {
	w.Write(make([]byte, (ggufAlignment-w.Len()%ggufAlignment)%ggufAlignment+n))
	return w.Bytes()
}

func TestHostileGGUF(t *testing.T) {
	begin := func(tensors, keys uint64) *GGUFWriter { return new(GGUFWriter).Begin(tensors, keys) }
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"empty":      {nil, "does not begin with GGUF"},
		"no magic":   {[]byte("GGML\x03\x00\x00\x00"), "does not begin with GGUF"},
		"old":        {append([]byte(ggufMagic), 1, 0, 0, 0), "version 1 is not read"},
		"big-endian": {append([]byte(ggufMagic), 0, 0, 0, 3), "big-endian"},
		"no counts":  {append([]byte(ggufMagic), 3, 0, 0, 0), "downloaded fully"},
		"keys":       {begin(0, 1<<60).Bytes(), "downloaded fully"},
		"tensors":    {begin(math.MaxUint64, 0).Bytes(), "downloaded fully"},
		"key length": {begin(0, 1).Put(uint64(1<<50), "x").Bytes(), "downloaded fully"},
		"text length": {begin(0, 1).Put("k", uint32(ggufString), uint64(math.MaxUint64)).Bytes(),
			"downloaded fully"},
		"array length": {begin(0, 1).Put("k", uint32(ggufArray), uint32(ggufString),
			uint64(1<<61)).Bytes(), "downloaded fully"},
		"nested array": {begin(0, 1).Put("k", uint32(ggufArray), uint32(ggufArray), uint64(1),
			uint64(0)).Bytes(), `metadata "k": an array of values of type 9`},
		"unknown type": {begin(0, 1).Put("k", uint32(99), uint64(0)).Bytes(),
			`metadata "k": a value of type 99`},
		"large integer": {begin(0, 1).Put("k", uint32(ggufUint64), uint64(math.MaxUint64)).Bytes(),
			"too large"},
		"key twice": {begin(0, 2).Put("k", uint32(ggufBool), uint8(1), "k", uint32(ggufBool),
			uint8(1)).Bytes(), `"k" occurs twice`},
		"alignment": {begin(0, 1).Put("general.alignment", uint32(ggufUint32), uint32(24)).Bytes(),
			"power of two"},
		"alignment text": {begin(0, 1).Put("general.alignment", uint32(ggufString), "x").Bytes(),
			"power of two"},
		"dimensions": {begin(1, 0).Tensor("a", 0, 0, 1, 1, 1, 1, 1).Bytes(), "5 dimensions"},
		"large dimension": {begin(1, 0).Tensor("a", 0, 0, 1<<63).Bytes(), "a dimension of " +
			"9223372036854775808"},
		"large shape": {begin(1, 0).Tensor("a", 0, 0, 1<<32, 1<<32).Data(0), "too large"},
		"unread type": {begin(1, 0).Tensor("a", 16, 0, 256).Data(66), "a: its type 16 is not read; " +
			"read are BF16"},
		"part of a block": {begin(1, 0).Tensor("a", 2, 0, 33).Data(64),
			"do not divide into the blocks of 32"},
		"unaligned":      {begin(1, 0).Tensor("a", 0, 4, 1).Data(8), "no multiple of the alignment"},
		"beyond the end": {begin(1, 0).Tensor("a", 0, 0, 9).Data(32), "downloaded fully"},
		"far offset":     {begin(1, 0).Tensor("a", 0, 1<<40, 1).Data(32), "downloaded fully"},
		"overlap": {begin(2, 0).Tensor("a", 0, 0, 16).Tensor("b", 0, 32, 8).Data(64),
			"a and b overlap"},
		"same place": {begin(2, 0).Tensor("a", 0, 0, 8).Tensor("b", 0, 0, 8).Data(32), "overlap"},
		"name twice": {begin(2, 0).Tensor("a", 0, 0, 8).Tensor("a", 0, 32, 8).Data(64),
			`"a" occurs twice`},
		"name not text": {begin(1, 0).Tensor("a\xff", 0, 0, 8).Data(32), "is not text"},
		"cut tensor":    {begin(2, 0).Tensor("a", 0, 0, 8).Bytes(), "downloaded fully"},
	} {
		path := writeTemp(t, "x.gguf", test.file)
		if _, err := OpenGGUF(path); err == nil || !strings.Contains(err.Error(), test.want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v\nwant it to contain %q", name, err, test.want)
		}
	}
	if _, err := OpenGGUF(t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := OpenGGUF("none.gguf"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestGGUFModels refuses, with the reason, what would be computed wrongly.
func TestGGUFModels(t *testing.T) {
	basic := func(arch string) map[string]any {
		return map[string]any{
			"general.architecture": arch, arch + ".embedding_length": int64(64),
			arch + ".attention.head_count": int64(4), arch + ".block_count": int64(1),
			arch + ".feed_forward_length": int64(8), arch + ".context_length": int64(128),
			arch + ".attention.layer_norm_rms_epsilon": float32(1e-5),
			arch + ".rope.freq_base":                   float32(500000),
		}
	}
	weights := func(names ...string) []tensor {
		var out []tensor
		for _, name := range append(names, "token_embd.weight") {
			out = append(out, tensor{Info: Info{Name: name, DType: "F32", Shape: []int{100, 64}}})
		}
		return out
	}
	for name, test := range map[string]struct {
		arch    string
		change  map[string]any
		tensors []tensor
		want    string
	}{
		"architecture": {"mamba", nil, weights(),
			`general.architecture "mamba" is not read from GGUF files; read are llama, qwen2, qwen3`},
		"parts": {"llama", map[string]any{"split.count": int64(3)}, weights(), "one of 3 parts"},
		"experts": {"llama", map[string]any{"llama.expert_count": int64(8)}, weights(),
			"llama.expert_count is 8"},
		"scaled": {"llama", map[string]any{"llama.logit_scale": float32(0.25)}, weights(),
			"llama.logit_scale is 0.25"},
		"yarn": {"llama", map[string]any{"llama.rope.scaling.type": "yarn",
			"llama.rope.scaling.factor": float32(4)}, weights(), `"yarn" is not read`},
		"partial rope": {"llama", map[string]any{"llama.rope.dimension_count": int64(8)}, weights(),
			"turning a part"},
		"by layer": {"llama", map[string]any{"llama.attention.head_count_kv": []int64{1, 2}},
			weights(), "head_count_kv is [1 2]"},
		"no layers": {"llama", map[string]any{"llama.block_count": nil}, weights(),
			"llama.block_count is"},
		"no embedding": {"llama", nil, nil, "no token_embd.weight"},
	} {
		g := &GGUF{Metadata: basic(test.arch), tensors: test.tensors, path: "x.gguf"}
		for k, v := range test.change {
			g.Metadata[k] = v
		}
		if _, err := g.ConfigJSON(noScaling); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant it to contain %q", name, err, test.want)
		}
	}
	g := &GGUF{Metadata: basic("qwen3"), tensors: weights("blk.0.attn_q_norm.weight", "output.weight")}
	g.Metadata["qwen3.attention.key_length"], g.Metadata["qwen3.attention.value_length"] = int64(32),
		int64(32)
	g.Metadata["tokenizer.ggml.eos_token_id"] = int64(7)
	config, err := g.config("qwen3", noScaling)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"architectures":["Qwen3ForCausalLM"],"bos_token_id":null,"eos_token_id":7,"head_dim":32,"hidden_act":"silu","hidden_size":64,` +
		`"intermediate_size":8,"max_position_embeddings":128,"model_type":"qwen3","num_attention_heads":4,"num_hidden_layers":1,"num_key_value_heads":4,` +
		`"pad_token_id":null,"rms_norm_eps":1e-05,"rope_theta":500000,"tie_word_embeddings":false,"torch_dtype":"float32","vocab_size":100}`
	if string(data) != want {
		t.Errorf("config %s\nwant %s", data, want)
	}
	for gguf, hf := range map[string]string{
		"token_embd.weight":  "model.embed_tokens.weight",
		"blk.12.attn_q.bias": "model.layers.12.self_attn.q_proj.bias", "output.weight": "lm_head.weight",
		"blk.0.attn_k_norm.weight": "model.layers.0.self_attn.k_norm.weight", "blk.0.output.weight": "",
		"attn_q.weight": "", "blk.01.attn_q.weight": "",
		"blk.0.ffn_gate_exps.weight": "", "blk.0.attn_q.scale": "", "attn_q": "",
	} {
		if got, ok := hfName(gguf); got != hf || ok != (hf != "") {
			t.Errorf("%s is %q, want %q", gguf, got, hf)
		}
	}
}

func TestPickles(t *testing.T) {
	dir := t.TempDir() + "/[a]"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/pytorch_model-00001-of-00002.bin", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir)
	if err == nil || !strings.Contains(err.Error(), "pytorch_model-00001-of-00002.bin is a pickle, "+
		"which can run any code") || !strings.Contains(err.Error(),
		"'model-00001-of-00002.safetensors'") {
		t.Errorf("a pickle: %v", err)
	}
}

func FuzzReadGGUF(f *testing.F) {
	file, err := os.ReadFile("../lm/testdata/gguf/llama.gguf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file[:2048])
	f.Add(new(GGUFWriter).Begin(1, 3).Put("general.alignment", uint32(ggufUint32), uint32(64), "a",
		uint32(ggufArray), uint32(ggufString), uint64(2), "x", "y",
		"general.architecture", uint32(ggufString), "llama").Tensor("token_embd.weight", 8, 0, 32,
		2).Data(128))
	f.Add(new(GGUFWriter).Begin(2, 0).Tensor("a", 0, 0, 8).Tensor("b", 14, 32, 256).Data(242))
	f.Fuzz(func(t *testing.T, file []byte) {
		g, err := readGGUF(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		for _, x := range g.tensors { // what was accepted must be readable
			a, err := x.read()
			if err != nil && errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %v", x.Name, err)
			}
			if n, _ := bitSize(a.Shape, 1); err == nil && n != uint64(len(a.Data)) {
				t.Errorf("%s: %d values of shape %v", x.Name, len(a.Data), a.Shape)
			}
		}
		g.file = io.NopCloser(nil)
		g.ConfigJSON(noScaling)
		if c, err := g.checkpoint(); err == nil {
			for _, name := range c.Names() {
				c.Read(name)
			}
		}
	})
}
