package serve

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"haf/pref"
)

func items(prompt string, n, words int) []pref.Item {
	out := make([]pref.Item, n)
	for i := range out {
		p := prompt
		if p == "" {
			p = fmt.Sprint("prompt-", i)
		}
		out[i] = &fakeItem{prompt: p, response: strings.Repeat("w ", words-2) + "w"}
	}
	return out
}

func newJob(client string, gen *generation, n int) *job {
	return &job{client: client, gen: gen, values: make([]pref.Values, n), done: make(chan struct{})}
}

// TestQueueIsFair wants one who asks for little to be served at once, however much another has
// waiting.
func TestQueueIsFair(t *testing.T) {
	q, gen := newQueue(1<<20), &generation{engine: &fake{}}
	if !q.push(newJob("many", gen, 500), items("", 500, 49)) {
		t.Fatal("no room")
	}
	few := newJob("few", gen, 2)
	if !q.push(few, items("", 2, 49)) {
		t.Fatal("no room")
	}
	seen := 0
	for batch := 1; ; batch++ {
		entries := q.take(2048)
		if len(entries) == 0 {
			t.Fatal("the queue is empty")
		}
		total := 0
		for _, e := range entries {
			total += e.cost
		}
		if total > 2048 || total < 1900 {
			t.Errorf("a batch of %d tokens, want about 2048", total)
		}
		for _, e := range entries {
			if e.job == few {
				seen++
			}
		}
		if seen == 2 {
			if batch > 1 {
				t.Errorf("served with batch %d, want with the first", batch)
			}
			break
		}
	}
	// Ten clients with as much each: every batch has all of them.
	q = newQueue(1 << 20)
	for c := range 10 {
		q.push(newJob(fmt.Sprint(c), gen, 100), items("", 100, 49))
	}
	counts := map[string]int{}
	for range 5 {
		for _, e := range q.take(4000) {
			counts[e.job.client]++
		}
	}
	for client, n := range counts {
		if n < 30 || n > 50 {
			t.Errorf("client %s had %d of 400 turns, want about 40", client, n)
		}
	}
	if len(counts) != 10 {
		t.Errorf("%d of 10 clients were served", len(counts))
	}
}

func TestQueueKeepsPromptsTogether(t *testing.T) {
	q, gen := newQueue(1<<20), &generation{engine: &fake{}}
	both := slices.Concat(items("a", 1, 10), items("b", 1, 10), items("a", 1, 10), items("b", 1, 10))
	q.push(newJob("c", gen, 4), both)
	var order []string
	for _, e := range q.take(1000) {
		order = append(order, e.item.PromptKey())
	}
	if !slices.Equal(order, []string{"a", "a", "b", "b"}) {
		t.Errorf("order %v", order)
	}
}

func TestQueueBounds(t *testing.T) {
	q, gen := newQueue(100), &generation{engine: &fake{}}
	first := newJob("a", gen, 2)
	if !q.push(first, items("", 2, 40)) || q.push(newJob("b", gen, 1), items("", 1, 40)) {
		t.Error("want room for 82 tokens of 100 and not for 123")
	}
	q.drop(first)
	if n, tokens := q.waiting(); n != 0 || tokens != 0 {
		t.Errorf("%d items of %d tokens wait after their job was dropped", n, tokens)
	}
	if !q.push(newJob("b", gen, 1), items("", 1, 99)) {
		t.Error("want room again")
	}
	// What is longer than a batch is one.
	if batch := q.take(10); len(batch) != 1 {
		t.Errorf("%d entries", len(batch))
	}
	q.close()
	if q.push(newJob("b", gen, 1), items("", 1, 9)) {
		t.Error("taken after close")
	}
}

// TestQueueKeepsKindsApart wants batches of one generation and class.
func TestQueueKeepsKindsApart(t *testing.T) {
	q, old, now := newQueue(1<<20), &generation{engine: &fake{}}, &generation{engine: &fake{}}
	q.push(newJob("a", old, 3), items("", 3, 10))
	q.push(newJob("a", now, 3), items("", 3, 10))
	both := items("", 2, 10)
	both[0].(*fakeItem).class = 1
	q.push(newJob("b", now, 2), both)
	total := 0
	for batch := q.take(1000); batch != nil; batch = q.take(1000) {
		for _, e := range batch {
			if e.job.gen != batch[0].job.gen || e.item.Class() != batch[0].item.Class() {
				t.Error("kinds are mixed")
			}
		}
		total += len(batch)
	}
	if total != 8 {
		t.Errorf("%d entries were given out, want 8", total)
	}
}

// TestPick wants a batch to be filled from what waits, what was passed over to be in the next one,
// and nothing of a job that was dropped meanwhile to come back.
func TestPick(t *testing.T) {
	q, gen := newQueue(1<<20), &generation{engine: &fake{most: 2}}
	gone := newJob("gone", gen, 1)
	q.push(newJob("short", gen, 1), items("s", 1, 3))
	q.push(gone, items("g", 1, 4))
	next := func() (lengths []int) {
		entries, rest := pick(q.take(1000))
		if gone != nil {
			q.drop(gone) // its client has left while the batch was chosen
			gone = nil
		}
		q.giveBack(rest)
		for _, e := range entries {
			_, n := e.item.Len()
			lengths = append(lengths, n)
		}
		slices.Sort(lengths)
		return lengths
	}
	long := func() { q.push(newJob("long", gen, 2), items("", 2, 40)) }
	long()
	if got := next(); !slices.Equal(got, []int{39, 39}) {
		t.Fatalf("the first batch has items of %v, want the two long ones", got)
	}
	if n, tokens := q.waiting(); n != 1 || tokens != 3 {
		t.Fatalf("%d items of %d tokens wait, want the short one of 3", n, tokens)
	}
	long()
	if got := next(); !slices.Equal(got, []int{2, 39}) {
		t.Errorf(
			"the next batch has items of %v, want the short one, which was passed over, and a long one", got)
	}
	if got := next(); !slices.Equal(got, []int{39}) {
		t.Errorf("the last batch has items of %v, want what is left", got)
	}
	if n, tokens := q.waiting(); n != 0 || tokens != 0 || len(q.ring) != 0 || len(q.lines) != 0 {
		t.Errorf("%d items of %d tokens, %d lines are left", n, tokens, len(q.ring))
	}
}
