package pack

import (
	"fmt"
	"math/bits"
	"slices"

	"haf/encode"
)

// An item is a group as the packing sees it.
type item struct {
	index int // in the packing's input
	size  int // positions
	load  load
}

// newItems returns the items of groups, in order.
func newItems(groups []encode.Group) ([]item, error) {
	if len(groups) == 0 {
		return nil, fmt.Errorf("pack: %w", encode.ErrEmpty)
	}
	items := make([]item, len(groups))
	for i := range groups {
		g := &groups[i]
		if err := g.Check(); err != nil {
			return nil, fmt.Errorf("pack: %v: group %d: %w", g.Source, i, err)
		}
		items[i] = item{i, g.Positions(), load{g.Predicted(), len(g.Responses), g.Compared()}}
	}
	return items, nil
}

// A packedRow holds a row's groups, as indices into the packing's input, and their load.
type packedRow struct {
	length int
	groups []int
	load   load
}

// unbounded stands for any number of rows of a length.
const unbounded = -1

// packBatches packs items into as few batches of a shape as hold them, and into any number of rows
// of other lengths, for items that need them. lengths are all row lengths, ascending; a shape
// without rows has no batches. It fails if more batches than the limit are needed. With bySlack, it
// packs few items by packBySlack if pack does not place them.
func packBatches(items []item, shape Shape, lengths []int, limit int, bySlack bool) (
	rows []packedRow, batches int, ok bool,
) {
	most := slices.Repeat([]int{unbounded}, len(lengths))
	if shape.Rows == 0 {
		rows, ok = pack(items, lengths, most)
		return rows, 0, ok
	}
	// The tokens give a lower bound of the number of batches; so do those of the items that need
	// the longer rows.
	tokens, long := 0, 0
	for _, it := range items {
		k, _ := slices.BinarySearch(lengths, it.size)
		if it.size > shape.Length {
			tokens -= lengths[k] - it.size // other items may fill the gap
			continue
		}
		tokens += it.size
		if it.size > shape.ShortLength {
			long += it.size
		}
	}
	batches = max(1, ceilDiv(tokens, shape.Positions()))
	if len(lengths) == len(shape.lengths()) {
		batches = max(batches, ceilDiv(long, shape.Rows*shape.Length))
	}
	for ; batches <= limit; batches += 1 + batches/256 {
		for k, length := range lengths {
			switch length {
			case shape.Length:
				most[k] = batches * shape.Rows
			case shape.ShortLength:
				most[k] = batches * shape.ShortRows
			}
		}
		if rows, ok := pack(items, lengths, most); ok {
			return rows, batches, true
		}
		if bySlack && len(items) <= fewItems && len(lengths) == len(shape.lengths()) {
			if rows, ok := packBySlack(items, lengths, most); ok {
				return rows, batches, true
			}
		}
	}
	return nil, 0, false
}

// pack places items, longest first, in at most most[k] rows of lengths[k] (ascending). An item goes
// into the row where it leaves the least slack, else into a new row of the shortest length that
// holds it and is not used up. ok is false if an item does not fit. The last length holds the first
// item.
func pack(items []item, lengths, most []int) (rows []packedRow, ok bool) {
	// Rows by their slack, as linked lists, with a bit for every slack that some row has: the best
	// fit is the first bit at or above the size.
	longest := lengths[len(lengths)-1]
	head := make([]int, longest+1) // row+1; 0 ends the list
	var next []int                 // by row
	open := make([]uint64, longest/64+1)
	push := func(row, slack int) {
		next[row], head[slack] = head[slack], row+1
		open[slack/64] |= 1 << (slack % 64)
	}
	pop := func(slack int) int {
		row := head[slack] - 1
		if head[slack] = next[row]; head[slack] == 0 {
			open[slack/64] &^= 1 << (slack % 64)
		}
		return row
	}
	bestFit := func(size int) int {
		w := size / 64
		for word := open[w] >> (size % 64) << (size % 64); ; word = open[w] {
			if word != 0 {
				return w*64 + bits.TrailingZeros64(word)
			}
			if w++; w == len(open) {
				return -1
			}
		}
	}
	opened := make([]int, len(lengths))
	for _, it := range items {
		var row int
		slack := bestFit(it.size)
		if slack >= 0 {
			row = pop(slack)
		} else {
			k, _ := slices.BinarySearch(lengths, it.size)
			for opened[k] == most[k] {
				if k++; k == len(lengths) || most[k] == unbounded {
					return nil, false
				}
			}
			opened[k]++
			row, slack = len(rows), lengths[k]
			rows, next = append(rows, packedRow{length: slack}), append(next, 0)
		}
		rows[row].groups = append(rows[row].groups, it.index)
		rows[row].load.add(it.load)
		if slack -= it.size; slack > 0 {
			push(row, slack)
		}
	}
	return rows, true
}

// A load is the read-out work of a row or batch, by kind.
type load [3]int

const (
	tokensLoad      = iota // response tokens
	responsesLoad          // sequences
	comparisonsLoad        // pairs
)

func (l *load) add(m load) {
	for k := range l {
		l[k] += m[k]
	}
}

func (l load) minus(m load) load {
	for k := range l {
		l[k] -= m[k]
	}
	return l
}

func (l load) plus(m load) load {
	l.add(m)
	return l
}
