package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// python is the path of a Python interpreter that has pip.
type python string

// findPython looks for python3 with pip in PATH.
func findPython(ctx context.Context) (python, error) {
	path, err := exec.LookPath("python3")
	if err != nil {
		return "", errors.New("backend: no python3 in PATH: install Python 3 with pip, then run `haf " +
			"setup` again")
	}
	out, err := exec.CommandContext(ctx, path, "-m", "pip", "--version").CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && bytes.Contains(out, []byte("No module named pip")):
		return "", fmt.Errorf("backend: %s has no pip: install it (python3 -m ensurepip, or the "+
			"system's package python3-pip), then run `haf setup` again", path)
	case err != nil:
		return "", fmt.Errorf("backend: %s -m pip does not run: %w: %s", path, err,
			oneLine(errors.New(string(out))))
	}
	return python(path), nil
}

// download fetches the wheel of one requirement (name==version) into a folder, without its
// dependencies.
func (py python) download(ctx context.Context, requirement, dir string) error {
	return py.pip(ctx, io.Discard, requirement, dir, "download", "--no-deps", "--only-binary=:all:",
		"--progress-bar=off", "--dest", dir, requirement)
}

// installInto installs packages with their dependencies into a folder of their own, untouched by
// any other Python installation. pip's progress goes to log.
func (py python) installInto(
	ctx context.Context, requirements []string, dir string, log io.Writer,
) error {
	args := append([]string{"install", "--only-binary=:all:", "--progress-bar=off", "--no-compile",
		"--no-warn-script-location", "--target", dir}, requirements...)
	return py.pip(ctx, log, "NVIDIA's libraries", dir, args...)
}

// pip runs a pip command that writes to dir. It allows few retries, because pip's default takes
// minutes without a network.
func (py python) pip(
	ctx context.Context, log io.Writer, what, dir string, args ...string,
) error {
	args = append([]string{"-m", "pip", args[0], "--disable-pip-version-check", "--no-input",
		"--retries=2", "--timeout=20"}, args[1:]...)
	cmd := exec.CommandContext(ctx, string(py), args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Dir(dir)) // which the caller removes
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = log, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return pipError(what, err, stderr.String())
	}
	return nil
}

// pipError finds the cause in pip's output and adds the remedy.
func pipError(what string, err error, said string) error {
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(said, w) {
				return true
			}
		}
		return false
	}
	switch {
	case says("No space left on device", "Errno 28", "Disk quota exceeded"):
		return fmt.Errorf("backend: pip: the disk is full while fetching %s: free some space in the "+
			"cache folder (XDG_CACHE_HOME)", what)
	case says("NewConnectionError", "Max retries exceeded", "name resolution",
		"Network is unreachable", "Connection refused", "ConnectTimeout", "ReadTimeout", "ProxyError"):
		// Before the next case: offline, pip also says that it found no version.
		return fmt.Errorf("backend: pip cannot reach its package index to fetch %s: check the network, "+
			"the proxy (HTTPS_PROXY) or the index (PIP_INDEX_URL)", what)
	case says("No matching distribution", "Could not find a version"):
		return fmt.Errorf("backend: pip finds no %s for this machine: its index may lack it "+
			"(PIP_INDEX_URL), or this Python or C library is too old (glibc 2.27 and pip 20.3 are needed)",
			what)
	}
	return fmt.Errorf("backend: pip failed to fetch %s: %w: %s", what, err,
		oneLine(errors.New(lastErrors(said))))
}

// lastErrors keeps pip's lines that begin with ERROR, or all lines if none does.
func lastErrors(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "ERROR") {
			lines = append(lines, line)
		}
	}
	if lines == nil {
		return said
	}
	return strings.Join(lines, "")
}
