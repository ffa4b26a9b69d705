package tokenizer

// scratch holds the state of merging one piece: the symbols as a linked list, and a heap of
// possible merges of neighbours. A piece of n characters takes O(n log n).
type scratch struct {
	symbols []symbol
	heap    []candidate
}

type symbol struct {
	id         int32
	prev, next int32 // -1: none
	dead       bool  // merged into the symbol before it
}

// A candidate is a possible merge of the symbol at pos with the next one, at the time it was found.
type candidate struct {
	merge
	pos int32
}

func (a candidate) before(b candidate) bool {
	return a.rank < b.rank || a.rank == b.rank && a.pos < b.pos
}

// add appends a symbol to the list.
func (s *scratch) add(id int32) {
	n := int32(len(s.symbols))
	if n > 0 {
		s.symbols[n-1].next = n
	}
	s.symbols = append(s.symbols, symbol{id: id, prev: n - 1, next: -1})
}

// join merges until no merge applies.
func (s *scratch) join(merges map[pair]merge) {
	s.heap = s.heap[:0]
	if len(s.symbols) > 0 {
		s.symbols[len(s.symbols)-1].next = -1
	}
	for i := range len(s.symbols) - 1 {
		if m, ok := merges[pair{s.symbols[i].id, s.symbols[i+1].id}]; ok {
			s.push(candidate{m, int32(i)})
		}
	}
	for len(s.heap) > 0 {
		top := s.pop()
		left := &s.symbols[top.pos]
		if left.dead || left.next < 0 {
			continue
		}
		right := &s.symbols[left.next]
		// The neighbours may have changed since then. Like the library, merge if they still give the same
		// token.
		if m, ok := merges[pair{left.id, right.id}]; !ok || m.id != top.id {
			continue
		}
		left.id, left.next = top.id, right.next
		right.dead = true
		if right.next >= 0 {
			s.symbols[right.next].prev = top.pos
			if m, ok := merges[pair{left.id, s.symbols[right.next].id}]; ok {
				s.push(candidate{m, top.pos})
			}
		}
		if left.prev >= 0 {
			if m, ok := merges[pair{s.symbols[left.prev].id, left.id}]; ok {
				s.push(candidate{m, left.prev})
			}
		}
	}
}

// push and pop are a binary heap on the slice, because container/heap would box every candidate.
func (s *scratch) push(c candidate) {
	h := append(s.heap, c)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !c.before(h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = c
	s.heap = h
}

func (s *scratch) pop() candidate {
	h := s.heap
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	for i := 0; len(h) > 0; {
		child := 2*i + 1
		if child >= len(h) {
			h[i] = last
			break
		}
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if !h[child].before(last) {
			h[i] = last
			break
		}
		h[i] = h[child]
		i = child
	}
	s.heap = h
	return top
}
