package encode

import (
	"math"
	"math/bits"
	"slices"
)

// Choosing row lengths. A position costs 1 for the linear layers and, for attention, what it sees of its row on
// average over attentionLength: half, and half of a block of queries more. A response token costs headCost more, real or padded up to the fullest batch of
// the shape. So short rows are cheap, but leave gaps that fit nothing, and batches of few rows are uneven. What a
// choice costs is found by packing with it.

// attentionLength is the number of positions to see at which attention costs as much as the linear layers do:
// measured for a model of 135M parameters. Wider models have it longer, which makes the choice matter less, not differently.
const attentionLength = 3500

// queryBlock is the number of queries that attend at once, as in package lm: none is computed with keys behind its block.
const queryBlock = 128

// positionCost is what a position of a row of this length costs, of what the linear layers cost.
func positionCost(length int) float64 {
	return 1 + float64(length+min(length, queryBlock))/2/attentionLength
}

// headCost is what the language-model head costs, per token predicted, of what the linear layers cost per position:
// for 135M parameters, 28M of them in the head.
const headCost = 0.27

// compileBatches is what one more shape must save to be worth its compilation, in batches.
const compileBatches = 4

// searchItems and searchLengths bound the work of the search; larger data sets and batches are sampled.
const (
	searchItems   = 8192
	searchLengths = 64
)

// chooseLengths returns the row lengths for items, longest first, in ascending order: at most
// MaxShapes up to Positions, and at most as many beyond it for the groups that need them.
func chooseLengths(items []item, opt PlanOptions) []int {
	var lengths []int
	most := opt.roundLength(opt.Positions)
	if len(opt.Shapes) > 0 {
		for _, s := range opt.Shapes {
			lengths = append(lengths, s.Length)
		}
		slices.Sort(lengths)
		most = lengths[len(lengths)-1]
	}
	long := 0 // items[:long] need rows longer than a batch
	for long < len(items) && items[long].size > most {
		long++
	}
	if regular := items[long:]; len(regular) > 0 && len(lengths) == 0 {
		var candidates []int
		step := opt.Quantum * ceilDiv(ceilDiv(most, opt.Quantum), searchLengths)
		for n := opt.Quantum; n < most; n += step {
			candidates = append(candidates, opt.roundLength(n))
		}
		candidates = append(candidates, opt.roundLength(regular[0].size), most)
		lengths = search(regular, candidates, opt)
	}
	if long > 0 {
		sample := thin(items[:long], searchLengths)
		candidates := make([]int, len(sample))
		for i, it := range sample {
			candidates[i] = opt.roundLength(it.size)
		}
		lengths = append(lengths, search(items[:long], candidates, opt)...)
	}
	return lengths
}

// roundLength returns the shortest row length for n tokens.
func (o PlanOptions) roundLength(n int) int {
	quanta := ceilDiv(n, o.Quantum)
	if o.Reuse {
		quanta = powerOfTwo(quanta)
	}
	return quanta * o.Quantum
}

// search returns at most MaxShapes of the candidates, ascending: it adds the length that saves most, tries every
// other choice for each length so far, and ends when another length saves less than its compilation costs. The
// longest item fits the largest candidate.
func search(items []item, candidates []int, opt PlanOptions) []int {
	slices.Sort(candidates)
	candidates = slices.Compact(candidates)
	sample := thin(items, searchItems)
	scale := float64(len(items)) / float64(len(sample))
	cost := func(lengths []int) float64 {
		lengths = slices.Compact(slices.Sorted(slices.Values(lengths)))
		if lengths[len(lengths)-1] < items[0].size {
			return math.Inf(1)
		}
		rows := pack(sample, lengths)
		total := 0.0
		for _, length := range lengths {
			same := ofLength(rows, length)
			if len(same) == 0 {
				continue
			}
			perBatch, batches := fitRows(len(same), length, opt)
			_, most := assign(same, batches, perBatch)
			perBatch, batches = fitRows(int(math.Ceil(float64(len(same))*scale)), length, opt)
			predicted := float64(ceilDiv(most[tokensLoad], opt.Chunk) * opt.Chunk)
			total += float64(batches) * (float64(perBatch*length)*positionCost(length) + headCost*predicted)
			total += float64(compileBatches * opt.Positions)
		}
		return total
	}
	// vary gives lengths[k] its best value, the others as they are.
	vary := func(lengths []int, k int, best float64) ([]int, float64) {
		found := lengths
		for _, c := range candidates {
			tried := slices.Clone(lengths)
			tried[k] = c
			if cost := cost(tried); cost < best {
				found, best = tried, cost
			}
		}
		return found, best
	}
	largest := candidates[len(candidates)-1]
	lengths, best := vary([]int{largest}, 0, cost([]int{largest}))
	for len(lengths) < opt.MaxShapes {
		more, total := vary(append(slices.Clone(lengths), largest), len(lengths), math.Inf(1))
		for improved := true; improved; {
			before := total
			for k := range more {
				more, total = vary(more, k, total)
			}
			improved = total < before
		}
		if total >= best {
			break
		}
		lengths, best = more, total
	}
	slices.Sort(lengths)
	return slices.Compact(lengths)
}

// thin returns at most n of the items, evenly spread, the first among them.
func thin(items []item, n int) []item {
	if len(items) <= n {
		return items
	}
	thinned := make([]item, n)
	for i := range thinned {
		thinned[i] = items[i*len(items)/n]
	}
	return thinned
}

// fitRows returns the rows of a batch of the given row length, about Positions in all, and the number of batches
// that n rows need. The last batch is filled up with empty rows: few rows make a smaller batch, not an empty one. Of
// the sizes down to half a batch it takes the largest that leaves at most 1 % of the rows empty, else the one that
// leaves fewest.
func fitRows(n, length int, opt PlanOptions) (perBatch, batches int) {
	if given := opt.given(length); given.Rows > 0 {
		return given.Rows, ceilDiv(n, given.Rows)
	}
	most := max(1, (opt.Positions+length/2)/length)
	if opt.Reuse {
		if most = powerOfTwo(most); most > 1 && most*length > opt.Positions {
			most /= 2
		}
		perBatch = min(most, powerOfTwo(n))
		return perBatch, ceilDiv(n, perBatch)
	}
	most = min(most, n)
	fewest := math.MaxInt
	for r := most; r >= ceilDiv(most, 2); r-- {
		b := ceilDiv(n, r)
		if b*r-n < fewest {
			fewest, perBatch, batches = b*r-n, r, b
		}
		if 100*fewest <= n {
			break
		}
	}
	return perBatch, batches
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// powerOfTwo returns the least power of two that is n or more, 0 for 0.
func powerOfTwo(n int) int {
	if n <= 0 {
		return 0
	}
	return 1 << bits.Len(uint(n-1))
}
