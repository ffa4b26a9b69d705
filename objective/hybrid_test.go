package objective_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/objective"
)

func newBackend(t testing.TB) compute.Backend {
	t.Helper()
	backend, err := gobackend.New("")
	if err != nil {
		t.Fatal(err)
	}
	return backend
}

// with is the default objective, changed.
func with(change func(*objective.Hybrid)) objective.Hybrid {
	h := objective.Default()
	change(&h)
	return h
}

// newGroups makes random groups: a full ranking of four, pairs, a partial order, and a tie. Values
// go through float32.
func newGroups(random *rand.Rand, scale float64) []objective.Group {
	rounded := func(x float64) float64 { return float64(float32(x)) }
	margin := func() float64 { return rounded(math.Abs(random.NormFloat64())) }
	variances := rand.New(rand.NewPCG(4, uint64(10*scale)))
	var groups []objective.Group
	for _, shape := range []struct {
		responses   int
		comparisons [][2]int
		tie         bool
	}{
		{4, [][2]int{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}}, false},
		{2, [][2]int{{0, 1}}, false}, {2, [][2]int{{1, 0}}, false},
		{3, [][2]int{{2, 0}, {2, 1}}, false}, {2, [][2]int{{0, 1}}, true},
	} {
		var g objective.Group
		for range shape.responses {
			g.Scores = append(g.Scores, rounded(random.NormFloat64()*scale))
			g.LogVars = append(g.LogVars, rounded(variances.NormFloat64()*scale))
			g.Logps = append(g.Logps, rounded(-20+random.NormFloat64()*10*scale))
			g.RefLogps = append(g.RefLogps, rounded(-20+random.NormFloat64()*10*scale))
			g.Targets = append(g.Targets, rounded(random.NormFloat64()))
			g.Tokens = append(g.Tokens, 1+random.IntN(30))
		}
		for _, c := range shape.comparisons {
			g.Comparisons = append(g.Comparisons, objective.Comparison{Chosen: c[0], Rejected: c[1],
				Margin: margin(), Tie: shape.tie})
		}
		groups = append(groups, g)
	}
	groups[2].Comparisons[0].NoMargin = true // losses that read margins are means over the others
	return groups
}

