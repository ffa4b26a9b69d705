package pack

import (
	"math"
	"math/bits"
	"slices"
)

// Choosing row lengths. A position costs 1 for the linear layers. Its attention costs the mean
// number of positions that it attends to, half its row and half a block of queries, over
// attentionLength. A response token costs headCost more, real or padded to the fullest batch of the
// shape. So short rows are cheap, but leave gaps that fit nothing, and batches of few rows are
// uneven. haf finds the cost of a choice by packing with it.

// attentionLength is the number of attended positions at which attention costs as much as the
// linear layers. It was measured for a model of 135M parameters on a CPU, where 360 positions take
// a quarter of their time in a step and a fifth in a forward pass. Wider models have a larger
// value, so that the choice matters less.
const attentionLength = 1500

// queryBlock is about the number of queries that package lm attends with at once. No query is
// computed with keys behind its block.
const queryBlock = 192

// positionCost is the cost of a position in a row of this length, where the linear layers cost 1.
func positionCost(length int) float64 {
	return 1 + float64(length+length/queryBlocks(length))/2/attentionLength
}

// queryBlocks is the number of blocks of queries in a row.
func queryBlocks(length int) int { return max(1, (length+queryBlock/2)/queryBlock) }

// cost is the cost of all positions of the shape.
func (s Shape) cost() float64 {
	return float64(s.Rows*s.Length)*positionCost(s.Length) +
		float64(s.ShortRows*s.ShortLength)*positionCost(s.ShortLength)
}

// headCost is the cost of the language-model head per predicted token, where the linear layers cost
// 1 a position: for 135M parameters, 28M of them in the head.
const headCost = 0.27

// compileBatches is how many batches one more shape must save to be worth its compilation.
const compileBatches = 4

// searchItems and searchLengths bound the search. Larger data sets and longer lists of lengths are
// sampled.
const (
	searchItems   = 8192
	searchLengths = 64
)

// chooseShapes returns the rows and lengths of the shapes for items, longest first, by ascending
// length: one shape for batches of up to Positions; one for the longest of these if they are few;
// and one for each length beyond Positions. A shape with 0 rows gets their number later.
func chooseShapes(items []item, opt Options) []Shape {
	shapes := slices.Clone(opt.Shapes)
	slices.SortFunc(shapes, func(a, b Shape) int { return a.Length - b.Length })
	most := opt.roundLength(opt.Positions)
	if len(shapes) > 0 {
		most = shapes[len(shapes)-1].Length
	}
	long := 0 // items[:long] need rows longer than that
	for long < len(items) && items[long].size > most {
		long++
	}
	alike := func(lengths []int) {
		for _, length := range lengths {
			shapes = append(shapes, Shape{Length: length})
		}
	}
	switch regular := items[long:]; {
	case len(regular) == 0 || len(shapes) > 0:
	default:
		mix, cut := splitLongGroups(regular, opt)
		shapes = append(shapes, mix)
		if cut > 0 {
			alike([]int{opt.roundLength(regular[0].size)})
		}
	}
	if long > 0 {
		sample := thin(items[:long], searchLengths)
		candidates := make([]int, len(sample))
		for i, it := range sample {
			candidates[i] = opt.roundLength(it.size)
		}
		alike(search(items[:long], candidates, opt))
	}
	return shapes
}

// roundLength returns the shortest row length for n tokens.
func (o Options) roundLength(n int) int {
	quanta := ceilDiv(n, o.RowMultiple)
	if o.PowerOfTwoSizes {
		quanta = powerOfTwo(quanta)
	}
	return quanta * o.RowMultiple
}

// search returns at most MaxLengths of the candidates, ascending. It adds the length that saves
// most, tries every other value for each length so far, and ends when another length saves less
// than its compilation costs. The longest item fits the largest candidate.
func search(items []item, candidates []int, opt Options) []int {
	slices.Sort(candidates)
	candidates = slices.Compact(candidates)
	sample := thin(items, searchItems)
	scale := float64(len(items)) / float64(len(sample))
	cost := func(lengths []int) float64 {
		lengths = slices.Compact(slices.Sorted(slices.Values(lengths)))
		if lengths[len(lengths)-1] < items[0].size {
			return math.Inf(1)
		}
		rows, _ := pack(sample, lengths, slices.Repeat([]int{unbounded}, len(lengths)))
		total := 0.0
		for _, length := range lengths {
			same, heaviest := 0, 0
			for _, r := range rows {
				if r.length == length {
					same, heaviest = same+1, max(heaviest, r.load[tokensLoad])
				}
			}
			if same == 0 {
				continue
			}
			perBatch, batches := fitRows(int(math.Ceil(float64(same)*scale)), length, opt)
			predicted := float64(ceilDiv(heaviest*perBatch, opt.Chunk) * opt.Chunk)
			total += float64(batches) * (float64(perBatch*length)*positionCost(length) + headCost*predicted)
			total += float64(compileBatches * opt.Positions)
		}
		return total
	}
	// vary gives lengths[k] its best value and keeps the others.
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
	for len(lengths) < opt.MaxLengths {
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

// thin returns at most n of the items, evenly spread, including the first.
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

// fitRows returns the rows of a batch of the given row length, about Positions in all, and the
// number of batches that n rows need. Empty rows fill up the last batch. Of the sizes from half a
// batch up, it takes the largest that leaves at most 1 % of the rows empty, else the one that
// leaves the fewest empty.
func fitRows(n, length int, opt Options) (perBatch, batches int) {
	most := min(n, max(1, (opt.Positions+length/2)/length))
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

// powerOfTwo returns the smallest power of two that is at least n, and 0 for 0.
func powerOfTwo(n int) int {
	if n <= 0 {
		return 0
	}
	return 1 << bits.Len(uint(n-1))
}
