package train

import (
	"math"
	"path/filepath"
	"testing"

	"haf/backend"
	"haf/internal/shared"
	"haf/mesh"
	"haf/objective"
	"haf/optim"
	"haf/reward"
)

// TestElastic compares the penalty with its equation: importances are the running mean of squared
// gradients by the block's loss, and a weight is pulled back by its change, times its importance to
// the other loss.
func TestElastic(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(shared.Root(), "lm", "testdata", "llama")
	options := reward.Options{NoTokenizer: true, Train: true, Positions: 64}
	model, err := reward.Open(device, dir, options)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	h := objective.Default()
	h.Kind, h.Steps, h.Strength = objective.Elastic, 1, 3
	settings := optim.AdamW{LR: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Schedule: "constant"}
	s := NewStepper(model, h, settings, 4)
	defer s.Close()
	if err := s.newEWC(); err != nil {
		t.Fatal(err)
	}
	fill := func(value float32) (out []*mesh.Array) {
		for _, p := range s.optimizer.Params() {
			flat := make([]float32, p.Size())
			for i := range flat {
				flat[i] = value
			}
			out = append(out, mesh.OnHost(device, flat, p.Shape...))
		}
		return out
	}
	value := func(a *mesh.Array) float64 {
		flat, err := a.Floats()
		if err != nil {
			t.Fatal(err)
		}
		return float64(flat[0])
	}
	first := func(list []*mesh.Array) float64 { return value(list[3]) }
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	values := func() float64 { return value(s.optimizer.Params()[3].Value) }

	gradients := fill(2) // of the reward loss, in the first block: nothing is pulled
	if _, err := s.addPenalty(gradients, 1); err != nil {
		t.Fatal(err)
	}
	near("the first gradient", first(gradients), 2)
	near("the importance for the reward loss", first(s.ewc.importance[0]), 0.1*4)
	gradients = fill(5) // of the policy loss; the block begins here
	before := values()
	if _, err := s.addPenalty(gradients, 2); err != nil {
		t.Fatal(err)
	}
	near("the gradient where a block begins", first(gradients), 5)
	// Steps 3 and 4 are of the policy loss's block, which began at the weights of step 2.
	s.ewc.schedule.Steps = 2
	near("the anchor", first(s.ewc.anchor), before)
	if err := s.optimizer.Apply(gradients, 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	gradients = fill(1)
	squares, err := s.addPenalty(gradients, 4)
	if err != nil {
		t.Fatal(err)
	}
	want := 1 + 3*0.4*(values()-before)
	near("the pulled gradient", first(gradients), want)
	near("the importance for the policy loss", first(s.ewc.importance[1]), 0.9*0.1*25+0.1*1)
	_, all := model.NumParams()
	near("the squared norm", squares/float64(all)/(want*want), 1)
}