// lossAndGradients runs the graph on the groups, laid out with padding slots and comparisons of
// large numbers: losses, and gradients by scores, log-probabilities, log-variances (by group and
// response) and the link's log scale.
func lossAndGradients(
	t *testing.T, backend compute.Backend, h objective.Hybrid, groups []objective.Group,
) (losses [3]float64, byScore, byLogp, byLogVar [][]float64, byScale float64) {
	t.Helper()
	const padding = 3
	var score, logVar, logp, ref, tokens, target, margin, tie, weight, marginWeight []float32
	var group, chosen, rejected []int32
	n, with := 0, 0
	for _, g := range groups {
		n += len(g.Comparisons)
		for _, c := range g.Comparisons {
			if !c.NoMargin {
				with++
			}
		}
	}
	for i, g := range groups {
		for _, c := range g.Comparisons {
			chosen, rejected = append(chosen, int32(len(score)+c.Chosen)),
				append(rejected, int32(len(score)+c.Rejected))
			margin, weight = append(margin, float32(c.Margin)), append(weight, 1/float32(n))
			if marginWeight = append(marginWeight, 1/float32(with)); c.NoMargin {
				marginWeight[len(marginWeight)-1] = 0
			}
			if tie = append(tie, 0); c.Tie {
				tie[len(tie)-1] = 1
			}
		}
		for k := range g.Scores {
			score, logp, ref = append(score, float32(g.Scores[k])), append(logp, float32(g.Logps[k])),
				append(ref, float32(g.RefLogps[k]))
			if logVar = append(logVar, 0); g.LogVars != nil {
				logVar[len(logVar)-1] = float32(g.LogVars[k])
			}
			tokens, target, group = append(tokens, float32(g.Tokens[k])),
				append(target, float32(g.Targets[k])), append(group, int32(i))
		}
	}
	for range padding {
		score, logp, ref = append(score, 1e3), append(logp, -1e3), append(ref, 1e3)
		logVar = append(logVar, 1e3)
		tokens, target, group = append(tokens, 0), append(target, 50), append(group, -1)
		chosen, rejected, margin = append(chosen, int32(len(score)-1)), append(rejected, 0),
			append(margin, 9)
		tie, weight, marginWeight = append(tie, 0), append(weight, 0), append(marginWeight, 0)
	}
	f := func(x []float32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	i := func(x []int32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	w, alpha := h.Final(h.RewardWeight, h.PolicyWeight)
	exec := MustNewExec(backend, func(in []*Node) []*Node {
		out := h.Loss(objective.Readout{
			ScoreS: in[0], LogpS: in[1], RefS: in[2], TokensS: in[3], TargetS: in[4], GroupS: in[5],
			ChosenC: in[6], RejectedC: in[7],
			MarginC: in[8], TieC: in[9], WeightC: in[10], RewardWeight: in[11], PolicyWeight: in[12],
			LogScale: in[13], LogVarS: in[14],
			MarginWeightC: in[15],
		})
		// Adding zero times the inputs gives what is not used a gradient of zero, too.
		zero := MulScalar(Add(Add(ReduceAllSum(in[0]), ReduceAllSum(in[1])),
			Add(in[13], ReduceAllSum(in[14]))), 0)
		return append([]*Node{out.Total, out.Reward, out.Policy},
			Gradient(Add(out.Total, zero), in[0], in[1], in[14], in[13])...)
	})
	defer exec.Finalize()
	out, err := exec.Call(f(score), f(logp), f(ref), f(tokens), f(target), i(group), i(chosen),
		i(rejected), f(margin), f(tie), f(weight),
		float32(w), float32(alpha), float32(math.Log(h.LinkScale)), f(logVar), f(marginWeight))
	if err != nil {
		t.Fatal(err)
	}
	for i := range losses {
		losses[i] = float64(tensors.ToScalar[float32](out[i]))
	}
	by := func(t *testing.T, flat []float32) (out [][]float64) {
		for _, g := range groups {
			var list []float64
			for range g.Scores {
				list, flat = append(list, float64(flat[0])), flat[1:]
			}
			out = append(out, list)
		}
		for _, v := range flat {
			if v != 0 {
				t.Errorf("padding has the gradient %v", v)
			}
		}
		return out
	}
	return losses, by(t, tensors.MustCopyFlatData[float32](out[3])),
		by(t, tensors.MustCopyFlatData[float32](out[4])),
		by(t, tensors.MustCopyFlatData[float32](out[5])), float64(tensors.ToScalar[float32](out[6]))
}

// ofSingles are the losses of single responses, which label_test.go has.
var ofSingles = []string{"bce", objective.Regression, "kto", "apo-zero"}

// cases are objectives of every loss of comparisons, link, regularizer and source of explicit
// rewards.
func cases() map[string]objective.Hybrid {
	ofComparisons := func(names string) []string {
		return slices.DeleteFunc(strings.Split(names, ", "), func(name string) bool {
			return slices.Contains(ofSingles, name)
		})
	}
	general := func(h *objective.Hybrid) {
		h.Smoothing, h.NoiseRate, h.Gamma, h.Eta, h.TieRate, h.Beta, h.Margin = 0.1, 0.2, 0.3, 0.8, 0.25,
			0.2, 1.2
	}
	out := map[string]objective.Hybrid{"haf": objective.Default()}
	for _, name := range ofComparisons(objective.RewardLosses()) {
		out["reward "+name] = with(func(h *objective.Hybrid) {
			general(h)
			h.PolicyWeight, h.Reward = 0,
				name
		})
	}
	for _, name := range ofComparisons(objective.PolicyLosses()) {
		out["policy "+name] = with(func(h *objective.Hybrid) {
			general(h)
			h.RewardWeight, h.Policy = 0,
				name
		})
		if strings.HasPrefix(name, "rpo") {
			out["policy "+name+" joint"] = with(func(h *objective.Hybrid) {
				general(h)
				h.Policy,
					h.Explicit = name, objective.ExplicitJoint
			})
		}
	}
	for _, link := range []string{"gaussian", "laplace", "cauchy", "student-t"} {
		for _, reward := range []string{"bradley-terry", "robust", "eurus", "uncertain"} {
			out["link "+link+" "+reward] = with(func(h *objective.Hybrid) {
				general(h)
				h.Link, h.LinkScale,
					h.Reward = link, 1.7, reward
			})
		}
	}
	for name, set := range map[string]func(*objective.Hybrid){
		"center":    func(h *objective.Hybrid) { h.Center = 0.3 },
		"batch sum": func(h *objective.Hybrid) { h.BatchSum = 0.3 },
		"l2":        func(h *objective.Hybrid) { h.L2 = 0.3 },
		"mix": func(h *objective.Hybrid) {
			h.Reward, h.Policy = "bradley-terry + 0.5*hinge", "0.7 dpo + 0.1 sft + ipo-full"
		},
		"complement": func(h *objective.Hybrid) { h.Kind = objective.Complement },
	} {
		out[name] = with(set)
	}
	return out
}

// TestReferences compares every loss's graph with its float64 reference, and its gradients with
// finite differences of the reference. Padding has no part in either.
func TestReferences(t *testing.T) {
	backend := newBackend(t)
	for name, h := range cases() {
		for _, scale := range []float64{0.1, 1, 3} {
			t.Run(fmt.Sprintf("%s/%g", name, scale), func(t *testing.T) {
				groups := newGroups(rand.New(rand.NewPCG(3, uint64(10*scale))), scale)
				// its reference points get no gradient: here both are zero, torch's values have others
				if h.Policy == "kto-pair" {
					for _, g := range groups {
						for k := range g.Logps {
							g.Logps[k] -= 60 * scale
						}
					}
				}
				losses, byScore, byLogp, byLogVar, byScale := lossAndGradients(t, backend, h, groups)
				total, reward, policy := h.Value(groups)
				for i, want := range []float64{total, reward, policy} {
					near(t, fmt.Sprintf("loss %d", i), losses[i], want, 3e-6)
				}
				slope := func(x *float64, at func() float64) float64 {
					const step = 1e-5
					was := *x
					*x = was + step
					above := at()
					*x = was - step
					below := at()
					*x = was
					return (above - below) / (2 * step)
				}
				value := func() float64 { total, _, _ := h.Value(groups); return total }
				for i, g := range groups {
					for k := range g.Scores {
						near(t, fmt.Sprintf("gradient by score %d of group %d", k, i), byScore[i][k],
							slope(&g.Scores[k], value), 2e-5)
						near(t, fmt.Sprintf("gradient by logp %d of group %d", k, i), byLogp[i][k],
							slope(&g.Logps[k], value), 2e-5)
						near(t, fmt.Sprintf("gradient by log-variance %d of group %d", k, i), byLogVar[i][k],
							slope(&g.LogVars[k], value), 2e-5)
					}
				}
				logScale := math.Log(h.LinkScale)
				near(t, "gradient by the scale", byScale, slope(&logScale, func() float64 {
					moved := h
					moved.LinkScale = math.Exp(logScale)
					total, _, _ := moved.Value(groups)
					return total
				}), 2e-5)
			})
		}
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s is %.8g, %.8g is wanted", what, got, want)
	}
}

// TestStoppedScore has explicit rewards from the score head that get no gradient: scores are moved
// by the reward loss alone.
func TestStoppedScore(t *testing.T) {
	backend := newBackend(t)
	groups := newGroups(rand.New(rand.NewPCG(4, 0)), 1)
	for _, policy := range []string{"rpo-sq", "rpo-bwd-kl-group"} {
		h := with(func(h *objective.Hybrid) { h.Policy, h.Explicit = policy, objective.ExplicitScore })
		losses, byScore, byLogp, _, _ := lossAndGradients(t, backend, h, groups)
		total, _, _ := h.Value(groups)
		near(t, policy, losses[0], total, 3e-6)
		h.Explicit = objective.ExplicitJoint
		_, jointScore, jointLogp, _, _ := lossAndGradients(t, backend, h, groups)
		h.PolicyWeight = 0
		_, alone, _, _, _ := lossAndGradients(t, backend, h, groups)
		same, moved := true, false
		for i := range byScore {
			for k := range byScore[i] {
				near(t, "gradient by score", byScore[i][k], alone[i][k], 1e-7)
				same = same && byLogp[i][k] == jointLogp[i][k]
				moved = moved || jointScore[i][k] != alone[i][k]
			}
		}
		if !same || !moved {
			t.Errorf("%s: the source changes the gradient by log-probabilities, or joint does not reach "+
				"the scores", policy)
		}
	}
}

// TestExtremes has margins so large that a naive −log F is infinite or loses the small end.
func TestExtremes(t *testing.T) {
	backend := newBackend(t)
	g := objective.Group{Scores: []float64{-500, 500}, Logps: []float64{0, 0},
		RefLogps: []float64{0, 0}, Targets: []float64{0, 0}, Tokens: []int{1, 1},
		Comparisons: []objective.Comparison{{Chosen: 0, Rejected: 1}, {Chosen: 1, Rejected: 0}}}
	losses, byScore, _, _, _ := lossAndGradients(t, backend,
		with(func(h *objective.Hybrid) { h.PolicyWeight = 0 }), []objective.Group{g})
	if losses[0] != 500 {
		t.Errorf("loss is %v, want half of 1000 and of e⁻¹⁰⁰⁰ ≈ 0", losses[0])
	}
	if byScore[0][0] != -0.5 || byScore[0][1] != 0.5 {
		t.Errorf("gradients are %v, want −½ and ½", byScore)
	}
	for _, reward := range []string{"plackett-luce", "rao-kupper", "davidson", "eurus", "norm-bt"} {
		losses, byScore, _, _, _ := lossAndGradients(t, backend,
			with(func(h *objective.Hybrid) { h.PolicyWeight, h.Reward = 0, reward }), []objective.Group{g})
		for _, x := range []float64{losses[0], byScore[0][0], byScore[0][1]} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Errorf("%s at a margin of 1000: loss %v, gradients %v", reward, losses[0], byScore[0])
			}
		}
	}
}

