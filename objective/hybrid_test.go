package objective_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/objective"
)

var hybrids = map[string]objective.Hybrid{
	"baseline": {RewardWeight: 1, PolicyWeight: 0, Policy: objective.DPO, Beta: 0.1},
	"dpo":      {RewardWeight: 0, PolicyWeight: 1, Policy: objective.DPO, Beta: 0.1},
	"haf":      objective.Default(),
	"sft":      {RewardWeight: 0, PolicyWeight: 1, Policy: objective.SFT, Beta: 0.1},
	"both sft": {RewardWeight: 0.7, PolicyWeight: 0.3, Policy: objective.SFT, Beta: 0.1},
}

// readout is a random case: S slots, comparisons between them, the last one padding.
type readout struct {
	score, logp, ref, tokens []float32
	chosen, rejected         []int32
	weight                   []float32
}

func newReadout(random *rand.Rand, scale float64) readout {
	const slots, comparisons = 6, 4
	var r readout
	for range slots {
		r.score = append(r.score, float32(random.NormFloat64()*scale))
		r.logp = append(r.logp, float32(-20+random.NormFloat64()*10*scale))
		r.ref = append(r.ref, float32(-20+random.NormFloat64()*10*scale))
		r.tokens = append(r.tokens, float32(1+random.IntN(30)))
	}
	for c := range comparisons {
		r.chosen, r.rejected = append(r.chosen, int32(c)), append(r.rejected, int32((c+1+random.IntN(4))%slots))
		r.weight = append(r.weight, 1.0/(comparisons-1))
	}
	r.weight[comparisons-1] = 0
	return r
}

