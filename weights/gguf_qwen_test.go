package weights_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
	"haf/lm"
	"haf/weights"
)

// TestGGUFQwen writes the stored models of the Qwen families as GGUF files and wants their weights
// and configuration back.
func TestGGUFQwen(t *testing.T) {
	for _, family := range []string{"qwen2", "qwen3"} {
		t.Run(family, func(t *testing.T) {
			dir := shared.Path(t, "golden/models/"+family)
			want, err := lm.LoadConfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			ck, err := weights.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			path := filepath.Join(t.TempDir(), family+".gguf")
			writeQwen(t, path, want, ck)
			got, err := lm.LoadConfig(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, pair := range [][2]any{
				{got.Family, want.Family}, {got.Hidden, want.Hidden}, {got.Layers, want.Layers},
				{got.Heads, want.Heads}, {got.KVHeads, want.KVHeads},
				{got.HeadDim, want.HeadDim}, {got.FeedForward, want.FeedForward}, {got.Vocab, want.Vocab},
				{got.RopeTheta, want.RopeTheta},
				{float32(got.NormEps), float32(want.NormEps)}, {got.TiedEmbeddings, want.TiedEmbeddings},
				{got.Window, want.Window}, {got.MaxPositions, want.MaxPositions},
			} {
				if pair[0] != pair[1] {
					t.Errorf("configuration has %v, want %v", pair[0], pair[1])
				}
			}
			file, err := weights.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			for _, p := range lm.Params(got) { // what a model of this configuration is built of
				a, err := lm.ReadParam(file, got, p)
				if err != nil {
					t.Fatal(err)
				}
				b, err := lm.ReadParam(ck, want, p)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(a.Data, b.Data) {
					t.Errorf("%s differs", p.Name)
				}
			}
			if len(lm.Params(got)) != len(lm.Params(want)) {
				t.Errorf("%d weights, want %d", len(lm.Params(got)), len(lm.Params(want)))
			}
		})
	}
}

// writeQwen writes a GGUF file as llama.cpp's converter does for these families: nothing is
// permuted.
func writeQwen(t *testing.T, path string, c *lm.Config, ck *weights.Tensors) {
	t.Helper()
	names := map[string]string{} // of a module: Hugging Face's → GGUF's
	for gguf, hf := range weights.GGUFNames {
		names[hf] = gguf
	}
	const typeUint32, typeFloat32, typeString, kindF32 = uint32(4), uint32(6), uint32(8), uint32(0)
	var w weights.GGUFWriter
	key := func(name string) string { return c.Family + "." + name }
	w.Begin(uint64(len(ck.Names())), 10)
	w.Put("general.architecture", typeString, c.Family)
	for name, v := range map[string]int{
		"embedding_length": c.Hidden, "block_count": c.Layers, "feed_forward_length": c.FeedForward,
		"context_length":       c.MaxPositions,
		"attention.head_count": c.Heads, "attention.head_count_kv": c.KVHeads,
		"attention.key_length": c.HeadDim,
	} {
		w.Put(key(name), typeUint32, uint32(v))
	}
	w.Put(key("attention.layer_norm_rms_epsilon"), typeFloat32, float32(c.NormEps),
		key("rope.freq_base"), typeFloat32, float32(c.RopeTheta))
	var data weights.GGUFWriter
	for _, name := range ck.Names() {
		a, err := ck.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		dot := strings.LastIndexByte(name, '.')
		module, prefix := name[:dot], ""
		var layer int
		if n, _ := fmt.Sscanf(module, "model.layers.%d.", &layer); n == 1 {
			module, prefix = strings.TrimPrefix(module, fmt.Sprintf("model.layers.%d.", layer)),
				fmt.Sprintf("blk.%d.", layer)
		}
		gguf, ok := names[module]
		if !ok {
			t.Fatalf("no name for %s", name)
		}
		dims := make([]uint64, len(a.Shape)) // the fastest first
		for i, d := range a.Shape {
			dims[len(dims)-1-i] = uint64(d)
		}
		w.Tensor(prefix+gguf+name[dot:], kindF32, uint64(data.Len()), dims...)
		data.Put(a.Data)
		data.Data(0)
	}
	w.Data(0)
	if err := os.WriteFile(path, append(w.Bytes(), data.Bytes()...), 0o644); err != nil {
		t.Fatal(err)
	}
}
