package lm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
)

// TestGGUFQwen writes the stored models of the Qwen families as GGUF files and wants their weights and configuration back.
func TestGGUFQwen(t *testing.T) {
	for _, family := range []string{"qwen2", "qwen3"} {
		t.Run(family, func(t *testing.T) {
			dir := shared.Path(t, "golden/models/"+family)
			want, err := LoadConfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			ck, err := OpenCheckpoint(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			path := filepath.Join(t.TempDir(), family+".gguf")
			writeQwen(t, path, want, ck)
			got, err := LoadConfig(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, pair := range [][2]any{
				{got.Family, want.Family}, {got.Hidden, want.Hidden}, {got.Layers, want.Layers}, {got.Heads, want.Heads}, {got.KVHeads, want.KVHeads},
				{got.HeadDim, want.HeadDim}, {got.FeedForward, want.FeedForward}, {got.Vocab, want.Vocab}, {got.RopeTheta, want.RopeTheta},
				{float32(got.NormEps), float32(want.NormEps)}, {got.TiedEmbeddings, want.TiedEmbeddings}, {got.Window, want.Window}, {got.MaxPositions, want.MaxPositions},
			} {
				if pair[0] != pair[1] {
					t.Errorf("configuration has %v, want %v", pair[0], pair[1])
				}
			}
			file, err := OpenCheckpoint(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			for _, p := range Params(got) { // what a model of this configuration is built of
				a, err := ReadParam(file, got, p)
				if err != nil {
					t.Fatal(err)
				}
				b, err := ReadParam(ck, want, p)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(a.Data, b.Data) {
					t.Errorf("%s differs", p.Name)
				}
			}
			if len(Params(got)) != len(Params(want)) {
				t.Errorf("%d weights, want %d", len(Params(got)), len(Params(want)))
			}
		})
	}
}

// writeQwen writes a GGUF file as llama.cpp's converter does for these families: nothing is permuted.
func writeQwen(t *testing.T, path string, c *Config, ck *Checkpoint) {
	t.Helper()
	names := map[string]string{} // of a module: Hugging Face's → GGUF's
	for gguf, hf := range ggufNames {
		names[hf] = gguf
	}
	const typeUint32, typeFloat32, typeString, kindF32 = uint32(4), uint32(6), uint32(8), uint32(0)
	var w ggufWriter
	key := func(name string) string { return c.Family + "." + name }
	w.begin(uint64(len(ck.Names())), 10)
	w.put("general.architecture", typeString, c.Family)
	for name, v := range map[string]int{
		"embedding_length": c.Hidden, "block_count": c.Layers, "feed_forward_length": c.FeedForward, "context_length": c.MaxPositions,
		"attention.head_count": c.Heads, "attention.head_count_kv": c.KVHeads, "attention.key_length": c.HeadDim,
	} {
		w.put(key(name), typeUint32, uint32(v))
	}
	w.put(key("attention.layer_norm_rms_epsilon"), typeFloat32, float32(c.NormEps), key("rope.freq_base"), typeFloat32, float32(c.RopeTheta))
	var data ggufWriter
	for _, name := range ck.Names() {
		a, err := ck.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		dot := strings.LastIndexByte(name, '.')
		module, prefix := name[:dot], ""
		var layer int
		if n, _ := fmt.Sscanf(module, "model.layers.%d.", &layer); n == 1 {
			module, prefix = strings.TrimPrefix(module, fmt.Sprintf("model.layers.%d.", layer)), fmt.Sprintf("blk.%d.", layer)
		}
		gguf, ok := names[module]
		if !ok {
			t.Fatalf("no name for %s", name)
		}
		dims := make([]uint64, len(a.Shape)) // the fastest first
		for i, d := range a.Shape {
			dims[len(dims)-1-i] = uint64(d)
		}
		w.tensor(prefix+gguf+name[dot:], kindF32, uint64(data.Len()), dims...)
		data.put(a.Data)
		data.data(0)
	}
	w.data(0)
	if err := os.WriteFile(path, append(w.Bytes(), data.Bytes()...), 0o644); err != nil {
		t.Fatal(err)
	}
}
