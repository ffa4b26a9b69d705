package pack

import (
	"math"
	"slices"
)

// batchCost is what a batch of a data set costs beside its positions, in positions: an adapter of
// rank 64 that is merged into the weights takes as many products as 190 positions, forward and
// backward.
const batchCost = 150

// compileBlock is what a block of queries more in every layer of a program must save to be worth
// its compilation, in batches: little, so that it decides between equals.
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
// rather have batches of their own: a few long groups would else make a row of every batch long.
func splitLongGroups(items []item, opt Options) (best Shape, long int) {
	best, least := searchShape(items, opt)
	if opt.MaxLengths < 2 || opt.PowerOfTwoSizes {
		return best, 0
	}
	program := compileBatches * float64(opt.Positions)
	// a position, gaps filled by others
	longRow := positionCost(opt.roundLength(items[0].size)) * (1 + batchCost/float64(opt.Positions))
	tried := 0
	for _, share := range []int{200, 100, 50, 20, 10, 5} {
		n := len(items) / share
		for n < len(items) && n > 0 && items[n].size == items[n-1].size {
			n++ // equals stay together
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

// searchShape returns the shape, of rows of one or two lengths and Positions in all at most, in
// which items, longest first, are run cheapest, and the cost: it tries what is likely, and packs a
// sample with it.
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
				for batches := 1; batches <= 8; batches++ { // small sets just fit some number of batches
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

// mostPositions is the size of a batch at most, for rows of the given length.
func (o Options) mostPositions(length int) int {
	return max(length, o.Positions/o.RowMultiple*o.RowMultiple)
}

// rounded returns the few shapes for plans that share them, for groups of up to the length: batches
// of 1, 2, 4, … such rows, or with rows of half or a quarter of that length in place of a half or
// three quarters of them.
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

// spread returns at most n multiples of step, evenly spread over from … to, which are multiples
// themselves; none if to is less.
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

// lengths are the lengths of its rows, ascending.
func (s Shape) lengths() []int {
	if s.ShortRows == 0 {
		return []int{s.Length}
	}
	return []int{s.ShortLength, s.Length}
}
