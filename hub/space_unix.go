//go:build linux || darwin

package hub

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// freeBytes is the space that this user may use on the disk of a folder, or of its nearest existing
// parent.
func freeBytes(dir string) (bytes uint64, ok bool) {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true
}
