package serve

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestModelName(t *testing.T) {
	for named, want := range map[string][2]string{
		"runs/one":              {"one", "runs/one"},
		"models/tiny.gguf":      {"tiny", "models/tiny.gguf"},
		"org/name@v2":           {"name", "org/name@v2"},
		"gold=org/name":         {"gold", "org/name"},
		"runs/lr=1e-5/seed=1":   {"seed=1", "runs/lr=1e-5/seed=1"},
		"=runs/one":             {"one", "=runs/one"},
		"runs/one" + "/":        {"one", "runs/one/"},
		"a=b=c":                 {"a", "b=c"},
		"./" + "runs/two.gguf/": {"two", "./runs/two.gguf/"},
	} {
		if name, path := ModelName(named); name != want[0] || path != want[1] {
			t.Errorf("%s: %s of %s, want %v", named, name, path, want)
		}
	}
}

// TestNewSource watches what is on disk, and nothing else.
func TestNewSource(t *testing.T) {
	load := func(context.Context, Engine) (Engine, error) { return nil, nil }
	dir := t.TempDir()
	s := NewModel("m", dir, load)
	if s.Name != "m" || s.Load == nil || s.Stamp == nil {
		t.Fatalf("%+v", s)
	}
	before, err := s.Stamp()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if after, err := s.Stamp(); err != nil || after == before {
		t.Errorf("the stamp is %q still: %v", after, err)
	}
	if s := NewModel("m", "org/name", load); s.Stamp != nil {
		t.Error("an id is watched")
	}
}

func TestLoadTLS(t *testing.T) {
	if config, err := LoadTLS("", ""); config != nil || err != nil {
		t.Errorf("%v: %v", config, err)
	}
	if _, err := LoadTLS(filepath.Join(t.TempDir(), "cert.pem"), "key.pem"); err == nil {
		t.Error("a certificate that is not there was read")
	}
}

// TestReloadOnHangup sends this process a SIGHUP.
func TestReloadOnHangup(t *testing.T) {
	loaded := make(chan bool, 9)
	s, _ := start(t, Config{Models: []Model{{
		Name: "m", Load: func(context.Context, Engine) (Engine, error) {
			loaded <- true
			return &fake{}, nil
		},
	}}})
	<-loaded // by the start
	stop := s.ReloadOnHangup(t.Context())
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-loaded:
	case <-time.After(10 * time.Second):
		t.Error("nothing was reloaded")
	}
	stop()
}
