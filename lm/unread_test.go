package lm_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/lm"
	"haf/weights"
)

// tiny is a model of one layer and its weights, all of them 0.5.
func tiny(t *testing.T, config string) (*lm.Config, []weights.Array) {
	t.Helper()
	c, err := lm.ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	var arrays []weights.Array
	for _, p := range lm.Params(c) {
		arrays = append(arrays, filled(p.Name, 0.5, p.Shape...))
	}
	return c, arrays
}

const tinySizes = `"vocab_size": 6, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2`

const (
	tinyLlama = `{"model_type": "llama", ` + tinySizes + `}`
	tinyTied  = `{"model_type": "llama", ` + tinySizes + `, "tie_word_embeddings": true}`
	tinyNeoX  = `{"model_type": "gpt_neox", ` + tinySizes + `, "rotary_pct": 1}`
	tinyGPT2  = `{"model_type": "gpt2", "vocab_size": 6, "n_embd": 4, "n_layer": 1, "n_head": 2, "n_positions": 8}`
	tinyGemma = `{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", ` +
		tinySizes + `, "head_dim": 2}}`
)

func filled(name string, value float32, shape ...int) weights.Array {
	a := weights.Array{Name: name, Shape: shape, Data: make([]float32, lm.Param{Shape: shape}.Size())}
	for i := range a.Data {
		a.Data[i] = value
	}
	return a
}

func writeTensors(t *testing.T, path string, arrays ...weights.Array) string {
	t.Helper()
	if err := weights.WriteFile(path, weights.Lazy(arrays...), weights.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return path
}

func openTensors(t *testing.T, arrays ...weights.Array) *weights.Tensors {
	t.Helper()
	ck, err := weights.OpenFile(writeTensors(t, filepath.Join(t.TempDir(), "model.safetensors"),
		arrays...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ck.Close() })
	return ck
}

// TestUnread: what is no weight is listed, what transformers ignores in the family is not.
func TestUnread(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		extra  []string
		want   []string
	}{
		"weights alone": {tinyLlama, nil, nil},
		"a head": {tinyLlama, []string{"score.weight", "reward_head.weight"},
			[]string{"reward_head.weight", "score.weight"}},
		"frequencies": {tinyLlama,
			[]string{"model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"},
			nil},
		"one more layer": {tinyLlama, []string{"model.layers.1.mlp.up_proj.weight"},
			[]string{"model.layers.1.mlp.up_proj.weight"}},
		"a bias": {tinyLlama, []string{"model.layers.0.mlp.up_proj.bias"},
			[]string{"model.layers.0.mlp.up_proj.bias"}},
		"a weight twice": {tinyLlama, []string{"norm.weight"}, []string{"norm.weight"}},
		"tied head":      {tinyTied, []string{"lm_head.weight"}, nil},
		"masks of gpt_neox": {tinyNeoX, []string{"gpt_neox.layers.0.attention.bias",
			"gpt_neox.layers.0.attention.masked_bias",
			"gpt_neox.layers.0.attention.rotary_emb.inv_freq"}, nil},
		"masks of gpt2": {tinyGPT2, []string{"transformer.h.0.attn.bias",
			"h.0.attn.masked_bias"}, nil},
		"gpt2's names": {tinyLlama, []string{"model.layers.0.attn.bias"},
			[]string{"model.layers.0.attn.bias"}},
		"no frequencies": {tinyGPT2, []string{"transformer.rotary_emb.inv_freq"},
			[]string{"transformer.rotary_emb.inv_freq"}},
		"vision part": {tinyGemma, []string{"model.vision_tower.x.weight",
			"vision_tower.y.position_ids", "model.multi_modal_projector.z", "visual.weight"},
			[]string{"visual.weight"}},
		"vision part of llama": {tinyLlama, []string{"vision_tower.x.weight"},
			[]string{"vision_tower.x.weight"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, arrays := tiny(t, test.config)
			for _, extra := range test.extra {
				arrays = append(arrays, filled(extra, 1, 1, 4))
			}
			var got []string
			for _, info := range lm.Unread(openTensors(t, arrays...), c) {
				got = append(got, info.Name)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("unread %q, want %q", got, test.want)
			}
		})
	}
}