// TestFirstLoss has the value that training checks at its first step: it is what the losses give at
// zero scores and a policy that is the reference.
func TestFirstLoss(t *testing.T) {
	groups := newGroups(rand.New(rand.NewPCG(5, 0)), 1)
	for _, g := range groups {
		for k := range g.Scores {
			g.Scores[k], g.Logps[k] = 0, g.RefLogps[k]
		}
	}
	for name, h := range cases() {
		first, ok := h.FirstLoss(groups, 100)
		if unknown := strings.Contains("dpo-free slic sft sft-sum simpo", h.Policy) ||
			strings.Contains(h.Policy, "sft"); ok == (unknown && h.UsesPolicy() &&
			h.Policy != objective.DPO) {
			t.Errorf("%s: FirstLoss says %v", name, ok)
		}
		if got, _, _ := h.Value(groups); ok && math.Abs(got-first) > 1e-12*max(1, got) {
			t.Errorf("%s: first loss %v, want %v", name, first, got)
		}
	}
	pairs := groups[1:4]
	for _, h := range []objective.Hybrid{objective.Default(),
		with(func(h *objective.Hybrid) { h.PolicyWeight = 0 }),
		with(func(h *objective.Hybrid) { h.RewardWeight = 0 })} {
		if first, _ := h.FirstLoss(pairs, 100); !h.Plain() ||
			math.Abs(first-(h.RewardWeight+h.PolicyWeight)*math.Ln2) > 1e-15 {
			t.Errorf("first loss is %v, want (w + α) ln 2", first)
		}
	}
	ramp := with(func(h *objective.Hybrid) { h.Kind = objective.Ramp })
	if first, _ := ramp.FirstLoss(pairs, 100); math.Abs(first-math.Ln2) > 1e-15 {
		t.Errorf("first loss of a ramp from 0 is %v, want ln 2", first)
	}
}

