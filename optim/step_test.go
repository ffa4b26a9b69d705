package optim_test

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"haf/backend"
	"haf/mesh"
	"haf/optim"
	"haf/reward"
	"haf/weights"
)

// tinyConfig is a decoder of a few hundred weights: the steps of these tests run no forward pass.
const tinyConfig = `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8,
"intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
"head_dim": 4, "hidden_act": "silu", "rms_norm_eps": 1e-05, "vocab_size": 16,
"max_position_embeddings": 64, "tie_word_embeddings": true}`

// newOptimizer returns an optimizer of the weights of a tiny model.
func newOptimizer(t *testing.T, settings optim.AdamW) *optim.Optimizer {
	t.Helper()
	device := openDevice(t)
	dir := t.TempDir()
	writeModel(t, dir)
	model, err := reward.Open(device, dir, reward.Options{NoTokenizer: true, Train: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(model.Close)
	o := optim.New(model, model.Trainable(reward.ScoreHead|reward.PolicyHead), settings)
	t.Cleanup(o.Close)
	return o
}

var open = sync.OnceValues(func() (*backend.Device, error) { return backend.Open("go") })

// openDevice returns the one device of these tests.
func openDevice(t *testing.T) *backend.Device {
	t.Helper()
	device, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return device
}

// gradients returns, on the device as a program's results are, a value for every weight; the named
// weight's gradient is one column too narrow.
func gradients(
	t *testing.T, o *optim.Optimizer, value float32, cut string,
) (out []*mesh.Array) {
	t.Helper()
	for _, p := range o.Params() {
		shape := append([]int{}, p.Shape...)
		if p.Name == cut {
			shape[len(shape)-1]--
		}
		g, err := mesh.Put(openDevice(t), dtypes.Float32, shape, filled(size(shape), value))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	return out
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func filled(n int, value float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = value
	}
	return out
}

func values(t *testing.T, o *optim.Optimizer) (out []weights.Array) {
	t.Helper()
	for _, p := range o.Params() {
		a, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func count(o *optim.Optimizer) (n int) {
	for _, p := range o.Params() {
		n += p.Size()
	}
	return n
}

var settings = optim.AdamW{LR: 0.1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Schedule: "constant"}

// TestStepAccumulates checks that a step over two packed batches is the step of their sum: its norm
// is that of the sum, and the first update of Adam moves every weight by the learning rate.
func TestStepAccumulates(t *testing.T) {
	o := newOptimizer(t, settings)
	before := values(t, o)
	run := func(i int) (optim.MicroBatch, error) {
		value := float32(1 + i)
		squares := float64(value*value) * float64(count(o))
		return optim.MicroBatch{Gradients: gradients(t, o, value, ""), Squares: squares}, nil
	}
	norm, err := o.Step(optim.Step{Number: 1, Rate: 0.1, Batches: 2, Run: run})
	if err != nil {
		t.Fatal(err)
	}
	if want := 3 * math.Sqrt(float64(count(o))); math.Abs(norm-want) > 1e-4*want {
		t.Errorf("the norm is %v, want %v", norm, want)
	}
	for i, a := range values(t, o) {
		for j, x := range a.Data {
			if moved := float64(before[i].Data[j] - x); math.Abs(moved-0.1) > 1e-5 {
				t.Fatalf("%s moved by %v, want the learning rate 0.1", a.Name, moved)
			}
		}
	}
}

// TestStepFreesGradients checks that a step that fails leaves no gradients behind and, wherever
// that is promised, leaves the weights as they were.
func TestStepFreesGradients(t *testing.T) {
	failed := errors.New("failed")
	type batch = optim.MicroBatch
	of := func(o *optim.Optimizer, value float32, cut string) batch {
		return batch{Gradients: gradients(t, o, value, cut), Squares: 1}
	}
	ones := func(o *optim.Optimizer) batch { return of(o, 1, "") }
	for _, c := range []struct {
		name, want string
		// second is the second packed batch; the first one's gradients are all 1.
		second   func(o *optim.Optimizer) (batch, error)
		penalize func(sums []*mesh.Array) (float64, error)
	}{
		{"the second batch does not run", "failed",
			func(o *optim.Optimizer) (batch, error) { return batch{}, failed }, nil},
		{"the sum of the first gradients fails", "adding gradients",
			func(o *optim.Optimizer) (batch, error) { return of(o, 1, o.Params()[0].Name), nil }, nil},
		{"the sum of the last gradients fails", "adding gradients",
			func(o *optim.Optimizer) (batch, error) {
				return of(o, 1, o.Params()[len(o.Params())-1].Name), nil
			}, nil},
		{"a loss is NaN", "loss is NaN",
			func(o *optim.Optimizer) (batch, error) {
				b := ones(o)
				b.Loss = math.NaN()
				return b, nil
			}, nil},
		{"a norm is infinite", "gradient norm +Inf",
			func(o *optim.Optimizer) (batch, error) {
				b := ones(o)
				b.Squares = math.Inf(1)
				return b, nil
			}, nil},
		{"the sum overflows", "gradient norm +Inf",
			func(o *optim.Optimizer) (batch, error) { return of(o, 3e38, ""), nil }, nil},
		{"the penalty fails", "failed",
			func(o *optim.Optimizer) (batch, error) { return ones(o), nil },
			func([]*mesh.Array) (float64, error) { return 0, failed }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOptimizer(t, settings)
			before := values(t, o)
			var batches [][]*mesh.Array // the first one's list becomes that of the sums
			_, err := o.Step(optim.Step{
				Number: 1, Rate: 0.1, Batches: 2, Penalize: c.penalize,
				Run: func(i int) (b batch, err error) {
					if i == 0 {
						b = ones(o)
					} else {
						b, err = c.second(o)
					}
					batches = append(batches, b.Gradients)
					return b, err
				},
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			for i, of := range batches {
				for k, g := range of {
					if g.Ok() {
						t.Errorf("list %d: tensor %d of %d is still in memory", i+1, k+1, len(of))
					}
				}
			}
			for i, a := range values(t, o) {
				for j, x := range a.Data {
					if x != before[i].Data[j] {
						t.Fatalf("%s was changed", a.Name)
					}
				}
			}
		})
	}
}

// TestNonFiniteError tells which packed batch it was.
func TestNonFiniteError(t *testing.T) {
	o := newOptimizer(t, settings)
	run := func(i int) (optim.MicroBatch, error) {
		b := optim.MicroBatch{Gradients: gradients(t, o, 1, ""), Squares: 1}
		if i == 1 {
			b.Loss = math.Inf(1)
		}
		return b, nil
	}
	_, err := o.Step(optim.Step{Number: 1, Rate: 0.1, Batches: 3, Run: run})
	var bad *optim.NonFiniteError
	if !errors.As(err, &bad) || bad.Batch != 1 || !math.IsInf(bad.Loss, 1) {
		t.Errorf("got %#v, want the second packed batch's loss", err)
	}
}
