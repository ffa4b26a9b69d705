package serve

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"haf/internal/wholefile"
)

// ModelName splits NAME=MODEL. Without a name it takes the last part of the path or id.
func ModelName(named string) (name, path string) {
	if name, path, ok := strings.Cut(named, "="); ok && name != "" && !strings.Contains(name, "/") {
		return name, path
	}
	base, _, _ := strings.Cut(filepath.Base(filepath.Clean(named)), "@")
	return strings.TrimSuffix(base, ".gguf"), named
}

// NewModel returns a model that load opens. If path is on disk, its files are watched.
func NewModel(
	name, path string, load func(ctx context.Context, before Engine) (Engine, error),
) Model {
	source := Model{Name: name, Load: load}
	if _, err := os.Stat(path); err == nil {
		source.Stamp = func() (string, error) { return FolderStamp(path) }
	}
	return source
}

// LoadTLS reads the PEM files of a certificate and its key. It returns nil without them.
func LoadTLS(cert, key string) (*tls.Config, error) {
	if cert == "" {
		return nil, nil
	}
	var files [2][]byte
	for i, path := range []string{cert, key} {
		data, err := wholefile.Read(path, wholefile.Settings)
		if err != nil {
			return nil, fmt.Errorf("serve: TLS: %w", err)
		}
		files[i] = data
	}
	pair, err := tls.X509KeyPair(files[0], files[1])
	if err != nil {
		return nil, fmt.Errorf("serve: TLS certificate %s and key %s: %w", cert, key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// ReloadOnHangup reloads the models on every SIGHUP until stop is called or ctx ends.
func (s *Server) ReloadOnHangup(ctx context.Context) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				if err := s.Reload(ctx); err != nil {
					s.config.Log.Error("reload", "error", err)
				}
			case <-done:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { signal.Stop(signals); close(done) }
}
