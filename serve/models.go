package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"haf/pref"
)

// A Model is a model to serve: its name, and how to load it, at the start and again when it has
// changed.
type Model struct {
	Name string
	// Load opens the model, ready to answer at once: it compiles all programs. before is the engine
	// that the new one replaces, nil at first; it stays in use meanwhile.
	Load func(ctx context.Context, before Engine) (Engine, error)
	// Stamp, if not nil, returns a text that changes with the model's files; [Config.Watch] reads it.
	Stamp func() (string, error)
	// Temperature divides differences of its rewards for probabilities; 0 means 1.
	Temperature float64
}

// A generation is one loading of a model. It is closed once it has been replaced and nobody uses it
// any more.
type generation struct {
	engine Engine
	loaded time.Time

	mu      sync.Mutex
	users   int
	retired bool
}

func (g *generation) acquire() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return false
	}
	g.users++
	return true
}

// hold is acquire for a caller that knows the generation is in use, so it cannot fail.
func (g *generation) hold() {
	g.mu.Lock()
	g.users++
	g.mu.Unlock()
}

func (g *generation) release() {
	g.mu.Lock()
	g.users--
	last := g.retired && g.users == 0
	g.mu.Unlock()
	if last {
		g.engine.Close()
	}
}

func (g *generation) retire() {
	g.mu.Lock()
	g.retired = true
	idle := g.users == 0
	g.mu.Unlock()
	if idle {
		g.engine.Close()
	}
}

// A model is a Model with its current generation.
type model struct {
	Model
	batcher *batcher
	metrics *modelMetrics
	encoder chan struct{} // one token for each input that is being encoded

	mu    sync.Mutex
	now   *generation // nil until loaded
	stamp string      // of now
}

// current returns the current generation, acquired. The caller must release it.
func (m *model) current() (*generation, error) {
	for {
		m.mu.Lock()
		gen := m.now
		m.mu.Unlock()
		if gen == nil {
			return nil, later(http.StatusServiceUnavailable, 2*time.Second, "model %s is being loaded: ask "+
				"/readyz when it is ready", m.Name)
		}
		if gen.acquire() {
			return gen, nil
		}
	}
}

// load opens the model again and serves it from then on if that succeeds. The former generation
// answers its requests to the end. One load runs at a time.
func (m *model) load(ctx context.Context) error {
	stamp := ""
	if m.Stamp != nil {
		var err error
		if stamp, err = m.Stamp(); err != nil {
			return fmt.Errorf("serve: model %s: %w", m.Name, err)
		}
	}
	m.mu.Lock()
	before := m.now
	m.mu.Unlock()
	var former Engine
	if before != nil {
		former = before.engine
	}
	engine, err := m.Load(ctx, former)
	if err != nil {
		return fmt.Errorf("serve: model %s: %w", m.Name, err)
	}
	m.mu.Lock()
	m.now, m.stamp = &generation{engine: engine, loaded: time.Now()}, stamp
	m.mu.Unlock()
	if before != nil {
		before.retire()
	}
	return nil
}

// changed reports whether the model's files differ from those served and have not changed since the
// last look, so that files still being written are left alone.
func (m *model) changed(last string) (now string, changed bool) {
	m.mu.Lock()
	served := m.stamp
	m.mu.Unlock()
	now, err := m.Stamp()
	if err != nil {
		slog.Warn("a model's files cannot be looked at", "model", m.Name, "error", err)
		return last, false
	}
	return now, now != served && now == last
}

func (m *model) temperature() float64 {
	if m.Temperature == 0 {
		return 1
	}
	return m.Temperature
}

// An answer is a model's output for the inputs of a call.
type answer struct {
	model       string
	reward      string // the default reward in values
	temperature float64
	values      []pref.Values
	lengths     []length
}

// A length is the number of tokens of an encoded input.
type length struct {
	prompt, response int // tokens
	truncated        bool
}

// usage counts the tokens of an answer in the form of the dialects.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	TotalTokens      int `json:"total_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

func (a *answer) usage() usage {
	n := 0
	for _, l := range a.lengths {
		n += l.prompt + l.response
	}
	return usage{PromptTokens: n, TotalTokens: n}
}

