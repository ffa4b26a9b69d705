package pack

import (
	"math"
	"slices"
)

// batchCost is a batch's cost beside its positions in training, in positions. An adapter of rank 64
// that is merged into the weights takes as many products as 190 positions, forward and backward.
const batchCost = 150

// compileBlock is how many batches one more block of queries in every layer must save to be worth
// its compilation. It is small, so that it decides only between equals.
const compileBlock = 0.05

// Bounds of the search: a choice is tried on about mixBatches batches, and lengths and numbers of
// rows on so many values.
const (
	mixBatches = 64
	mixLengths = 6
	mixShorts  = 32
	mixRows    = 8
)

// splitLongGroups returns the shape for items, longest first, and how many of the longest should
// have batches of their own, because a few long groups would make a row of every batch long.
func splitLongGroups(items []item, opt Options) (best Shape, long int) {
	best, least := searchShape(items, opt)
	if opt.MaxLengths < 2 || opt.PowerOfTwoSizes {
		return best, 0
	}
	program := compileBatches * float64(opt.Positions)
	// cost of a position, if others fill the gaps
	longRow := positionCost(opt.roundLength(items[0].size)) * (1 + batchCost/float64(opt.Positions))
	tried := 0
	for _, share := range []int{200, 100, 50, 20, 10, 5} {
		n := len(items) / share
		for n < len(items) && n > 0 && items[n].size == items[n-1].size {
			n++ // groups of equal length stay together
		}
		if n <= tried || n == len(items) {
			continue
		}
		tried = n
		mix, cost := searchShape(items[n:], opt)
		if cost += program + float64(totalSize(items[:n]))*longRow; cost < least &&
			mix.Length < opt.roundLength(items[n-1].size) {
			best, least, long = mix, cost, n
		}
	}
	return best, long
}

// searchShape returns the cheapest shape for items, longest first, and its cost. The shape has rows
// of one or two lengths and at most Positions in all. It tries the likely shapes by packing a
// sample with each.
func searchShape(items []item, opt Options) (best Shape, least float64) {
	longest := opt.roundLength(items[0].size)
	most, tokens := opt.mostPositions(longest), totalSize(items)
	sample := thin(items, min(2*searchItems, max(searchItems/8, mixBatches*len(items)*most/tokens)))
	sampled := totalSize(sample)
	least = math.Inf(1)
	if len(items) <= fewItems && !opt.PowerOfTwoSizes {
		best, least = searchShapeExhaustive(items, opt)
	}
	try := func(s Shape) {
		batch := (batchCost + s.cost()) * float64(len(items)) / float64(len(sample))
		compile := compileBlock * float64(s.queryBlocks()*most)
		limit := int((least - compile) / batch) // batches
		if least == math.Inf(1) {
			limit = math.MaxInt32
		}
		if ceilDiv(sampled, s.Positions()) > limit {
			return
		}
		if _, batches, ok := packBatches(sample, s, s.lengths(), limit, false); ok &&
			float64(batches)*batch+compile < least {
			best, least = s, float64(batches)*batch+compile
		}
	}
	if opt.PowerOfTwoSizes {
		for _, s := range rounded(longest, opt) {
			try(s)
		}
		return best, least
	}
	for _, length := range spread(longest, most, opt.RowMultiple, mixLengths) {
		for _, rows := range spread(1, most/length, 1, mixRows) {
			try(Shape{Rows: rows, Length: length})
			if opt.MaxLengths < 2 {
				continue
			}
			slack := most - rows*length
			for _, short := range spread(opt.RowMultiple, length-opt.RowMultiple, opt.RowMultiple,
				mixShorts) {
				fit := slack / short
				counts := []int{fit, fit - 1, fit - 2}
				for batches := 1; batches <= 8; batches++ { // a small set may just fit some number of batches
					n := (tokens/batches - rows*length) / short
					counts = append(counts, n, n+1, n+2)
				}
				slices.Sort(counts)
				for _, n := range slices.Compact(counts) {
					if n > 0 && n <= fit {
						try(Shape{Rows: rows, Length: length, ShortRows: n, ShortLength: short})
					}
				}
			}
		}
	}
	return best, least
}

// mostPositions is the largest size of a batch with rows of the given length.
func (o Options) mostPositions(length int) int {
	return max(length, o.Positions/o.RowMultiple*o.RowMultiple)
}

// rounded returns the few shapes that packings share, for groups of up to the length: batches of 1,
// 2, 4, … such rows, or batches in which a half or three quarters of the positions are in rows of
// half or a quarter of that length.
func rounded(length int, opt Options) []Shape {
	var shapes []Shape
	for positions := length; positions <= max(length, opt.Positions); positions *= 2 {
		shapes = append(shapes, Shape{Rows: positions / length, Length: length})
		if opt.MaxLengths < 2 {
			continue
		}
		for part := 2; part <= 4; part *= 2 {
			for shorter := 2; shorter <= 4; shorter *= 2 {
				rows, short := positions/length/part, length/shorter
				if rows > 0 && short >= opt.RowMultiple {
					shapes = append(shapes, Shape{Rows: rows, Length: length,
						ShortRows: (positions - rows*length) / short, ShortLength: short})
				}
			}
		}
	}
	return shapes
}

// spread returns at most n multiples of step, evenly spread between from and to, which are
// multiples themselves. It returns none if to < from.
func spread(from, to, step, n int) []int {
	var out []int
	if to < from {
		return nil
	}
	for i := range n {
		x := from
		if n > 1 {
			x += (to - from) / step * i / (n - 1) * step
		}
		if len(out) == 0 || x > out[len(out)-1] {
			out = append(out, x)
		}
	}
	return out
}

func totalSize(items []item) int {
	n := 0
	for _, it := range items {
		n += it.size
	}
	return n
}

// queryBlocks is the number of blocks of queries in a layer's attention.
func (s Shape) queryBlocks() int {
	if s.ShortRows == 0 {
		return queryBlocks(s.Length)
	}
	return queryBlocks(s.ShortLength) + queryBlocks(s.Length)
}

// lengths returns the lengths of its rows, ascending.
func (s Shape) lengths() []int {
	if s.ShortRows == 0 {
		return []int{s.Length}
	}
	return []int{s.ShortLength, s.Length}
}
