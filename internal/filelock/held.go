package filelock

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ErrUnknown is returned where the system does not say who holds locks.
var ErrUnknown = errors.New("locks are not listed on this system")

// locksFile lists the locks that are held, on Linux.
var locksFile = "/proc/locks"

// Held reports whether a process of this machine holds the lock of the file at path. It looks
// without locking, so that it never refuses another process the lock.
func Held(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	list, err := os.Open(locksFile)
	if err != nil || !ok {
		return false, ErrUnknown
	}
	defer list.Close()
	// A line: 1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF. File systems disagree about the device
	// of a file, so the inode alone decides.
	inode := strconv.FormatUint(stat.Ino, 10)
	for lines := bufio.NewScanner(list); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" {
			continue
		}
		if i := strings.LastIndexByte(fields[5], ':'); i >= 0 && fields[5][i+1:] == inode {
			return true, nil
		}
	}
	return false, nil
}
