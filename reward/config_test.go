package reward_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"haf/lm"
)

// configFacts are what testdata/transformers_config.py says of a config.json.
type configFacts struct {
	Theta      float64 `json:"theta"`
	LocalTheta float64 `json:"local_theta"`
	Partial    float64 `json:"partial"`
	Type       string  `json:"type"`
	Factor     float64 `json:"factor"`
	DType      string  `json:"dtype"`
}

// TestTransformersReadsConfigs writes config.json of every family that has rotary positions, from
// the forms of transformers 4 and 5, and wants the settings back from the transformers of
// $HAF_PYTHON and of $HAF_PYTHON4, one of version 4.
func TestTransformersReadsConfigs(t *testing.T) {
	const sizes = `"vocab_size": 64, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2,
		"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "dtype": "bfloat16"`
	linear := map[string]bool{"llama": true, "mistral": true, "qwen2": true, "qwen3": true,
		"olmo2": true, "gemma2": true, "gemma3_text": true, "phi": true, "gpt_neox": true}
	var names, texts []string
	var want []configFacts
	add := func(name, rope string, facts configFacts) {
		c, err := lm.ParseConfig(fmt.Appendf(nil, `{"model_type": %q, %s, %s}`, name, sizes, rope))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.DType = "float32"
		text, err := c.Marshal(c.ClassifierClass())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		names, texts, want = append(names, name+" "+rope), append(texts, string(text)),
			append(want, facts)
	}
	for _, name := range lm.Families() {
		partial, keys := 1.0, `"rope_theta": 777`
		switch name {
		case "gpt2":
			continue
		case "phi", "phi3":
			partial, keys = 0.5, `"rope_theta": 777, "partial_rotary_factor": 0.5`
		case "gpt_neox":
			partial, keys = 0.5, `"rotary_emb_base": 777, "rotary_pct": 0.5`
		}
		plain := configFacts{Theta: 777, Partial: partial, Type: "default", DType: "float32"}
		scaled := plain
		scaled.Type, scaled.Factor = "linear", 2
		newer := func(scaling string) string {
			if name == "gemma3_text" {
				return fmt.Sprintf(
					`"rope_parameters": {"full_attention": {%s, "rope_theta": 777}, "sliding_attention": {"rope_type": "default", "rope_theta": 333}}`, scaling)
			}
			return fmt.Sprintf(`"rope_parameters": {%s, "rope_theta": 777, "partial_rotary_factor": %g}`,
				scaling, partial)
		}
		if name == "gemma3_text" {
			keys += `, "rope_local_base_freq": 333`
			plain.LocalTheta, scaled.LocalTheta = 333, 333
		}
		add(name, keys, plain)
		add(name, newer(`"rope_type": "default"`), plain)
		if linear[name] {
			add(name, keys+`, "rope_scaling": {"type": "linear", "factor": 2}`, scaled)
			add(name, newer(`"rope_type": "linear", "factor": 2`), scaled)
		}
	}
	llama3 := configFacts{Theta: 777, Partial: 1, Type: "llama3", Factor: 8, DType: "float32"}
	add("llama",
		`"rope_parameters": {"rope_type": "llama3", "rope_theta": 777, "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}`, llama3)
	ran := false
	for _, variable := range []string{"HAF_PYTHON", "HAF_PYTHON4"} {
		python := os.Getenv(variable)
		if python == "" || exec.Command(python, "-c", "import transformers").Run() != nil {
			t.Logf("%s names no Python with transformers", variable)
			continue
		}
		ran = true
		for i, got := range readConfigs(t, python, texts) {
			if got != want[i] {
				t.Errorf("%s: %s is read as %+v, want %+v; written as\n%s", variable, names[i],
					got, want[i], texts[i])
			}
		}
	}
	if !ran {
		t.Skip("set HAF_PYTHON")
	}
}

func readConfigs(t *testing.T, python string, texts []string) []configFacts {
	t.Helper()
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata",
		"transformers_config.py"))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var facts []configFacts
	if err := json.Unmarshal(out, &facts); err != nil || len(facts) != len(texts) {
		t.Fatalf("%v: %s", err, out)
	}
	return facts
}
