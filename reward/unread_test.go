package reward_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/reward"
	"haf/weights"
)

// TestUnreadTensors: a model with tensors that are not understood is refused, never opened with a
// fresh head.
func TestUnreadTensors(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	main := func(arrays ...weights.Array) map[string][]weights.Array {
		return map[string][]weights.Array{"model.safetensors": arrays}
	}
	two := slices.Concat(row(1), row(2))
	for name, test := range map[string]struct {
		layout layout
		want   []string // parts of the error; nil: opened
		unread []string // by inspect
	}{
		"reward_head": {layout{nil, main(array("reward_head.weight", row(1), 1, hidden),
			array("reward_head.bias", []float32{1}, 1)), ""},
			[]string{"model.safetensors: haf does not read the tensors reward_head.bias [1], " +
				"reward_head.weight [1 32] of this llama model: reward_head.weight has the shape " +
				"of a score head",
				`put "value_head_prefix": "reward_head" into config.json, or rename it to score.weight`,
				"haf inspect "},
			[]string{"reward_head.bias", "reward_head.weight"}},
		"of a classifier": {layout{
			map[string]any{"architectures": []string{"LlamaForSequenceClassification"}},
			main(array("regression_head.weight", two, 2, hidden)), ""},
			[]string{"regression_head.weight [2 32]", `"value_head_prefix": "regression_head"`},
			[]string{"regression_head.weight"}},
		"beside a head": {layout{nil, main(array("score.weight", row(1), 1, hidden),
			array("gating.weight", row(2), 1, hidden)), ""},
			[]string{"gating.weight [1 32]"}, []string{"gating.weight"}},
		"layers": {layout{nil, main(array("critic.0.weight", two, 2, hidden),
			array("critic.2.weight", []float32{1, 2}, 1, 2)), ""},
			[]string{
				`critic.0.weight has the shape of a score head: if it is one, put "value_head_prefix": "critic" into config.json, or rename it to score.0.weight`},
			[]string{"critic.0.weight", "critic.2.weight"}},
		"no layer is skipped": {layout{nil, main(array("score.0.weight", row(1), 1, hidden),
			array("score.0.bias", []float32{1}, 1), array("score.3.weight", []float32{1}, 1, 1)),
			""},
			[]string{"score.3.weight [1 1]"}, []string{"score.3.weight"}},
		"a vector": {layout{nil, main(array("reward_transform", []float32{1, 2, 3}, 3)), ""},
			[]string{"reward_transform has the shape of a score head: if it is one, rename it to " +
				"score.weight"}, []string{"reward_transform"}},
		"no head": {layout{nil, main(array("model.layers.0.mlp.extra.weight", make([]float32, 6),
			2, 3)), ""},
			[]string{"model.layers.0.mlp.extra.weight [2 3]", "use the program that wrote them, " +
				"or remove them"}, []string{"model.layers.0.mlp.extra.weight"}},
		"value head file": {layout{nil,
			map[string][]weights.Array{"value_head.safetensors": {array("v_head.summary.weight", row(1),
				1, hidden), array("v_head.other.weight", row(2), 1, hidden)}}, ""},
			[]string{"value_head.safetensors: haf does not read the tensors v_head.other.weight " +
				"[1 32]"}, nil},
		"known by its prefix": {layout{map[string]any{"value_head_prefix": "reward_head"},
			main(array("reward_head.weight", row(1), 1, hidden)), ""}, nil, nil},
		"frequencies": {layout{nil,
			main(array("model.layers.0.self_attn.rotary_emb.inv_freq", make([]float32, 4), 4)),
			""}, nil, nil},
		"plain": {layout{}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := test.layout.write(t)
			m, err := reward.Open(device, dir, reward.Options{NoTokenizer: true})
			if err == nil {
				m.Close()
			}
			if (err == nil) != (test.want == nil) {
				t.Fatalf("%v, want %q", err, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nwant it to contain %q", err, want)
				}
			}
			bare, bareErr := reward.OpenWithoutWeights(dir, reward.Options{NoTokenizer: true})
			if bareErr == nil {
				bare.Close()
			}
			if (bareErr == nil) != (err == nil) {
				t.Errorf("without weights: %v", bareErr)
			}
			in, err := reward.Inspect(dir, reward.ChatOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var unread []string
			for _, u := range in.Unread {
				unread = append(unread, u.Name)
				if u.DType != "F32" || len(u.Shape) == 0 ||
					filepath.Base(u.File) != "model.safetensors" {
					t.Errorf("%+v", u)
				}
			}
			refused := slices.ContainsFunc(in.Warnings,
				func(w string) bool { return strings.Contains(w, "haf does not read the tensors") })
			if !slices.Equal(unread, test.unread) || refused != (test.want != nil) {
				t.Errorf("inspect: unread %q, want %q; warnings %q", unread, test.unread,
					in.Warnings)
			}
		})
	}
}

