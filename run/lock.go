package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"haf/internal/durable"
	"haf/internal/filelock"
	"haf/internal/wholefile"
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
	host, _ := os.Hostname() // for the message that others see, and for [InUse]
	note := fmt.Sprintf("process %d on %s\n", os.Getpid(), host)
	if err := writeNote(path, note); err != nil {
		return nil, errors.Join(fmt.Errorf("run: locking %s: %w", dir, err), l.Release())
	}
	return l, nil
}

// writeNote writes the note into the file itself: a renamed file would not be the locked one.
func writeNote(path, note string) error {
	f, err := durable.OpenFile(path, os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(note))
	return errors.Join(err, f.Close())
}

// Claim locks the folder of a run, finished or not, for this process until release.
func Claim(dir string) (release func() error, err error) {
	if !Exists(dir) {
		return nil, fmt.Errorf("run: %s is no run folder: it has no %s", dir, ManifestName)
	}
	l, err := lock(dir)
	if err != nil {
		return nil, err
	}
	return l.Remove, nil
}

// anotherProcess is what [holder] says of one that left no note.
const anotherProcess = "another process"

// holder describes the process that has the lock.
func holder(path string) string {
	note, err := wholefile.Read(path, wholefile.Settings)
	if text := strings.TrimSpace(string(note)); err == nil && text != "" && len(text) < 300 {
		return text
	}
	return anotherProcess
}
