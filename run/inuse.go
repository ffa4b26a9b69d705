package run

import (
	"os"
	"path/filepath"
	"time"

	"haf/internal/filelock"
)

// recent is the age of the last record below which a run counts as running, on systems that do not
// list locks.
const recent = 2 * time.Minute

// InUse reports whether a process works in the run folder, without disturbing it. It does not see a
// process on another machine if the system lists locks, as Linux does. Otherwise it goes by the age
// of the last record.
func InUse(dir string) bool {
	held, err := filelock.Held(filepath.Join(dir, lockName))
	if err == nil {
		return held
	}
	info, err := os.Stat(filepath.Join(dir, MetricsName))
	return err == nil && !Finished(dir) && isRecent(info.ModTime())
}

// isRecent reports whether a time is close to now, on either side, because clocks differ.
func isRecent(at time.Time) bool { return time.Since(at).Abs() < recent }
