package lm_test

import (
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
	"haf/lm"
)

// BenchmarkLayers runs four layers of SmolLM2-135M's size on 1856 positions of packed pairs:
// forward, and forward and backward with an adapter on the feed-forward part.
func BenchmarkLayers(b *testing.B) {
	c, err := lm.ParseConfig([]byte(`{"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3, "num_hidden_layers": 4,
		"vocab_size": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}`))
	if err != nil {
		b.Fatal(err)
	}
	device, err := backend.Open("")
	if err != nil {
		b.Fatal(err)
	}
	defer device.Finalize()
	stripes := []lm.Stripe{{3, 480}, {1, 416}}
	layout := lm.Layout{Stripes: stripes}
	r := rand.New(rand.NewPCG(3, 4))
	for _, s := range stripes {
		for range s.Rows {
			for at := range s.Length { // a prompt of 120 and two responses of 40 in turn
				group, branch := len(layout.Tokens)-at%200, max(0, at%200-80)/40
				until := group + 120 + 40*max(1, branch)
				if branch == 0 {
					until = group + 200
				}
				layout.Tokens = append(layout.Tokens, int32(r.IntN(c.Vocab)))
				layout.Until = append(layout.Until, int32(until))
				layout.Positions = append(layout.Positions, int32(at%200-40*max(0, branch-1)))
			}
		}
	}
	lora := &lm.LoRA{Rank: 64, Alpha: 128, Targets: []string{`.*mlp.*`}}
	adapter, err := lora.Params(c)
	if err != nil {
		b.Fatal(err)
	}
	params := append(lm.Params(c), adapter...)
	rows := c.RowInputs(layout)
	args := rows
	for _, p := range params {
		x := make([]float32, p.Size())
		for i := range x {
			x[i] = float32(r.NormFloat64() * 0.05)
		}
		args = append(args, tensors.FromFlatDataAndDimensions(x, p.Shape...))
	}
	hidden := func(in []*Node) (*Node, []*Node) {
		n := c.NumRowInputs(in)
		w := lm.Weights{}
		for i, p := range params {
			w[p.Name] = in[n+i]
		}
		d := lm.Decoder{Config: c, LoRA: lora, DType: dtypes.Float32, Recompute: lm.RecomputeSelective}
		h := d.Hidden(w, c.Rows(in), nil)
		return ReduceAllMean(Mul(h, h)), in[n+len(params)-len(adapter):]
	}
	for _, pass := range []struct {
		name  string
		build func(in []*Node) []*Node
	}{
		{"forward", func(in []*Node) []*Node { h, _ := hidden(in); return []*Node{h} }},
		{"backward", func(in []*Node) []*Node { h, by := hidden(in); return Gradient(h, by...) }},
	} {
		b.Run(pass.name, func(b *testing.B) {
			exec := MustNewExec(device.Backend, pass.build)
			defer exec.Finalize()
			call := func() {
				for _, t := range exec.MustCall(args...) {
					t.MustFinalizeAll()
				}
			}
			call()
			for b.Loop() {
				call()
			}
		})
	}
}
