package pack

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// Packing of few groups. Among a hundred groups one more batch matters, as the gaps of best fit do;
// among thousands they hardly do. So for few groups haf searches for the groups that fill each row
// best.

// fewItems is the largest number of items that counts as few.
const fewItems = 512

// Bounds of the search of searchShapeExhaustive.
const (
	slackLengths = 48      // lengths of the longer rows tried for each batch size
	slackMore    = 7       // tries up to 1/slackMore more batches than the fewest,
	slackNumbers = 5       // in about slackNumbers steps
	slackSizes   = 6       // batch sizes tried above the smallest, in multiples of RowMultiple
	slackTries   = 100_000 // items placed over all tries
)

// searchShapeExhaustive is searchShape for few items, which are too few to sample. It tries every
// shape that is hardly larger than the items, the cheapest first, until they fit. If none fits, the
// cost is infinite.
func searchShapeExhaustive(items []item, opt Options) (best Shape, least float64) {
	longest, tokens := opt.roundLength(items[0].size), totalSize(items)
	most := opt.mostPositions(longest)
	type candidate struct {
		shape   Shape
		batches int
		cost    float64
	}
	var candidates []candidate
	sums := []int{0} // sums[n] is the total size of the n longest items
	for _, it := range items {
		sums = append(sums, sums[len(sums)-1]+it.size)
	}
	add := func(s Shape, batches int) {
		if s.ShortRows > 0 {
			long := sort.Search(len(items), func(i int) bool { return items[i].size <= s.ShortLength })
			rows := batches * s.Rows
			if long == len(items) || sums[long] > rows*s.Length {
				return
			}
			if long > 0 && long > rows*(s.Length/items[long-1].size) {
				return
			}
		}
		cost := float64(batches)*(batchCost+s.cost()) + compileBlock*float64(s.queryBlocks()*most)
		candidates = append(candidates, candidate{s, batches, cost})
	}
	fewest := max(1, ceilDiv(tokens, most))
	step := 1 + fewest/slackMore/slackNumbers
	for batches := fewest; batches <= fewest+1+fewest/slackMore; batches += step {
		low := max(longest, ceilDiv(ceilDiv(tokens, batches), opt.RowMultiple)*opt.RowMultiple)
		for size := low; size <= min(most, low+slackSizes*opt.RowMultiple); size += opt.RowMultiple {
			largest := size / opt.RowMultiple * opt.RowMultiple
			for _, length := range spread(longest, largest, opt.RowMultiple, slackLengths) {
				for rows := 1; rows <= size/length; rows++ {
					rest := size - rows*length
					if rest == 0 {
						add(Shape{Rows: rows, Length: length}, batches)
						continue
					}
					for n := 1; opt.MaxLengths == 2 && n*opt.RowMultiple <= rest; n++ {
						if rest%(n*opt.RowMultiple) == 0 && rest/n < length {
							add(Shape{Rows: rows, Length: length, ShortRows: n, ShortLength: rest / n}, batches)
						}
					}
				}
			}
		}
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.cost, b.cost) })
	for _, c := range candidates[:min(len(candidates), slackTries/len(items))] {
		if _, _, ok := packBatches(items, c.shape, c.shape.lengths(), c.batches, true); ok {
			return c.shape, c.cost
		}
	}
	return Shape{}, math.Inf(1)
}

// packBySlack places items, longest first, in at most most[k] rows of lengths[k] (ascending). It
// fills row after row, the longest rows first: with the longest item that fits, and with those
// others that fill the rest best. It finds them by dynamic programming over the row's positions
// (the minimum bin slack heuristic, Gupta and Ho 1999). ok is false if an item does not fit.
func packBySlack(items []item, lengths, most []int) (rows []packedRow, ok bool) {
	left := slices.Clone(items)
	spare := -totalSize(items) // positions that may stay empty
	for k, length := range lengths {
		spare += most[k] * length
	}
	var reach []uint64
	for k := len(lengths) - 1; k >= 0; k-- {
		for n := most[k]; n > 0 && len(left) > 0; n-- {
			row := packedRow{length: lengths[k]}
			var taken []int
			taken, reach = fillRow(left, lengths[k], reach)
			spare -= lengths[k]
			for _, i := range taken {
				spare += left[i].size
			}
			if spare < 0 {
				return nil, false
			}
			if len(taken) == 0 {
				continue // all further rows of this length stay empty too
			}
			for _, i := range taken {
				row.groups = append(row.groups, left[i].index)
				row.load.add(left[i].load)
			}
			slices.Reverse(taken) // from the last on, so that the indices before stay valid
			for _, i := range taken {
				left = slices.Delete(left, i, i+1)
			}
			rows = append(rows, row)
		}
	}
	return rows, len(left) == 0
}

// fillRow returns the indices of the items that a row gets, ascending: the first item that fits,
// and those others that fill the rest best. Of equal fits it takes the longer items. It works in
// memory and returns it as reach for the next call.
func fillRow(items []item, length int, memory []uint64) (taken []int, reach []uint64) {
	first := slices.IndexFunc(items, func(it item) bool { return it.size <= length })
	if first < 0 {
		return nil, memory
	}
	slack := length - items[first].size
	words := slack/64 + 1
	// reach[i] has a bit for every sum ≤ slack that some of the first i items of rest add up to.
	rest := items[first+1:]
	reach = slices.Grow(memory[:0], (len(rest)+1)*words)[:(len(rest)+1)*words]
	clear(reach[:words])
	reach[0] = 1
	for i, it := range rest {
		from, to := reach[i*words:][:words], reach[(i+1)*words:][:words]
		copy(to, from)
		shift, bit := it.size/64, it.size%64
		for w := words - 1; w >= shift; w-- {
			to[w] |= from[w-shift] << bit
			if bit > 0 && w > shift {
				to[w] |= from[w-shift-1] >> (64 - bit)
			}
		}
	}
	has := func(i, sum int) bool { return reach[i*words+sum/64]>>(sum%64)&1 == 1 }
	sum := slack
	for !has(len(rest), sum) {
		sum--
	}
	for i := len(rest); i > 0; i-- {
		if !has(i-1, sum) { // the sum needs item i
			taken = append(taken, first+i)
			sum -= rest[i-1].size
		}
	}
	taken = append(taken, first)
	slices.Reverse(taken)
	return taken, reach
}
