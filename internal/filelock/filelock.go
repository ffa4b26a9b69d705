// Package filelock lets one process at a time work on a file or folder. The kernel releases a lock
// when its process ends, even after a crash.
package filelock

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"github.com/gofrs/flock"
)

// ErrHeld is returned if another process, or this one, holds the lock.
var ErrHeld = errors.New("locked by another process")

// A Lock is held until Release or Remove.
type Lock struct {
	path string
	file *flock.Flock
}

// Acquire locks the file at path, which it creates if needed. On a file system without locks it
// warns and returns an ineffective lock.
func Acquire(path string) (*Lock, error) {
	for {
		l := &Lock{path, flock.New(path,
			flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))}
		locked, err := l.file.TryLock()
		switch {
		case errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) ||
			errors.Is(err, syscall.ENOLCK):
			slog.Warn("the file system has no locks: make sure that no other process works there",
				"path", path)
			return l, nil
		case err != nil:
			return nil, fmt.Errorf("locking: %w", err)
		case !locked:
			return nil, fmt.Errorf("%s: %w", path, ErrHeld)
		case l.current():
			return l, nil
		}
		// The previous holder removed the file after it was opened and before it was locked here.
		if err := l.file.Unlock(); err != nil {
			return nil, fmt.Errorf("locking: %w", err)
		}
	}
}

// current reports whether the locked file is still the file at the path.
func (l *Lock) current() bool {
	held, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(l.path)
	return err == nil && os.SameFile(held, there)
}

// Release releases the lock and keeps the file.
func (l *Lock) Release() error { return l.file.Unlock() }

// Remove releases the lock and removes the file.
func (l *Lock) Remove() error { return errors.Join(os.Remove(l.path), l.file.Unlock()) }
