package run

import (
	"runtime"
	"syscall"
)

// PeakMemory is the largest resident memory of this process so far, in bytes, or 0 if the system
// does not report it.
func PeakMemory() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(usage.Maxrss)
	}
	return int64(usage.Maxrss) * 1024 // Linux counts in KiB
}
