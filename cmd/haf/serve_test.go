package main

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// served is a server that a script has started.
type served struct {
	cmd    *exec.Cmd
	stderr safeBuffer
	done   chan error
}

// safeBuffer is a buffer that one may look into while it is written.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

var servers sync.Map // by the script's $WORK

// serving starts haf serve with the arguments on a free port and waits until it is ready; its
// address is in $URL.
func serving(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serving MODEL… FLAG…")
	}
	program, err := exec.LookPath("haf")
	ts.Check(err)
	s := &served{cmd: exec.Command(program, append([]string{"serve", "-addr", "127.0.0.1:0"},
		args...)...), done: make(chan error, 1)}
	s.cmd.Dir, s.cmd.Stderr = ts.MkAbs("."), &s.stderr
	s.cmd.Env = append(os.Environ(), "HAF_DEVICE=go", "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"),
		"HAF_TOKENS="+ts.Getenv("HAF_TOKENS"))
	out, err := s.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		s.cmd.Wait()
		ts.Fatalf("haf serve says no address: %s", s.stderr.String())
	}
	url := lines.Text()
	go func() { s.done <- s.cmd.Wait() }()
	servers.Store(ts.Getenv("WORK"), s)
	ts.Defer(func() { s.cmd.Process.Kill() })
	ts.Setenv("URL", url)
	for range 600 {
		if r, err := http.Get(url + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("haf serve was not ready: %s", s.stderr.String())
}

// signalled sends the server a signal: with "term" it must end with exit code 0, and with "hup
// TEXT" the text must come on its standard error, which is left in $WORK/stderr.
func signalled(ts *testscript.TestScript, neg bool, args []string) {
	v, ok := servers.Load(ts.Getenv("WORK"))
	if neg || !ok || len(args) == 0 {
		ts.Fatalf("usage, after serving: signalled term, or signalled hup TEXT")
	}
	s := v.(*served)
	if args[0] == "hup" && len(args) == 2 {
		before := len(s.stderr.String())
		ts.Check(s.cmd.Process.Signal(syscall.SIGHUP))
		for range 600 {
			if strings.Contains(s.stderr.String()[before:], args[1]) {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		ts.Fatalf("%q did not come: %s", args[1], s.stderr.String())
	}
	ts.Check(s.cmd.Process.Signal(syscall.SIGTERM))
	err := <-s.done
	ts.Check(os.WriteFile(ts.MkAbs("stderr"), []byte(s.stderr.String()), 0o644))
	ts.Check(err)
}
