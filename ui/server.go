package ui

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"haf/internal/connlimit"
	"haf/internal/interrupt"
)

// Config sets what the app shows, and to whom.
type Config struct {
	Runs   []string // run folders, folders of run folders, and files of pairs
	Models []string // models besides those of the runs
	Open   func(ctx context.Context, path string) (Explainer, error)
	Tokens []string // a visitor needs one of them; none: local visitors need none
	Log    *slog.Logger
}

// An App is the web app. It is a [http.Handler].
type App struct {
	config  Config
	keys    keyring
	models  models
	handler http.Handler

	mu      sync.Mutex // guards indexes
	indexes map[string]*metricsFile
	reading sync.Mutex // guards sets and grids
	sets    map[string]*pairSet
	grids   map[string]knownGrid
}

//go:embed assets
var assets embed.FS

// New returns the app.
func New(config Config) *App {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	a := &App{config: config, keys: newKeyring(config.Tokens), models: models{open: config.Open},
		indexes: map[string]*metricsFile{}, sets: map[string]*pairSet{},
		grids: map[string]knownGrid{}}
	mux := http.NewServeMux()
	for path, h := range map[string]http.HandlerFunc{"/{$}": a.list, "/runs": a.runs,
		"/api/series": a.series, "/evaluations": a.evaluations, "/pairs": a.explorer, "/pair": a.pair,
		"/figures": a.figures, "/playground": a.playground, "/login": a.login} {
		methods := []string{http.MethodGet, http.MethodHead}
		if path == "/playground" || path == "/login" {
			methods = append(methods, http.MethodPost)
		}
		mux.HandleFunc(path, a.only(methods, h))
	}
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // cannot happen: the folder is embedded
	}
	served := http.FileServerFS(files)
	mux.HandleFunc("/assets/{file}", a.only([]string{http.MethodGet, http.MethodHead},
		func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "private, max-age=3600")
			http.StripPrefix("/assets/", served).ServeHTTP(w, r)
		}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, http.StatusNotFound, errors.New("there is no such page"))
	})
	a.handler = a.secure(gzhttp.GzipHandler(mux))
	return a
}

// only answers requests with other methods by naming the allowed ones.
func (a *App) only(methods []string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(methods, r.Method) {
			h(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		a.fail(w, r, http.StatusMethodNotAllowed, fmt.Errorf("the method %.20q is not for this page",
			r.Method))
	}
}

// ServeHTTP implements [http.Handler].
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Limits of a connection. A page may wait until a model is opened and compiled.
const (
	readTimeout  = 30 * time.Second
	writeTimeout = 10 * time.Minute
	drain        = 5 * time.Second
)

// Run serves the app on the listener until ctx ends.
func (a *App) Run(ctx context.Context, listener net.Listener) error {
	defer interrupt.Hold()() // until pending requests are answered
	server := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(a.config.Log.Handler(), slog.LevelDebug)}
	connlimit.Bound(server, connlimit.Most)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer a.models.close()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		return server.Close()
	}
	return nil
}
