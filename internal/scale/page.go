package main

import (
	"fmt"
	"strings"
)

const introduction = `# Scale

How long a training step takes on GPUs, how much memory it needs, and what limits it. The numbers
are predictions by ` + "`make docs`" + ` (internal/scale), from haf's own counts of operations and
memory and one measured rate. haf divides a training over the devices of one host
([GPUs and clusters](../guide/gpus-and-clusters.md)), which has not been run on several GPUs, and
not over several hosts yet.

One step is the hybrid objective on %d pairs of %d positions: the prompt once, and both responses
with %d tokens together. The blocks compute in bfloat16, in packed batches of at most %d
positions. A plan shards the state as little as it must: not at all, over the %d GPUs of a host, or
over all. "Full" in the memory column means that whole blocks are recomputed in the backward pass.
Otherwise checkpointing is selective ([memory](memory.md)).

| assumption | value | from |
|---|---|---|
| products | %.0f TFLOP/s a GPU | the step of Qwen2.5-1.5B, measured on an H200: 37 %% of the peak that products reach there |
| GPU | %s, %.0f GB, of which %.0f %% are planned with | data sheet |
| links in a host | %.0f GB/s a GPU in one direction | data sheet of NVLink 4 |
| network between hosts | %.0f GB/s a GPU | a card of 400 Gbit/s a GPU |
| libraries and programs | %.0f GB a GPU | assumed |

Traffic is that of rings. Each GPU sends gradients twice where all GPUs sum them. Sharded weights
are gathered in bfloat16 for the forward pass, and again for the backward pass, of each packed
batch. The seconds of a step add up products and traffic, although XLA overlaps part of them.
`

const limits = `## What limits training

- **An adapter needs no sharding up to 8B.** Its gradients are small: with 64 GPUs, about 5 % of a
  step is traffic. More GPUs hold more copies of the model, and the rate of products is the limit.
- **All weights of 7B and more need sharding.** Weights, gradients and the optimizer's moments take
  16 bytes a parameter, and 20 where gradients of several packed batches are summed.
- **All weights of 70B fit 64 GPUs,** but sharding across hosts sends the weights through the
  network for each packed batch. That takes longer than the products. Larger packed batches, GPUs
  with more memory, or an adapter avoid it.
- **Small shares are slow.** With 64 GPUs each has 4096 positions. The measured rate below falls by
  a third when a packed batch is halved. So the predictions for 64 GPUs are optimistic, above all
  for small models.

`

// page returns the page's text.
func page() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, introduction, stepPairs, pairPositions, pairPredicted, mostPositions, gpusOfHost,
		achieved/1e12, h100.name, h100.memory/1e9, 100*memoryUse, h100.link/1e9, h100.network/1e9,
		runtimeBytes/1e9)
	for _, rank := range []int{adapterRank, 0} {
		title := "All weights"
		if rank > 0 {
			title = fmt.Sprintf("An adapter of rank %d on the feed-forward layers", rank)
		}
		fmt.Fprintf(&b, "\n## %s\n\n", title)
		b.WriteString("| model | GPUs | sharded over | memory a GPU, GB | step, s | pairs/s | " +
			"products, s | in a host, s | between hosts, s | sent a GPU, GB | limit |\n" +
			"|---|---|---|---|---|---|---|---|---|---|---|\n")
		for _, of := range models {
			for _, gpus := range []int{1, gpusOfHost, 8 * gpusOfHost} {
				p, err := predict(of, rank, gpus, h100)
				if err != nil {
					return "", err
				}
				b.WriteString(p.row())
			}
		}
	}
	b.WriteString("\n" + limits)
	if err := writeMeasured(&b); err != nil {
		return "", err
	}
	return b.String(), nil
}

// row is the table's row of a prediction.
func (p prediction) row() string {
	shard := "–"
	if p.shard > 1 {
		shard = fmt.Sprint(p.shard)
	}
	memory := fmt.Sprintf("%.0f", p.memory/1e9)
	if p.full {
		memory += " (full)"
	}
	if !p.fits {
		return fmt.Sprintf("| %s | %d | %s | %s | does not fit | – | – | – | – | – | %s |\n", p.model,
			p.gpus, shard, memory, p.bottleneck())
	}
	return fmt.Sprintf("| %s | %d | %s | %s | %.2f | %.0f | %.2f | %.3f | %.3f | %.2f | %s |\n",
		p.model, p.gpus, shard, memory, p.seconds(), stepPairs/p.seconds(), p.products, p.inHost,
		p.between, p.sent/1e9, p.bottleneck())
}

// writeMeasured compares what the counts say with what was measured.
func writeMeasured(b *strings.Builder) error {
	fmt.Fprintf(b, "## Against measurements\n\nThe same counts for steps that were measured on one "+
		"H200 on 2026-11-27\n([performance](../dev/performance.md)): rows of 640 positions, an "+
		"adapter of rank %d, pairs of\nHH-helpful. The measured memory is the allocator's peak.\n\n",
		adapterRank)
	b.WriteString("| model | positions of a packed batch | memory predicted, GB | measured | " +
		"ratio | pairs/s at the assumed rate | measured | ratio |\n" +
		"|---|---|---|---|---|---|---|---|\n")
	for _, m := range onH200 {
		bytes, flops, err := m.expect()
		if err != nil {
			return err
		}
		rate := achieved / flops
		fmt.Fprintf(b, "| %s | %d | %.1f | %.1f | %.2f | %.0f | %.0f | %.2f |\n", m.model.name,
			m.positions, bytes/1e9, m.bytes/1e9, bytes/m.bytes, rate, m.rate, rate/m.rate)
	}
	b.WriteString("\nThe last row gave the assumed rate. Its ratio is not 1 because the positions " +
		"of a pair are an\naverage. Matrices of a 0.5B model are too small for that rate, so a " +
		"prediction for a model below 1B\nwould be too fast. On a CPU, planned memory is within " +
		"15 % of the measured\n([reliability](../dev/reliability.md)).\n")
	return nil
}
