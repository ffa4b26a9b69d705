package filelock

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ErrUnknown is returned if the system does not list locks.
var ErrUnknown = errors.New("locks are not listed on this system")

// locksFile lists the held locks on Linux.
var locksFile = "/proc/locks"

// Held reports whether a process on this machine holds the lock of the file at path. It takes no
// lock, so it never keeps another process from the lock.
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
	// A line: 1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF. File systems report different devices for
	// a file, so compare the inode only.
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