// rewrite writes a folder's weights anew, under the names that rename gives them.
func rewrite(t *testing.T, path string, rename func(string) string) {
	t.Helper()
	ck, err := weights.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var arrays []weights.Array
	for _, name := range ck.Names() {
		a, err := ck.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		a.Name = rename(name)
		arrays = append(arrays, a)
	}
	if err := ck.Close(); err != nil {
		t.Fatal(err)
	}
	if err := weights.WriteFile(path, weights.Lazy(arrays...), weights.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	// Other programs write no checksums.
	meta := filepath.Join(filepath.Dir(path), reward.MetaName)
	data, err := os.ReadFile(meta)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte(`"weights_crc32c"`), []byte(`"other"`), 1)
	if err := os.WriteFile(meta, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWrappedModels: a model or adapter that was saved inside torch.compile or
// DistributedDataParallel gives the same rewards.
func TestWrappedModels(t *testing.T) {
	device, base := demoBase(t)
	whole, adapter := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "adapter")
	if err := changed(t, device, base, false).Save(whole); err != nil {
		t.Fatal(err)
	}
	if err := changed(t, device, base, true).Save(adapter); err != nil {
		t.Fatal(err)
	}
	prefixed := func(prefix string) func(string) string {
		return func(name string) string { return prefix + name }
	}
	inside := func(name string) string {
		return "base_model.model._orig_mod." + strings.TrimPrefix(name, "base_model.model.")
	}
	for _, test := range []struct {
		dir, file, stripped string
		rename              func(string) string
	}{
		{whole, "model.safetensors", "_orig_mod.", prefixed("_orig_mod.")},
		{whole, "model.safetensors", "_orig_mod.module.", prefixed("module._orig_mod.")},
		{adapter, "adapter_model.safetensors", "module.", prefixed("module.")},
		{adapter, "adapter_model.safetensors", "_orig_mod.", inside},
	} {
		want := rewards(t, open(t, device, test.dir, reward.Options{}), reward.ByScore)
		rewrite(t, filepath.Join(test.dir, test.file), test.rename)
		if got := rewards(t, open(t, device, test.dir, reward.Options{}),
			reward.ByScore); !slices.Equal(got, want) {
			t.Errorf("%s: rewards %v, want %v", test.stripped, got, want)
		}
		in, err := reward.Inspect(test.dir, reward.ChatOptions{})
		if err != nil {
			t.Fatal(err)
		}
		stripped := in.Stripped
		if in.Adapter != nil {
			stripped = in.Adapter.Stripped
		}
		if stripped != test.stripped {
			t.Errorf("inspect says %q, want %q", stripped, test.stripped)
		}
		// as it was
		rewrite(t, filepath.Join(test.dir, test.file), func(name string) string { return name })
	}
}

// TestInspectTwoSets: a folder with two sets of weights is described by the one that transformers
// reads, and not opened.
func TestInspectTwoSets(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := head("score.weight", row(1), 1).write(t)
	other := t.TempDir()
	if err := weights.Write(other, weights.Lazy(array("score.weight", row(2), 1, hidden),
		array("score.bias", []float32{1}, 1)), weights.WriteOptions{MaxShard: 4 * hidden}); err != nil {
		t.Fatal(err)
	}
	shards, err := filepath.Glob(filepath.Join(other, "*"))
	if err != nil || len(shards) != 3 {
		t.Fatal(shards, err)
	}
	for _, shard := range shards {
		copyFile(t, shard, filepath.Join(dir, filepath.Base(shard)))
	}
	const want = "two sets of weights: model.safetensors and the files of " +
		"model.safetensors.index.json differ"
	if _, err := reward.Open(device, dir, reward.Options{NoTokenizer: true}); err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	in, err := reward.Inspect(dir, reward.ChatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if in.ScoreHead.Kind != "linear" || in.ScoreHead.Offset != 0 ||
		!slices.ContainsFunc(in.Warnings, func(w string) bool {
			return strings.Contains(w, want)
		}) {
		t.Errorf("%+v, warnings %q", in.ScoreHead, in.Warnings)
	}
}

// TestQuantizedModel: quantized weights are refused by what they are; a setting that is left over
// is not, and is not saved.
func TestQuantizedModel(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	quantized := map[string]any{"quantization_config": map[string]any{"quant_method": "gptq",
		"bits": 4}}
	dir := layout{quantized, nil, ""}.write(t)
	saved := filepath.Join(t.TempDir(), "saved")
	if err := open(t, device, dir, reward.Options{NoTokenizer: true}).Save(saved); err != nil {
		t.Fatal(err)
	}
	if left, ok := readJSON(t, filepath.Join(saved, "config.json"))["quantization_config"]; ok {
		t.Errorf("quantization_config is still %v", left)
	}
	const header = `{"model.layers.0.mlp.up_proj.qweight":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}} `
	data := append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header...)
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), append(data, make([]byte,
		8)...), 0o644); err != nil {
		t.Fatal(err)
	}
	const want = `up_proj.qweight has dtype I32: the model is quantized (quant_method "gptq"), which haf does not read`
	if _, err := reward.Open(device, dir, reward.Options{NoTokenizer: true}); err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	in, err := reward.Inspect(dir, reward.ChatOptions{})
	if err != nil || !slices.ContainsFunc(in.Warnings,
		func(w string) bool { return strings.Contains(w, want) }) {
		t.Errorf("inspect: %v, %v", in, err)
	}
}