// TestLimits has what the methods say of each other.
func TestLimits(t *testing.T) {
	groups := newGroups(rand.New(rand.NewPCG(6, 0)), 1)
	groups[2].Comparisons[0].NoMargin = false
	value := func(change func(*objective.Hybrid)) float64 {
		h := with(func(h *objective.Hybrid) { h.RewardWeight, h.PolicyWeight = 0, 1; change(h) })
		total, _, _ := h.Value(groups[:4])
		return total
	}
	policy := func(name string) func(*objective.Hybrid) {
		return func(h *objective.Hybrid) { h.Policy = name }
	}
	dpo := value(policy("dpo"))
	near(t, "RPO of an infinite margin",
		value(func(h *objective.Hybrid) { h.Policy, h.Eta = "rpo-bwd-kl", 1e9 }), dpo, 1e-9)
	near(t, "IPO's forms", value(policy("ipo-sqrt")), 0.1*value(policy("ipo")), 1e-9)
	near(t, "IPO's forms", value(policy("ipo-full")), 0.01*value(policy("ipo")), 1e-9)
	for _, distance := range []string{"sq", "bwd-kl", "fwd-kl"} {
		one := groups[1] // a pair: the group's form is the comparison's
		one.Comparisons = []objective.Comparison{{Chosen: 0, Rejected: 1,
			Margin: one.Targets[0] - one.Targets[1]}}
		h := with(func(h *objective.Hybrid) { h.RewardWeight, h.Policy = 0, "rpo-"+distance })
		pairwise, _, _ := h.Value([]objective.Group{one})
		h.Policy += "-group"
		grouped, _, _ := h.Value([]objective.Group{one})
		near(t, distance+" of a pair", grouped, pairwise, 1e-12)
	}
	reward := func(name string, groups []objective.Group) float64 {
		_, r, _ := with(func(h *objective.Hybrid) { h.Reward = name }).Value(groups)
		return r
	}
	near(t, "Plackett-Luce of pairs", reward("plackett-luce", groups[1:3]),
		reward("bradley-terry", groups[1:3]), 1e-12)
	for _, model := range []string{"rao-kupper", "davidson"} { // the three outcomes are all
		sum := 0.0
		for _, c := range []objective.Comparison{{Chosen: 0, Rejected: 1}, {Chosen: 1, Rejected: 0},
			{Chosen: 0, Rejected: 1, Tie: true}} {
			sum += math.Exp(
				-reward(model, []objective.Group{
					{Scores: []float64{0.3, -0.9}, Comparisons: []objective.Comparison{c}}}))
		}
		near(t, model+"'s probabilities", sum, 1, 1e-12)
	}
}

