package objective_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/objective"
)

// storedCase is a loss of torch's and its gradients by the named inputs.
type storedCase struct {
	Loss      float64
	Gradients map[string][]float64
	Gradient  []float64 // of a group, by its one input
}

// stored is testdata/losses.json, made by losses.py.
type stored struct {
	Settings struct {
		Beta, Epsilon, Gamma, Width, Eta float64
		TieRate                          float64 `json:"tie_rate"`
	}
	Inputs         map[string][]float64
	ChosenTokens   []int `json:"chosen_tokens"`
	RejectedTokens []int `json:"rejected_tokens"`
	Tie            []bool
	Reward, Policy map[string]storedCase
	Group          struct{ Scores, Logps, Refs, Targets []float64 }
	Groups         map[string]storedCase
	Labels         struct {
		Desirable         []bool
		DesirableWeight   float64 `json:"desirable_weight"`
		UndesirableWeight float64 `json:"undesirable_weight"`
		Inputs            map[string][]float64
		Losses            map[string]storedCase
	}
	Regression struct {
		Outputs, Gradient [][]float64
		Attributes        [][]*float64 // null is not stated
		Loss              float64
	}
	Grid  []float64
	Links []struct {
		Link        string
		DF          float64
		Loss, Slope []float64
	}
}

func readStored(t *testing.T) (s stored) {
	t.Helper()
	data, err := os.ReadFile("testdata/losses.json")
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pairs are the stored comparisons, each a group of its own.
func (s stored) pairs(ties bool) []objective.Group {
	var out []objective.Group
	for i := range s.Tie {
		in := func(name string) float64 { return s.Inputs[name][i] }
		out = append(out, objective.Group{
			Scores:   []float64{in("chosen_score"), in("rejected_score")},
			Logps:    []float64{in("chosen_logp"), in("rejected_logp")},
			RefLogps: []float64{in("chosen_ref"), in("rejected_ref")},
			Tokens:   []int{s.ChosenTokens[i], s.RejectedTokens[i]}, Targets: []float64{0, 0},
			Comparisons: []objective.Comparison{{Chosen: 0, Rejected: 1, Margin: in("margin"), Tie: ties &&
				s.Tie[i]}},
		})
	}
	return out
}

// TestAllStored wants a stored value of every loss. Those of "uncertain" and "regression" are
// elsewhere: the first is compared with its float64 reference alone, the second has a table of its
// own.
func TestAllStored(t *testing.T) {
	s := readStored(t)
	elsewhere := []string{"uncertain", "regression"}
	for head, names := range map[string]string{
		"reward": objective.RewardLosses(), "policy": objective.PolicyLosses(),
	} {
		pairs := map[string]map[string]storedCase{"reward": s.Reward, "policy": s.Policy}[head]
		for _, name := range strings.Split(names, ", ") {
			_, one := pairs[name]
			_, group := s.Groups[name]
			_, label := s.Labels.Losses[name]
			if !one && !group && !label && !slices.Contains(elsewhere, name) {
				t.Errorf("the %s loss %q has no stored value: add it to testdata/losses.py", head, name)
			}
		}
	}
}

// TestStoredLosses compares every loss, graph and float64 reference, with torch's value and
// gradients.
func TestStoredLosses(t *testing.T) {
	s, backend := readStored(t), newBackend(t)
	settings := func(h *objective.Hybrid) {
		h.Beta, h.Smoothing, h.NoiseRate, h.Gamma, h.Margin, h.Eta, h.TieRate = s.Settings.Beta,
			s.Settings.Epsilon, s.Settings.Epsilon, s.Settings.Gamma, s.Settings.Width, s.Settings.Eta,
			s.Settings.TieRate
	}
	reward := func(name string) objective.Hybrid {
		return with(func(h *objective.Hybrid) {
			settings(h)
			h.PolicyWeight = 0
			switch name {
			case "gaussian", "laplace", "cauchy":
				h.Link = name
			case "center":
				h.Center = 1
			case "l2":
				h.L2 = 1
			case "batch_sum":
				h.BatchSum = 1
			default:
				h.Reward = name
			}
		})
	}
	for name, want := range s.Reward {
		t.Run("reward "+name, func(t *testing.T) {
			// torch's value is the regularizer's alone
			if name == "center" || name == "l2" || name == "batch_sum" {
				plain := s.Reward["bradley-terry"]
				want.Loss += plain.Loss
				for of, gradient := range want.Gradients {
					for i := range gradient {
						gradient[i] += plain.Gradients[of][i]
					}
				}
			}
			compareStored(t, s, backend, reward(name), name == "rao-kupper" || name == "davidson", want)
		})
	}
	for name, want := range s.Policy {
		t.Run("policy "+name, func(t *testing.T) {
			h := with(func(h *objective.Hybrid) {
				settings(h)
				h.RewardWeight, h.PolicyWeight, h.Policy = 0,
					1, name
			})
			compareStored(t, s, backend, h, name == "dpo-rao-kupper" || name == "dpo-davidson", want)
		})
	}
	all := objective.Group{Scores: s.Group.Scores, Logps: s.Group.Logps, RefLogps: s.Group.Refs,
		Targets: s.Group.Targets, Tokens: make([]int, len(s.Group.Scores))}
	for i := range all.Scores {
		for j := i + 1; j < len(all.Scores); j++ {
			all.Comparisons = append(all.Comparisons, objective.Comparison{Chosen: i, Rejected: j})
		}
	}
	for name, want := range s.Groups {
		t.Run("group "+name, func(t *testing.T) {
			h := with(func(h *objective.Hybrid) {
				settings(h)
				h.RewardWeight, h.PolicyWeight, h.Policy = 0,
					1, name
			})
			if name == "plackett-luce" {
				h = reward(name)
			}
			losses, byScore, byLogp, _, _ := lossAndGradients(t, backend, h, []objective.Group{all})
			n := float64(len(all.Comparisons)) // haf's mean is over comparisons
			near(t, "loss", losses[0]*n, want.Loss, 2e-6)
			total, _, _ := h.Value([]objective.Group{all})
			near(t, "float64 reference", total*n, want.Loss, 1e-12)
			gradient := byLogp[0]
			if name == "plackett-luce" {
				gradient = byScore[0]
			}
			for k, g := range gradient {
				near(t, "gradient", g*n, want.Gradient[k], 5e-6)
			}
		})
	}
}

func compareStored(
	t *testing.T, s stored, backend compute.Backend, h objective.Hybrid, ties bool, want storedCase,
) {
	t.Helper()
	groups := s.pairs(ties)
	losses, byScore, byLogp, _, _ := lossAndGradients(t, backend, h, groups)
	near(t, "loss", losses[0], want.Loss, 2e-6)
	total, _, _ := h.Value(groups)
	near(t, "float64 reference", total, want.Loss, 1e-12)
	for of, gradient := range want.Gradients {
		for i, g := range gradient {
			got := map[string]float64{"chosen_score": byScore[i][0], "rejected_score": byScore[i][1],
				"chosen_logp": byLogp[i][0], "rejected_logp": byLogp[i][1]}[of]
			near(t, "gradient by "+of, got, g, 2e-6)
		}
	}
}

// TestStoredLinks compares −log F and its slope with values of many digits, far into both tails.
func TestStoredLinks(t *testing.T) {
	s, backend := readStored(t), newBackend(t)
	grid := make([]float32, len(s.Grid))
	for i, z := range s.Grid {
		grid[i] = float32(z)
	}
	for _, want := range s.Links {
		link := objective.Link{Name: want.Link, Scale: 1, DF: want.DF}
		if err := link.Check(); err != nil {
			t.Fatal(err)
		}
		exec := MustNewExec(backend, func(z *Node) []*Node {
			loss := link.Loss(z)
			return append([]*Node{loss}, Gradient(ReduceAllSum(loss), z)...)
		})
		out := exec.MustCall(tensors.FromFlatDataAndDimensions(grid, len(grid)))
		loss, slope := tensors.MustCopyFlatData[float32](out[0]),
			tensors.MustCopyFlatData[float32](out[1])
		exec.Finalize()
		for i, z := range s.Grid {
			relative := func(what string, got, want, tolerance float64) {
				t.Helper()
				// float32 has no smaller numbers than 1e-38, and a probability so near to one is one.
				if !(math.Abs(got-want) <= tolerance*math.Abs(want)+1e-37) {
					t.Errorf("%s %g, %s at %g is %.9g, %.9g is wanted", link.Name, link.DF, what, z, got, want)
				}
			}
			// e^−t has the error of t, relative, times t
			relative("graph", float64(loss[i]), want.Loss[i], 1e-5)
			relative("slope", float64(slope[i]), want.Slope[i], 2e-5)
			relative("float64 reference", link.LossValue(z), want.Loss[i], 1e-9)
		}
	}
}
