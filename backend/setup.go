package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// SetupOptions say what [Setup] installs and where it logs.
type SetupOptions struct {
	CUDA bool      // for NVIDIA GPUs instead of the CPU
	Log  io.Writer // one line per attempt; nil for none
}

// Setup returns the first plug-in that works: an installed one; the pinned Python wheel, fetched by
// pip and checked against the hash in this program; or the result of go-xla's own installer. A
// plug-in works if it opens and computes a matrix product correctly. Each failed attempt is a line
// on opt.Log, and the error lists all of them with their remedies.
func Setup(ctx context.Context, opt SetupOptions) (Plugin, error) {
	s := setup{
		log:   opt.Log,
		kind:  KindCPU,
		wheel: cpuWheel,
		find:  Find,
		works: works,
		other: installByGoXLA,
		gpu:   hasGPU,
	}
	if s.log == nil {
		s.log = io.Discard
	}
	if opt.CUDA {
		s.kind, s.wheel = KindCUDA, cudaWheel
	}
	if !xlaSupported {
		return Plugin{}, errors.New("backend: " + xlaMissing)
	}
	return s.run(ctx)
}

// A setup is one call of Setup. Its functions are fields so that tests need neither a network nor a
// plug-in.
type setup struct {
	log   io.Writer
	kind  string
	wheel wheel
	find  func(kind string) ([]Plugin, error)
	works func(context.Context, Plugin) error
	other func(kind string) ([]Plugin, error)
	gpu   func() bool
}

func (s *setup) run(ctx context.Context) (Plugin, error) {
	var failed []error
	fail := func(what string, err error) {
		err = fmt.Errorf("%s: %w", what, err)
		failed = append(failed, err)
		fmt.Fprintf(s.log, "%s\n", oneLine(err))
	}
	installed, err := s.find(s.kind)
	if err != nil {
		fail("search for an installed plug-in", err)
	}
	for _, p := range installed {
		if err := s.works(ctx, p); err != nil {
			if ctx.Err() != nil {
				return Plugin{}, ctx.Err()
			}
			fail("installed plug-in", err)
			continue
		}
		fmt.Fprintf(s.log, "%s plug-in %s works (%s)\n", p.Kind, p.Path, p.Origin)
		return p, nil
	}

	if s.kind == KindCUDA && !s.gpu() {
		// Without a GPU nothing fetched can be tested, and the download is 2.5 GB.
		fail("CUDA", errors.New("the system shows no NVIDIA GPU (/dev/nvidia*): install NVIDIA's "+
			"driver, or start the container with its GPUs"))
		return Plugin{}, s.failure(failed)
	}
	fmt.Fprintf(s.log, "installing %s %s with pip (%s)\n", s.wheel.name, s.wheel.version,
		s.wheel.about)
	p, err := s.wheel.install(ctx, s.log)
	if err == nil {
		err = s.works(ctx, p)
	}
	switch {
	case err == nil:
		fmt.Fprintf(s.log, "%s plug-in %s works\n", p.Kind, p.Path)
		return p, nil
	case ctx.Err() != nil:
		return Plugin{}, ctx.Err()
	}
	fail(s.wheel.name, err)

	fmt.Fprintln(s.log, "trying go-xla's own installer")
	brought, err := s.otherInstaller(ctx)
	if ctx.Err() != nil {
		return Plugin{}, ctx.Err()
	}
	if err == nil && len(brought) == 0 {
		err = errors.New("it installed nothing")
	}
	for _, p := range brought {
		if err = s.works(ctx, p); err == nil {
			fmt.Fprintf(s.log, "%s plug-in %s works\n", p.Kind, p.Path)
			return p, nil
		}
		if ctx.Err() != nil {
			return Plugin{}, ctx.Err()
		}
	}
	fail("go-xla's installer", err)

	return Plugin{}, s.failure(failed)
}

// failure returns the error that lists every attempt.
func (s *setup) failure(failed []error) error {
	lines := make([]string, len(failed))
	for i, err := range failed {
		lines[i] = "  " + oneLine(err)
	}
	return fmt.Errorf("backend: no %s plug-in could be set up:\n%s\n  the pure Go backend runs "+
		"without one, slowly; a plug-in got by other means is found through $%s",
		s.kind, strings.Join(lines, "\n"), pluginPathEnv)
}

// otherInstaller runs go-xla's installer, which takes no context and prints to standard output.
func (s *setup) otherInstaller(ctx context.Context) ([]Plugin, error) {
	type result struct {
		plugins []Plugin
		err     error
	}
	done := make(chan result, 1)
	stdout := os.Stdout
	os.Stdout = os.Stderr // standard output is for results only
	go func() {
		plugins, err := s.other(s.kind)
		done <- result{plugins, err}
	}()
	defer func() { os.Stdout = stdout }()
	select {
	case r := <-done:
		return r.plugins, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// unfinished is the prefix of folders in which an installation works before it renames them to
// their final names.
const unfinished = "tmp-"

// workFolder makes such a folder under root. It removes those that a killed run left a day or more
// ago.
func workFolder(root string) (string, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	old, _ := filepath.Glob(filepath.Join(root, unfinished+"*"))
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(dir) // leftovers do no harm
		}
	}
	return os.MkdirTemp(root, unfinished)
}
