package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"haf/internal/connlimit"
)

// Config sets what the server serves, and its limits. A number of 0 means its default.
type Config struct {
	Models       []Model
	Combinations []Combination
	Tokens       []Token // none: no token is needed
	// allow requests from other machines, and under any host name, without tokens
	AllowUnauthenticated bool

	// how long a request waits for others while the device is idle; default 3 ms; negative: no wait
	BatchWait   time.Duration
	Timeout     time.Duration // per request, from header to answer; default 2 minutes
	ReadTimeout time.Duration // for a request's body; default 30 seconds
	// how long pending requests may take at shutdown; default 30 seconds
	Drain time.Duration
	Watch time.Duration // interval of looks at the models' files; 0: never

	MaxBody   int64 // bytes per request; default 8 MiB
	MaxBodies int64 // bytes of all pending requests; default 32 · MaxBody
	MaxItems  int   // samples per request; default 4096
	MaxQueue  int   // waiting tokens per model; default 1 Mi
	MaxCalls  int   // requests in flight; default 1024

	LogText bool // log prompts and responses at debug level
	Log     *slog.Logger
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, standard time.Duration) {
		if *d == 0 {
			*d = standard
		}
	}
	def(&c.BatchWait, 3*time.Millisecond)
	def(&c.Timeout, 2*time.Minute)
	def(&c.ReadTimeout, 30*time.Second)
	def(&c.Drain, 30*time.Second)
	if c.MaxBody == 0 {
		c.MaxBody = 8 << 20
	}
	if c.MaxBodies == 0 {
		c.MaxBodies = 32 * c.MaxBody
	}
	if c.MaxItems == 0 {
		c.MaxItems = 4096
	}
	if c.MaxQueue == 0 {
		c.MaxQueue = 1 << 20
	}
	if c.MaxCalls == 0 {
		c.MaxCalls = 1024
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// A Server serves rewards over HTTP.
type Server struct {
	config  Config
	keys    keyring
	models  []*model
	served  []reads // models and combinations, in order
	byName  map[string]reads
	routes  map[string]map[string]http.HandlerFunc // by path and method
	origins *http.CrossOriginProtection
	metrics *metrics

	loaded    atomic.Bool
	draining  atomic.Bool
	closed    atomic.Bool
	calls     atomic.Int64 // requests in flight
	bodies    atomic.Int64 // bytes of requests being read
	reloading sync.Mutex
	batchers  sync.WaitGroup
}

// New returns a server of the models without loading them: [Server.Run] does that.
func New(config Config) (*Server, error) {
	s := &Server{config: config.withDefaults(), keys: newKeyring(config.Tokens),
		byName: map[string]reads{}, metrics: newMetrics(), origins: http.NewCrossOriginProtection()}
	if len(config.Models) == 0 {
		return nil, errors.New("serve: there is no model to serve")
	}
	add := func(r reads) error {
		if r.name() == "" || s.byName[r.name()] != nil {
			return fmt.Errorf(
				"serve: two models are named %q, or one has no name: give each its own, NAME=PATH", r.name())
		}
		s.served = append(s.served, r)
		s.byName[r.name()] = r
		return nil
	}
	device := &sync.Mutex{}
	for _, source := range config.Models {
		queue := newQueue(s.config.MaxQueue)
		m := &model{Model: source, encoder: make(chan struct{}, 2*len(config.Models)+2)}
		if err := add(m); err != nil {
			return nil, err
		}
		m.metrics = s.metrics.of(source.Name, queue)
		m.batcher = &batcher{queue: queue, window: s.config.BatchWait, device: device, metrics: m.metrics}
		s.models = append(s.models, m)
	}
	for _, c := range config.Combinations {
		whole := &combined{Combination: c}
		for _, t := range c.Terms {
			i := slices.IndexFunc(s.models, func(m *model) bool { return m.Name == t.Model })
			if i < 0 {
				return nil, fmt.Errorf("serve: combination %s: there is no model %q", c.Name, t.Model)
			}
			whole.models = append(whole.models, s.models[i])
		}
		if err := add(whole); err != nil {
			return nil, err
		}
	}
	s.route()
	return s, nil
}

// Run loads the models and serves them on the listener until ctx ends. Then it accepts no more
// requests, answers pending ones within [Config.Drain], and closes the models. It returns nil after
// that, or the error that kept it from serving.
func (s *Server) Run(ctx context.Context, listener net.Listener, certificates *tls.Config) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: min(10*time.Second, s.config.ReadTimeout),
		ReadTimeout:  s.config.ReadTimeout,
		WriteTimeout: s.config.ReadTimeout + s.config.Timeout + 20*time.Second,
		IdleTimeout:  2 * time.Minute, MaxHeaderBytes: 64 << 10,
		TLSConfig: certificates, ErrorLog: slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	connlimit.Bound(server, connlimit.Most)
	failed := make(chan error, 2)
	go func() {
		if certificates != nil {
			failed <- server.ServeTLS(listener, "", "")
		} else {
			failed <- server.Serve(listener)
		}
	}()
	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Start(loading); err != nil && ctx.Err() == nil {
			failed <- err
			return
		}
		s.watch(loading)
	}()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.metrics.ready.Set(0)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Drain)
	defer cancel()
	if over := server.Shutdown(drain); over != nil {
		s.config.Log.Warn("requests were cut off when the server was ended", "after", s.config.Drain,
			"error", over)
		server.Close()
	}
	stop()
	<-done
	s.Close()
	return err
}

