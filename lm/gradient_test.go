package lm

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/gomlx/compute/dtypes"

	"haf/backend"
)

// The families whose written-out gradients take other ways: grouped heads; a soft-cap, windows and
// a gate of gelu; weights stored as [in, out], biases and layer norms.
var gradientConfigs = map[string]string{
	"llama": `{"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
		"vocab_size": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}`,
	"gemma2": `{"model_type": "gemma2", "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_hidden_layers": 2,
		"vocab_size": 64, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8, "sliding_window": 40, "hidden_activation": "gelu_pytorch_tanh"}`,
	"gpt2": `{"model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 256, "vocab_size": 64, "activation_function": "gelu_new"}`,
}

// TestGradients compares the gradient of a sum over the hidden states, by the weights and by an
// adapter (whose layers' own weights are frozen), with central differences along random directions.
func TestGradients(t *testing.T) {
	const length = 500 // three blocks of queries
	stripes := []Stripe{{2, length}, {3, 90}}
	const positions = 2*length + 3*90
	if n := len(QueryBlocks(length)); n != 3 {
		t.Fatalf("%d blocks of queries", n)
	}
	device, err := backend.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range gradientConfigs {
		c := parseText(t, text)
		r := rand.New(rand.NewPCG(3, 4))
		lora := &LoRA{Rank: 3, Alpha: 6, Targets: []string{`.*mlp.*`}}
		adapter, err := lora.Params(c)
		if err != nil {
			t.Fatal(err)
		}
		params := append(Params(c), adapter...)
		values := make([][]float32, len(params))
		for i, p := range params {
			values[i] = make([]float32, p.Size())
			for j := range values[i] {
				values[i][j] = float32(r.NormFloat64() * 0.1)
				if len(p.Shape) == 1 {
					values[i][j]++
				}
			}
		}
		ints := [3][]int32{}
		for i := range ints {
			ints[i] = make([]int32, positions)
		}
		for i := range positions { // a prompt of 30 and two responses of 30 in turn
			at := i % length
			if i >= 2*length {
				at = i - 2*length
			}
			at %= 90
			ints[0][i] = int32(r.IntN(c.Vocab))
			ints[1][i], ints[2][i] = int32(at), int32(i-at+30*(1+at/30))
			if at < 30 {
				ints[2][i] = int32(i - at + 90)
			}
			if at >= 60 {
				ints[1][i] -= 30
			}
		}
		weight := make([]float32, positions*c.Hidden)
		for i := range weight {
			weight[i] = float32(r.NormFloat64())
		}
		args := func(step float64, directions [][]float32) []any {
			var out []any
			out = append(out, c.RowInputs(Layout{Stripes: stripes, Tokens: ints[0], Positions: ints[1],
				Until: ints[2]})...)
			out = append(out, tensors.FromFlatDataAndDimensions(weight, positions, c.Hidden))
			for i, p := range params {
				x := values[i]
				if directions != nil {
					x = make([]float32, len(x))
					for j := range x {
						x[j] = values[i][j] + float32(step)*directions[i][j]
					}
				}
				out = append(out, tensors.FromFlatDataAndDimensions(x, p.Shape...))
			}
			return out
		}
		dtype, half := dtypes.Float32, false
		loss := func(checkpointing Recompute, in []*Node) (*Node, []*Node) {
			n := c.NumRowInputs(in)
			w, by := Weights{}, in[n+1:]
			for i, p := range params {
				w[p.Name] = by[i]
			}
			d := Decoder{Config: c, LoRA: lora, DType: dtype, HalfProducts: half, Recompute: checkpointing}
			h := d.Hidden(w, c.Rows(in), nil)
			return ReduceAllMean(Mul(h, in[n])), by
		}
		gradients := func(checkpointing Recompute) [][]float32 {
			exec := MustNewExec(device.Backend,
				func(in []*Node) []*Node { l, by := loss(checkpointing, in); return Gradient(l, by...) })
			defer exec.Finalize()
			out := make([][]float32, len(params))
			for i, g := range exec.MustCall(args(0, nil)...) {
				out[i] = tensors.MustCopyFlatData[float32](g)
			}
			return out
		}
		plain := gradients(RecomputeNone)
		for _, checkpointing := range []Recompute{RecomputeSelective, RecomputeFull} {
			for i, g := range gradients(checkpointing) {
				for j := range g {
					if math.Abs(float64(g[j]-plain[i][j])) > 1e-6+1e-4*math.Abs(float64(plain[i][j])) {
						t.Fatalf("%s, %s: gradient by %s is %g, without checkpoints %g", name, checkpointing,
							params[i].Name, g[j], plain[i][j])
					}
				}
			}
		}
		// In bfloat16 the written-out gradient of a product is as near to that in float32 as its digits
		// go.
		if name != "gemma2" { // whose weights lie as llama's do
			dtype, half = dtypes.BFloat16, true
			for i, g := range gradients(RecomputeSelective) {
				off, norm := 0.0, 0.0
				for j := range g {
					off, norm = off+math.Pow(float64(g[j]-plain[i][j]), 2), norm+math.Pow(float64(plain[i][j]), 2)
				}
				if norm == 0 { // in float32 an adapted weight is frozen
					continue
				}
				if !(math.Sqrt(off) <= 0.05*math.Sqrt(norm)) {
					t.Errorf("%s in bfloat16: gradient by %s is off by %.3g of its norm %.3g", name,
						params[i].Name, math.Sqrt(off), math.Sqrt(norm))
				}
			}
		}
		dtype, half = dtypes.Float32, false
		value := MustNewExec(device.Backend,
			func(in []*Node) *Node { l, _ := loss(RecomputeNone, in); return l })
		defer value.Finalize()
		for k, kind := range []string{LoraA, LoraB, "attention", "not adapted"} {
			directions := make([][]float32, len(params))
			r := rand.New(rand.NewPCG(5, uint64(k)))
			slope, norm := 0.0, 0.0
			for i, p := range params {
				directions[i] = make([]float32, p.Size())
				if !chosen(kind, p.Name) {
					continue
				}
				for j, g := range plain[i] {
					directions[i][j] = float32(r.NormFloat64())
					slope += float64(directions[i][j]) * float64(g)
					norm += float64(g) * float64(g)
				}
			}
			at := func(x float64) float64 {
				return float64(tensors.ToScalar[float32](value.MustCall(args(x, directions)...)[0]))
			}
			const step = 5e-4
			got := (at(step) - at(-step)) / (2 * step)
			if norm = math.Sqrt(norm); norm == 0 || math.Abs(got-slope) > 0.01*norm {
				t.Errorf("%s, %s: gradient along a direction %.6g, by differences %.6g, norm %.3g", name, kind,
					slope, got, norm)
			}
		}
	}
}

func chosen(kind, name string) bool {
	switch kind {
	case "not adapted":
		return !strings.Contains(name, ".mlp.")
	case "attention":
		for _, part := range []string{".q_proj.", ".k_proj.", ".v_proj.", ".c_attn."} {
			if strings.Contains(name, part) {
				return true
			}
		}
		return false
	}
	return strings.HasSuffix(name, kind)
}
