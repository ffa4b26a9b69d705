package run

import (
	"os"
	"path/filepath"
	"time"

	"haf/internal/filelock"
)

// recent is how new the last record of a run must be to take it for running where the system does
// not list locks.
const recent = 2 * time.Minute

// InUse reports whether a process works in the run folder. It disturbs none. A process on another
// machine is seen by the age of its last record alone.
func InUse(dir string) bool {
	held, err := filelock.Held(filepath.Join(dir, lockName))
	if err == nil {
		return held
	}
	info, err := os.Stat(filepath.Join(dir, MetricsName))
	return err == nil && !Finished(dir) && isRecent(info.ModTime())
}

// isRecent reports whether a time is close to now. One in the future is that of another clock.
func isRecent(at time.Time) bool { return time.Since(at).Abs() < recent }
