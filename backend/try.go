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
	"time"
)

const (
	// tryEnv makes a program open the plug-in at this path, run a product and exit.
	tryEnv = "HAF_TRY_PLUGIN"
	// tryLimit is generous: a first opening reads 200 to 400 MB from the disk.
	tryLimit = 3 * time.Minute
	tryGood  = "plug-in works:"
)

// init makes this process, where it is the child of works, end before the program's own main.
func init() {
	if path := os.Getenv(tryEnv); path != "" {
		os.Exit(tryHere(path))
	}
}

// works opens a plug-in and runs a small matrix product on it. It does so in a child process, which is this program
// again, since a broken library can take its process down with it and a loaded one cannot be unloaded. Where the
// program's own file is not known it does so here.
func works(ctx context.Context, p Plugin) error {
	program, ok := ownProgram()
	if !ok {
		return try(p.Path)
	}
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, tryEnv+"=") })
	cmd.Env = append(env, tryEnv+"="+p.Path)
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("backend: plug-in %s: still not done after %v", p.Path, tryLimit)
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("backend: plug-in %s does not work: %w: %s", p.Path, err, oneLine(errors.New(stderr.String())))
	case !strings.Contains(stdout.String(), tryGood):
		return fmt.Errorf("backend: plug-in %s: the program that should try it out said nothing", p.Path)
	}
	return nil
}

// tryHere is the child's side of works: its exit code is the return value.
func tryHere(path string) int {
	if err := try(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(tryGood, path)
	return 0
}

func try(path string) error {
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

// ownProgram is the path of this program's file. It is not known for certain where /proc is missing, where the
// file was replaced or removed since the start, and where the dynamic loader was started by name with the program
// as its argument (then /proc shows the loader, which would take the first argument for a program).
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