// TestTied: a stored head beside a tied embedding is ignored where it is the embedding, and else
// refused.
func TestTied(t *testing.T) {
	c, arrays := tiny(t, tinyTied)
	if err := lm.CheckTied(openTensors(t, append(arrays, filled("lm_head.weight", 0.5, 6, 4))...),
		c); err != nil {
		t.Errorf("the embedding twice: %v", err)
	}
	const want = "has tie_word_embeddings true, but lm_head.weight differs from " +
		"model.embed_tokens.weight"
	if err := lm.CheckTied(openTensors(t, append(arrays, filled("lm_head.weight", 0.25, 6, 4))...),
		c); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("another head: %v", err)
	}
}

// TestQuantized: bytes that are no numbers are refused by what stores them; a mask of bytes is
// none.
func TestQuantized(t *testing.T) {
	file := func(name, dtype string) *weights.Tensors {
		header := `{"` + name + `":{"dtype":"` + dtype + `","shape":[8],"data_offsets":[0,8]}}`
		path := filepath.Join(t.TempDir(), "model.safetensors")
		data := append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header...)
		if err := os.WriteFile(path, append(data, make([]byte, 8)...), 0o644); err != nil {
			t.Fatal(err)
		}
		ck, err := weights.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ck.Close() })
		return ck
	}
	const method = `, "quantization_config": {"quant_method": "bitsandbytes"}}`
	c, err := lm.ParseConfig([]byte(strings.TrimSuffix(tinyLlama, "}") + method))
	if err != nil {
		t.Fatal(err)
	}
	for _, dtype := range []string{"U8", "I8", "F8_E4M3"} {
		want := "model.norm.weight has dtype " + dtype +
			`: the model is quantized (quant_method "bitsandbytes")`
		if err := lm.CheckQuantized(file("model.norm.weight", dtype), c); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dtype, err)
		}
	}
	gpt2, _ := tiny(t, tinyGPT2)
	if err := lm.CheckQuantized(file("h.0.attn.bias", "U8"), gpt2); err != nil {
		t.Errorf("a mask: %v", err)
	}
	whole, arrays := tiny(t, strings.TrimSuffix(tinyLlama, "}")+method)
	if err := lm.CheckQuantized(openTensors(t, arrays...), whole); err != nil {
		t.Errorf("a setting that is left over: %v", err)
	}
}

