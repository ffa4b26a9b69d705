package pack

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
)

// Steps returns the order of an epoch: the packing's batches, shuffled and cut into optimizer steps
// of one or more consecutive batches, as indices into Packing.Batches. Every batch occurs exactly
// once. Seed, epoch and packing decide the order, on every machine and with every version of Go.
//
// The number of groups in a step varies about batch. A step consists of whole packed batches, and a
// packed batch holds as many groups as fit, many short ones or few long ones. The cuts minimize the
// sum, over the epoch, of (groups of a step − batch)². If batch is smaller than a packed batch,
// every step is one packed batch.
func (p *Packing) Steps(batch int, seed uint64, epoch int) [][]int {
	order := make([]int, len(p.Batches))
	for i := range order {
		order[i] = i
	}
	// PCG is a defined generator, and the shuffle is written out here, because rand.Shuffle may use
	// its generator differently in another version of Go.
	source := rand.NewPCG(seed, uint64(epoch))
	for i := len(order) - 1; i > 0; i-- {
		// The high half of the product is in [0, i], uniform but for i parts in 2⁶⁴.
		j, _ := bits.Mul64(source.Uint64(), uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
	return p.cut(order, max(1, batch))
}

// cut divides the order into steps by dynamic programming: cost[k] is the least sum of squares for
// the first k batches, and began[k] the first batch of their last step.
func (p *Packing) cut(order []int, batch int) [][]int {
	cost := make([]float64, len(order)+1)
	began := make([]int, len(order)+1)
	for k := 1; k <= len(order); k++ {
		cost[k] = math.Inf(1)
		groups := 0
		for first := k - 1; first >= 0; first-- {
			groups += p.Batches[order[first]].groupCount()
			off := float64(groups - batch)
			if total := cost[first] + off*off; total < cost[k] {
				cost[k], began[k] = total, first
			}
			if groups >= 2*batch { // further back the distance only grows
				break
			}
		}
	}
	var steps [][]int
	for k := len(order); k > 0; k = began[k] {
		steps = append(steps, order[began[k]:k:k])
	}
	for i, j := 0, len(steps)-1; i < j; i, j = i+1, j-1 {
		steps[i], steps[j] = steps[j], steps[i]
	}
	return steps
}

// StepStats are the numbers of groups and comparisons in the steps of an epoch.
type StepStats struct {
	Steps       int
	Mean        float64 // groups a step
	Min, Max    int
	Comparisons float64 // per step, mean
}

// StepStats counts the groups of steps made by [Packing.Steps].
func (p *Packing) StepStats(steps [][]int) StepStats {
	s := StepStats{Steps: len(steps)}
	groups, comparisons := 0, 0
	for i, step := range steps {
		n := 0
		for _, b := range step {
			n += p.Batches[b].groupCount()
			for _, row := range p.Batches[b].Rows {
				for _, g := range row {
					comparisons += p.groups[g].Compared()
				}
			}
		}
		groups += n
		s.Max = max(s.Max, n)
		if i == 0 || n < s.Min {
			s.Min = n
		}
	}
	if len(steps) > 0 {
		s.Mean, s.Comparisons = float64(groups)/float64(len(steps)),
			float64(comparisons)/float64(len(steps))
	}
	return s
}

func (s StepStats) String() string {
	return fmt.Sprintf("%d steps of %.1f groups on average (%d to %d), %.1f comparisons", s.Steps,
		s.Mean, s.Min, s.Max, s.Comparisons)
}
