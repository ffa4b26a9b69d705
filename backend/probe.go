package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// probeEnv makes a program that calls Main open the plug-in at this path, run a product and
	// exit.
	probeEnv = "HAF_TRY_PLUGIN"
	// probeLimit is generous: a first opening reads 200 to 400 MB from the disk.
	probeLimit  = 3 * time.Minute
	probePassed = "plug-in works:"
)

// mainCalled records that this program's children can probe plug-ins.
var mainCalled atomic.Bool

// Main lets this program probe plug-ins in child processes, because a broken plug-in can crash its
// process. Call it first in main if the program calls [Setup]. In a child that [Setup] started,
// Main does not return: it probes the plug-in and exits. Without Main, plug-ins are probed in the
// program's own process.
func Main() {
	if path := os.Getenv(probeEnv); path != "" {
		os.Exit(probeAndReport(path))
	}
	mainCalled.Store(true)
}

// works opens a plug-in and runs a small matrix product on it in a child process that runs this
// same program. A broken library can crash its process, and a loaded one cannot be unloaded. If the
// program did not call Main, or its own file is unknown, works probes in this process.
func works(ctx context.Context, p Plugin) error {
	program, ok := ownProgram()
	if !ok || !mainCalled.Load() {
		return probe(p.Path)
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, probeEnv+"=")
	})
	cmd.Env = append(env, probeEnv+"="+p.Path)
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("backend: plug-in %s: still not done after %v", p.Path, probeLimit)
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("backend: plug-in %s does not work: %w: %s", p.Path, err,
			oneLine(errors.New(stderr.String())))
	case !strings.Contains(stdout.String(), probePassed):
		return fmt.Errorf("backend: plug-in %s: the program that should probe it said nothing",
			p.Path)
	}
	return nil
}

// probeAndReport is the child's side of works. It returns the exit code.
func probeAndReport(path string) int {
	if err := probe(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(probePassed, path)
	return 0
}

func probe(path string) error {
	p, err := pluginAt(path, "")
	if err != nil {
		return err
	}
	d, err := openPlugin(p)
	if err != nil {
		return err
	}
	defer d.Finalize()
	return checkProduct(d.Backend)
}

// ownProgram is the path of this program's file, and false where that is uncertain: without /proc,
// if the file was replaced or removed since the start, or if the dynamic loader was started with
// the program as its argument. Then /proc shows the loader, which would take the first argument for
// a program.
func ownProgram() (string, bool) {
	path, err := os.Executable()
	if err != nil {
		return "", false
	}
	name := filepath.Base(path)
	if strings.HasPrefix(name, "ld-") || strings.HasPrefix(name, "ld.so") {
		return "", false
	}
	there, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	if runtime.GOOS == "linux" {
		running, err := os.Stat("/proc/self/exe")
		if err != nil || !os.SameFile(there, running) {
			return "", false
		}
	}
	return path, true
}