// reads is a source of rewards: a model or a combination of models.
type reads interface {
	name() string
	describe() (modelInfo, bool)
	read(ctx context.Context, client string, inputs []pref.Input, rewards []string,
		tokens bool) (*answer, error)
}

func (m *model) name() string { return m.Name }

// modelInfo is a model in the list of /v1/models.
type modelInfo struct {
	ID         string   `json:"id"`
	Object     string   `json:"object"`
	Created    int64    `json:"created"`
	OwnedBy    string   `json:"owned_by"`
	Rewards    []string `json:"rewards"`
	Activation string   `json:"activation"`
	MaxLength  int      `json:"max_length"`
}

func (m *model) describe() (modelInfo, bool) {
	gen, err := m.current()
	if err != nil {
		return modelInfo{ID: m.Name, Object: "model", OwnedBy: "haf", Rewards: []string{},
			Activation: raw}, false
	}
	defer gen.release()
	return modelInfo{ID: m.Name, Object: "model", Created: gen.loaded.Unix(), OwnedBy: "haf",
		Rewards: gen.engine.Rewards(), Activation: raw, MaxLength: gen.engine.MaxLength()}, true
}

// read encodes the inputs, queues them, and waits for their values or the end of ctx.
func (m *model) read(
	ctx context.Context, client string, inputs []pref.Input, rewards []string, tokens bool,
) (*answer, error) {
	gen, err := m.current()
	if err != nil {
		return nil, err
	}
	defer gen.release()
	if len(rewards) == 0 {
		rewards = gen.engine.Rewards()[:1]
	}
	a := &answer{model: m.Name, reward: rewards[0], temperature: m.temperature(),
		lengths: make([]length, len(inputs))}
	items, err := m.encode(ctx, gen.engine, inputs, rewards, tokens)
	if err != nil {
		return nil, err
	}
	for i, it := range items {
		l := &a.lengths[i]
		l.prompt, l.response = it.Len()
		l.truncated = it.Truncated()
	}
	j := &job{client: client, gen: gen, values: make([]pref.Values, len(items)),
		done: make(chan struct{})}
	if !m.batcher.queue.push(j, items) {
		return nil, m.full(items)
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		m.batcher.queue.drop(j)
		return nil, expired(ctx)
	}
	if j.err != nil {
		return nil, j.err
	}
	a.values = j.values
	m.metrics.samples.Add(float64(len(items)))
	return a, nil
}

// errOwnDeadline ends a request at the time limit that its client set.
var errOwnDeadline = errors.New("the client's own deadline")

// expired returns the problem of a request whose time is over: 408 if its client set the limit,
// else 504.
func expired(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errOwnDeadline):
		return refuse(http.StatusRequestTimeout, "the time that %s allows was over before the request "+
			"was answered: allow more, or send fewer samples", headerTimeout)
	case errors.Is(cause, context.DeadlineExceeded):
		return refuse(http.StatusGatewayTimeout, "the server's time for a request was over before it "+
			"was answered: send fewer samples")
	default:
		return cause
	}
}

// full returns the refusal of items that do not fit into the queue.
func (m *model) full(items []pref.Item) *problem {
	total := 0
	for _, it := range items {
		prompt, response := it.Len()
		total += prompt + response
	}
	if limit := m.batcher.queue.limit; total > limit {
		return refuse(http.StatusRequestEntityTooLarge, "the request has %d tokens, the server takes up "+
			"to %d at once: send it in parts", total, limit)
	}
	after := m.batcher.wait()
	return later(http.StatusTooManyRequests, after, "too much is waiting for model %s: try again in "+
		"%.0f seconds", m.Name, max(after, time.Second).Seconds())
}

// encode makes items of the inputs, several at a time.
func (m *model) encode(
	ctx context.Context, engine Engine, inputs []pref.Input, rewards []string, tokens bool,
) ([]pref.Item, error) {
	items := make([]pref.Item, len(inputs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, in := range inputs {
		group.Go(func() (err error) {
			select {
			case m.encoder <- struct{}{}:
				defer func() { <-m.encoder }()
			case <-ctx.Done():
				return expired(ctx)
			}
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("serve: encoding an input: panic: %v", p)
				}
			}()
			if items[i], err = engine.Encode(in, rewards, tokens); err != nil {
				return wrong("", "input %d: %v", i, err)
			}
			return nil
		})
	}
	return items, group.Wait()
}
