package reward_test

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/reward"
	"haf/weights"
)

// A layout is a checkpoint as another program would write it: the folder of lm/testdata/llama with
// other keys in config.json, and tensors in files of their own.
type layout struct {
	config map[string]any
	head   map[string][]weights.Array // by file; model.safetensors has the body too
	column string
}

func (l layout) write(t *testing.T) string {
	t.Helper()
	dir, base := t.TempDir(), filepath.Join(shared.Root(), "lm", "testdata", "llama")
	data, err := os.ReadFile(filepath.Join(base, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	maps.Copy(config, l.config)
	writeJSONFile(t, filepath.Join(dir, "config.json"), config)
	ck, err := weights.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	files := maps.Clone(l.head)
	if files == nil {
		files = map[string][]weights.Array{}
	}
	body := slices.Clone(files["model.safetensors"])
	for _, name := range ck.Names() {
		a, err := ck.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(body, func(b weights.Array) bool { return b.Name == name }) {
			body = append(body, a)
		}
	}
	files["model.safetensors"] = body
	for name, arrays := range files {
		if err := weights.WriteFile(filepath.Join(dir, name), weights.Lazy(arrays...),
			weights.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeJSONFile(t *testing.T, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const hidden = 32 // of lm/testdata/llama

// row is a head of some seed: values a head could have.
func row(seed float64) []float32 {
	out := make([]float32, hidden)
	for i := range out {
		out[i] = float32(math.Sin(seed * float64(i+1)))
	}
	return out
}

func array(name string, values []float32, shape ...int) weights.Array {
	return weights.Array{Name: name, Shape: shape, Data: values}
}

func negative(x []float32) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = -v
	}
	return out
}

// read opens the layout and returns its scores of two sequences.
func (l layout) read(t *testing.T, device *backend.Device) []float64 {
	t.Helper()
	return scores(t, device, l.write(t), l.column)
}

// readScores opens a folder and returns its scores of two sequences.
func readScores(t *testing.T, device *backend.Device, dir string) []float64 {
	t.Helper()
	return scores(t, device, dir, "")
}

func scores(t *testing.T, device *backend.Device, dir, column string) []float64 {
	t.Helper()
	m, err := reward.Open(device, dir, reward.Options{NoTokenizer: true, Positions: 256,
		Column: column})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	heads, err := m.Read(t.Context(),
		[]encode.Group{
			{Prompt: []int32{1, 9, 33}, Responses: []encode.Response{encode.Answer([]int32{20, 21, 2}),
				encode.Answer([]int32{99, 140, 8, 2})}}}, reward.ScoreHead, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return heads.Scores[0]
}

// TestHeads: the layouts of one head give one reward, moved and scaled as their programs do it.
func TestHeads(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	one, two := row(1), row(2)
	main := func(arrays ...weights.Array) map[string][]weights.Array {
		return map[string][]weights.Array{"model.safetensors": arrays}
	}
	classifier := map[string]any{"architectures": []string{"LlamaForSequenceClassification"},
		"id2label": map[string]string{"0": "LABEL_0"}}
	plain := layout{classifier, main(array("score.weight", one, 1, hidden)), ""}.read(t, device)
	other := layout{classifier, main(array("score.weight", two, 1, hidden)), ""}.read(t, device)
	if plain[0] == plain[1] || plain[0] == other[0] {
		t.Fatalf("rewards %v and %v tell nothing apart", plain, other)
	}
	same := func(x float64) float64 { return x }
	normalized := map[string]any{"value_head_prefix": "value_head", "mean": 0.5, "std": []float64{4},
		"normalize_reward": true, "architectures": []string{"RewardModel"}}
	stored := map[string]any{"value_head_prefix": "value_head", "mean": 0.5, "std": 4,
		"architectures": []string{"RewardModel"}}
	// relu(x) − relu(−x) = x, with the bias in the last layer.
	mlp := func(root string) []weights.Array {
		return []weights.Array{
			array(root+".0.weight", append(slices.Clone(one), negative(one)...), 2, hidden),
			array(root+".0.bias", []float32{0, 0}, 2),
			array(root+".2.weight", []float32{1, -1}, 1, 2), array(root+".2.bias", []float32{0.25}, 1),
		}
	}
	for name, test := range map[string]struct {
		layout layout
		from   []float64
		want   func(float64) float64
	}{
		"bias": {layout{classifier, main(array("score.weight", one, 1, hidden),
			array("score.bias", []float32{3}, 1)), ""}, plain, func(x float64) float64 {
			return x +
				3
		}},
		"column 1": {layout{nil, main(array("score.weight", append(slices.Clone(two), one...),
			2, hidden)), "1"}, plain, same},
		"column 0": {layout{nil, main(array("score.weight", append(slices.Clone(two), one...),
			2, hidden)), "0"}, other, same},
		"TRL": {layout{nil, main(array("v_head.summary.weight", one, 1, hidden),
			array("v_head.summary.bias", []float32{-2}, 1)), ""}, plain,
			func(x float64) float64 { return x - 2 }},
		"LLaMA-Factory": {layout{nil,
			map[string][]weights.Array{"value_head.safetensors": {array("v_head.summary.weight", one, 1,
				hidden), array("v_head.summary.bias", []float32{1}, 1)}}, ""}, plain,
			func(x float64) float64 { return x + 1 }},
		"OpenRLHF": {layout{normalized, main(array("value_head.weight", one, 1, hidden)), ""},
			plain, func(x float64) float64 { return (x - 0.5) / 4 }},
		"not asked for": {layout{stored, main(array("value_head.weight", one, 1, hidden)), ""},
			plain, same},
		"own name": {layout{map[string]any{"value_head_prefix": "mine"},
			main(array("mine.weight", one, 1, hidden)), ""}, plain, same},
		"GRM": {layout{map[string]any{"vhead_layer_type": "mlp"},
			main(mlp("v_head.summary")...), ""}, plain, func(x float64) float64 {
			return x +
				0.25
		}},
		"Qwen": {layout{nil, main(mlp("score")...), ""}, plain,
			func(x float64) float64 { return x + 0.25 }},
		"GRM, moved": {layout{normalized, main(mlp("v_head.summary")...), ""}, plain,
			func(x float64) float64 { return (x - 0.25) / 4 }},
		"two labels": {layout{classifier, main(array("score.weight", one, 1, hidden)), "0"},
			plain, same},
	} {
		t.Run(name, func(t *testing.T) {
			for i, x := range test.layout.read(t, device) {
				if want := test.want(test.from[i]); !(math.Abs(x-want) <= 1e-5) {
					t.Errorf("reward %d is %v, want %v", i, x, want)
				}
			}
		})
	}
}

// TestHostileModels: each is refused with what is wrong and where.
func TestHostileModels(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	main := func(arrays ...weights.Array) map[string][]weights.Array {
		return map[string][]weights.Array{"model.safetensors": arrays}
	}
	nan := row(1)
	nan[3] = float32(math.NaN())
	inf := make([]float32, hidden)
	inf[0] = float32(math.Inf(-1))
	class := func(name string) map[string]any {
		return map[string]any{"architectures": []string{name}}
	}
	for name, test := range map[string]struct {
		layout layout
		want   string
	}{
		"no number in the body": {layout{nil, main(array("model.norm.weight", nan, hidden)), ""},
			"model.norm.weight holds NaN: the checkpoint is damaged"},
		"infinite body": {layout{nil, main(array("model.layers.0.input_layernorm.weight",
			inf, hidden)), ""}, "model.layers.0.input_layernorm.weight holds -Inf"},
		"no number in the head": {layout{nil, main(array("score.weight", nan, 1, hidden)), ""},
			"score.weight holds NaN"},
		"bias": {layout{nil, main(array("score.weight", row(1), 1, hidden),
			array("score.bias", nan[3:4], 1)), ""}, "score.bias holds NaN"},
		"short norm": {layout{nil, main(array("model.norm.weight", nan[:3], 3)), ""},
			"model.norm.weight has shape [3], want [32]"},
		"small vocabulary": {layout{map[string]any{"vocab_size": 100}, nil, ""},
			"model.embed_tokens.weight has shape [160 32], want [100 32]; do config.json"},
		"more layers": {layout{map[string]any{"num_hidden_layers": 3}, nil, ""},
			"no such tensor: model.layers.2.input_layernorm.weight"},
		"wide head": {layout{nil, main(array("score.weight", row(1)[:16], 1, 16)), ""},
			"score.weight has shape [1 16], want [labels 32]"},
		"five labels": {layout{nil, main(array("score.weight", slices.Concat(row(1),
			row(2), row(3), row(4), row(5)), 5, hidden)), ""},
			"has 5 labels (0 LABEL_0, 1 LABEL_1, 2 LABEL_2, 3 LABEL_3, 4 LABEL_4): say which is " +
				"the reward"},
		"two labels": {layout{nil, main(array("score.weight", slices.Concat(row(1),
			row(2)), 2, hidden)), ""}, "has 2 labels (0 LABEL_0, 1 LABEL_1): say which is the " +
			"reward, such as -column \"LABEL_1\" or -column \"0.5*LABEL_0 + 0.5*LABEL_1\", or " +
			"model.column in a recipe"},
		"third column": {layout{nil, main(array("score.weight", slices.Concat(row(1),
			row(2)), 2, hidden)), "2"},
			`has 2 labels (0 LABEL_0, 1 LABEL_1): column "2": "2" is no label: want an index, a name or a weighted sum, such as -column "LABEL_1"`},
		"column of one": {layout{nil, main(array("score.weight", row(1), 1, hidden)), "2"},
			"has one label"},
		"token labels": {layout{class("LlamaForTokenClassification"), nil, ""},
			"is a LlamaForTokenClassification, which labels every token"},
		"steps": {layout{class("Qwen2ForProcessRewardModel"), nil, ""},
			"rewards every step"},
		"promised head": {layout{class("LlamaForSequenceClassification"), nil, ""},
			"promises a score head (LlamaForSequenceClassification), but there is no score.weight"},
		"two heads": {layout{nil, main(array("score.weight", row(1), 1, hidden),
			array("v_head.summary.weight", row(1), 1, hidden)), ""},
			"several score heads, score, v_head.summary"},
		"MLP of two": {layout{nil, main(array("v_head.summary.0.weight",
			slices.Concat(row(1), row(2)), 2, hidden)), ""}, "v_head.summary.0 to " +
			"v_head.summary.0 in "},
		"MLP of other width": {layout{nil, main(array("v_head.summary.0.weight", row(1), 2,
			16)), ""}, "v_head.summary.0.weight has shape [2 16], want [outputs 32]"},
		"std": {layout{map[string]any{"normalize_reward": true, "std": 0},
			main(array("score.weight", row(1), 1, hidden)), ""},
			"want finite numbers, std positive"},
		"mean": {layout{map[string]any{"normalize_reward": true, "mean": "x"},
			main(array("score.weight", row(1), 1, hidden)), ""}, "config.json: mean"},
		"empty value head": {layout{nil,
			map[string][]weights.Array{"value_head.safetensors": {array("x", nan[:1], 1)}}, ""},
			"no score head in it"},
	} {
		dir := test.layout.write(t)
		m, err := reward.Open(device, dir, reward.Options{NoTokenizer: true, Column: test.layout.column})
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant it to contain %q", name, err, test.want)
		}
	}
	pickled := layout{}.write(t)
	if err := os.WriteFile(filepath.Join(pickled, "value_head.bin"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := reward.Open(device, pickled, reward.Options{NoTokenizer: true}); err == nil ||
		!strings.Contains(err.Error(), "value_head.bin is a pickle") {
		t.Errorf("a pickled head: %v", err)
	}
}

// TestHostileAdapters refuses adapters that would compute something else than PEFT does.
func TestHostileAdapters(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(shared.Root(), "lm", "testdata", "llama")
	const a, b = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
		"base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"
	good := []weights.Array{array(a, row(1)[:32], 1, 32), array(b, make([]float32, 64), 64, 1)}
	basic := map[string]any{"peft_type": "LORA", "r": 1, "lora_alpha": 2,
		"base_model_name_or_path": base, "target_modules": []string{"model.layers.0.mlp.up_proj"}}
	for name, test := range map[string]struct {
		config map[string]any
		arrays []weights.Array
		want   string // empty: opened
	}{
		"good": {nil, good, ""},
		"settings off": {map[string]any{"init_lora_weights": "gaussian",
			"layer_replication": nil, "trainable_token_indices": nil, "lora_bias": false,
			"layers_pattern": "layers", "layers_to_transform": 0}, good, ""},
		"other type": {map[string]any{"peft_type": "IA3"}, good,
			`peft_type "IA3" (LORA is read)`},
		"bias": {map[string]any{"bias": "lora_only"}, good,
			`bias "lora_only" (none is read)`},
		"fan":       {map[string]any{"fan_in_fan_out": true}, good, "fan_in_fan_out"},
		"lora bias": {map[string]any{"lora_bias": true}, good, "lora_bias true"},
		"replication": {map[string]any{"layer_replication": [][]int{{0, 1}}}, good,
			"layer_replication [[0,1]]"},
		"pissa": {map[string]any{"init_lora_weights": "pissa_niter_4"}, good,
			`init_lora_weights "pissa_niter_4" (the adapter belongs to a changed base)`},
		"DoRA, no vector": {map[string]any{"use_dora": true}, good,
			"use_dora is true, but the magnitude vector"},
		"vector, no DoRA": {nil, append(slices.Clone(good),
			array("base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector",
				make([]float32, 64), 64)), "use_dora is false"},
		"rank": {map[string]any{"r": 2}, good, "lora_A.weight has shape [1 32], " +
			"want [2 32]"},
		"rank pattern": {map[string]any{"rank_pattern": map[string]int{"up_proj": 3}}, good,
			"lora_A.weight has shape [1 32], want [3 32]"},
		"zero rank": {map[string]any{"r": 0}, good, "has rank 0"},
		"contradiction": {map[string]any{"alpha_pattern": map[string]int{"up_proj": 3,
			"mlp.up_proj": 4}}, good, "both match model.layers.0.mlp.up_proj"},
		"bad pattern": {map[string]any{"rank_pattern": map[string]int{"(": 3}}, good,
			"no regular expression"},
		"cut short": {map[string]any{"target_modules": []string{"up_proj"}}, good,
			"no base_model.model.model.layers.1.mlp.up_proj.lora_A.weight, which target_modules " +
				"selects"},
		"only A": {nil, good[:1], "no such tensor: " + b},
		"nothing adapted": {map[string]any{"target_modules": []string{}},
			[]weights.Array{array("base_model.model.score.weight", row(1), 1, 32)},
			"adapts no linear layer"},
		"embedding": {nil, append(slices.Clone(good),
			array("base_model.model.model.embed_tokens.weight", make([]float32, 160*32), 160, 32)),
			""},
		"narrow embedding": {nil, append(slices.Clone(good),
			array("base_model.model.model.embed_tokens.weight", make([]float32, 160*16), 160, 16)),
			"embed_tokens.weight has shape [160 16], want [rows 32]"},
		"adapted embedding": {nil, append(slices.Clone(good),
			array("base_model.model.model.embed_tokens.lora_embedding_A", make([]float32, 160), 1,
				160)), `embed_tokens.lora_embedding_A" [1 160] belongs to no linear layer`},
		"two embeddings": {nil, append(slices.Clone(good),
			array("base_model.model.model.embed_tokens.weight", make([]float32, 160*32), 160, 32),
			array("base_model.model.model.embed_tokens.modules_to_save.weight", make([]float32,
				128*32), 128, 32)), "are both model.embed_tokens.weight, with other values"},
		"no head": {map[string]any{"task_type": "SEQ_CLS"}, good,
			"task_type SEQ_CLS promises a score head"},
		"no LoRA of the " +
			"head": {map[string]any{"target_modules": []string{"model.layers.0.mlp.up_proj",
			"score"}}, good, "no base_model.model.score.lora_A.weight, which target_modules names"},
		"lm_head shape": {nil, append(slices.Clone(good),
			array("base_model.model.lm_head.weight", make([]float32, 64), 2, 32)),
			"lm_head.weight has shape [2 32], want [160 32]"},
	} {
		dir := t.TempDir()
		config := maps.Clone(basic)
		maps.Copy(config, test.config)
		writeJSONFile(t, filepath.Join(dir, "adapter_config.json"), config)
		if err := weights.WriteFile(filepath.Join(dir, "adapter_model.safetensors"),
			weights.Lazy(test.arrays...), weights.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		m, err := reward.Open(device, dir, reward.Options{NoTokenizer: true})
		if err == nil {
			m.Close()
		}
		if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant it to contain %q", name, err, test.want)
		}
	}
	pickled := t.TempDir()
	writeJSONFile(t, filepath.Join(pickled, "adapter_config.json"), basic)
	if err := os.WriteFile(filepath.Join(pickled, "adapter_model.bin"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := reward.Open(device, pickled, reward.Options{NoTokenizer: true}); err == nil ||
		!strings.Contains(err.Error(), "adapter_model.bin is a pickle") {
		t.Errorf("a pickled adapter: %v", err)
	}
}
