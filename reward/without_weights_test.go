package reward_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/lm"
	"haf/reward"
)

// TestOpenWithoutWeights wants what opening the model gives, but for the values, and not a byte
// of the weights.
func TestOpenWithoutWeights(t *testing.T) {
	device, base := demoBase(t)
	saved := t.TempDir()
	for name, lora := range map[string]bool{"adapter": true, "full": false} {
		if err := changed(t, device, base, lora).Save(filepath.Join(saved, name)); err != nil {
			t.Fatal(err)
		}
	}
	lora := &lm.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj", "down_proj"}}
	for name, test := range map[string]struct {
		dir string
		opt reward.Options
	}{
		"to be scored with":   {base, reward.Options{}},
		"all weights trained": {base, reward.Options{Train: true, DType: "bfloat16"}},
		"adapter trained":     {base, reward.Options{Train: true, LoRA: lora, DType: "bfloat16"}},
		"saved":               {filepath.Join(saved, "full"), reward.Options{}},
		"saved adapter":       {filepath.Join(saved, "adapter"), reward.Options{DType: "bfloat16"}},
	} {
		t.Run(name, func(t *testing.T) {
			whole := open(t, device, test.dir, test.opt)
			test.opt.Positions = 256
			bare, err := reward.OpenWithoutWeights(test.dir, test.opt)
			if err != nil {
				t.Fatal(err)
			}
			defer bare.Close()
			type weight struct {
				name  string
				size  int
				bytes int64
			}
			list := func(params []*reward.Param) (out []weight) {
				for _, p := range params {
					out = append(out, weight{p.Name, p.Size(), p.Bytes()})
				}
				return out
			}
			if got, want := list(bare.Params()), list(whole.Params()); !slices.Equal(got, want) {
				t.Errorf("weights %v, want %v", got, want)
			}
			for _, p := range whole.Params() {
				if want := int64(p.Value.Shape().ByteSize()); p.Bytes() != want {
					t.Errorf("%s takes %d bytes, its value %d", p.Name, p.Bytes(), want)
				}
			}
			if got, want := list(bare.Trainable(reward.ScoreHead)), list(
				whole.Trainable(reward.ScoreHead)); !slices.Equal(got, want) {
				t.Errorf("trained %v, want %v", got, want)
			}
			if got, want := bare.Encoder.Hash(), whole.Encoder.Hash(); got != want {
				t.Errorf("encoder %s, want %s", got, want)
			}
			if bare.HasPolicyHead != whole.HasPolicyHead ||
				bare.ScoreHeadUntrained != whole.ScoreHeadUntrained ||
				(bare.Adapter() == nil) != (whole.Adapter() == nil) {
				t.Error("its heads and adapter are others")
			}
		})
	}
	t.Run("from config", func(t *testing.T) {
		config, err := os.ReadFile(filepath.Join(base, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, opt := range []reward.Options{{Train: true, DType: "bfloat16"},
			{Train: true, LoRA: lora, DType: "bfloat16"}} {
			bare, err := reward.OpenWithoutWeights(base, opt)
			if err != nil {
				t.Fatal(err)
			}
			defer bare.Close()
			described, err := reward.FromConfig(config, opt)
			if err != nil {
				t.Fatal(err)
			}
			defer described.Close()
			got, want := described.Params(), bare.Params()
			if len(got) != len(want) {
				t.Fatalf("%d parameters, want %d", len(got), len(want))
			}
			for i := range want {
				if got[i].Name != want[i].Name || got[i].Bytes() != want[i].Bytes() {
					t.Errorf("%s of %d bytes, want %s of %d", got[i].Name, got[i].Bytes(), want[i].Name,
						want[i].Bytes())
				}
			}
		}
		if _, err := reward.FromConfig([]byte(`{"model_type": "llama"}`), reward.Options{}); err == nil ||
			!strings.Contains(err.Error(), "no vocab_size") {
			t.Errorf("without sizes: %v", err)
		}
	})
	t.Run("no values", func(t *testing.T) {
		// What is no number is refused when it is read.
		path := filepath.Join(base, "model.safetensors")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := len(data) - 400; i < len(data); i++ {
			data[i] = 0xff
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := reward.Open(device, base, reward.Options{}); err == nil ||
			!strings.Contains(err.Error(), "NaN") {
			t.Errorf("opening the damaged weights: %v", err)
		}
		bare, err := reward.OpenWithoutWeights(base, reward.Options{})
		if err != nil {
			t.Fatal(err)
		}
		bare.Close()
		bare.Close()
	})
	t.Run("wrong shapes", func(t *testing.T) {
		path := filepath.Join(base, "config.json")
		config := readJSON(t, path)
		config["intermediate_size"] = config["intermediate_size"].(float64) + 2
		writeJSONFile(t, path, config)
		if _, err := reward.OpenWithoutWeights(base, reward.Options{}); err == nil ||
			!strings.Contains(err.Error(), "do config.json and the weights belong together?") {
			t.Errorf("%v", err)
		}
	})
}
