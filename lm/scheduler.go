package lm

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"golang.org/x/sync/errgroup"
)

// run is the state of one call of Run.
type run struct {
	*Generator
	weights  []any
	requests []Request
	done     func(int, Sequence) error
	queue    []*waiting // requests by prompt, those of one prompt side by side
	rows     []*row     // nil is free
	active   int
}

// waiting are the requests of one prompt that have no row yet.
type waiting struct {
	prompt   []int32
	requests []int
	// Set once the prompt was run:
	logits []float32
	sum    float32
	from   int // its first position in kv
	kv     *prefilled
}

// prefilled are the keys and values of prompts that were run together, kept while one of them has
// requests waiting.
type prefilled struct {
	kv    *tensors.Tensor
	users int
}

func (p *prefilled) release() {
	if p.users--; p.users == 0 {
		p.kv.MustFinalizeAll()
	}
}

// row is a sequence that is being generated.
type row struct {
	request int
	Request
	Sequence
	sampler *sampler
	cached  int // positions in the cache: prompt and response but for the last token
}

func (g *Generator) newRun(
	weights []any, requests []Request, done func(int, Sequence) error,
) (*run, error) {
	r := &run{Generator: g, weights: weights, requests: slices.Clone(requests), done: done}
	byPrompt := map[string]*waiting{}
	longest, prompt := g.MinCacheLen, 0
	for i := range r.requests {
		q := &r.requests[i]
		if err := g.check(q); err != nil {
			return nil, fmt.Errorf("lm: request %d: %w", i+1, err)
		}
		longest = max(longest, len(q.Prompt)+q.MaxTokens)
		prompt = max(prompt, roundUp(len(q.Prompt), leastPrefill))
		key := fmt.Sprint(q.Prompt)
		w := byPrompt[key]
		if w == nil {
			w = &waiting{prompt: q.Prompt}
			byPrompt[key] = w
			r.queue = append(r.queue, w)
		}
		w.requests = append(w.requests, i)
	}
	rows := 1
	for rows < min(max(1, g.Rows), len(requests)) {
		rows *= 2
	}
	rows = min(rows, max(1, g.Rows))
	length := roundUp(longest, 128)
	// A cache of an earlier run serves, if it is not many times too large.
	c := g.cache
	serves := c != nil && c.rows >= rows && c.length >= length && c.length <= 4*length
	if !serves && c != nil {
		c.free()
		g.cache = nil
	}
	if g.Check != nil {
		fresh := rows
		if serves {
			fresh = 0
		}
		if err := g.Check(fresh, length, prompt); err != nil {
			return nil, err
		}
	}
	if !serves {
		var err error
		if g.cache, err = newCache(g.backend, g.decoder.Config, g.decoder.DType, rows, length,
			g.shared); err != nil {
			return nil, err
		}
	}
	r.rows = make([]*row, g.cache.rows)
	return r, nil
}

func (r *run) free() {
	for _, w := range r.queue {
		if w.kv != nil {
			w.kv.release()
		}
	}
}

// admit gives free rows to waiting requests. While others run it waits until a quarter of the rows
// is free, so that prompts are run together.
func (r *run) admit() error {
	var free []int
	for i, at := range r.rows {
		if at == nil {
			free = append(free, i)
		}
	}
	for len(free) > 0 && len(r.queue) > 0 {
		if r.active > 0 && len(free) < (len(r.rows)+3)/4 {
			return nil
		}
		if r.queue[0].kv == nil {
			if err := r.runPrompts(len(free)); err != nil {
				return err
			}
		}
		first, kv := r.queue[0], r.queue[0].kv
		var fills []fill
		var began []int
		for len(free) > 0 && len(r.queue) > 0 && r.queue[0].kv == kv {
			w := r.queue[0]
			request := w.requests[0]
			if w.requests = w.requests[1:]; len(w.requests) == 0 {
				r.queue = r.queue[1:]
			}
			q := r.requests[request]
			r.rows[free[0]] = &row{request: request, Request: q, sampler: newSampler(q.Sampling, q.Prompt),
				cached: len(q.Prompt)}
			r.active++
			fills, began = append(fills, fill{free[0], w.from, len(w.prompt)}), append(began, free[0])
			// The first token comes from the prompt's own logits.
			if err := r.rows[free[0]].draw(w.logits, w.sum); err != nil {
				return err
			}
			free = free[1:]
			if len(w.requests) == 0 {
				defer w.kv.release()
			}
		}
		if err := r.cache.fill(first.kv.kv, fills); err != nil {
			return err
		}
		for _, i := range began {
			ended, err := r.finish(i)
			if err != nil {
				return err
			}
			if ended {
				free = append(free, i)
			}
		}
	}
	return nil
}

