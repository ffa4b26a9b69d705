package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"haf/internal/filelock"
)

// lockName is the file that a process locks while it works in a run folder.
const lockName = ".lock"

// lock makes this process the only one that works in the folder.
func lock(dir string) (*filelock.Lock, error) {
	path := filepath.Join(dir, lockName)
	l, err := filelock.Acquire(path)
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("run: %s is in use by %s: wait until it ends, or stop it", dir,
			holder(path))
	}
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	host, _ := os.Hostname() // only for the message to others
	note := fmt.Sprintf("process %d on %s\n", os.Getpid(), host)
	if err := os.WriteFile(path, []byte(note), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("run: locking %s: %w", dir, err), l.Release())
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
