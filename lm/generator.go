package lm

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// A Request asks for one continuation of a prompt.
type Request struct {
	Prompt    []int32
	MaxTokens int
	Sampling  Sampling
	End       []int32 // tokens that end the sequence; the sequence includes them
	// Stop, if not nil, is called after every token except an end token. It reports whether the
	// sequence ends here.
	Stop func(tokens []int32) bool
}

// A Sequence is the result of a request.
type Sequence struct {
	Tokens []int32
	LogP   []float32 // log-probability of each token under the model
	Drawn  []float32 // and under the distribution from which it was drawn; 0 if greedy
	Ended  Ending
}

// Ending is the reason for the end of a sequence.
type Ending string

// The endings.
const (
	EndedByToken  Ending = "end"    // an end token
	EndedByStop   Ending = "stop"   // Request.Stop
	EndedByLength Ending = "length" // MaxTokens, or no position left
)

// A Generator continues prompts with a decoder. It generates several rows at once; when a row ends,
// the next request takes its place. The result of a request does not depend on the others except
// for rounding. A Generator is safe for concurrent use, but does one run at a time.
type Generator struct {
	// Rows is the number of sequences generated at once; NewGenerator sets 8. More rows take more
	// memory and, on small machines, gain little.
	Rows int
	// MinCacheLen is the minimum number of positions in a row of the cache. Runs whose requests all
	// fit into it and are as many as Rows use the same programs. So their results are the same to the
	// bit, independent of earlier runs.
	MinCacheLen int
	// Check, if not nil, is called before memory is taken for a cache of rows of length positions, and
	// for passes over prompts of that many positions. rows is 0 if the cache exists already.
	Check func(rows, length, prompt int) error

	decoder *Decoder
	backend compute.Backend
	bind    func(args []*Node) Weights
	shared  bool // the device's memory is the host's

	mu       sync.Mutex
	programs *GeneratorPrograms
	kept     bool // the programs, by others
	cache    *cache
	built    int // programs compiled
}

// GeneratorPrograms are the compiled programs of generators whose decoders have one structure and
// whose weights come in one order.
type GeneratorPrograms struct {
	mu            sync.Mutex // one program runs at a time
	prefill, step *Exec
	user          *Generator // the last: programs are built by its structure
}

// NewGeneratorPrograms returns programs that are compiled at their first run. Finalize frees them.
func NewGeneratorPrograms(backend compute.Backend) *GeneratorPrograms {
	p := &GeneratorPrograms{}
	p.prefill = MustNewExec(backend, func(in []*Node) []*Node { return p.user.buildPrefill(in) })
	p.step = MustNewExec(backend, func(in []*Node) []*Node { return p.user.buildStep(in) })
	p.prefill.SetMaxCache(-1).WithName("prefill")
	p.step.SetMaxCache(-1).WithName("step")
	return p
}

// Finalize frees the programs.
func (p *GeneratorPrograms) Finalize() {
	p.prefill.Finalize()
	p.step.Finalize()
}

// NewGenerator returns a generator. bind names the weights among the arguments of a program, in the
// order in which Run gets them. The generator owns the programs unless kept is true: then others
// use and finalize them.
func NewGenerator(
	backend compute.Backend, decoder *Decoder, bind func(args []*Node) Weights,
	programs *GeneratorPrograms, kept bool,
) *Generator {
	g := &Generator{Rows: 8, backend: backend, bind: bind, shared: backend.HasSharedBuffers(),
		programs: programs, kept: kept}
	own := *decoder
	own.Columns = g.shared
	g.decoder = &own
	return g
}

// Another returns a second generator with its own cache and g's programs. It must not run after g
// is closed.
func (g *Generator) Another() *Generator {
	return &Generator{Rows: g.Rows, Check: g.Check, decoder: g.decoder, backend: g.backend,
		bind: g.bind, shared: g.shared, programs: g.programs, kept: true}
}

// buildPrefill: inputs of rows, places to read, weights → logits, sum, keys and values.
func (g *Generator) buildPrefill(in []*Node) []*Node {
	g.built++ // under g.mu
	c := g.decoder.Config
	inputs := c.NumRowInputs(in)
	logits, sum, kv := g.decoder.Prefill(g.bind(in[inputs+1:]), c.Rows(in), in[inputs])
	return []*Node{logits, sum, kv}
}

// buildStep: inputs of rows, caches, weights → logits, sum, keys and values of each layer.
func (g *Generator) buildStep(in []*Node) []*Node {
	g.built++
	c := g.decoder.Config
	inputs, layers := c.NumRowInputs(in), 2*c.Layers
	logits, sum, kv := g.decoder.Step(g.bind(in[inputs+layers:]), c.Rows(in),
		in[inputs:inputs+layers])
	return append([]*Node{logits, sum}, kv...)
}

// call runs one of the generator's programs.
func (g *Generator) call(program *Exec, args []any) ([]*tensors.Tensor, error) {
	g.programs.mu.Lock()
	defer g.programs.mu.Unlock()
	g.programs.user = g
	return program.Call(args...)
}

// Programs is the number of compiled programs.
func (g *Generator) Programs() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.built
}

// Close frees the cache, and the programs unless others keep them.
func (g *Generator) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cache != nil {
		g.cache.free()
		g.cache = nil
	}
	if !g.kept {
		g.programs.Finalize()
	}
}

// Sizes of programs. Padding wastes time, and so does compiling: both are rounded up to these.
const (
	leastPrefill = 64
	mostPrefill  = 1024 // prompts are packed up to this many positions; a longer one is run alone
)

// Run generates all requests. It calls done with each result as it ends, one call at a time, in no
// particular order. weights are the program arguments that bind names. An error of done ends the
// run and is returned.
func (g *Generator) Run(
	ctx context.Context, weights []any, requests []Request, done func(i int, s Sequence) error,
) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(requests) == 0 {
		return nil
	}
	r, err := g.newRun(weights, requests, done)
	if err != nil {
		return err
	}
	defer r.free()
	for r.active > 0 || len(r.queue) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.admit(); err != nil {
			return err
		}
		if r.active == 0 {
			continue // all that were admitted ended at once
		}
		if err := r.step(); err != nil {
			return err
		}
	}
	return nil
}

// check looks at a request and shortens it to the positions that the model has.
func (g *Generator) check(q *Request) error {
	if len(q.Prompt) == 0 {
		return errors.New("the prompt has no token: there is nothing to predict the first one from")
	}
	if q.MaxTokens < 1 {
		return fmt.Errorf("%d tokens are asked for, want at least 1", q.MaxTokens)
	}
	for _, token := range q.Prompt {
		if token < 0 || int(token) >= g.decoder.Config.Vocab {
			return fmt.Errorf("the prompt has token %d, the model's vocabulary ends at %d", token,
				g.decoder.Config.Vocab-1)
		}
	}
	if longest := g.decoder.Config.MaxLength(); longest > 0 {
		if len(q.Prompt) > longest {
			return fmt.Errorf("the prompt has %d tokens, the model has positions for %d", len(q.Prompt),
				longest)
		}
		q.MaxTokens = min(q.MaxTokens, longest-len(q.Prompt)+1) // the last token is not run
	}
	return q.Sampling.Check()
}

// roundUp returns the least of unit, 1.5·unit, 2·unit, 3·unit, 4·unit, 6·unit, … that is at least
// n.
func roundUp(n, unit int) int {
	for size := unit; ; size *= 2 {
		if n <= size {
			return size
		}
		if n <= size+size/2 {
			return size + size/2
		}
	}
}
