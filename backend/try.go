package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	// tryEnv makes a program that calls Prepare open the plug-in at this path, run a product and exit.
	tryEnv = "HAF_TRY_PLUGIN"
	// tryLimit is generous: a first opening reads 200 to 400 MB from the disk.
	tryLimit = 3 * time.Minute
	tryGood  = "plug-in works:"
)

// works opens a plug-in and runs a small matrix product on it. It does so in a child process, since a broken
// library can take its process down with it and a loaded one cannot be unloaded; in a program that does not call
// Prepare, which could not act as that child, it does so here.
func works(ctx context.Context, p Plugin) error {
	program, ok := ownProgram()
	if !prepared || !ok {
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
