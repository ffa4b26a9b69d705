package pack

import (
	"cmp"
	"container/heap"
	"slices"
)

// balanceBatches distributes rows over batches of the shape so that the largest load of each kind
// is small, because every batch of the shape is padded to it. It returns the rows of each batch and
// the largest loads.
func balanceBatches(
	rows []packedRow, batches int, shape Shape, chunk int,
) (dealt [][]int, most load) {
	dealt = make([][]int, batches)
	loads := make([]load, batches)
	assignRows(rows, shape.Length, shape.Rows, dealt, loads)
	if shape.ShortRows > 0 {
		assignRows(rows, shape.ShortLength, shape.ShortRows, dealt, loads)
	}
	evenLoads(rows, dealt, loads, chunk)
	return dealt, largest(loads)
}

// assignRows is the first, fast part of balanceBatches, for rows of one length and at most perBatch
// rows a batch. It takes the rows by falling number of response tokens and gives each to the batch
// with the fewest.
func assignRows(rows []packedRow, length, perBatch int, dealt [][]int, loads []load) {
	var heaviest []int
	for i, r := range rows {
		if r.length == length {
			heaviest = append(heaviest, i)
		}
	}
	slices.SortStableFunc(heaviest, func(a, b int) int {
		return cmp.Or(cmp.Compare(rows[b].load[tokensLoad], rows[a].load[tokensLoad]),
			cmp.Compare(rows[b].load[responsesLoad], rows[a].load[responsesLoad]))
	})
	queue := &lightest{loads: loads}
	for b := range dealt {
		queue.batches = append(queue.batches, b)
	}
	heap.Init(queue)
	has := make([]int, len(dealt))
	for _, r := range heaviest {
		b := queue.batches[0]
		dealt[b] = append(dealt[b], r)
		loads[b].add(rows[r].load)
		if has[b]++; has[b] == perBatch {
			heap.Pop(queue)
		} else {
			heap.Fix(queue, 0)
		}
	}
}

func largest(loads []load) (most load) {
	for _, l := range loads {
		for k := range l {
			most[k] = max(most[k], l[k])
		}
	}
	return most
}

// lightest is a heap of batches by response tokens, then responses, then number.
type lightest struct {
	batches []int
	loads   []load
}

func (q *lightest) Len() int { return len(q.batches) }
func (q *lightest) Less(i, j int) bool {
	a, b := q.batches[i], q.batches[j]
	return cmp.Or(cmp.Compare(q.loads[a][tokensLoad], q.loads[b][tokensLoad]),
		cmp.Compare(q.loads[a][responsesLoad], q.loads[b][responsesLoad]), cmp.Compare(a, b)) < 0
}
func (q *lightest) Swap(i, j int) { q.batches[i], q.batches[j] = q.batches[j], q.batches[i] }
func (q *lightest) Push(x any)    { q.batches = append(q.batches, x.(int)) }
func (q *lightest) Pop() any {
	last := q.batches[len(q.batches)-1]
	q.batches = q.batches[:len(q.batches)-1]
	return last
}

// levelRounds bounds the swaps of evenLoads for one kind of load, in multiples of the number of
// batches. levelTries bounds the pairs of rows that it compares for one swap.
const (
	levelRounds = 4
	levelTries  = 1 << 13
)

// evenLoads lowers the largest load of each kind over the batches by swapping rows. It takes the
// kinds by the cost of one unit: a predicted token costs the language-model head, a response a dot
// product, a comparison almost nothing. A swap for one kind never raises the largest load of
// another, except that tokens may rise to the next multiple of chunk.
func evenLoads(rows []packedRow, dealt [][]int, loads []load, chunk int) {
	if len(dealt) < 2 {
		return
	}
	var mean load // per batch, rounded up: no maximum can be lower
	for _, l := range loads {
		mean.add(l)
	}
	for k := range mean {
		mean[k] = ceilDiv(mean[k], len(dealt))
	}
	mean[tokensLoad] = ceilDiv(mean[tokensLoad], chunk) * chunk
	for kind := range mean {
		for range levelRounds * len(dealt) {
			limit := largest(loads)
			if limit[kind] <= mean[kind] {
				break
			}
			if kind != tokensLoad {
				limit[tokensLoad] = ceilDiv(limit[tokensLoad], chunk) * chunk
			}
			if !swapOnce(rows, dealt, loads, kind, limit) {
				break
			}
		}
	}
}

// swapOnce takes the batch with the largest load of a kind and swaps a row with another batch. It
// chooses the swap that makes the larger load of the two smallest, without exceeding the limit. It
// returns false if no swap helps.
func swapOnce(rows []packedRow, dealt [][]int, loads []load, kind int, limit load) bool {
	fullest := 0
	for b, l := range loads {
		if l[kind] > loads[fullest][kind] {
			fullest = b
		}
	}
	best := loads[fullest][kind]
	var from, other, to int
	found := false
	rowsEach := len(dealt[fullest])
	stride := max(1, len(dealt)*rowsEach*rowsEach/levelTries)
	for b := fullest % stride; b < len(dealt); b += stride {
		if loads[b][kind] >= best {
			continue
		}
		for i, ri := range dealt[fullest] {
			for j, rj := range dealt[b] {
				shift := rows[ri].load.minus(rows[rj].load)
				if shift[kind] <= 0 || rows[ri].length != rows[rj].length {
					continue
				}
				here, there := loads[fullest].minus(shift), loads[b].plus(shift)
				after := max(here[kind], there[kind])
				if after >= best || exceeds(here, limit) || exceeds(there, limit) {
					continue
				}
				best, from, other, to, found = after, i, b, j, true
			}
		}
	}
	if !found {
		return false
	}
	ri, rj := dealt[fullest][from], dealt[other][to]
	shift := rows[ri].load.minus(rows[rj].load)
	loads[fullest], loads[other] = loads[fullest].minus(shift), loads[other].plus(shift)
	dealt[fullest][from], dealt[other][to] = rj, ri
	return true
}

func exceeds(l, limit load) bool {
	for k := range l {
		if l[k] > limit[k] {
			return true
		}
	}
	return false
}
