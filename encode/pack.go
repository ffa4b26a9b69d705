package encode

import (
	"math/bits"
	"slices"
)

// An item is a group as the packing sees it.
type item struct {
	index int // in the plan's input
	size  int // positions
	load  load
}

func newItem(index int, g *Group) item {
	tokens := g.responseTokens()
	return item{index, len(g.Prompt) + tokens, load{tokens, len(g.Responses), g.compared()}}
}

// A packedRow is a row's groups, as indices into the plan's input, and their load.
type packedRow struct {
	length int
	groups []int
	load   load
}

func ofLength(rows []packedRow, length int) []packedRow {
	var same []packedRow
	for _, r := range rows {
		if r.length == length {
			same = append(same, r)
		}
	}
	return same
}

// pack places items, longest first, in rows of the given lengths (ascending): each in the row where it leaves the
// least room, else in a new row of the shortest length that holds it. The last length holds the first item.
func pack(items []item, lengths []int) []packedRow {
	// Rows by the room they have left, as chained lists, with a bit for every room that some row has: the best fit
	// is the first bit at or above the size.
	longest := lengths[len(lengths)-1]
	head := make([]int, longest+1) // row+1, 0 ends the list
	var next []int                 // by row
	open := make([]uint64, longest/64+1)
	push := func(row, room int) {
		next[row], head[room] = head[room], row+1
		open[room/64] |= 1 << (room % 64)
	}
	pop := func(room int) int {
		row := head[room] - 1
		if head[room] = next[row]; head[room] == 0 {
			open[room/64] &^= 1 << (room % 64)
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
	var rows []packedRow
	for _, it := range items {
		var row int
		room := bestFit(it.size)
		if room >= 0 {
			row = pop(room)
		} else {
			k, _ := slices.BinarySearch(lengths, it.size)
			row, room = len(rows), lengths[k]
			rows, next = append(rows, packedRow{length: room}), append(next, 0)
		}
		rows[row].groups = append(rows[row].groups, it.index)
		rows[row].load.add(it.load)
		if room -= it.size; room > 0 {
			push(row, room)
		}
	}
	return rows
}

// A load is the work at the read-out of a row or batch, by kind.
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
