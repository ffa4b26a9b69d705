package run

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
)

// lockName is the file that a process locks while it works in a run folder. The kernel releases the
// lock when the process ends, however it ends; the file stays.
const lockName = ".lock"

// lock makes this process the only one that works in the folder. On a file system without locks it
// warns and goes on.
func lock(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, lockName)
	l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	locked, err := l.TryLock()
	switch {
	case errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) ||
		errors.Is(err, syscall.ENOLCK):
		slog.Warn("the file system has no locks: make sure that no other process works in the folder",
			"folder", dir)
		return l, nil
	case err != nil:
		return nil, fmt.Errorf("run: locking %s: %w", dir, err)
	case !locked:
		return nil, fmt.Errorf("run: %s is in use by %s: wait until it ends, or stop it", dir, holder(path))
	}
	host, _ := os.Hostname() // only for the message to others
	note := fmt.Sprintf("process %d on %s\n", os.Getpid(), host)
	if err := os.WriteFile(path, []byte(note), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("run: locking %s: %w", dir, err), l.Unlock())
	}
	return l, nil
}

// holder describes the process that has the lock.
func holder(path string) string {
	note, err := os.ReadFile(path)
	if text := strings.TrimSpace(string(note)); err == nil && text != "" && len(text) < 300 {
		return text
	}
	return "another process"
}