func (r readout) args() []any {
	f := func(x []float32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	i := func(x []int32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	return []any{f(r.score), f(r.logp), f(r.ref), f(r.tokens), i(r.chosen), i(r.rejected), f(r.weight)}
}

// comparisons lists the ones that are not padding, for the twin.
func (r readout) comparisons() []objective.Comparison {
	var out []objective.Comparison
	for i, w := range r.weight {
		if w == 0 {
			continue
		}
		c, j := r.chosen[i], r.rejected[i]
		out = append(out, objective.Comparison{
			ChosenScore: float64(r.score[c]), RejectedScore: float64(r.score[j]), ChosenLogp: float64(r.logp[c]), RejectedLogp: float64(r.logp[j]),
			ChosenRefLogp: float64(r.ref[c]), RejectedRefLogp: float64(r.ref[j]), ChosenTokens: int(r.tokens[c]),
		})
	}
	return out
}

// lossAndGradients runs the graph: total, reward and policy loss, gradients by scores and log-probabilities.
func lossAndGradients(t *testing.T, backend compute.Backend, h objective.Hybrid, r readout) (losses [3]float64, byScore, byLogp []float32) {
	t.Helper()
	exec := MustNewExec(backend, func(in []*Node) []*Node {
		out := h.Loss(objective.Readout{ScoreS: in[0], LogpS: in[1], RefS: in[2], TokensS: in[3], ChosenC: in[4], RejectedC: in[5], WeightC: in[6]})
		// Adding zero times the inputs gives a head that is not used a gradient of zero, too.
		total := Add(out.Total, MulScalar(Add(ReduceAllSum(in[0]), ReduceAllSum(in[1])), 0))
		return append([]*Node{out.Total, out.Reward, out.Policy}, Gradient(total, in[0], in[1])...)
	})
	defer exec.Finalize()
	out, err := exec.Call(r.args()...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range losses {
		losses[i] = float64(tensors.ToScalar[float32](out[i]))
	}
	return losses, tensors.MustCopyFlatData[float32](out[3]), tensors.MustCopyFlatData[float32](out[4])
}

func newBackend(t testing.TB) compute.Backend {
	t.Helper()
	backend, err := gobackend.New("")
	if err != nil {
		t.Fatal(err)
	}
	return backend
}

// TestTwins compares the graph with its float64 twin, and its gradients with finite differences of the twin. Padding
// comparisons have no part in either.
func TestTwins(t *testing.T) {
	backend := newBackend(t)
	random := rand.New(rand.NewPCG(3, 0))
	for name, h := range hybrids {
		for _, scale := range []float64{0.1, 1, 4} {
			t.Run(fmt.Sprintf("%s/%g", name, scale), func(t *testing.T) {
				r := newReadout(random, scale)
				losses, byScore, byLogp := lossAndGradients(t, backend, h, r)
				total, reward, policy := h.Value(r.comparisons())
				for i, want := range []float64{total, reward, policy} {
					if math.Abs(losses[i]-want) > 2e-6*max(1, math.Abs(want)) {
						t.Errorf("loss %d is %.8g, its twin %.8g", i, losses[i], want)
					}
				}
				check := func(what string, values, gradient []float32) {
					const step = 1.0 / 256 // exact in float32 beside the values
					for i := range values {
						at := values[i]
						values[i] = at + step
						above, _, _ := h.Value(r.comparisons())
						values[i] = at - step
						below, _, _ := h.Value(r.comparisons())
						values[i] = at
						if want := (above - below) / (2 * step); math.Abs(float64(gradient[i])-want) > 1e-5 {
							t.Errorf("gradient by %s %d is %.7g, finite differences give %.7g", what, i, gradient[i], want)
						}
					}
				}
				check("score", r.score, byScore)
				check("logp", r.logp, byLogp)
			})
		}
	}
}

// TestExtremes has margins so large that a naive −log σ is infinite or loses the small end.
func TestExtremes(t *testing.T) {
	backend := newBackend(t)
	r := readout{score: []float32{-500, 500}, logp: []float32{0, 0}, ref: []float32{0, 0}, tokens: []float32{1, 1}, chosen: []int32{0, 1}, rejected: []int32{1, 0}, weight: []float32{1, 1}}
	losses, byScore, _ := lossAndGradients(t, backend, hybrids["baseline"], r)
	if losses[0] != 1000 {
		t.Errorf("loss is %v, want 1000 and e⁻¹⁰⁰⁰ ≈ 0", losses[0])
	}
	if byScore[0] != -1 || byScore[1] != 1 {
		t.Errorf("gradients are %v, want −1 and 1", byScore)
	}
}

// TestFirstLoss has the value that training checks at its first step.
func TestFirstLoss(t *testing.T) {
	r := readout{score: []float32{0, 0}, logp: []float32{-7, -9}, ref: []float32{-7, -9}, tokens: []float32{3, 4}, chosen: []int32{0}, rejected: []int32{1}, weight: []float32{1}}
	for name, h := range hybrids {
		want, ok := h.FirstLoss()
		if ok == (h.Policy == objective.SFT && h.UsesPolicy()) {
			t.Errorf("%s: FirstLoss says %v", name, ok)
		}
		if got, _, _ := h.Value(r.comparisons()); ok && math.Abs(got-want) > 1e-15 {
			t.Errorf("%s: first loss %v, want %v", name, got, want)
		}
	}
}

func TestCheckPolicy(t *testing.T) {
	if err := objective.CheckPolicy("dpo"); err != nil {
		t.Error(err)
	}
	err := objective.CheckPolicy("ppo")
	if want := `objective: policy loss "ppo" is not known: there are dpo, sft`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func ExampleBradleyTerryValue() {
	for _, margin := range []float64{0, 2, -2} {
		fmt.Printf("%.4f\n", objective.BradleyTerryValue(margin))
	}
	// Output:
	// 0.6931
	// 0.1269
	// 2.1269
}

func ExampleDirectPreferenceValue() {
	// The policy has made the chosen response 5 nats likelier beside the rejected one than the reference does.
	fmt.Printf("%.4f\n", objective.DirectPreferenceValue(5, 0.1))
	// Output: 0.4741
}

func ExampleHybrid_Value() {
	h := objective.Default()
	total, reward, policy := h.Value([]objective.Comparison{{ChosenScore: 1.5, RejectedScore: 0.5, ChosenLogp: -20, ChosenRefLogp: -22, RejectedLogp: -31, RejectedRefLogp: -30}})
	fmt.Printf("%.4f = 1 · %.4f + 0.2 · %.4f\n", total, reward, policy)
	// Output: 0.4241 = 1 · 0.3133 + 0.2 · 0.5544
}
