package train_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"haf/backend"
	"haf/lm"
	"haf/mesh"
	"haf/objective"
	"haf/optim"
	"haf/pack"
	"haf/reward"
	"haf/train"
)

// stepLosses are the losses and gradient norms of a run's steps, and the losses of its validations.
func stepLosses(t *testing.T, dir string) (out []float64) {
	t.Helper()
	r := records(t, dir)
	for _, s := range r.Steps {
		out = append(out, s.Loss, s.RewardLoss, s.PolicyLoss, s.GradNorm)
	}
	for _, v := range r.Validations {
		out = append(out, v.Loss)
	}
	return out
}

func closeLosses(t *testing.T, got, want []float64) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	worst := 0.
	for i := range got {
		off := math.Abs(got[i]-want[i]) / max(1, math.Abs(want[i]))
		if !(off <= 1e-5) {
			t.Errorf("number %d is %v, on one device %v", i, got[i], want[i])
		}
		worst = max(worst, off)
	}
	t.Logf("largest difference of %d numbers: %.1e", len(got), worst)
}

// needXLA skips a test where there is no plug-in for CPUs, whose virtual devices it needs.
func needXLA(t *testing.T) {
	t.Helper()
	if found, err := backend.Find("cpu"); err != nil || len(found) == 0 {
		t.Skipf("no XLA plug-in for CPUs: %v", err)
	}
}

// meshes are those of the tests, on virtual devices of the CPU.
var meshes = []backend.Mesh{{Data: 2}, {Data: 4}, {Shard: 2}, {Shard: 4}, {Data: 2, Shard: 2}}

// TestMesh trains on meshes of virtual devices, all weights and an adapter, and compares every loss
// and every norm of the gradients with those of one device. The objective is the hybrid one with a
// cached reference; gradients are clipped, and steps have several packed batches.
func TestMesh(t *testing.T) {
	needXLA(t)
	meshes := meshes
	if testing.Short() {
		meshes = meshes[len(meshes)-1:]
	}
	for _, lora := range []bool{false, true} {
		name := map[bool]string{false: "full", true: "lora"}[lora]
		t.Run(name, func(t *testing.T) {
			s := small{device: "cpu", lora: lora, options: func(o *train.Options) { o.MaxSteps = 5 }}
			_, one, err := s.fresh(t)
			if err != nil {
				t.Fatal(err)
			}
			want := stepLosses(t, one)
			for _, s.mesh = range meshes {
				t.Run(fmt.Sprintf("%d×%d", max(1, s.mesh.Data), max(1, s.mesh.Shard)), func(t *testing.T) {
					_, dir, err := s.fresh(t)
					if err != nil {
						t.Fatal(err)
					}
					closeLosses(t, stepLosses(t, dir), want)
				})
			}
		})
	}
}

// TestMeshObjectives trains by objectives with programs and inputs of their own on four devices:
// the elastic schedule, labels beside pairs, and a score head of two layers with dropout and a
// variance head.
func TestMeshObjectives(t *testing.T) {
	needXLA(t)
	if testing.Short() {
		t.Skip("takes a minute; make test-long runs it")
	}
	for name, s := range map[string]small{
		"elastic": {options: func(o *train.Options) {
			o.Objective.Kind, o.Objective.Steps, o.Objective.Strength = objective.Elastic, 1, 3
		}},
		"labels": {lora: true, data: labelledData(true), options: func(o *train.Options) {
			o.Objective.Reward, o.Objective.Policy = "bradley-terry + bce", "0.5 dpo + 0.5 kto"
		}},
		"heads": {
			model: func(o *reward.Options) {
				o.Head = reward.HeadInit{Kind: reward.MLPHead, Units: 24, Variance: true}
			},
			options: func(o *train.Options) {
				o.Objective = hybrid(1, 0, 0.1)
				o.Objective.Reward, o.Objective.Link = "uncertain", objective.GaussianLink
				o.HeadDropout = train.Dropout{Rate: 0.2, Seed: 3}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, options := s, s.options
			s.device, s.options = "cpu", func(o *train.Options) {
				o.MaxSteps = 4
				options(o)
			}
			_, one, err := s.fresh(t)
			if err != nil {
				t.Fatal(err)
			}
			s.mesh = backend.Mesh{Data: 2, Shard: 2}
			_, dir, err := s.fresh(t)
			if err != nil {
				t.Fatal(err)
			}
			closeLosses(t, stepLosses(t, dir), stepLosses(t, one))
		})
	}
}

