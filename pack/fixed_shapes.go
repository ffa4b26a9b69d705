package pack

import (
	"cmp"
	"fmt"
	"slices"

	"haf/encode"
)

// launchCost is a batch's cost beside its positions, in positions. It is computed, not measured:
// reading the float32 weights once at 10 GB/s takes as long as 20 positions at 100 GFLOP/s, and a
// launch has other costs.
const launchCost = 32

// IntoShapes packs groups into batches of the given shapes only, as a server does with waiting
// requests, so that it needs no programs but theirs. Each batch takes the shape that carries most
// tokens for its cost; it may be partly empty. Without groups the error wraps [encode.ErrEmpty]. A
// group that fits none of the shapes is an error.
func IntoShapes(groups []encode.Group, shapes []Shape) (*Packing, error) {
	p, items, err := newPacking(groups)
	if err != nil {
		return nil, err
	}
	p.Shapes = slices.Clone(shapes)
	slices.SortStableFunc(items, func(a, b item) int { return b.size - a.size })
	for len(items) > 0 {
		best, err := bestShapeFor(items, shapes)
		if err != nil {
			return nil, err
		}
		p.Batches = append(p.Batches, Assignment{Shape: best.shape, Rows: best.rows})
		p.stats.positions += shapes[best.shape].Positions()
		items = best.rest
	}
	return p, nil
}

// Next chooses, among waiting groups, those of one batch of one of the shapes. It works like
// [IntoShapes], but packs the more urgent groups first, and of equally urgent ones the longest.
// urgency has a number for every group.
func Next(groups []encode.Group, shapes []Shape, urgency []int) (chosen []int, err error) {
	items, err := newItems(groups)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(items, func(a, b item) int {
		return cmp.Or(urgency[b.index]-urgency[a.index], b.size-a.size)
	})
	best, err := bestShapeFor(items, shapes)
	if err != nil {
		return nil, err
	}
	for _, row := range best.rows {
		chosen = append(chosen, row...)
	}
	return chosen, nil
}

// bestShapeFor packs items, in order, into one batch of the shape that carries most tokens for its
// cost.
func bestShapeFor(items []item, shapes []Shape) (best filledBatch, err error) {
	for s, shape := range shapes {
		if f := fillShape(items, shape); f.worth > best.worth {
			best, best.shape = f, s
		}
	}
	if best.worth == 0 {
		return best, fmt.Errorf(
			"pack: group %d has %d tokens and %d responses, which fit none of the %d shapes", items[0].index,
			items[0].size, items[0].load[responsesLoad], len(shapes))
	}
	return best, nil
}

// A filledBatch is one batch of a shape.
type filledBatch struct {
	shape int
	rows  [][]int
	rest  []item
	worth float64 // tokens per cost; 0 if the first item does not fit
}

// fillShape packs items, in order, into one batch, each where it leaves the least slack.
func fillShape(items []item, shape Shape) filledBatch {
	f := filledBatch{rows: make([][]int, shape.NumRows())}
	slack := make([]int, shape.NumRows())
	for r := range slack {
		_, slack[r] = shape.Row(r)
	}
	most := load{shape.Predicted, shape.Responses, shape.Comparisons}
	var total load
	tokens := 0
	for i, it := range items {
		row := -1
		if !exceeds(total.plus(it.load), most) {
			for r := range slack {
				if slack[r] >= it.size && (row < 0 || slack[r] < slack[row]) {
					row = r
				}
			}
		}
		if row < 0 {
			if i == 0 { // the first must fit, or it would wait forever
				return filledBatch{}
			}
			f.rest = append(f.rest, it)
			continue
		}
		slack[row] -= it.size
		f.rows[row] = append(f.rows[row], it.index)
		total.add(it.load)
		tokens += it.size
	}
	f.worth = float64(tokens) / (launchCost + shape.cost())
	return f
}
