package serve

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"haf/pref"
)

// A batcher reads what waits in a queue, batch after batch.
type batcher struct {
	queue   *queue
	window  time.Duration
	device  *sync.Mutex // one batch runs at a time, of whatever model
	metrics *modelMetrics

	took time.Duration // of the last batch; of run alone

	mu   sync.Mutex
	rate float64 // tokens a second, lately
}

// run reads batches until the queue is closed and empty.
func (b *batcher) run() {
	for open := true; open; {
		if _, open = <-b.queue.more; open && b.window > 0 {
			// The device is idle: others may come in a moment. While it is busy they gather by themselves.
			time.Sleep(b.window)
		}
		for b.next() {
			// Those who had their answers ask again in a moment: with what they ask for the next batch is
			// fuller.
			time.Sleep(min(b.took/50, mostPause))
		}
	}
}

// mostPause is the longest pause between two batches while others wait.
const mostPause = 20 * time.Millisecond

// next reads a batch; false where nothing waits.
func (b *batcher) next() bool {
	b.device.Lock() // before entries are taken: the later, the more have come
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

// pick chooses the entries of the next batch: those that were passed over before, and what fills
// the batch best. The others wait on, and what comes meanwhile fills the batch after it: a client's
// next request is there before the device asks for it.
func pick(entries []*entry) (batch, rest []*entry) {
	items, urgency := make([]pref.Item, len(entries)), make([]int, len(entries))
	for i, e := range entries {
		items[i], urgency[i] = e.item, e.passed
	}
	chosen, err := entries[0].job.gen.engine.Next(items, urgency)
	if err != nil || len(chosen) == 0 {
		return entries, nil // an error is found again where it can be told whose it is
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

// read runs the entries; where a batch fails, each job's alone, so that one cannot fail the others.
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

// readEntries runs entries of one engine and class. A reward that is no number is an error: no
// reply could carry it.
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
	// A batch belongs to several requests: it ends by itself, not with one of them.
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

// wait estimates how long what waits will take.
func (b *batcher) wait() time.Duration {
	_, tokens := b.queue.waiting()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return time.Second
	}
	return min(time.Duration(float64(tokens)/b.rate*float64(time.Second)), time.Minute)
}