// runPrompts runs the prompts of the first waiting requests, packed into one row: as many as there
// are free rows for.
func (r *run) runPrompts(free int) error {
	n, positions, requests := 0, 0, 0
	for _, w := range r.queue {
		if w.kv != nil || n > 0 && (requests >= free || positions+len(w.prompt) > mostPrefill) {
			break
		}
		n, positions, requests = n+1, positions+len(w.prompt), requests+len(w.requests)
	}
	length := roundUp(positions, leastPrefill)
	tokens, places, until, last := make([]int32, length), make([]int32, length), make([]int32, length),
		make([]int32, len(r.rows))
	at := 0
	for i, w := range r.queue[:n] {
		w.from = at
		for p, token := range w.prompt {
			tokens[at], places[at], until[at] = token, int32(p), int32(w.from+len(w.prompt))
			at++
		}
		last[i] = int32(at - 1)
	}
	for ; at < length; at++ {
		until[at] = int32(at + 1)
	}
	row := Layout{Stripes: []Stripe{{1, length}}, Tokens: tokens, Positions: places, Until: until}
	args := append(r.decoder.Config.RowInputs(row), tensors.FromFlatDataAndDimensions(last, len(last)))
	out, err := r.call(r.programs.prefill, append(args, r.weights...))
	if err != nil {
		return fmt.Errorf("lm: running %d prompts of %d positions: %w", n, positions, err)
	}
	logits, sum, kv := out[0], out[1], &prefilled{kv: out[2], users: n}
	vocabulary := r.decoder.Config.Vocab
	err = readLogits(logits, sum, func(logits, sum []float32) error {
		for i, w := range r.queue[:n] {
			w.logits, w.sum, w.kv = slices.Clone(logits[i*vocabulary:(i+1)*vocabulary]), sum[i], kv
		}
		return nil
	})
	return errors.Join(err, logits.FinalizeAll(), sum.FinalizeAll())
}

// readLogits opens the results of a program on the host.
func readLogits(logits, sum *tensors.Tensor, read func(logits, sum []float32) error) error {
	var inner error
	err := tensors.ConstFlatData(logits, func(logits []float32) {
		err := tensors.ConstFlatData(sum, func(sum []float32) { inner = read(logits, sum) })
		inner = errors.Join(inner, err)
	})
	return errors.Join(err, inner)
}

// step runs the last token of every row and draws the next.
func (r *run) step() error {
	tokens, positions := make([]int32, len(r.rows)), make([]int32, len(r.rows))
	writes := make([]int32, len(r.rows))
	for i, at := range r.rows {
		if writes[i] = -1; at != nil {
			tokens[i], positions[i] = at.Tokens[len(at.Tokens)-1], int32(at.cached)
			writes[i] = positions[i]
		}
	}
	args := r.decoder.Config.RowInputs(single(tokens, positions))
	out, err := r.call(r.programs.step,
		append(append(args, r.cache.arguments()...), r.weights...))
	if err != nil {
		return fmt.Errorf("lm: running a step of %d rows: %w", len(tokens), err)
	}
	logits, sum, kv := out[0], out[1], out[2:]
	err = r.cache.add(kv, writes)
	vocabulary := r.decoder.Config.Vocab
	err = errors.Join(err, readLogits(logits, sum, func(logits, sum []float32) error {
		var drawing errgroup.Group
		drawing.SetLimit(runtime.GOMAXPROCS(0))
		for i, at := range r.rows {
			if at != nil {
				at.cached++
				drawing.Go(func() error { return at.draw(logits[i*vocabulary:(i+1)*vocabulary], sum[i]) })
			}
		}
		return drawing.Wait()
	}))
	for _, t := range out {
		err = errors.Join(err, t.FinalizeAll())
	}
	if err != nil {
		return err
	}
	for i, at := range r.rows {
		if at != nil {
			if _, err := r.finish(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// draw appends the next token.
func (at *row) draw(logits []float32, sum float32) error {
	d, err := at.sampler.next(logits, sum)
	if err != nil {
		return err
	}
	at.Tokens, at.LogP, at.Drawn = append(at.Tokens, d.token), append(at.LogP, float32(d.logp)),
		append(at.Drawn, float32(d.drawn))
	return nil
}

// finish gives row i free if its sequence has ended.
func (r *run) finish(i int) (ended bool, err error) {
	at := r.rows[i]
	switch {
	case slices.Contains(at.End, at.Tokens[len(at.Tokens)-1]):
		at.Ended = EndedByToken
	case at.Stop != nil && at.Stop(at.Tokens):
		at.Ended = EndedByStop
	case len(at.Tokens) >= at.MaxTokens:
		at.Ended = EndedByLength
	default:
		return false, nil
	}
	r.rows[i] = nil
	r.active--
	return true, r.done(at.request, at.Sequence)
}
