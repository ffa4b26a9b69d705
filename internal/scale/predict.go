package main

import (
	"math"

	"haf/lm"
	"haf/objective"
	"haf/pack"
	"haf/train"
)

// The work that the page predicts: one optimizer step.
const (
	stepPairs     = 512   // of all GPUs
	pairPositions = 512   // prompt once, and both responses
	pairPredicted = 320   // of both responses
	mostPositions = 16384 // of a packed batch, as in the measurements
	adapterRank   = 64
	gpusOfHost    = 8
)

// A gpu is what a prediction needs to know of a device and of its links. Rates are in bytes a
// second and in one direction.
type gpu struct {
	name    string
	memory  float64 // bytes
	link    float64 // to the GPUs of its host
	network float64 // to other hosts
}

// h100 is NVIDIA's H100 SXM by its data sheet, in hosts with a network card of 400 Gbit/s a GPU.
var h100 = gpu{"H100 SXM", 80e9, 450e9, 50e9}

// achieved is the rate of matrix products, in FLOP/s, of the step of Qwen2.5-1.5B that was measured
// on an H200, whose peak is that of an H100. Larger matrices are rarely slower.
const achieved = 293e12

// runtimeBytes is what CUDA, its libraries and the compiled programs take. Measured peaks exclude
// it, because they are those of the allocator.
const runtimeBytes = 2e9

// memoryUse is the part of a GPU's memory that a run may plan with.
const memoryUse = 0.9

// A prediction is one optimizer step on a number of GPUs.
type prediction struct {
	model    string
	gpus     int
	shard    int // GPUs that one copy of the state is divided over
	batches  int // packed batches of a GPU in the step
	memory   float64
	fits     bool
	products float64 // seconds
	inHost   float64 // seconds of traffic inside hosts
	between  float64 // seconds of traffic between hosts
	sent     float64 // bytes that a GPU sends
	full     bool    // whole blocks are recomputed
}

// seconds is the step's time if nothing overlaps.
func (p prediction) seconds() float64 { return p.products + p.inHost + p.between }

// bottleneck names the largest part, or what is missing.
func (p prediction) bottleneck() string {
	switch largest := max(p.products, p.inHost, p.between); {
	case !p.fits:
		return "memory"
	case largest == p.products:
		return "products"
	case largest == p.inHost:
		return "links in a host"
	}
	return "network between hosts"
}

// predict finds the plan with the least sharding, and then the least recomputation, that fits.
func predict(of published, rank, gpus int, g gpu) (prediction, error) {
	var p prediction
	for _, shard := range []int{1, gpusOfHost, 8 * gpusOfHost} {
		for _, recompute := range []lm.Recompute{lm.RecomputeSelective, lm.RecomputeFull} {
			if shard > gpus {
				continue
			}
			var err error
			if p, err = plan(of, rank, gpus, shard, recompute, g); err != nil || p.fits {
				return p, err
			}
		}
	}
	return p, nil
}

func plan(
	of published, rank, gpus, shard int, recompute lm.Recompute, g gpu,
) (prediction, error) {
	model, err := of.open(rank, mostPositions, recompute)
	if err != nil {
		return prediction{}, err
	}
	defer model.Close()
	pairs := stepPairs / gpus
	rows := min(pairs, mostPositions/pairPositions)
	p := prediction{model: of.name, gpus: gpus, shard: shard, batches: pairs / rows,
		full: recompute == lm.RecomputeFull}
	shape := pack.Shape{Rows: rows, Length: pairPositions, Predicted: rows * pairPredicted,
		Responses: 2 * rows, Comparisons: rows}

	flops := train.TrainStepFLOPs(model, objective.Default(), shape)
	forward := train.ForwardFLOPs(model, shape, false)
	again := forward.Attention
	if p.full {
		again += forward.Linear
	}
	p.products = float64(p.batches) * (flops.Total() + again) / achieved

	m := train.NewMemory(model, objective.Default(), []pack.Shape{shape}, p.batches > 1)
	state := float64(m.Weights + m.Adapter + m.Gradients + m.Moments)
	p.memory = runtimeBytes + state/float64(shard) +
		float64(max(m.Activations+m.Workspace, m.Eval))

	params, _ := model.NumParams()
	half := 2 * float64(params) // the weights in bfloat16, as the blocks read them
	if shard > 1 {
		p.memory += 2 * half / float64(model.Config.Layers) // two blocks are gathered at once
	}
	p.fits = p.memory <= memoryUse*g.memory
	gradients := float64(m.Moments) / 2
	p.traffic(half, gradients, g)
	return p, nil
}

// traffic counts what a GPU sends in a step. A ring of n sends (n−1)/n of the bytes to gather or to
// reduce and scatter them, and twice that to reduce them everywhere (Patarasu and Yuan 2009).
// Sharded weights are gathered for the forward and again for the backward pass of each packed
// batch, whose gradients are reduced and scattered.
func (p *prediction) traffic(weights, gradients float64, g gpu) {
	ring := func(n int) float64 { return float64(n-1) / float64(n) }
	shards := float64(p.batches) * ring(p.shard) * (2*weights + gradients)
	copies := 2 * ring(p.gpus/p.shard) * gradients / float64(p.shard)
	p.sent = shards + copies
	add := func(bytes float64, across int) {
		if across > gpusOfHost {
			p.between += bytes / g.network
		} else {
			p.inHost += bytes / g.link
		}
	}
	add(shards, p.shard)
	add(copies, p.gpus)
}

// A measured is a step that was measured on a GPU: docs/dev/performance.md.
type measured struct {
	model     published
	positions int
	bytes     float64
	rate      float64 // pairs a second
}

// onH200 are the measured steps: rows of 640 positions, hybrid objective, adapter of rank 64.
var onH200 = []measured{
	{qwen("Qwen2.5-0.5B", 896, 4864, 24, 14, 2), 8192, 8.8e9, 217},
	{qwen("Qwen2.5-0.5B", 896, 4864, 24, 14, 2), 16384, 12.9e9, 334},
	{qwen("Qwen2.5-1.5B", 1536, 8960, 28, 12, 2), 16384, 25.2e9, 188},
}

// hhPositions and hhPredicted are those of a pair of HH-helpful of at most 512 tokens.
const hhPositions, hhPredicted = 265, 140

// expect returns the memory and the FLOPs of a pair that the predictions state for the measured
// step.
func (m measured) expect() (bytes, flops float64, err error) {
	model, err := m.model.open(adapterRank, m.positions, lm.RecomputeSelective)
	if err != nil {
		return 0, 0, err
	}
	defer model.Close()
	const length = 640
	rows := m.positions / length
	pairs := int(math.Round(float64(rows*length) / hhPositions))
	shape := pack.Shape{Rows: rows, Length: length, Predicted: pairs * hhPredicted,
		Responses: 2 * pairs, Comparisons: pairs}
	memory := train.NewMemory(model, objective.Default(), []pack.Shape{shape}, false)
	bytes = float64(memory.Total() - memory.Process - memory.BF16Upcast - memory.Eval)
	flops = train.TrainStepFLOPs(model, objective.Default(), shape).Total() / float64(pairs)
	return bytes, flops, nil
}
