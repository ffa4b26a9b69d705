package rlhf

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/gobackend"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.9g, want %.9g (difference %.2g, allowed %.2g)", what, got, want, got-want,
			tolerance)
	}
}

// randomTokens has ratios on both sides of the clip range, by far and by little, and values
// likewise.
func randomTokens(n int) []Token {
	random := rand.New(rand.NewPCG(3, 1))
	tokens := make([]Token, n)
	for i := range tokens {
		tokens[i] = Token{
			Logp: -3 + random.NormFloat64(), Advantage: random.NormFloat64(), Return: random.NormFloat64(),
			OldValue: random.NormFloat64(), Weight: random.Float64() / float64(n),
		}
		tokens[i].Old, tokens[i].Ref = tokens[i].Logp+0.4*random.NormFloat64(), tokens[i].Logp+
			random.NormFloat64()
		tokens[i].Value = tokens[i].OldValue + 0.4*random.NormFloat64()
	}
	return tokens
}

// TestSurrogate compares the graph's losses with those of the float64 reference, and its gradients
// by log-probabilities and values with differences of the reference.
func TestSurrogate(t *testing.T) {
	backend, err := gobackend.New("")
	if err != nil {
		t.Fatal(err)
	}
	tokens := randomTokens(60)
	column := func(f func(Token) float64) any {
		x := make([]float32, len(tokens))
		for i, token := range tokens {
			x[i] = float32(f(token))
		}
		return tensors.FromFlatDataAndDimensions(x, len(x))
	}
	for _, estimator := range []Estimator{K1, K2, K3} {
		for _, value := range []bool{false, true} {
			for _, valueClip := range []float64{0, 0.2} {
				s := Surrogate{Clip: 0.2, ValueClip: valueClip, ValueCoef: 0.7, Estimator: estimator}
				const kl = 0.3
				exec := MustNewExec(backend, func(in []*Node) []*Node {
					r := Readout{LogpN: in[0], OldN: in[1], RefN: in[2], AdvantageN: in[3], OldValueN: in[5],
						ReturnN: in[6], WeightN: in[7], KL: in[8]}
					of := []*Node{in[0]}
					if value {
						r.ValueN = in[4]
						of = append(of, in[4])
					}
					p := s.Graph(r)
					return append([]*Node{p.Total, p.Policy, p.Value, p.KL, p.Clipped, p.Moved},
						Gradient(p.Total, of...)...)
				})
				out := exec.MustCall(column(func(k Token) float64 { return k.Logp }),
					column(func(k Token) float64 { return k.Old }), column(func(k Token) float64 { return k.Ref }),
					column(func(k Token) float64 { return k.Advantage }),
					column(func(k Token) float64 { return k.Value }),
					column(func(k Token) float64 { return k.OldValue }),
					column(func(k Token) float64 { return k.Return }),
					column(func(k Token) float64 { return k.Weight }), float32(kl))
				want := s.Of(tokens, value, kl)
				for i, w := range []float64{want.Total, want.Policy, want.Value, want.KL, want.Clipped,
					want.Moved} {
					near(t, []string{"total", "policy", "value", "KL", "clipped", "moved"}[i],
						float64(tensors.ToScalar[float32](out[i])), w, 2e-6)
				}
				if want.Clipped == 0 || want.Clipped > 0.4 {
					t.Errorf("%.2f of the weight is clipped: the case shows nothing", want.Clipped)
				}
				for which, gradient := range out[6:] {
					for i, got := range tensors.MustCopyFlatData[float32](gradient) {
						const h = 1e-6
						loss := func(by float64) float64 {
							moved := append([]Token{}, tokens...)
							if which == 0 {
								moved[i].Logp += by
							} else {
								moved[i].Value += by
							}
							return s.Of(moved, value, kl).Total
						}
						near(t, "a gradient", float64(got), (loss(h)-loss(-h))/(2*h), 2e-6)
					}
				}
			}
		}
	}
}

// TestEstimators: exact expectations over a small distribution. k1 and k3 have the KL for their
// mean, k2 nearly; k2 and k3 are never negative.
func TestEstimators(t *testing.T) {
	p, q := []float64{0.5, 0.3, 0.2}, []float64{0.45, 0.25, 0.3}
	want, mean := 0.0, map[Estimator]float64{}
	for i := range p {
		want += p[i] * math.Log(p[i]/q[i])
		for _, e := range []Estimator{K1, K2, K3} {
			x := e.Of(math.Log(p[i]), math.Log(q[i]))
			mean[e] += p[i] * x
			if e != K1 && x < 0 {
				t.Errorf("%s is %g", e, x)
			}
		}
	}
	near(t, "k1", mean[K1], want, 1e-12)
	near(t, "k3", mean[K3], want, 1e-12)
	near(t, "k2", mean[K2], want, 0.1*want)
	if mean[K2] == want {
		t.Error("k2 is unbiased here: it is not k2")
	}
	if Estimator("k4").check() == nil {
		t.Error("k4 is accepted")
	}
}

func TestCoefficient(t *testing.T) {
	c := Coefficient{Start: 0.1, Target: 6, Horizon: 100}
	for _, k := range []struct{ kl, want float64 }{{6, 0.1}, {6.6, 0.1 * 1.01}, {60, 0.1 * 1.02},
		{0, 0.1 * 0.98}} {
		near(t, "the coefficient", c.Next(0.1, k.kl, 10), k.want, 1e-15)
	}
	near(t, "a fixed coefficient", Coefficient{Start: 0.1}.Next(0.1, 60, 10), 0.1, 0)
}