// Start loads every model. From then on requests are answered with rewards.
func (s *Server) Start(ctx context.Context) error {
	for _, m := range s.models {
		if err := m.load(ctx); err != nil {
			return err
		}
		s.batchers.Go(m.batcher.run)
		s.config.Log.Info("model loaded", "model", m.Name)
	}
	s.loaded.Store(true)
	s.metrics.ready.Set(1)
	return nil
}

// Close stops the batchers, which first read the waiting entries, and closes the models. The server
// cannot be used afterwards.
func (s *Server) Close() {
	s.reloading.Lock() // waits for a load in progress
	s.closed.Store(true)
	s.reloading.Unlock()
	for _, m := range s.models {
		m.batcher.queue.close()
	}
	s.batchers.Wait()
	for _, m := range s.models {
		m.mu.Lock()
		gen := m.now
		m.now = nil
		m.mu.Unlock()
		if gen != nil {
			gen.retire()
		}
	}
}

// Reload loads every model again, one after another, and serves the new ones. If a load fails, the
// former model stays.
func (s *Server) Reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if !s.loaded.Load() {
		return errors.New("serve: reload: the models are still being loaded")
	}
	var errs []error
	for _, m := range s.models {
		errs = append(errs, s.reload(ctx, m))
	}
	return errors.Join(errs...)
}

// reload loads one model again, under the lock.
func (s *Server) reload(ctx context.Context, m *model) error {
	if s.closed.Load() {
		return errors.New("serve: reload: the server has ended")
	}
	err := m.load(ctx)
	result := "ok"
	if err != nil {
		result = "failed"
		s.config.Log.Error("a model could not be reloaded: the former one is still served",
			"model", m.Name, "error", err)
	} else {
		s.config.Log.Info("model reloaded", "model", m.Name)
	}
	s.metrics.reloads.WithLabelValues(m.Name, result).Inc()
	return err
}

// watch reloads models whose files have changed and are no longer being written.
func (s *Server) watch(ctx context.Context) {
	if s.config.Watch <= 0 {
		return
	}
	last := make([]string, len(s.models))
	tried := make([]string, len(s.models))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.config.Watch):
		}
		for i, m := range s.models {
			if m.Stamp == nil {
				continue
			}
			var changed bool
			if last[i], changed = m.changed(last[i]); !changed || tried[i] == last[i] {
				continue
			}
			tried[i] = last[i] // do not retry a failed load until the files change
			s.reloading.Lock()
			s.reload(ctx, m) // logs its own error
			s.reloading.Unlock()
		}
	}
}

// find returns the model that a call names.
func (s *Server) find(c *call) (reads, error) {
	if r := s.byName[c.model]; r != nil {
		return r, nil
	}
	if len(s.served) == 1 && (c.model == "" || c.loose) {
		return s.served[0], nil
	}
	var names []string
	for _, r := range s.served {
		names = append(names, r.name())
	}
	if c.model == "" {
		return nil, wrong("model", "several models are served: name one of %s", strings.Join(names, ", "))
	}
	p := wrong("model", "the model is not served: want one of %s", strings.Join(names, ", "))
	p.status = http.StatusNotFound
	return nil, p
}
