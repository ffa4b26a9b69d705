package run

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"haf/internal/filelock"
)

// recent is the age of the last record below which a run counts as running, where locks are not
// listed.
const recent = 2 * time.Minute

// InUse reports whether a process works in the run folder, without disturbing it. It goes by the
// system's list of locks. If there is none, or if the process that took the lock last is on another
// machine, which shares the disk, it goes by the age of the last record.
func InUse(dir string) bool {
	path := filepath.Join(dir, lockName)
	held, err := filelock.Held(path)
	if err == nil && (held || !lockedElsewhere(path)) {
		return held
	}
	info, err := os.Stat(filepath.Join(dir, MetricsName))
	return err == nil && !Finished(dir) && isRecent(info.ModTime())
}

// lockedElsewhere reports whether the note in a lock file names another machine.
func lockedElsewhere(path string) bool {
	note := holder(path)
	host, err := os.Hostname()
	return err == nil && note != anotherProcess && !strings.HasSuffix(note, " on "+host)
}

// isRecent reports whether a time is close to now, on either side, because clocks differ.
func isRecent(at time.Time) bool { return time.Since(at).Abs() < recent }
