package train_test

import (
	"testing"

	"haf/lm"
	"haf/objective"
	"haf/optim"
	"haf/pack"
	"haf/reward"
	"haf/train"
)

// smallStep opens the small stored model and packs a batch.
func smallStep(t testing.TB, device string) (*reward.Model, *pack.Batch, [][]float64) {
	t.Helper()
	model, err := reward.Open(openDevice(t, device), smallFolder(), reward.Options{
		NoTokenizer: true, Train: true, LogitChunk: 64,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(model.Close)
	groups := smallData(60, model.Config.Vocab).Train
	packing, err := pack.New(groups, pack.Options{Positions: 512})
	if err != nil {
		t.Fatal(err)
	}
	refs := make([][]float64, len(groups))
	for i, g := range groups {
		refs[i] = make([]float64, len(g.Responses))
	}
	return model, packing.Batch(0), refs
}

// BenchmarkStep makes optimizer steps of a small model, without the compilation.
func BenchmarkStep(b *testing.B) {
	model, batch, refs := smallStep(b, "auto")
	settings := optim.AdamW{
		LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1, Schedule: "constant",
	}
	s := train.NewStepper(model, objective.Default(), settings, 100)
	defer s.Close()
	step := 0
	next := func() {
		step++
		if _, err := s.Step([]*pack.Batch{batch}, refs, 1e-4, step); err != nil {
			b.Fatal(err)
		}
	}
	next()
	for b.Loop() {
		next()
	}
	b.ReportMetric(float64(batch.Real)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}

// TestFLOPs counts a step by hand.
func TestFLOPs(t *testing.T) {
	model, batch, _ := smallStep(t, "go")
	obj := objective.Default()
	c := model.Config
	h, f, v := float64(c.Hidden), float64(c.FeedForward), float64(c.Vocab)
	q, kv := float64(c.Heads*c.HeadDim), float64(c.KVHeads*c.HeadDim)
	m, layers := float64(batch.Shape.Positions()), float64(c.Layers)
	seen := 0.0
	// short ones: one block of queries, which all meet all keys
	for row := range batch.Shape.NumRows() {
		_, length := batch.Shape.Row(row)
		if len(lm.QueryBlocks(length)) > 1 {
			t.Fatalf("a row of %d positions has several blocks of queries", length)
		}
		seen += float64(length * length)
	}
	read := func(policy bool) float64 { // at which the last feed-forward part is run
		if policy {
			return float64(batch.Shape.Responses + batch.Shape.Predicted)
		}
		return float64(batch.Shape.Responses)
	}
	want := train.FLOPs{
		Linear:    3*2*m*(layers*(h*q+2*h*kv+q*h)+(layers-1)*3*h*f) + 3*2*read(true)*3*h*f,
		Attention: 3 * 2 * 2 * seen * q * layers,
		Head:      4 * 2 * float64(batch.Shape.Predicted) * h * v,
	}
	if got := train.TrainStepFLOPs(model, obj, batch.Shape); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	baseline := obj
	baseline.PolicyWeight = 0
	if got := train.TrainStepFLOPs(model, baseline, batch.Shape); got.Head != 0 ||
		got.Linear != want.Linear-3*2*(read(true)-read(false))*3*h*f {
		t.Errorf("reward loss only: %+v", got)
	}
}
