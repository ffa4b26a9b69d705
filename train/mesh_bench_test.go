package train_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/lm"
	"haf/objective"
	"haf/optim"
	"haf/pack"
	"haf/pref"
	"haf/reward"
	"haf/train"
)

// BenchmarkMesh makes optimizer steps of SmolLM2-135M on one device and on meshes of virtual
// devices, on one packed batch of 4×160 positions. The CPU's seconds of a step compare the work;
// the devices share the cores, so the time of a step compares little else.
func BenchmarkMesh(b *testing.B) {
	dir := shared.Model(b, "smollm2-135m-instruct")
	for _, lora := range []bool{true, false} {
		for _, m := range []backend.Mesh{{Data: 1, Shard: 1}, {Data: 2, Shard: 1}, {Data: 1, Shard: 2},
			{Data: 1, Shard: 4}} {
			name := fmt.Sprintf("lora %v, %d×%d", lora, m.Data, m.Shard)
			b.Run(name, func(b *testing.B) { benchmarkMesh(b, dir, m, lora) })
		}
	}
}

func benchmarkMesh(b *testing.B, dir string, m backend.Mesh, lora bool) {
	device, err := backend.Open("cpu,data=" + fmt.Sprint(m.Data) + ",shard=" + fmt.Sprint(m.Shard))
	if err != nil {
		b.Fatal(err)
	}
	defer device.Finalize()
	opt := reward.Options{NoTokenizer: true, Train: true, Positions: 1024,
		Recompute: lm.RecomputeNone}
	if lora {
		opt.LoRA = &lm.LoRA{Rank: 64, Alpha: 64, Targets: []string{"gate_proj", "up_proj", "down_proj"}}
		opt.Random = rand.New(rand.NewPCG(5, 0))
	}
	model, err := reward.Open(device, dir, opt)
	if err != nil {
		b.Fatal(err)
	}
	defer model.Close()
	var groups []encode.Group
	for i := range 4 {
		g := encode.Group{Index: i, Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}}}
		tokens := func(n int) (out []int32) {
			for k := range n {
				out = append(out, int32(100+(i*977+k*k*31)%40000))
			}
			return out
		}
		g.Prompt = tokens(60)
		for k := range 2 {
			g.Responses = append(g.Responses, encode.Answer(append(tokens(90+k), 2)))
		}
		groups = append(groups, g)
	}
	packing, err := pack.New(groups, pack.Options{Positions: 1024})
	if err != nil {
		b.Fatal(err)
	}
	refs := make([][]float64, len(groups))
	for g := range refs {
		refs[g] = []float64{-400, -400}
	}
	settings := optim.AdamW{LR: 1e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Schedule: "constant"}
	s := train.NewStepper(model, objective.Default(), settings, 100)
	defer s.Close()
	step := 0
	next := func() {
		step++
		if _, err := s.Step([]*pack.Batch{packing.Batch(0)}, refs, 1e-5, step); err != nil {
			b.Fatal(err)
		}
	}
	used := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	}
	next() // compiles
	before := used()
	for b.Loop() {
		next()
	}
	b.ReportMetric((used()-before)/float64(b.N), "CPU-s/step")
}
