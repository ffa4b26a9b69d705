//go:build unix

package backend

import "syscall"

// minorFaults counts the page faults of this process that needed no reading from a disk.
func minorFaults() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return int64(u.Minflt)
}
