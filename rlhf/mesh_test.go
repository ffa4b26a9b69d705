package rlhf_test

import (
	"math"
	"path/filepath"
	"testing"

	"haf/backend"
	"haf/rlhf"
)

// TestMesh makes a step of PPO with a separate critic on one device and on two that divide its
// batches: the losses, norms and divergences are the same but for rounding.
func TestMesh(t *testing.T) {
	if found, err := backend.Find("cpu"); err != nil || len(found) == 0 {
		t.Skipf("no XLA plug-in for CPUs: %v", err)
	}
	var got [2][]float64
	for i, name := range []string{"cpu", "cpu,data=2"} {
		device, err := backend.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "run")
		by := func(task *rlhf.Task) { task.Rewards = only(nearLength(40)) }
		_, _, err = storiesOn(t, t.Context(), device, dir, by, false, func(o *rlhf.Options) {
			small(o)
			o.MaxSteps, o.Value, o.CriticLR = 1, rlhf.ValueSeparate, 1e-3
		}, rlhf.PPO)
		if err != nil {
			t.Fatal(err)
		}
		s := records(t, dir).PolicySteps[0]
		got[i] = []float64{s.Reward, s.Shaped, s.Length, s.KL, s.Entropy, s.PolicyLoss, s.ValueLoss,
			s.ApproxKL, s.GradNorm}
		device.Finalize()
	}
	for i, want := range got[0] {
		if math.Abs(got[1][i]-want) > 1e-5*max(1, math.Abs(want)) {
			t.Errorf("number %d is %v, on one device %v", i, got[1][i], want)
		}
	}
	t.Log(got)
}
