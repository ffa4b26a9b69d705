package lm

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
)

// smallConfig is a valid config.json; extra members are put in, and those with an empty value taken
// out.
func smallConfig(t testing.TB, extra map[string]string) []byte {
	t.Helper()
	members := map[string]json.RawMessage{
		"model_type": json.RawMessage(`"llama"`), "vocab_size": json.RawMessage("160"),
		"hidden_size":       json.RawMessage("32"),
		"num_hidden_layers": json.RawMessage("2"), "num_attention_heads": json.RawMessage("4"),
		"intermediate_size": json.RawMessage("64"),
	}
	for key, value := range extra {
		if value == "" {
			delete(members, key)
		} else {
			members[key] = json.RawMessage(value)
		}
	}
	data, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parseSmall(t testing.TB, extra map[string]string) *Config {
	t.Helper()
	c, err := ParseConfig(smallConfig(t, extra))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoadConfig(t *testing.T) {
	c, err := LoadConfig("testdata/llama3-rope")
	if err != nil {
		t.Fatal(err)
	}
	c.Raw = nil
	want := &Config{
		Family: "llama", Vocab: 160, Hidden: 32, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8,
		FeedForward: 64, MaxPositions: 256,
		NormEps: 1e-6, Activation: "silu", RopeTheta: 500000,
		Rope: RopeScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4,
			OriginalMaxPositions: 64},
		Architectures: []string{"LlamaForCausalLM"}, EOS: []int{2}, BOS: 1, PAD: 0, DType: "float32",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if _, err := LoadConfig(t.TempDir()); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("no file: %v", err)
	}
}

func TestLoadStories(t *testing.T) {
	c, err := LoadConfig(shared.Path(t, "models/stories260k"))
	if err != nil {
		t.Fatal(err)
	}
	if c.KVHeads != 4 || c.HeadDim != 8 || c.FeedForward != 172 || c.RopeTheta != 10000 ||
		c.PAD != -1 || c.DType != "float32" || !c.TiedEmbeddings {
		t.Errorf("%+v", c)
	}
}

// The stored config.json of every family is read, and written as it was but for the second forms
// of dtype and rope.
func TestSharedFamilies(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(shared.Path(t, "golden/models"), "*", configFile))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, path := range paths {
		checkUnchanged(t, filepath.Dir(path))
	}
}