// TestWrappedNames: the prefixes of torch.compile and DistributedDataParallel are taken off.
func TestWrappedNames(t *testing.T) {
	for name, test := range map[string]struct {
		names    []string
		want     []string
		stripped string
		err      string
	}{
		"none": {names: []string{"model.a", "b"}, want: []string{"b", "model.a"}},
		"compiled": {names: []string{"_orig_mod.model.a", "_orig_mod.b"},
			want: []string{"b", "model.a"}, stripped: "_orig_mod."},
		"compiled layers": {names: []string{"model.layers.0._orig_mod.a", "b"},
			want: []string{"b", "model.layers.0.a"}, stripped: "_orig_mod."},
		"parallel": {names: []string{"module.model.a", "module.b"}, want: []string{"b",
			"model.a"}, stripped: "module."},
		"both": {names: []string{"module._orig_mod.model.a", "module._orig_mod.b"},
			want: []string{"b", "model.a"}, stripped: "_orig_mod.module."},
		"the other way": {names: []string{"_orig_mod.module.model.a", "_orig_mod.module.b"},
			want: []string{"b", "model.a"}, stripped: "_orig_mod.module."},
		"twice": {names: []string{"module.module.a"}, want: []string{"a"},
			stripped: "module.module."},
		"adapter": {names: []string{"base_model.model._orig_mod.model.a",
			"base_model.model._orig_mod.b"}, want: []string{"base_model.model.b",
			"base_model.model.model.a"}, stripped: "_orig_mod."},
		"adapter, parallel": {names: []string{"module.base_model.model.module.a",
			"module.base_model.model.module.b"}, want: []string{"base_model.model.a",
			"base_model.model.b"}, stripped: "module.module."},
		"not all parallel": {names: []string{"module.a", "b"}, want: []string{"b", "module.a"}},
		"a module of the name": {names: []string{"model.module.a"},
			want: []string{"model.module.a"}},
		"ambiguous": {names: []string{"_orig_mod.a", "a"},
			err: `are both "a" without the prefixes`},
	} {
		t.Run(name, func(t *testing.T) {
			var arrays []weights.Array
			for _, stored := range test.names {
				arrays = append(arrays, filled(stored, 1, 2))
			}
			path := writeTensors(t, filepath.Join(t.TempDir(), "model.safetensors"), arrays...)
			ck, err := weights.OpenFile(path)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			if got := ck.Names(); !slices.Equal(got, test.want) || ck.Stripped() != test.stripped {
				t.Errorf("names %q without %q, want %q without %q", got, ck.Stripped(), test.want,
					test.stripped)
			}
			for _, stored := range test.want {
				if a, err := ck.Read(stored); err != nil || a.Name != stored || a.Data[1] != 1 {
					t.Errorf("%s: %v, %v", stored, a, err)
				}
			}
		})
	}
	dir := t.TempDir() // an index names the tensors as they are stored
	sources := weights.Lazy(filled("_orig_mod.a", 1, 4), filled("_orig_mod.b", 2, 4))
	if err := weights.Write(dir, sources, weights.WriteOptions{MaxShard: 16}); err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	if b, err := ck.Read("b"); err != nil || b.Data[0] != 2 || !slices.Equal(ck.Names(),
		[]string{"a", "b"}) {
		t.Errorf("shards: %v, %v, names %q", b, err, ck.Names())
	}
}

// TestTwoSets: model.safetensors beside an index of other weights is refused with which file to
// delete.
func TestTwoSets(t *testing.T) {
	one, two := filled("a", 1, 4), filled("b", 2, 4)
	folder := func(single ...weights.Array) string {
		dir := t.TempDir()
		if err := weights.Write(dir, weights.Lazy(one, two),
			weights.WriteOptions{MaxShard: 16}); err != nil {
			t.Fatal(err)
		}
		writeTensors(t, filepath.Join(dir, "model.safetensors"), single...)
		return dir
	}
	for want, single := range map[string][]weights.Array{
		"model.safetensors lacks b":            {one},
		"model.safetensors.index.json lacks c": {one, two, filled("c", 1, 4)},
		"b has other values":                   {one, filled("b", 3, 4)},
		"a has other values":                   {filled("a", 1, 2, 2), two},
	} {
		dir := folder(single...)
		_, err := weights.Open(dir)
		if !errors.Is(err, weights.ErrTwoSets) || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "Delete model.safetensors to use the shards, or "+
				"delete model.safetensors.index.json") {
			t.Errorf("%v\nwant it to contain %q", err, want)
		}
		if ck, err := weights.OpenSingle(dir); err != nil || len(ck.Names()) != len(single) {
			t.Errorf("the one file: %v", err)
		} else {
			ck.Close()
		}
	}
	opened := func(dir string) {
		t.Helper()
		ck, err := weights.Open(dir)
		if err != nil {
			t.Error(err)
			return
		}
		ck.Close()
	}
	opened(folder(one, two)) // the same weights twice
	stale := folder(one)
	shards, err := filepath.Glob(filepath.Join(stale, "model-*.safetensors"))
	if err != nil || len(shards) != 2 {
		t.Fatal(shards, err)
	}
	if err := os.Remove(shards[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := weights.Open(stale); !errors.Is(err, weights.ErrTwoSets) ||
		!strings.Contains(err.Error(), "no such file") {
		t.Errorf("half a set: %v", err)
	}
	if err := os.Remove(shards[1]); err != nil {
		t.Fatal(err)
	}
	opened(stale) // an index of files that are gone
}
