package objective_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/objective"
)

// A singles is what the graph gave of labelled and rated responses; padding has no gradient.
type singles struct {
	total, labelReward, labelPolicy, point float64
	byScore, byLogp                        []float64 // flat, of the groups' responses
}

// runSingles runs the graph on groups of labelled or rated responses, beside which there may be
// comparisons, laid out with a padding slot of large numbers.
func runSingles(
	t *testing.T, backend compute.Backend, h objective.Hybrid, groups []objective.Group,
) (out singles) {
	t.Helper()
	width := 1
	var labelled, compared, ratings int
	for _, g := range groups {
		compared += len(g.Comparisons)
		for _, label := range g.Labels {
			if label != objective.Unlabelled {
				labelled++
			}
		}
		for _, a := range g.Attributes {
			width = len(a)
			if count(a) > 0 {
				ratings++
			}
		}
	}
	var score, logp, ref, label, labelWeight, mismatched, attribute, attributeWeight, weight []float32
	var chosen, rejected []int32
	slots := 0
	for _, g := range groups {
		for _, c := range g.Comparisons {
			chosen = append(chosen, int32(slots+c.Chosen))
			rejected = append(rejected, int32(slots+c.Rejected))
			weight = append(weight, 1/float32(compared))
		}
		for k := range g.Logps {
			slots++
			logp, ref = append(logp, float32(g.Logps[k])), append(ref, float32(g.RefLogps[k]))
			label, labelWeight = append(label, 0), append(labelWeight, 0)
			if mismatched = append(mismatched, 0); g.Mismatched != nil && g.Mismatched[k] {
				mismatched[slots-1] = 1
			}
			if g.Labels != nil && g.Labels[k] != objective.Unlabelled {
				labelWeight[slots-1] = 1 / float32(labelled)
				if g.Labels[k] == objective.Desirable {
					label[slots-1] = 1
				}
			}
			if g.Attributes == nil {
				score = append(score, float32(g.Scores[k]))
				continue
			}
			for a, y := range g.Attributes[k] {
				score = append(score, float32(g.Outputs[k][a]))
				if math.IsNaN(y) {
					attribute, attributeWeight = append(attribute, 0), append(attributeWeight, 0)
					continue
				}
				attribute = append(attribute, float32(y))
				attributeWeight = append(attributeWeight,
					1/float32(ratings)/float32(count(g.Attributes[k])))
			}
		}
	}
	values := len(score)
	logp, ref, label = append(logp, -1e3), append(ref, 1e3), append(label, 0)
	labelWeight, mismatched = append(labelWeight, 0), append(mismatched, 0)
	chosen, rejected = append(chosen, int32(slots)), append(rejected, 0)
	weight = append(weight, 0)
	for range width {
		score = append(score, 1e3)
		attribute, attributeWeight = append(attribute, 7), append(attributeWeight, 0)
	}
	if !h.UsesAttributes() {
		attribute, attributeWeight = []float32{0}, []float32{0}
	}
	n := slots + 1
	exec := MustNewExec(backend, func(in []*Node) []*Node {
		read := objective.Readout{
			ScoreS: in[0], LogpS: in[1], RefS: in[2], TokensS: OnesLike(in[1]), LabelS: in[3],
			LabelWeightS: in[4], MismatchedS: in[5], ChosenC: in[8], RejectedC: in[9], WeightC: in[10],
			MarginC: ZerosLike(in[10]), RewardWeight: in[11], PolicyWeight: in[12],
		}
		if h.UsesAttributes() {
			read.ScoreS = Reshape(in[0], n, width)
			read.AttributeSA = Reshape(in[6], n, width)
			read.AttributeWeightSA = Reshape(in[7], n, width)
		}
		losses := h.Loss(read)
		zero := MulScalar(Add(ReduceAllSum(in[0]), ReduceAllSum(in[1])), 0)
		result := []*Node{losses.Total}
		result = append(result, Gradient(Add(losses.Total, zero), in[0], in[1])...)
		if h.UsesLabels() {
			result = append(result, losses.LabelReward, losses.LabelPolicy, losses.Point)
		}
		return result
	})
	defer exec.Finalize()
	f := func(x []float32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	i := func(x []int32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	w, alpha := h.Final(h.RewardWeight, h.PolicyWeight)
	got, err := exec.Call(f(score), f(logp), f(ref), f(label), f(labelWeight), f(mismatched),
		f(attribute), f(attributeWeight), i(chosen), i(rejected), f(weight), float32(w), float32(alpha))
	if err != nil {
		t.Fatal(err)
	}
	scalar := func(i int) float64 { return float64(tensors.ToScalar[float32](got[i])) }
	list := func(i, n int) (out []float64) {
		flat := tensors.MustCopyFlatData[float32](got[i])
		for _, v := range flat[:n] {
			out = append(out, float64(v))
		}
		for _, v := range flat[n:] {
			if v != 0 {
				t.Errorf("padding has the gradient %v", v)
			}
		}
		return out
	}
	out.total, out.byScore, out.byLogp = scalar(0), list(1, values), list(2, slots)
	if h.UsesLabels() {
		out.labelReward, out.labelPolicy, out.point = scalar(3), scalar(4), scalar(5)
	}
	return out
}

// count is the number of attributes that are stated.
func count(attributes []float64) (n int) {
	for _, y := range attributes {
		if !math.IsNaN(y) {
			n++
		}
	}
	return n
}

// labelledGroups are random responses with labels, each beside one to another prompt, and pairs
// among them; shift moves the log-ratios of the others.
func labelledGroups(random *rand.Rand, scale, shift float64) []objective.Group {
	rounded := func(x float64) float64 { return float64(float32(x)) }
	groups := newGroups(random, scale)[1:3]
	for i := range 7 {
		g := objective.Group{Labels: []objective.Label{objective.Desirable, objective.Unlabelled},
			Mismatched: []bool{false, true}, Tokens: []int{3, 4}}
		if i%3 == 1 {
			g.Labels[0] = objective.Undesirable
		}
		for range 2 {
			g.Scores = append(g.Scores, rounded(random.NormFloat64()*scale))
			g.Logps = append(g.Logps, rounded(-20+random.NormFloat64()*10*scale))
			g.RefLogps = append(g.RefLogps, rounded(-20+random.NormFloat64()*10*scale))
		}
		g.Logps[1] = rounded(g.Logps[1] + shift)
		groups = append(groups, g)
	}
	return groups
}

// TestLabelReferences compares the losses of labelled responses, alone and beside those of
// comparisons, with their float64 references, and the gradients with finite differences of them.
func TestLabelReferences(t *testing.T) {
	backend := newBackend(t)
	for name, set := range map[string]func(*objective.Hybrid){
		"bce":      func(h *objective.Hybrid) { h.Reward, h.PolicyWeight = "bce", 0 },
		"kto":      func(h *objective.Hybrid) { h.RewardWeight, h.Policy = 0, "kto" },
		"apo-zero": func(h *objective.Hybrid) { h.RewardWeight, h.Policy = 0, "apo-zero" },
		"both":     func(h *objective.Hybrid) { h.Reward, h.Policy = "bce", "kto" },
		"mixed": func(h *objective.Hybrid) {
			h.Reward, h.Policy = "bradley-terry + 0.5 bce",
				"dpo + 2 kto"
		},
		"link":      func(h *objective.Hybrid) { h.Reward, h.Policy, h.LinkScale = "bce", "kto", 1.7 },
		"pairs too": func(h *objective.Hybrid) { h.Policy = "0.5 dpo + kto" },
	} {
		for _, scale := range []float64{0.1, 1, 3} {
			t.Run(fmt.Sprintf("%s/%g", name, scale), func(t *testing.T) {
				h := with(set)
				if h.Policy != "apo-zero" && h.UsesPolicy() {
					h.DesirableWeight, h.UndesirableWeight = 1.33, 0.7
				}
				if err := h.Check(); err != nil {
					t.Fatal(err)
				}
				// The point gets no gradient: here it is zero, TestLabelPoint has another.
				groups := labelledGroups(rand.New(rand.NewPCG(8, uint64(10*scale))), scale, -60*scale)
				got := runSingles(t, backend, h, groups)
				total, reward, policy := h.Value(groups)
				near(t, "loss", got.total, total, 3e-6)
				if got.point != 0 {
					t.Errorf("the reference point is %v, want the clamp at 0", got.point)
				}
				alone := groups[2:]
				if _, r, p := h.Value(alone); name != "mixed" && name != "pairs too" {
					near(t, "reward loss of labels", got.labelReward, r, 3e-6)
					near(t, "policy loss of labels", got.labelPolicy, p, 3e-6)
					near(t, "reward loss alone", reward, r, 1e-12)
					near(t, "policy loss alone", policy, p, 1e-12)
				}
				checkSlopes(t, h, groups, got)
			})
		}
	}
}

// checkSlopes compares gradients with finite differences of the float64 reference.
func checkSlopes(t *testing.T, h objective.Hybrid, groups []objective.Group, got singles) {
	t.Helper()
	slope := func(x *float64) float64 {
		const step = 1e-5
		was := *x
		*x = was + step
		above, _, _ := h.Value(groups)
		*x = was - step
		below, _, _ := h.Value(groups)
		*x = was
		return (above - below) / (2 * step)
	}
	slot, value := 0, 0
	for _, g := range groups {
		for k := range g.Logps {
			near(t, "gradient by logp", got.byLogp[slot], slope(&g.Logps[k]), 2e-5)
			slot++
			var scores []*float64
			if g.Attributes == nil {
				scores = append(scores, &g.Scores[k])
			} else {
				for a := range g.Outputs[k] {
					scores = append(scores, &g.Outputs[k][a])
				}
			}
			for _, x := range scores {
				near(t, "gradient by score", got.byScore[value], slope(x), 2e-5)
				value++
			}
		}
	}
}

// TestLabelPoint has a reference point above zero: it is the mean log-ratio of the responses to
// other prompts, moves the loss, and gives these no gradient.
func TestLabelPoint(t *testing.T) {
	backend := newBackend(t)
	h := with(func(h *objective.Hybrid) { h.RewardWeight, h.Policy = 0, "kto" })
	groups := labelledGroups(rand.New(rand.NewPCG(9, 0)), 1, 40)
	got := runSingles(t, backend, h, groups)
	want, n := 0.0, 0
	for _, g := range groups[2:] {
		want, n = want+g.Logps[1]-g.RefLogps[1], n+1
	}
	near(t, "point", got.point, want/float64(n), 1e-6)
	near(t, "point's reference", h.PointValue(groups), want/float64(n), 1e-12)
	total, _, _ := h.Value(groups)
	near(t, "loss", got.total, total, 3e-6)
	slot := 0
	for _, g := range groups {
		for k := range g.Logps {
			if mismatched := g.Mismatched != nil && g.Mismatched[k]; mismatched && got.byLogp[slot] != 0 {
				t.Errorf("a response to another prompt has the gradient %v", got.byLogp[slot])
			}
			slot++
		}
	}
	without := h
	without.Policy = "apo-zero"
	if zero, _, _ := without.Value(groups); math.Abs(zero-total) < 1e-3 {
		t.Errorf("the point moves the loss from %v to %v alone", zero, total)
	}
}

// TestStoredLabels compares the losses of labelled responses and of attributes with torch's values
// and gradients.
func TestStoredLabels(t *testing.T) {
	s, backend := readStored(t), newBackend(t)
	var groups []objective.Group
	in := s.Labels.Inputs
	for i, desirable := range s.Labels.Desirable {
		g := objective.Group{Scores: []float64{in["score"][i], 0}, Mismatched: []bool{false, true},
			Logps:    []float64{in["logp"][i], in["other_logp"][i]},
			RefLogps: []float64{in["ref"][i], in["other_ref"][i]},
			Labels:   []objective.Label{objective.Undesirable, objective.Unlabelled}}
		if desirable {
			g.Labels[0] = objective.Desirable
		}
		groups = append(groups, g)
	}
	for name, want := range s.Labels.Losses {
		t.Run(name, func(t *testing.T) {
			h := with(func(h *objective.Hybrid) {
				h.Beta, h.DesirableWeight = s.Settings.Beta, s.Labels.DesirableWeight
				h.UndesirableWeight = s.Labels.UndesirableWeight
				h.RewardWeight, h.PolicyWeight, h.Policy = 0, 1, name
				if name == "bce" {
					h.RewardWeight, h.PolicyWeight, h.Reward, h.Policy = 1, 0, name, objective.DPO
				}
			})
			got := runSingles(t, backend, h, groups)
			near(t, "loss", got.total, want.Loss, 2e-6)
			total, _, _ := h.Value(groups)
			near(t, "reference", total, want.Loss, 1e-12)
			gradient := got.byLogp
			if name == "bce" {
				gradient = got.byScore
			}
			for i, g := range want.Gradient {
				near(t, "gradient", gradient[2*i], g, 2e-6)
				near(t, "gradient of another prompt's response", gradient[2*i+1], 0, 0)
			}
		})
	}
}

// ratedGroups are the stored responses with attributes.
func (s stored) ratedGroups() (groups []objective.Group) {
	for i, row := range s.Regression.Attributes {
		g := objective.Group{Logps: []float64{0}, RefLogps: []float64{0},
			Outputs: [][]float64{s.Regression.Outputs[i]}, Attributes: [][]float64{nil}}
		for _, y := range row {
			if y == nil {
				g.Attributes[0] = append(g.Attributes[0], math.NaN())
			} else {
				g.Attributes[0] = append(g.Attributes[0], *y)
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// TestStoredRegression compares the loss of attributes with torch's value and gradients.
func TestStoredRegression(t *testing.T) {
	s, backend := readStored(t), newBackend(t)
	groups := s.ratedGroups()
	h := with(func(h *objective.Hybrid) { h.Reward, h.PolicyWeight = objective.Regression, 0 })
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	got := runSingles(t, backend, h, groups)
	near(t, "loss", got.total, s.Regression.Loss, 2e-6)
	total, _, _ := h.Value(groups)
	near(t, "reference", total, s.Regression.Loss, 1e-12)
	checkSlopes(t, h, groups, got)
	at := 0
	for _, row := range s.Regression.Gradient {
		for _, g := range row {
			near(t, "gradient", got.byScore[at], g, 2e-6)
			at++
		}
	}
}

// TestFirstLossOfSingles has the values of the first step: ln 2 of cross-entropy, half of the
// weights of KTO, and the mean square of the attributes.
func TestFirstLossOfSingles(t *testing.T) {
	groups := labelledGroups(rand.New(rand.NewPCG(9, 1)), 1, 40) // 5 desirable, 2 undesirable
	h := with(func(h *objective.Hybrid) {
		h.Reward, h.Policy, h.DesirableWeight, h.UndesirableWeight = "bce", "kto", 0.8, 1.5
	})
	want := math.Ln2 + 0.2*(5*0.8+2*1.5)/7/2
	if first, ok := h.FirstLoss(groups, 10); !ok || math.Abs(first-want) > 1e-12 {
		t.Errorf("first loss is %v (%v), want %v", first, ok, want)
	}
	rated := []objective.Group{{Tokens: []int{3}, Attributes: [][]float64{{4, math.NaN(), 2}}},
		{Tokens: []int{3}, Attributes: [][]float64{{math.NaN(), 1, math.NaN()}}}}
	h = with(func(h *objective.Hybrid) { h.Reward, h.PolicyWeight = objective.Regression, 0 })
	if first, ok := h.FirstLoss(rated, 10); !ok || math.Abs(first-(10+1)/2.0) > 1e-12 {
		t.Errorf("first loss is %v (%v), want 5.5", first, ok)
	}
}