// TestMeshResume stops a run on two devices and resumes it on four that divide the weights, and on
// one: all losses are those of the run on one device.
func TestMeshResume(t *testing.T) {
	needXLA(t)
	if testing.Short() {
		t.Skip("takes a minute; make test-long runs it")
	}
	s := small{device: "cpu", options: func(o *train.Options) { o.MaxSteps, o.EvalEvery = 4, 4 }}
	_, one, err := s.fresh(t)
	if err != nil {
		t.Fatal(err)
	}
	want := stepLosses(t, one)
	for _, to := range []backend.Mesh{{Shard: 4}, {}} {
		s.mesh = backend.Mesh{Data: 2}
		dir := s.stopped(t, 2)
		s.mesh = to
		if err := s.resume(t, dir); err != nil {
			t.Fatal(err)
		}
		closeLosses(t, stepLosses(t, dir), want)
	}
}

// TestMeshState checks that four devices that divide a model hold about a quarter of its weights
// and moments each, after a step has replaced them.
func TestMeshState(t *testing.T) {
	needXLA(t)
	device, err := openDevice(t, "cpu").OnMesh(backend.Mesh{Shard: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer device.Finalize()
	for _, lora := range []bool{false, true} {
		opt := reward.Options{NoTokenizer: true, Train: true, Positions: 128, LogitChunk: 64}
		if lora {
			opt.LoRA = &lm.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj", "down_proj"}}
		}
		model, err := reward.Open(device, smallFolder(), opt)
		if err != nil {
			t.Fatal(err)
		}
		defer model.Close()
		settings := optim.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Schedule: "constant"}
		s := train.NewStepper(model, objective.Default(), settings, 2)
		defer s.Close()
		packing, err := pack.New(smallData(20, model.Config.Vocab).Train, pack.Options{Positions: 128})
		if err != nil {
			t.Fatal(err)
		}
		refs := make([][]float64, 20)
		for g := range refs {
			refs[g] = make([]float64, 3)
		}
		if _, err := s.Step([]*pack.Batch{packing.Batch(0)}, refs, 1e-2, 1); err != nil {
			t.Fatal(err)
		}
		var held, whole int64
		count := func(arrays ...*mesh.Array) {
			for _, a := range arrays {
				onDevice, err := a.Held(0)
				if err != nil {
					t.Fatal(err)
				}
				held += onDevice
				whole += int64(a.Shape().ByteSize())
			}
		}
		for _, p := range model.Params() {
			count(p.Value)
		}
		count(s.Optimizer().Moments()...)
		share := float64(held) / float64(whole)
		t.Logf("lora %v: a device holds %d of %d bytes, %.4f", lora, held, whole, share)
		if share > 0.27 {
			t.Errorf("lora %v: a device holds %.3f of weights and moments, want at most 0.27", lora, share)
		}
	}
}

// TestMeshMemory checks that a plan for a mesh states what one device takes, and that a mesh whose
// devices cannot divide the weights is refused.
func TestMeshMemory(t *testing.T) {
	open := func(m backend.Mesh) *reward.Model {
		model, err := reward.OpenWithoutWeights(smallFolder(), reward.Options{
			NoTokenizer: true, Train: true, Positions: 128, Mesh: m,
		})
		if err != nil {
			t.Fatal(err)
		}
		return model
	}
	shape := []pack.Shape{{Rows: 4, Length: 32, Predicted: 64}}
	one := train.NewMemory(open(backend.Mesh{}), objective.Default(), shape, true)
	four := train.NewMemory(open(backend.Mesh{Data: 2, Shard: 2}), objective.Default(), shape, true)
	for _, c := range []struct {
		name       string
		got, whole int64
		parts      float64
	}{
		{"weights", four.Weights, one.Weights, 2}, {"moments", four.Moments, one.Moments, 2},
		{"gradients", four.Gradients, one.Gradients, 2},
		{"activations", four.Activations, one.Activations, 4},
	} {
		if share := float64(c.got) * c.parts / float64(c.whole); share < 1 || share > 1.05 {
			t.Errorf("%s: a device takes %d of %d bytes, want about 1/%.0f", c.name, c.got, c.whole, c.parts)
		}
	}
	if four.Devices != 4 || four.Total() != four.Process+4*four.Device() ||
		one.Total() != one.Process+one.Device() {
		t.Errorf("%+v takes %d, of which a device %d", four, four.Total(), four.Device())
	}
	model := open(backend.Mesh{Shard: 7})
	o := train.Options{Epochs: 1, Batch: 1, Objective: objective.Default()}
	if err := o.Check(model, smallData(20, model.Config.Vocab)); err == nil ||
		!strings.Contains(err.Error(), "want a divisor of the hidden size") {
		t.Errorf("seven devices: %v", err)
	}
}
