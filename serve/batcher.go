package serve

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"haf/pref"
)

// A batcher reads the items that wait in a queue, batch after batch.
type batcher struct {
	queue   *queue
	window  time.Duration
	device  *sync.Mutex // one batch runs at a time, over all models
	metrics *modelMetrics

	took time.Duration // by the last batch; used by run only

	mu   sync.Mutex
	rate float64 // recent tokens a second
}

// run reads batches until the queue is closed and empty.
func (b *batcher) run() {
	for open := true; open; {
		if _, open = <-b.queue.more; open && b.window > 0 {
			// The device is idle: wait for further requests. While it is busy they gather by themselves.
			time.Sleep(b.window)
		}
		for b.next() {
			// Clients that have just been answered ask again in a moment. Their requests fill the next
			// batch.
			time.Sleep(min(b.took/50, mostPause))
		}
	}
}

// mostPause is the longest pause between two batches while others wait.
const mostPause = 20 * time.Millisecond

// next reads a batch. It returns false if nothing waits.
func (b *batcher) next() bool {
	b.device.Lock() // before taking entries, because more arrive meanwhile
	defer b.device.Unlock()
	gen := b.queue.nextGeneration()
	if gen == nil {
		return false
	}
	entries := b.queue.take(gen.engine.Capacity())
	if len(entries) == 0 {
		return false
	}
	defer entries[0].job.gen.release()
	entries, rest := pick(entries)
	b.queue.giveBack(rest)
	tokens := 0
	for _, e := range entries {
		tokens += e.cost
	}
	begin := time.Now()
	b.read(entries)
	took := time.Since(begin)
	b.took = took
	b.metrics.batch(len(entries), tokens, took)
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := float64(tokens) / max(took.Seconds(), 1e-6); b.rate == 0 {
		b.rate = now
	} else {
		b.rate += 0.2 * (now - b.rate)
	}
	return true
}

// pick chooses the entries of the next batch: those passed over before, and those that fill the
// batch best. The rest wait, and later requests fill the batch after it. So a client's next request
// is there before the device needs it.
func pick(entries []*entry) (batch, rest []*entry) {
	items, urgency := make([]pref.Item, len(entries)), make([]int, len(entries))
	for i, e := range entries {
		items[i], urgency[i] = e.item, e.passed
	}
	chosen, err := entries[0].job.gen.engine.Next(items, urgency)
	if err != nil || len(chosen) == 0 {
		return entries, nil // read finds the error again, and its job
	}
	in := make([]bool, len(entries))
	for _, i := range chosen {
		in[i] = true
	}
	for i, e := range entries {
		if in[i] {
			batch = append(batch, e)
		} else {
			rest = append(rest, e)
		}
	}
	return batch, rest
}

// read runs the entries. If a batch fails, it runs each job alone, so that a job cannot fail
// others.
func (b *batcher) read(entries []*entry) {
	values, err := readEntries(entries)
	if err == nil {
		b.queue.settle(entries, values, nil)
		return
	}
	byJob := map[*job][]*entry{}
	for _, e := range entries {
		byJob[e.job] = append(byJob[e.job], e)
	}
	for _, own := range byJob {
		if len(byJob) > 1 {
			values, err = readEntries(own)
		}
		b.queue.settle(own, values, err)
	}
}

// readEntries runs entries of one engine and class. A reward that is not finite is an error,
// because no reply could hold it.
func readEntries(entries []*entry) (values []pref.Values, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("serve: reading a batch: panic: %v", p)
		}
	}()
	items := make([]pref.Item, len(entries))
	for i, e := range entries {
		items[i] = e.item
	}
	// A batch serves several requests, so it does not end with any of them.
	values, err = entries[0].job.gen.engine.Read(context.Background(), items)
	if err != nil {
		return nil, fmt.Errorf("serve: reading a batch: %w", err)
	}
	if len(values) != len(entries) {
		return nil, fmt.Errorf("serve: %d values for %d items", len(values), len(entries))
	}
	for _, v := range values {
		for name, r := range v.Rewards {
			if math.IsNaN(r) || math.IsInf(r, 0) {
				return nil, fmt.Errorf("serve: reward %s is %v: the model or its dtype is at fault", name, r)
			}
		}
	}
	return values, nil
}

// wait estimates the time to read everything that waits.
func (b *batcher) wait() time.Duration {
	_, tokens := b.queue.waiting()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return time.Second
	}
	return min(time.Duration(float64(tokens)/b.rate*float64(time.Second)), time.Minute)
}
