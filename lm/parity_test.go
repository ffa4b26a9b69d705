package lm_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
	"haf/internal/shared"
	"haf/lm"
	"haf/weights"
)

// TestForwardParity compares hidden states and logits of every stored sequence, run alone, with
// PyTorch's.
func TestForwardParity(t *testing.T) {
	for _, dir := range shared.Cases(t) {
		// its heads and gradients are compared where models are opened
		if filepath.Base(dir) != "adapter" {
			t.Run(filepath.Base(dir), func(t *testing.T) {
				forwardParity(t, openDevice(t, shared.CaseDevice(dir)), dir)
			})
		}
	}
}

func openDevice(t testing.TB, name string) *backend.Device {
	t.Helper()
	device, err := backend.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return device
}

// forward runs one sequence alone and returns its hidden states and logits.
func forward(
	t *testing.T, device *backend.Device, dir string, ids []int32,
) (hiddenTH, logitsTV []float32) {
	t.Helper()
	config, err := lm.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	var names []string
	positions, until := make([]int32, len(ids)), make([]int32, len(ids))
	for i := range positions {
		positions[i], until[i] = int32(i), int32(len(ids))
	}
	args := config.RowInputs(lm.Layout{Stripes: []lm.Stripe{{Rows: 1, Length: len(ids)}}, Tokens: ids,
		Positions: positions, Until: until})
	inputs := len(args)
	for _, p := range lm.Params(config) {
		a, err := lm.ReadParam(ck, config, p)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, p.Name)
		args = append(args, tensors.FromFlatDataAndDimensions(a.Data, a.Shape...))
	}
	decoder := &lm.Decoder{Config: config, DType: dtypes.Float32}
	exec := MustNewExec(device.Backend, func(in []*Node) []*Node {
		w := lm.Weights{}
		for i, name := range names {
			w[name] = in[inputs+i]
		}
		hidden := decoder.Hidden(w, config.Rows(in), nil)
		return []*Node{hidden, config.Output(w).Logits(hidden)}
	})
	defer exec.Finalize()
	out, err := exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
}

func forwardParity(t *testing.T, device *backend.Device, dir string) {
	var want struct {
		Pairs []struct{ Prompt, Chosen, Rejected []int32 }
	}
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	stored, err := weights.OpenFile(filepath.Join(dir, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer stored.Close()
	var worst float64
	for i, p := range want.Pairs {
		for side, response := range map[string][]int32{"chosen": p.Chosen, "rejected": p.Rejected} {
			ids := append(append([]int32{}, p.Prompt...), response...)
			hidden, logits := forward(t, device, dir, ids)
			worst = max(worst, within(t, stored, fmt.Sprintf("hidden.%d.%s", i, side), hidden),
				within(t, stored, fmt.Sprintf("logits.%d.%s", i, side), logits))
		}
	}
	t.Logf("hidden states and logits: largest difference %.1e", worst)
}

// within wants all values to be those stored, but for 1e-4, and returns the largest difference.
func within(t *testing.T, stored *weights.Tensors, name string, got []float32) (worst float64) {
	t.Helper()
	want, err := stored.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want.Data) {
		t.Fatalf("%s: %d values, %d are stored", name, len(got), len(want.Data))
	}
	for i := range got {
		d := math.Abs(float64(got[i] - want.Data[i]))
		if !(d <= 1e-4) {
			t.Fatalf("%s: value %d is %g, PyTorch has %g", name, i, got[i], want.Data[i])
		}
		worst = max(worst, d)
	}
	return worst
}

// TestRealModels compares stories260k and SmolLM2 with what transformers gives for a few texts: the
// negative log-likelihood of each token, the largest logits after the last, and the last hidden
// state.
func TestRealModels(t *testing.T) {
	var want map[string]struct {
		Cases []struct {
			IDs    []int32      `json:"ids"`
			NLL    []float64    `json:"token_nll"`
			Top    [][2]float64 `json:"last_top8"`
			First8 []float64    `json:"last_hidden_first8"`
			Norm   float64      `json:"last_hidden_norm"`
		}
	}
	data, err := os.ReadFile(shared.Path(t, "models/expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	device := openDevice(t, "")
	for name, model := range want {
		t.Run(name, func(t *testing.T) {
			var dir string
			if name == "stories260k" {
				dir = shared.Path(t, "models/stories260k")
			} else {
				dir = shared.Model(t, name)
			}
			for _, c := range model.Cases {
				hidden, logits := forward(t, device, dir, c.IDs)
				h, v := len(hidden)/len(c.IDs), len(logits)/len(c.IDs)
				for i, nll := range c.NLL {
					closeTo(t, "token nll", logSumExp(logits[i*v:(i+1)*v])-float64(logits[i*v+int(c.IDs[i+1])]),
						nll)
				}
				last := logits[len(logits)-v:]
				for _, top := range c.Top {
					closeTo(t, "logit", float64(last[int(top[0])]), top[1])
				}
				var norm float64
				for i, x := range hidden[len(hidden)-h:] {
					norm += float64(x) * float64(x)
					if i < len(c.First8) {
						closeTo(t, "hidden", float64(x), c.First8[i])
					}
				}
				closeTo(t, "norm of the last hidden state", math.Sqrt(norm), c.Norm)
			}
		})
	}
}

// closeTo allows 1e-4, relative for numbers above 1: the depth and the logits' size of a real
// model.
func closeTo(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-4*max(1, math.Abs(want))) {
		t.Errorf("%s is %.6f, transformers has %.6f", what, got, want)
	}
}

func logSumExp(x []float32) float64 {
	largest := math.Inf(-1)
	for _, v := range x {
		largest = max(largest, float64(v))
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v) - largest)
	}
	return largest + math.Log(sum)
}
