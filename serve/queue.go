package serve

import (
	"slices"
	"sync"

	"haf/pref"
)

// An entry is an item that waits to be read.
type entry struct {
	job   *job
	index int // in the job
	item  pref.Item
	cost  int // tokens, without a prompt shared with the entry before
	// passed counts how often it was taken and given back.
	passed int
}

// A job is the items of one request for one engine.
type job struct {
	client string
	gen    *generation
	values []pref.Values
	done   chan struct{} // closed when all are read, or err is set

	// Guarded by the queue's lock.
	left    int // items neither read nor failed
	err     error
	dropped bool // no client waits for it
}

// lineKey separates entries that cannot share a batch, and clients that take turns.
type lineKey struct {
	client string
	gen    *generation
	class  int
}

// A line is a client's waiting entries of one kind, in order.
type line struct {
	key     lineKey
	waiting []*entry
	credit  int // tokens that it may take before the next line's turn
}

// turn is the number of tokens that a line may take before the next line's turn: about one long
// sample.
const turn = 512

// promptReach is how many entries of a line are searched for those with the prompt of an entry just
// taken.
const promptReach = 256

// A queue holds entries, limited in tokens, and hands them out in batches, with turns between
// clients (deficit round robin).
type queue struct {
	limit int // tokens

	mu     sync.Mutex
	lines  map[lineKey]*line
	ring   []*line // the first line has the next turn
	tokens int     // waiting
	items  int
	closed bool
	more   chan struct{} // holds one token while something may be waiting
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, lines: map[lineKey]*line{}, more: make(chan struct{}, 1)}
}

// push adds a job's items, all or none. ok is false if they would exceed the limit, or after close.
func (q *queue) push(j *job, items []pref.Item) (ok bool) {
	entries, total := make([]*entry, len(items)), 0
	for i, it := range items {
		prompt, response := it.Len()
		cost := prompt + response
		if i > 0 && items[i-1].PromptKey() == it.PromptKey() {
			cost = response
		}
		entries[i] = &entry{job: j, index: i, item: it, cost: cost}
		total += cost
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.tokens+total > q.limit {
		return false
	}
	j.left = len(items)
	for _, e := range entries {
		key := lineKey{j.client, j.gen, e.item.Class()}
		l := q.lines[key]
		if l == nil {
			l = &line{key: key}
			q.lines[key] = l
			q.ring = append(q.ring, l)
		}
		l.waiting = append(l.waiting, e)
	}
	q.tokens += total
	q.items += len(entries)
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// drop removes a job's waiting items, because no client waits for them.
func (q *queue) drop(j *job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j.dropped = true
	for _, l := range slices.Clone(q.ring) {
		if l.key.client != j.client || l.key.gen != j.gen {
			continue
		}
		l.waiting = slices.DeleteFunc(l.waiting, func(e *entry) bool {
			if e.job == j {
				q.tokens -= e.cost
				q.items--
			}
			return e.job == j
		})
		q.retire(l)
	}
}

// retire removes a line without entries from the ring.
func (q *queue) retire(l *line) {
	if len(l.waiting) > 0 {
		return
	}
	delete(q.lines, l.key)
	if i := slices.Index(q.ring, l); i >= 0 {
		q.ring = slices.Delete(q.ring, i, i+1)
	}
}

// take returns a batch of about capacity tokens with at least one entry, or nil if none waits. The
// entries have one engine and class. Each client in the ring has a turn; a client's entries with
// the same prompt stay together. take holds their generation for the reader, because the jobs may
// be given up and release theirs at any time.
func (q *queue) take(capacity int) []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ring) == 0 {
		return nil
	}
	var batch []*entry
	kind := q.ring[0].key
	total := 0
	for full := false; !full; {
		full = true
		for _, l := range slices.Clone(q.ring) {
			if l.key.gen != kind.gen || l.key.class != kind.class || total >= capacity {
				continue
			}
			l.credit += turn
			for len(l.waiting) > 0 {
				first := l.waiting[0]
				if len(batch) > 0 && total+first.cost > capacity {
					total = capacity // it begins the next batch, so that nothing waits forever
					break
				}
				if first.cost > l.credit && len(batch) > 0 {
					break
				}
				taken, cost := l.takeFirst(capacity - total)
				total += cost
				l.credit -= cost
				for _, e := range taken {
					q.tokens -= e.cost
				}
				q.items -= len(taken)
				batch = append(batch, taken...)
			}
			// The next line has the next turn. An empty line saves up no credit.
			if i := slices.Index(q.ring, l); i >= 0 {
				q.ring = append(slices.Delete(q.ring, i, i+1), l)
			}
			if len(l.waiting) == 0 {
				q.retire(l)
			} else if total < capacity {
				full = false
			}
		}
	}
	kind.gen.hold()
	return batch
}

// giveBack puts unread entries of a batch back at the front of their lines and gives these lines
// the next turns.
func (q *queue) giveBack(entries []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var back []*line
	byLine := map[*line][]*entry{}
	for _, e := range entries {
		if e.job.dropped || e.job.err != nil {
			continue
		}
		key := lineKey{e.job.client, e.job.gen, e.item.Class()}
		l := q.lines[key]
		if l == nil {
			l = &line{key: key}
			q.lines[key] = l
		}
		if byLine[l] == nil {
			back = append(back, l)
		}
		e.passed++
		byLine[l] = append(byLine[l], e)
		l.credit += e.cost
		q.tokens += e.cost
		q.items++
	}
	for _, l := range back {
		l.waiting = append(byLine[l], l.waiting...)
		if i := slices.Index(q.ring, l); i >= 0 {
			q.ring = slices.Delete(q.ring, i, i+1)
		}
	}
	q.ring = append(back, q.ring...)
}

// nextGeneration returns the generation of the next batch, or nil if nothing waits.
func (q *queue) nextGeneration() *generation {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ring) == 0 {
		return nil
	}
	return q.ring[0].key.gen
}

// takeFirst takes the first entry and, as far as they fit, the following ones within promptReach
// that share its prompt. cost is their total, with the prompt counted once.
func (l *line) takeFirst(room int) (taken []*entry, cost int) {
	first := l.waiting[0]
	taken, cost = []*entry{first}, first.cost
	key := first.item.PromptKey()
	rest := l.waiting[:0:0]
	for i, e := range l.waiting[1:] {
		_, response := e.item.Len()
		if i < promptReach && cost+response <= room && e.item.PromptKey() == key {
			taken = append(taken, e)
			cost += response
		} else {
			rest = append(rest, e)
		}
	}
	l.waiting = rest
	return taken, cost
}

// settle records the values, or the error, of entries.
func (q *queue) settle(entries []*entry, values []pref.Values, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, e := range entries {
		j := e.job
		if j.left == 0 || j.err != nil {
			continue
		}
		if err != nil {
			j.err = err
			close(j.done)
			continue
		}
		j.values[e.index] = values[i]
		if j.left--; j.left == 0 {
			close(j.done)
		}
	}
}

// waiting counts the waiting entries and their tokens.
func (q *queue) waiting() (items, tokens int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.items, q.tokens
}

// close admits no more entries. Waiting ones are still handed out.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	close(q.more)
}