// checkUnchanged reads a folder's config.json and wants every member of it written as it was, and
// beside them only the keys by which transformers 4 says dtype and rotary settings.
func checkUnchanged(t *testing.T, dir string) {
	t.Helper()
	read, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(read)
	if err != nil {
		t.Errorf("%s: %v", dir, err)
		return
	}
	written, err := c.Marshal(c.CausalClass())
	if err != nil {
		t.Errorf("%s: %v", dir, err)
		return
	}
	was, is := decode(t, read), decode(t, written)
	added := []string{"torch_dtype"}
	if fam := c.family(); fam.rotary() {
		added = append(added, "rope_theta", "rope_scaling", "rope_parameters", localThetaKey,
			"partial_rotary_factor", fam.key("rope_theta"), fam.key("partial_rotary_factor"))
	}
	for key, value := range is {
		if old, ok := was[key]; ok && !reflect.DeepEqual(old, value) || !ok &&
			!slices.Contains(added, key) {
			t.Errorf("%s: %s is written as %v, read as %v", dir, key, value, was[key])
		}
	}
	for key := range was {
		if _, ok := is[key]; !ok {
			t.Errorf("%s: %s is not written", dir, key)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	c := parseSmall(t, nil)
	c.Raw = nil
	want := &Config{
		Family: "llama", Vocab: 160, Hidden: 32, Layers: 2, Heads: 4, KVHeads: 4, HeadDim: 8,
		FeedForward: 64, MaxPositions: 2048,
		NormEps: 1e-6, Activation: "silu", RopeTheta: 10000, EOS: []int{2}, BOS: 1, PAD: -1,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestConfigForms(t *testing.T) {
	llama3 := RopeScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4,
		OriginalMaxPositions: 64}
	tests := []struct {
		name  string
		extra map[string]string
		got   func(*Config) any
		want  any
	}{
		{"rope of transformers 4", map[string]string{"rope_theta": "5e5",
			"rope_scaling": `{"type":"linear","factor":2}`},
			func(c *Config) any { return []any{c.RopeTheta, c.Rope} },
			[]any{5e5, RopeScaling{Type: "linear", Factor: 2}}},
		{"rope_type before type", map[string]string{
			"rope_scaling": `{"type":"linear","rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}`},
			func(c *Config) any { return c.Rope }, llama3},
		{"rope of transformers 5", map[string]string{
			"rope_parameters": `{"rope_theta":5e5,"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4}`, "max_position_embeddings": "64"},
			func(c *Config) any { return []any{c.RopeTheta, c.Rope} }, []any{5e5, llama3}},
		{"theta inside before outside",
			map[string]string{"rope_theta": "7",
				"rope_parameters": `{"rope_theta":9,"rope_type":"default"}`},
			func(c *Config) any { return []any{c.RopeTheta, c.Rope} }, []any{9., RopeScaling{}}},
		{"null rope", map[string]string{"rope_scaling": "null", "rope_parameters": "null",
			"rope_theta": "3"},
			func(c *Config) any { return []any{c.RopeTheta, c.Rope} }, []any{3., RopeScaling{}}},
		{"EOS list", map[string]string{"eos_token_id": "[5,7]"}, func(c *Config) any { return c.EOS },
			[]int{5, 7}},
		{"EOS null", map[string]string{"eos_token_id": "null"}, func(c *Config) any { return c.EOS },
			[]int(nil)},
		{"EOS of older files", map[string]string{"eos_token_id": "-1"},
			func(c *Config) any { return c.EOS }, []int(nil)},
		{"ids", map[string]string{"bos_token_id": "null", "pad_token_id": "-1"},
			func(c *Config) any { return []int{c.BOS, c.PAD} }, []int{-1, -1}},
		{"old dtype", map[string]string{"torch_dtype": `"bfloat16"`},
			func(c *Config) any { return c.DType }, "bfloat16"},
		{"new dtype", map[string]string{"dtype": `"float16"`, "torch_dtype": "null"},
			func(c *Config) any { return c.DType }, "float16"},
		{"bias", map[string]string{"attention_bias": "true", "mlp_bias": "true"},
			func(c *Config) any { return []bool{c.AttentionBias, c.OutputBias, c.MLPBias} },
			[]bool{true, true, true}},
		{"activation", map[string]string{"hidden_act": `"gelu_pytorch_tanh"`},
			func(c *Config) any { return c.Activation }, "gelu_tanh"},
		{"swish", map[string]string{"hidden_act": `"swish"`}, func(c *Config) any { return c.Activation },
			"silu"},
		{"null kv heads", map[string]string{"num_key_value_heads": "null", "head_dim": "null"},
			func(c *Config) any { return []int{c.KVHeads, c.HeadDim} }, []int{4, 8}},
		{"head_dim on its own", map[string]string{"head_dim": "10", "num_attention_heads": "3"},
			func(c *Config) any { return c.HeadDim }, 10},
		{"one label", map[string]string{"architectures": `["LlamaForSequenceClassification"]`,
			"id2label": `{"0":"LABEL_0"}`}, func(c *Config) any { return c.NumLabels }, 1},
		{"labels not said", map[string]string{"architectures": `["LlamaForSequenceClassification"]`},
			func(c *Config) any { return c.NumLabels }, 2},
		{"num_labels", map[string]string{"num_labels": "3"}, func(c *Config) any { return c.NumLabels },
			3},
	}
	for _, test := range tests {
		if got := test.got(parseSmall(t, test.extra)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	tests := []struct {
		extra map[string]string
		want  string
	}{
		{map[string]string{"model_type": `"mamba"`},
			`lm: config.json: model_type "mamba" is not supported; supported: gemma2, gemma3_text, gpt2, gpt_neox, llama, mistral`},
		{map[string]string{"model_type": ""},
			"no model_type; is it the config.json of a language model?"},
		{map[string]string{"vocab_size": ""}, "no vocab_size"},
		{map[string]string{"vocab_size": "null"}, "no vocab_size"},
		{map[string]string{"vocab_size": `"many"`}, `vocab_size is "many", want int`},
		{map[string]string{"hidden_size": "32.5"}, "hidden_size is 32.5, want int"},
		{map[string]string{"hidden_size": "1e30"}, "hidden_size is 1e30, want int"},
		{map[string]string{"vocab_size": "0"}, "vocab_size is 0"},
		{map[string]string{"num_hidden_layers": "-1"}, "num_hidden_layers is -1"},
		{map[string]string{"intermediate_size": "4000000000"}, "intermediate_size is 4000000000"},
		{map[string]string{"num_attention_heads": "0"}, "num_attention_heads is 0"},
		{map[string]string{"num_key_value_heads": "3"}, "num_attention_heads 4 is not a multiple of " +
			"num_key_value_heads 3"},
		{map[string]string{"num_key_value_heads": "0"}, "num_key_value_heads is 0"},
		{map[string]string{"num_attention_heads": "5"}, "hidden_size 32 is not a multiple of " +
			"num_attention_heads 5"},
		{map[string]string{"head_dim": "7"}, "head_dim is 7, want an even number"},
		{map[string]string{"hidden_act": `"relu"`}, `hidden_act "relu" is not supported`},
		{map[string]string{"rms_norm_eps": "0"}, "rms_norm_eps is 0"},
		{map[string]string{"rope_theta": "-1"}, "rope_theta is -1"},
		{map[string]string{"rope_scaling": `{"type":"yarn","factor":4}`},
			`rope_type "yarn" is not supported; supported: default, linear, llama3`},
		{map[string]string{"rope_scaling": `{"type":"linear"}`}, "rope_scaling: no factor"},
		{map[string]string{"rope_scaling": `{"type":"linear","factor":0}`}, "factor is 0"},
		{map[string]string{"rope_scaling": `{"type":"linear","factor":"4"}`},
			`rope_scaling: factor is "4", want float64`},
		{map[string]string{"rope_scaling": `[1]`}, "rope_scaling is [1], want map"},
		{map[string]string{
			"rope_parameters": `{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4}`},
			"low_freq_factor 4 and high_freq_factor 4"},
		{map[string]string{"rope_parameters": `{"full_attention":{"rope_theta":1}}`},
			"for each type of layer (full_attention)"},
		{map[string]string{"rope_parameters": `{"partial_rotary_factor":0.5}`},
			"partial_rotary_factor 0.5"},
		{map[string]string{"eos_token_id": `["</s>"]`}, "eos_token_id is"},
		{map[string]string{"eos_token_id": "-7"}, "eos_token_id [-7]: want token ids"},
		{map[string]string{"eos_token_id": "[2,-1]"}, "eos_token_id [2 -1]: want token ids"},
		{map[string]string{"pad_token_id": "-7"}, "pad_token_id -7"},
	}
	for _, test := range tests {
		_, err := ParseConfig(smallConfig(t, test.extra))
		if err == nil || !strings.Contains(err.Error(), test.want) ||
			!strings.HasPrefix(err.Error(), "lm: config.json: ") {
			t.Errorf("%v: %v\nwant it to contain %q", test.extra, err, test.want)
		}
	}
	for _, text := range []string{"", "null", "[]", "{", `{} {}`} {
		if _, err := ParseConfig([]byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// The values are transformers 5.24's LlamaRotaryEmbedding.inv_freq, which is computed in float32.
func TestInverseFrequencies(t *testing.T) {
	big := RopeScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4,
		OriginalMaxPositions: 8192}
	small := big
	small.OriginalMaxPositions = 64
	tests := []struct {
		theta float64
		rope  RopeScaling
		want  []float64
	}{
		{10000, RopeScaling{}, []float64{1.0, 0.5623413324356079, 0.3162277638912201, 0.17782793939113617,
			0.10000000149011612, 0.05623412877321243, 0.03162277862429619, 0.017782794311642647,
			0.009999999776482582, 0.005623413249850273, 0.003162277862429619, 0.0017782794311642647,
			0.0010000000474974513, 0.000562341301701963, 0.0003162277862429619, 0.00017782794020604342}},
		{10000, RopeScaling{Type: "linear", Factor: 4},
			[]float64{0.25, 0.14058533310890198, 0.07905694097280502, 0.04445698484778404,
				0.02500000037252903, 0.014058532193303108, 0.007905694656074047, 0.004445698577910662,
				0.0024999999441206455, 0.0014058533124625683, 0.0007905694656074047, 0.00044456985779106617,
				0.0002500000118743628, 0.00014058532542549074, 7.905694656074047e-05, 4.4456985051510856e-05}},
		{500000, big, []float64{1.0, 0.44036662578582764, 0.193922758102417, 0.08539710193872452,
			0.03760603070259094, 0.016560440883040428, 0.00729266507551074, 0.0032114461064338684,
			0.0005248460220173001, 7.784655463183299e-05, 3.428102354519069e-05, 1.5096217794052791e-05,
			6.647869668086059e-06, 2.927499735960737e-06, 1.289173155782919e-06, 5.677088097399974e-07}},
		{500000, small, []float64{1.0, 0.004700753837823868, 0.00017677668074611574,
			6.647869668086059e-06}},
	}
	for _, test := range tests {
		c := &Config{HeadDim: 2 * len(test.want), RopeTheta: test.theta, Rope: test.rope}
		got := c.InverseFrequencies()
		for i, want := range test.want {
			// float32 has 2⁻²⁴; the smoothed range cancels, hence some of them.
			if math.Abs(got[i]-want) > 1e-6*want {
				t.Errorf("θ %g, rope %q: frequency %d is %g, want %g", test.theta, test.rope.Type, i, got[i],
					want)
			}
		}
	}
}

// decode reads a config.json without the package under test.
func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMarshalUnchanged(t *testing.T) {
	paths, err := filepath.Glob("testdata/*/" + configFile)
	if err != nil || len(paths) < 2 {
		t.Fatalf("%v: %v", paths, err)
	}
	for _, path := range paths {
		checkUnchanged(t, filepath.Dir(path))
	}
}

func TestMarshalClassifier(t *testing.T) {
	c := parseSmall(t, map[string]string{"quirk": `{"a": [1, "<b>"]}`, "num_labels": "2",
		"torch_dtype": `"float32"`, "rope_parameters": `{"rope_theta":5.0,"rope_type":"default"}`})
	c.PAD, c.DType = 3, "bfloat16"
	written, err := c.Marshal("LlamaForSequenceClassification")
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, written)
	want := decode(t, smallConfig(t, map[string]string{"quirk": `{"a": [1, "<b>"]}`,
		"torch_dtype": `"bfloat16"`, "dtype": `"bfloat16"`,
		"rope_parameters": `{"rope_theta":5.0,"rope_type":"default"}`, "rope_theta": "5",
		"rope_scaling":  "null",
		"architectures": `["LlamaForSequenceClassification"]`, "id2label": `{"0":"LABEL_0"}`,
		"label2id": `{"LABEL_0":0}`, "pad_token_id": "3"}))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	again, err := ParseConfig(written)
	if err != nil {
		t.Fatal(err)
	}
	if again.NumLabels != 1 || again.PAD != 3 || again.DType != "bfloat16" {
		t.Errorf("%+v", again)
	}
	if _, err := c.Marshal(""); err == nil {
		t.Error("no architecture: no error")
	}
	c.Heads = 3
	if _, err := c.Marshal("LlamaForCausalLM"); err == nil {
		t.Error("heads that do not divide: no error")
	}
}

// A Config made by hand, or changed after it was read, comes back as it was written.
func TestMarshalByHand(t *testing.T) {
	made := Config{
		Family: "llama", Vocab: 99, Hidden: 24, Layers: 1, Heads: 2, KVHeads: 1, HeadDim: 6,
		FeedForward: 48, MaxPositions: 128,
		NormEps: 1e-5, Activation: "gelu_tanh", RopeTheta: 12345.5, AttentionBias: true, OutputBias: true,
		MLPBias: true,
		Rope: RopeScaling{Type: "llama3", Factor: 2.5, LowFreqFactor: 1, HighFreqFactor: 4,
			OriginalMaxPositions: 32},
		TiedEmbeddings: true, Architectures: []string{"LlamaForCausalLM"}, EOS: []int{4, 5}, BOS: -1,
		PAD: 7, DType: "float16",
	}
	linear := made
	linear.Rope, linear.EOS = RopeScaling{Type: "linear", Factor: 3}, []int{1}
	plain := made
	plain.Rope, plain.EOS, plain.PAD, plain.Activation = RopeScaling{}, nil, -1, "gelu_new"
	stored := parseSmall(
		t, map[string]string{"rope_parameters": `{"rope_theta":5.0,"rope_type":"default"}`,
			"dtype": `"float32"`})
	for _, want := range []Config{made, linear, plain} {
		for _, raw := range []map[string]json.RawMessage{nil, stored.Raw} {
			c := want
			c.Raw = raw
			written, err := c.Marshal("LlamaForCausalLM")
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseConfig(written)
			if err != nil {
				t.Fatalf("%v\n%s", err, written)
			}
			got.Raw = nil
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("got  %+v\nwant %+v", *got, want)
			}
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, model := range []string{"llama", "llama3-rope"} {
		data, err := os.ReadFile("testdata/" + model + "/config.json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(smallConfig(f, map[string]string{"rope_scaling": `{"type":"linear","factor":2}`,
		"eos_token_id": "[1,2]", "id2label": `{"0":"LABEL_0"}`}))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil || c.HeadDim > 1<<12 {
			return
		}
		for i, x := range c.InverseFrequencies() {
			if math.IsNaN(x) || x < 0 {
				t.Errorf("frequency %d is %g", i, x)
			}
		}
		written, err := c.Marshal("LlamaForCausalLM")
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseConfig(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		c.Raw, again.Raw, c.Architectures, c.Nested = nil, nil, []string{"LlamaForCausalLM"}, false
		if c.NumLabels = again.NumLabels; !reflect.DeepEqual(c, again) {
			t.Errorf("%+v\n%+v", c, again)
		}
	})
}