// TestWeights has the schedules.
func TestWeights(t *testing.T) {
	for _, c := range []struct {
		schedule objective.Schedule
		want     map[int][2]float64 // by step, of 100
	}{
		{objective.Schedule{Kind: "constant"}, map[int][2]float64{0: {1, 0.2}, 99: {1, 0.2}}},
		{objective.Schedule{Kind: "ramp", Share: 0.5}, map[int][2]float64{0: {1, 0}, 25: {1, 0.1},
			50: {1, 0.2}, 99: {1, 0.2}}},
		{objective.Schedule{Kind: "ramp", From: 1, Share: 1},
			map[int][2]float64{0: {1, 1}, 50: {1, 0.6}}},
		{objective.Schedule{Kind: "alternate", Steps: 3}, map[int][2]float64{0: {1, 0}, 2: {1, 0},
			3: {0, 0.2}, 5: {0, 0.2}, 6: {1, 0}}},
		{objective.Schedule{Kind: "complement"}, map[int][2]float64{0: {0.8, 0.2}, 99: {0.8, 0.2}}},
	} {
		for step, want := range c.want {
			if w, alpha := c.schedule.Weights(1, 0.2, step, 100); math.Abs(w-want[0]) > 1e-12 ||
				math.Abs(alpha-want[1]) > 1e-12 {
				t.Errorf("%+v at step %d: %g and %g, want %v", c.schedule, step, w, alpha, want)
			}
		}
	}
}
