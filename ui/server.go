package ui

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/gzhttp"
)

// Config says what is shown, and to whom.
type Config struct {
	Runs   []string // run folders, folders of run folders, and files of pairs
	Models []string // models besides those of the runs
	Open   func(ctx context.Context, path string) (Explainer, error)
	Tokens []string // of which a visitor must give one; none: visitors of this machine need none
	Log    *slog.Logger
}

// An App is the web app. It is a [http.Handler].
type App struct {
	config  Config
	keys    keyring
	models  models
	handler http.Handler

	mu      sync.Mutex // of indexes
	indexes map[string]*metricsFile
	reading sync.Mutex // of sets and grids
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
	mux.HandleFunc("GET /{$}", a.list)
	mux.HandleFunc("GET /runs", a.runs)
	mux.HandleFunc("GET /api/series", a.series)
	mux.HandleFunc("GET /evaluations", a.evaluations)
	mux.HandleFunc("GET /pairs", a.explorer)
	mux.HandleFunc("GET /pair", a.pair)
	mux.HandleFunc("GET /playground", a.playground)
	mux.HandleFunc("POST /playground", a.playground)
	mux.HandleFunc("GET /login", a.login)
	mux.HandleFunc("POST /login", a.login)
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the folder is embedded
	}
	served := http.FileServerFS(files)
	mux.HandleFunc("GET /assets/{file}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private, max-age=3600")
		http.StripPrefix("/assets/", served).ServeHTTP(w, r)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, http.StatusNotFound, errors.New("there is no such page"))
	})
	a.handler = a.secure(gzhttp.GzipHandler(mux))
	return a
}

// ServeHTTP implements [http.Handler].
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Limits of a connection. A page may wait for a model to be opened and compiled.
const (
	readTimeout  = 30 * time.Second
	writeTimeout = 10 * time.Minute
	drain        = 5 * time.Second
)

// Run serves the app on the listener until ctx ends.
func (a *App) Run(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(a.config.Log.Handler(), slog.LevelDebug)}
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
